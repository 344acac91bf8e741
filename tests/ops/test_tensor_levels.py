"""Levels on any irreps through kernels give the values and gradients of the plain definitions."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lgae_pyg.nn import LMPConv
from lgae_pyg.ops.backends import compiled_tensors
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.graphs import pointers
from lgae_pyg.ops.tensor_levels import Table, table_products

TENSORS = "2x(1/2,1/2)+3x(0,0)+2x(1,1)+1x(1,0)+2x(0,1)"
LEVELS = [
    ("2x(0,0)", "3x(0,0)+3x(1/2,1/2)"),
    ("3x(0,0)+2x(1/2,1/2)", "2x(0,0)+2x(1/2,1/2)+2x(1,1)+1x(1,0)+1x(0,1)"),
    (TENSORS, "1x(0,1)+2x(1,1)+3x(0,0)+1x(1/2,1/2)"),
]
ORIGINAL = {"self_loops": True, "masked_origin": True, "scalar_edge": 1 + 1j, "neighbours": 3.0}
OPTIONS = [
    {},
    {"ordered_products": True, "mlp_residual": False, "mlp_squash": False, **ORIGINAL},
    {"masked_origin": True, "mlp_depth": 0},
    {"activation": "silu"},
]


def difference(ours: Tensor, theirs: Tensor) -> float:
    if theirs.numel() == 0:
        return 0.0
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max().clamp(min=1e-30))


def gradients(out: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    weight = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape) * (1 - 0.5j)
    return list(torch.autograd.grad(out, leaves, weight, materialize_grads=True, allow_unused=True))


@settings(max_examples=20, deadline=None)
@given(nodes=st.integers(0, 40), numbers=st.integers(1, 9), terms=st.integers(0, 50), seed=st.integers(0, 1000))
def test_products(nodes: int, numbers: int, terms: int, seed: int) -> None:
    """Of any table, also one whose terms of one product do not stand together."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(numbers + 1, (terms, 2), generator=generator)
    places[:, 0].clamp_(max=numbers - 1)
    outputs = torch.randint(16, (terms,), generator=generator).tolist()
    values = torch.randn(terms, dtype=torch.complex128, generator=generator).tolist()
    entries = [(out, *pair, value) for out, pair, value in zip(outputs, places.tolist(), values)]
    table = Table.of(entries, numbers, 16)
    x = torch.randn(nodes, numbers, dtype=torch.complex128, generator=generator, requires_grad=True)
    ours, theirs = table_products(x, table, "fused"), table_products(x, table, "dense")
    assert difference(ours, theirs) < 1e-12
    assert difference(*(gradients(out, [x])[0] for out in (ours, theirs))) < 1e-12


def test_same_products_are_made_once() -> None:
    """Both orders of a product, multiples of it, and what cancels; copies of numbers are no sums."""
    one = 3
    entries = [(0, 0, 1, 2.0), (0, 2, 2, 1j), (1, 1, 0, 1.0), (1, 2, 2, 0.5j), (2, 0, 1, 1.0), (2, 1, 0, -1.0)]
    table = Table.of([*entries, (3, 1, one, 1j)], 3, 4)
    numbers, pairs, sums, *_, outputs = table.steps.sizes
    assert (numbers, pairs, sums, outputs) == (3, 2, 1, 4)
    x = torch.randn(5, 3, dtype=torch.complex128)
    assert difference(table_products(x, table, "fused"), table_products(x, table, "dense")) < 1e-14
    with pytest.raises(ValueError, match="none of a node"):
        Table.of([(0, 0, 4, 1.0)], 3, 1)


@settings(max_examples=8, deadline=None)
@example(sizes=[70, 1, 0, 33], loops=False, masked=True, seed=0)
@example(sizes=[32, 40], loops=True, masked=False, seed=1)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    loops=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_level_of_any_sizes(sizes: list[int], loops: bool, masked: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    options = {"num_bells": 7, "mlp_depth": 1, "mlp_width": 1, "self_loops": loops, "masked_origin": masked}
    kinds = ("fused", "edge_list")
    convs = [LMPConv(*LEVELS[2], max_weight=2, backend=kind, **options).double() for kind in kinds]
    nn.init.normal_(convs[0].radial.a)
    convs[1].load_state_dict(convs[0].state_dict())
    ptr = pointers(torch.tensor(sizes))
    x = torch.randn(int(ptr[-1]), convs[0].irreps_in.dim, dtype=torch.complex128, generator=generator)
    pos = torch.randn(len(x), 4, dtype=torch.float64, generator=generator)
    if len(x) > 1:
        pos[1] = pos[0]  # no bells where these are masked
    results = []
    for conv in convs:
        leaves = [x.clone().requires_grad_(), pos.clone().requires_grad_()]
        out = conv(*leaves, ptr=ptr)
        results.append([out, *gradients(out, [*leaves, *conv.parameters()])])
    for ours, theirs in zip(*results, strict=True):
        largest = float(theirs.detach().abs().max()) if len(x) else 0.0  # momenta alone in a jet have none
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10 * max(largest, 1e-3))


