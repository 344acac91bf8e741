"""Lorentz message passing: equivariance for any irreps, agreement of its paths, and use beside PyG."""

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing

from lgae_pyg.lorentz import Irreps, boost, random_lorentz, representation_matrix, rotation
from lgae_pyg.nn import LMPConv, MixReps
from lgae_pyg.ops.graphs import complete_graph
from lgae_pyg.ops.products import _coupling

IRREPS = [
    ("2x(0,0)+2x(1/2,1/2)", "3x(0,0)+3x(1/2,1/2)", 1, 1),
    ("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)+2x(1,0)+2x(0,1)+2x(1,1)", 2, 1),
    ("2x(0,0)+1x(1/2,1/2)+2x(1,0)+2x(0,1)+2x(1,1)", "1x(0,0)+2x(1/2,1/2)+1x(1,1)", 2, 2),
    ("1x(0,0)+2x(3/2,1/2)", "1x(0,0)+1x(1/2,1/2)+1x(1,0)", 3, 1),
]


def build(irreps_in: str, irreps_out: str, max_weight: int, max_degree: int, **options) -> LMPConv:
    options = {"num_bells": 5, "mlp_depth": 2, "mlp_width": 2, "neighbours": 4.0} | options
    return LMPConv(irreps_in, irreps_out, max_weight, max_degree, **options).double()


def act(irreps: Irreps | str, transform: Tensor, x: Tensor) -> Tensor:
    return x @ representation_matrix(Irreps(irreps), transform).to(x.dtype).T


@pytest.mark.parametrize("irreps_in, irreps_out, max_weight, max_degree", IRREPS)
def test_equivariance(
    irreps_in: str, irreps_out: str, max_weight: int, max_degree: int, jets: Batch, generator: torch.Generator
) -> None:
    conv = build(irreps_in, irreps_out, max_weight, max_degree)
    batch = Batch.from_data_list(jets.to_data_list()[1:6])
    x = torch.randn(batch.num_nodes, conv.irreps_in.dim, dtype=torch.complex128, generator=generator)
    transform = random_lorentz(max_rapidity=1.0, generator=generator)
    with torch.no_grad():
        rotated = conv(act(irreps_in, transform, x), batch.pos @ transform.T, ptr=batch.ptr)
        expected = act(irreps_out, transform, conv(x, batch.pos, ptr=batch.ptr))
    assert (rotated - expected).norm() < 1e-10 * expected.norm()


def test_negative_control(jets: Batch) -> None:
    """A layer that looks at one component must fail the test that the others pass."""

    class Broken(LMPConv):
        def forward(self, x: Tensor, pos: Tensor, ptr: Tensor) -> Tensor:
            return super().forward(x * (1 + 0.1 * pos[:, 3:]), pos, ptr=ptr)

    conv = Broken("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)").double()
    x = torch.randn(jets.num_nodes, conv.irreps_in.dim, dtype=torch.complex128)
    turn = rotation(1.0, "x")
    with torch.no_grad():
        turned = conv(act(conv.irreps_in, turn, x), jets.pos @ turn.T, ptr=jets.ptr)
        expected = act(conv.irreps_out, turn, conv(x, jets.pos, ptr=jets.ptr))
    assert (turned - expected).norm() > 1e-3 * expected.norm()


@pytest.mark.parametrize("complex_momenta", [False, True])
@pytest.mark.parametrize("options", [{}, {"self_loops": True, "scalar_edge": 1 + 1j, "ordered_products": True}])
def test_closed_form_is_the_general_form(jets: Batch, complex_momenta: bool, options: dict) -> None:
    conv = build("3x(0,0)+3x(1/2,1/2)", "2x(0,0)+4x(1/2,1/2)", 1, 1, complex_momenta=complex_momenta, **options)
    assert conv.closed_form
    x = torch.randn(jets.num_nodes, conv.irreps_in.dim, dtype=torch.complex128)
    pos = jets.pos
    if complex_momenta:
        pos = torch.complex(pos, pos.roll(1, 0))
    edges = complete_graph(jets.ptr, conv.self_loops)
    with torch.no_grad():
        closed = conv(x, pos, ptr=jets.ptr)
        general = conv(x, pos, edge_index=edges)
    torch.testing.assert_close(closed, general, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("complex_momenta", [False, True])
@pytest.mark.parametrize("options", [{}, {"self_loops": True, "scalar_edge": 1 + 1j, "masked_origin": True}])
def test_products_of_particles_or_of_pairs(jets: Batch, complex_momenta: bool, options: dict) -> None:
    """Irreps of weight two: sums over neighbours as products of matrices, or pair by pair."""
    irreps = "3x(0,0)+2x(1/2,1/2)+2x(1,1)+1x(1,0)+1x(0,1)"
    conv = build(irreps, irreps, 2, 1, complex_momenta=complex_momenta, **options)
    assert conv._takes_split_form()
    x = torch.randn(jets.num_nodes, conv.irreps_in.dim, dtype=torch.complex128, requires_grad=True)
    pos = torch.complex(jets.pos, jets.pos.roll(1, 0)) if complex_momenta else jets.pos
    present = torch.arange(jets.num_nodes) % 5 != 3
    weights, results = torch.randn(jets.num_nodes, conv.irreps_out.dim, dtype=torch.complex128), []
    for backend in ("auto", "edge_list"):
        conv.backend = backend
        for shown in (None, present):
            out = conv(x, pos, ptr=jets.ptr, present=shown)
            results.append((out, *torch.autograd.grad((out * weights).sum().real, [x, *conv.parameters()])))
    assert not conv._takes_split_form()
    for ours, plain in zip(results[:2], results[2:]):
        for one, other in zip(ours, plain):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10 * float(other.abs().max()))


def test_a_jet_does_not_see_its_batch(jets: Batch) -> None:
    conv = build("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", 1, 1)
    x = torch.randn(jets.num_nodes, conv.irreps_in.dim, dtype=torch.complex128)
    with torch.no_grad():
        together = conv(x, jets.pos, ptr=jets.ptr)
        begin, end = int(jets.ptr[4]), int(jets.ptr[5])
        alone = conv(x[begin:end], jets.pos[begin:end], ptr=torch.tensor([0, end - begin]))
    torch.testing.assert_close(together[begin:end], alone, rtol=1e-12, atol=1e-13)


def test_any_edges(jets: Batch) -> None:
    """On a ring, only the neighbours count: a particle without edges keeps its own terms alone."""
    conv = build("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", 1, 1)
    x = torch.randn(4, conv.irreps_in.dim, dtype=torch.complex128)
    pos = jets.pos[:4]
    with torch.no_grad():
        pair = conv(x, pos, edge_index=torch.tensor([[0, 1], [1, 0]]))
        isolated = conv(x[2:3], pos[2:3], ptr=torch.tensor([0, 1]))
        two = conv(x[:2], pos[:2], ptr=torch.tensor([0, 2]))
    torch.testing.assert_close(pair[2:3], isolated)
    torch.testing.assert_close(pair[:2], two)


def test_gradients(jets: Batch) -> None:
    conv = build("1x(0,0)+1x(1/2,1/2)", "1x(0,0)+1x(1/2,1/2)", 1, 1, activation="silu")
    x = torch.randn(5, conv.irreps_in.dim, dtype=torch.complex128, requires_grad=True)
    pos = (10 * jets.pos[:5]).requires_grad_()
    parameters = list(conv.parameters())

    def function(x: Tensor, pos: Tensor, *_: Tensor) -> Tensor:
        return conv(x, pos, ptr=torch.tensor([0, 3, 5]))

    assert torch.autograd.gradcheck(function, (x, pos, *parameters), atol=1e-6, rtol=1e-5)