def case(kind: tuple[str, str], backend: str, dtype: torch.dtype = torch.float64, **options) -> tuple:
    """A layer, its inputs and offsets."""
    torch.manual_seed(0)
    options = {"num_bells": 4, "mlp_depth": 2, "mlp_width": 2} | options
    conv = LMPConv(*kind, max_weight=2, backend=backend, **options).to(dtype)
    ptr = pointers(torch.tensor([5, 1, 2, 70, 0, 9]))
    x = torch.randn(int(ptr[-1]), conv.irreps_in.dim, dtype=dtype.to_complex(), requires_grad=True)
    return conv, x, torch.randn(len(x), 4, dtype=dtype).requires_grad_(), ptr


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", LEVELS)
def test_level(kind: tuple[str, str], options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    results, ran = [], []
    apply = compiled_tensors.compiled_tensor_level
    monkeypatch.setattr(
        compiled_tensors, "compiled_tensor_level", lambda *given: ran.append(len(given)) or apply(*given)
    )
    for backend in ("fused", "edge_list"):
        conv, x, pos, ptr = case(kind, backend, **options)
        out = conv(x, pos, ptr=ptr)
        results.append([out, *gradients(out, [x, pos, *conv.parameters()])])
    assert bool(ran) != ("activation" in options)  # of which the kernel knows nothing
    for ours, theirs in zip(*results, strict=True):
        assert difference(ours, theirs) < 1e-10


def test_level_in_float32() -> None:
    results = []
    for backend in ("fused", "dense"):
        conv, x, pos, ptr = case(LEVELS[2], backend, torch.float32)
        out = conv(x, pos, ptr=ptr)
        results.append([out, *gradients(out, [x, pos, *conv.parameters()])])
    assert results[0][0].dtype == torch.complex64
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype and difference(ours, theirs) < 1e-4


def test_parameters_in_float32_beside_features_in_float64() -> None:
    """They are read and their gradients written as they are."""
    results = []
    for dtype in (torch.float32, torch.float64):
        conv, x, pos, ptr = case(LEVELS[2], "fused")
        conv.float().to(dtype)
        out = conv(x, pos, ptr=ptr)
        results.append([out, *gradients(out, [x, pos, *conv.parameters()])])
    for low, high in zip(*results, strict=True):
        assert difference(low.to(high.dtype), high) < (1e-13 if high.is_complex() else 1e-6)
    assert all(grad.dtype == torch.float32 for grad in results[0][3:])


class Twice(nn.Module):
    """Another module in the place of one."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, *given, **options):
        return 2 * self.inner(*given, **options)


@pytest.mark.parametrize("part", ["radial", "mix", "mlp"])
@pytest.mark.parametrize("change", ["hook", "replacement"])
def test_changed_modules_are_called(part: str, change: str) -> None:
    results = []
    for backend in ("fused", "edge_list"):
        conv, x, pos, ptr = case(LEVELS[1], backend)
        before = conv(x, pos, ptr=ptr)
        if change == "hook":
            getattr(conv, part).register_forward_hook(lambda module, given, out: 2 * out)
        else:
            setattr(conv, part, Twice(getattr(conv, part)))
        out = conv(x, pos, ptr=ptr)
        assert difference(out, before) > 1e-2
        results.append([out, *gradients(out, [x, pos, *conv.parameters()])])
    for ours, theirs in zip(*results, strict=True):
        assert difference(ours, theirs) < 1e-10


def test_results_do_not_depend_on_threads() -> None:
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            conv, x, pos, ptr = case(LEVELS[2], "fused")
            out = conv(x, pos, ptr=ptr)
            results.append([out, *gradients(out, [x, pos, *conv.parameters()])])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*results, strict=True))


def test_second_derivatives_are_refused_with_a_way_out() -> None:
    conv, x, pos, ptr = case(LEVELS[2], "fused")
    with pytest.raises(BackendError, match="backend='dense'"):
        torch.autograd.grad(conv(x, pos, ptr=ptr).abs().sum(), x, create_graph=True)