def test_it_is_an_ordinary_pyg_layer() -> None:
    conv = LMPConv("3x(0,0)+3x(1/2,1/2)", "4x(0,0)+4x(1/2,1/2)")
    assert isinstance(conv, MessagePassing)
    conv.reset_parameters()
    clone = LMPConv("3x(0,0)+3x(1/2,1/2)", "4x(0,0)+4x(1/2,1/2)", backend="edge_list")
    clone.load_state_dict(conv.state_dict())
    assert repr(conv) == "LMPConv(3x(0,0)+3x(1/2,1/2) -> 4x(0,0)+4x(1/2,1/2), max_weight=1)"


def test_complex_weights_survive_a_change_of_type() -> None:
    mix = MixReps("2x(0,0)+3x(1/2,1/2)", "1x(0,0)+2x(1/2,1/2)")
    x = torch.randn(4, mix.irreps_in.dim, dtype=torch.complex128)
    before = mix(x.to(torch.complex64))
    after = mix.double()(x)
    assert after.imag.abs().max() > 0
    torch.testing.assert_close(before.to(torch.complex128), after, rtol=1e-5, atol=1e-5)


def test_real_features_are_complex_ones_without_imaginary_part(jets: Batch) -> None:
    conv = build("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", 1, 1)
    x = torch.randn(jets.num_nodes, conv.irreps_in.dim, dtype=torch.float64)
    imaginary_free = torch.complex(x, torch.zeros_like(x))
    with torch.no_grad():
        torch.testing.assert_close(conv(x, jets.pos, ptr=jets.ptr), conv(imaginary_free, jets.pos, ptr=jets.ptr))
        mix = MixReps(conv.irreps_in, "3x(0,0)").double()
        torch.testing.assert_close(mix(x), mix(imaginary_free))


def test_impossible_outputs_are_named() -> None:
    with pytest.raises(ValueError, match=r"cannot make \(1,1\)"):
        LMPConv("1x(0,0)+1x(1/2,1/2)", "1x(1,1)", max_weight=1)


@pytest.mark.parametrize("complex_momenta", [False, True])
@pytest.mark.parametrize("options", [{}, {"mlp_depth": 0}, {"activation": "silu"}, {"self_loops": True}])
def test_back_ends_give_the_same_numbers(jets: Batch, complex_momenta: bool, options: dict) -> None:
    """Values and gradients, through the kernel of the whole level and, with some options, of the sum alone."""
    irreps = "2x(0,0)+2x(1/2,1/2)"
    convs = {name: build(irreps, irreps, 1, 1, complex_momenta=complex_momenta, backend=name, **options)
             for name in ("edge_list", "dense", "fused", "auto")}  # fmt: skip
    x = torch.randn(jets.num_nodes, 10, dtype=torch.complex128)
    pos = torch.complex(jets.pos, jets.pos.roll(1, 0)) if complex_momenta else jets.pos
    results = []
    for conv in convs.values():
        conv.load_state_dict(convs["edge_list"].state_dict())
        inputs = [x.clone().requires_grad_(), (10 * pos).requires_grad_()]
        out = conv(*inputs, ptr=jets.ptr)
        loss = (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).real.square().sum()
        results.append([out, *torch.autograd.grad(loss, [*inputs, *conv.parameters()], allow_unused=True)])
    for other in results[1:]:
        for ours, theirs in zip(other, results[0]):
            if theirs is not None:
                atol = 1e-10 * float(theirs.detach().abs().max())
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=atol)


def test_memory_kept_for_the_backward_pass_is_linear_in_the_particles() -> None:
    conv = build("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", 1, 1, backend="fused")

    def kept(particles: int) -> int:
        sizes: dict[int, int] = {}

        def remember(tensor: Tensor) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        x = torch.randn(particles, 10, dtype=torch.complex128, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            out = conv(x, torch.randn(particles, 4).double(), ptr=torch.tensor([0, particles]))
        del out
        return sum(sizes.values())

    small, middle, large = (kept(particles) for particles in (100, 200, 400))
    assert large - middle == 2 * (middle - small)


def test_compiles_in_one_graph(jets: Batch) -> None:
    conv = build("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", 1, 1, backend="fused")
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager", dynamic=True)
    x = torch.randn(jets.num_nodes, 10, dtype=torch.complex128, requires_grad=True)
    for out in (compiled(x, jets.pos, ptr=jets.ptr), conv(x, jets.pos, ptr=jets.ptr)):
        out.abs().square().sum().backward()
    torch.testing.assert_close(compiled(x, jets.pos, ptr=jets.ptr), conv(x, jets.pos, ptr=jets.ptr))


def test_mixed_precision_rounds_invariants_alone(jets: Batch) -> None:
    """Equivariance stays at the level of float32's rounding of invariants, for boosts that float32 cannot bear."""
    irreps = "2x(0,0)+2x(1/2,1/2)"
    conv = build(irreps, irreps, 1, 1, mixed_precision=True)
    exact = build(irreps, irreps, 1, 1)
    exact.load_state_dict(conv.state_dict())
    x = torch.randn(jets.num_nodes, 10, dtype=torch.complex128)
    transform = boost(6.0, "x")
    with torch.no_grad():
        out = conv(x, jets.pos, ptr=jets.ptr)
        boosted = conv(act(irreps, transform, x), jets.pos @ transform.T, ptr=jets.ptr)
        rounding = (out - exact(x, jets.pos, ptr=jets.ptr)).norm() / out.norm()
    expected = act(irreps, transform, out)
    assert 1e-10 < rounding < 1e-5
    assert (boosted - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("backend", ["fused", "dense", "edge_list"])
def test_precisions_are_brought_together(backend: str, jets: Batch) -> None:
    """Features, momenta and parameters of different precision: all are taken in the highest."""
    conv = LMPConv("1x(0,0)+1x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", backend=backend)
    x = torch.cat([torch.ones(jets.num_nodes, 1), jets.pos.float()], -1)
    mixed = conv(x, jets.pos.double(), ptr=jets.ptr)
    assert mixed.dtype == torch.complex128
    exact = conv.double()(x.double(), jets.pos.double(), ptr=jets.ptr)
    torch.testing.assert_close(mixed, exact, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("backend", ["fused", "dense", "edge_list"])
def test_a_layer_as_pytorch_makes_it_is_right_in_float32(backend: str, jets: Batch) -> None:
    conv = LMPConv("2x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", neighbours=30.0, backend=backend)
    x = torch.randn(jets.num_nodes, 10, dtype=torch.complex64)
    single = conv(x, jets.pos.float(), ptr=jets.ptr)
    assert single.dtype == torch.complex64
    exact = conv.double()(x.to(torch.complex128), jets.pos.float().double(), ptr=jets.ptr)
    assert (single - exact).norm() < 1e-5 * exact.norm()


@pytest.mark.parametrize("backend", ["fused", "dense", "edge_list"])
def test_shapes_that_do_not_fit_are_refused(backend: str, jets: Batch) -> None:
    conv = LMPConv("1x(0,0)+1x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)", backend=backend).double()
    n = jets.num_nodes
    for columns, momenta in ((6, jets.pos), (5, jets.pos[:, :3]), (5, jets.pos[1:])):
        with pytest.raises(ValueError, match="LMPConv needs"):
            conv(torch.ones(n, columns).double(), momenta.double(), ptr=jets.ptr)
    with pytest.raises(ValueError, match="MixReps needs 5 columns"):
        MixReps("1x(0,0)+1x(1/2,1/2)", "1x(0,0)", backend=backend)(torch.ones(3, 6))


def test_a_layer_first_used_in_inference_can_be_trained(jets: Batch) -> None:
    """The tables of coefficients are shared by all layers, and must not be those of inference alone."""
    _coupling.cache_clear()
    conv = build("1x(0,0)+1x(1/2,1/2)", "1x(0,0)+1x(1/2,1/2)+1x(1,1)", 2, 1)
    x = torch.randn(jets.num_nodes, 5, dtype=torch.complex128)
    with torch.inference_mode():
        conv(x, jets.pos, ptr=jets.ptr)
    conv(x, jets.pos, ptr=jets.ptr).abs().sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in conv.parameters())
    assert conv.radial.weight.grad.any()
