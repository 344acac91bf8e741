"""LorentzNet's compiled block against the plain one: numbers, statistics, and when it stands back."""

import copy
from types import MethodType

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lgae_pyg.lorentz.kinematics import minkowski_square
from lgae_pyg.nn import LorentzNetConv, complete_graph
from lgae_pyg.nn import lorentz_net_conv as module
from lgae_pyg.ops.backends import compiled_lorentz
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiled_lorentz import add_moments_gradients, moments
from lgae_pyg.ops.pair_chunks import all_pairs
from lgae_pyg.ops.pair_norm import pair_moments
from lgae_pyg.ops.pairs import split_linear

#: Empty jets at both ends and in between, jets of one and two particles, and one of several blocks of pairs.
SIZES = [0, 1, 2, 0, 14, 1, 31, 0]
PTR = torch.tensor([0, *torch.tensor(SIZES).cumsum(0).tolist()])
N = sum(SIZES)


def inputs(hidden, dtype, generator):
    h = torch.randn(N, hidden, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    p = torch.randn(N, 3, generator=generator, dtype=torch.float64)
    x = torch.cat([p.norm(dim=-1, keepdim=True) + 0.1, p], -1).requires_grad_()
    return h, x, torch.rand(N, 2, generator=generator, dtype=torch.float64).to(dtype)


def pair_of(dtype=torch.float64, hidden=11, **options):
    torch.manual_seed(3)
    conv = LorentzNetConv(hidden, 2, step=0.3, backend="fused", **options).to(dtype)
    if conv.shift_mlp is not None:
        nn.init.normal_(conv.shift_mlp[-1].weight)
    nn.init.normal_(conv.edge_norm.bias)
    nn.init.normal_(conv.gate.bias)
    other = copy.deepcopy(conv)
    other.backend = "dense"
    return conv, other


def everything(conv, h, x, s, ptr=PTR):
    """Outputs and gradients of a block."""
    out = conv(h, x, s, ptr=ptr)
    total = sum((part * torch.linspace(-1, 1, part.numel()).view(part.shape)).sum() for part in out)
    wanted = [h, x, *conv.parameters()]
    grads = torch.autograd.grad(total, wanted, allow_unused=True)
    names = ["h", "x", "grad h", "grad x", *(name for name, _ in conv.named_parameters())]
    found = {name: part for name, part in zip(names, (*out, *grads)) if part is not None}
    if conv.training:
        del found["node_mlp.0.bias"]  # in front of a normalisation: rounding noise about zero
    return found


def closest(found, wanted):
    sizes = {name: part.detach().abs().max().clamp(min=1e-3) for name, part in wanted.items()}
    return {name: float((found[name] - part).detach().abs().max() / sizes[name]) for name, part in wanted.items()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"move": False}, {"clamp": 0.05}, {"hidden": 16},
                                     {"invariants": False, "move": False}, {"hidden": 72}])  # fmt: skip
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_the_kernel_is_the_plain_block(dtype, limit, options, training, generator):
    conv, other = (one.train(training) for one in pair_of(dtype, **options))
    data = inputs(conv.hidden, dtype, generator)
    found, wanted = everything(conv, *data), everything(other, *data)
    assert found.keys() == wanted.keys() or not conv.invariants
    assert max(closest(found, wanted).values()) < limit, closest(found, wanted)
    for name, value in other.state_dict().items():
        assert torch.allclose(conv.state_dict()[name], value, rtol=limit, atol=limit), name
    assert bool(conv.edge_norm.num_batches_tracked) == training


def test_the_last_layer_is_computed_again_where_nothing_was_kept(generator, monkeypatch):
    conv, _ = pair_of(clamp=0.5, hidden=72)
    data = inputs(72, torch.float64, generator)
    kept = everything(conv, *data)
    monkeypatch.setattr(compiled_lorentz, "KEPT", 0)
    assert all(torch.equal(part, kept[name]) for name, part in everything(conv, *data).items())


def test_gradients_are_those_of_differences(generator):
    """In single precision of the parameters nothing is lost of the coordinates, which are float64."""
    conv, _ = pair_of(hidden=5)
    h, x, s = inputs(5, torch.float64, generator)
    ptr = torch.tensor([0, 4, 5, 7])
    few = h[:7].detach().requires_grad_(), x[:7].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: conv(a, b, s[:7], ptr=ptr), few, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("features", [True, False])
def test_moments_are_those_of_all_pairs(features, generator):
    conv, _ = pair_of(invariants=features)
    h, x, _ = inputs(11, torch.float64, generator)
    h = (h + 100.0).detach().requires_grad_()  # far from zero, where sums of squares would cancel
    first = split_linear(h, conv.edge_input.weight)

    def values(a, x_i, b, x_j):
        return first.join(a, b, conv._pair_features(x_i, x_j, (), a.dtype))

    wanted = pair_moments(values, all_pairs(PTR), (first.target, x), (first.source, x))
    *found, sums = moments(x, *first, PTR)
    for one, other in zip(found, wanted):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    upstream = torch.arange(11.0).double(), 2 * wanted[1].detach()
    grads = [torch.ones_like(part) for part in (x, *first)]
    add_moments_gradients(grads, *upstream, sums, x, *first, PTR)
    leaves = [x, *first] if features else list(first[:2])
    for one, other in zip(grads if features else grads[1:], torch.autograd.grad(wanted, leaves, upstream)):
        assert torch.allclose(one, other + 1, rtol=1e-8, atol=1e-8)


def test_without_pairs_messages_are_zero(generator):
    conv, other = pair_of()
    h, x, s = (part[:3] for part in inputs(11, torch.float64, generator))
    for one in (conv.eval(), other.eval()):
        moved = one(h, x, s, ptr=torch.tensor([0, 1, 1, 2, 3]))
        assert torch.equal(moved[1], x)
        assert torch.allclose(moved[0], h + one.node_mlp(torch.cat([h, 0 * h, s], -1)))
    conv(h[:0], x[:0], s[:0], ptr=torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=r"more than 1 value"):
        conv.train()(h[:1], x[:1], s[:1], ptr=torch.tensor([0, 1]))


class Halved(nn.Linear):
    def forward(self, x):
        return super().forward(x) / 2


class OwnShift(LorentzNetConv):
    def _shift(self, difference, m):
        return 2 * super()._shift(difference, m)


def own_forward(layer):
    layer.forward = MethodType(lambda self, x: nn.functional.linear(x, self.weight, self.bias) / 3, layer)


CHANGES = {
    "hook": lambda c: c.edge_output.register_forward_hook(lambda *a: a[-1] * 2),
    "hook of the first layer": lambda c: c.edge_input.register_forward_hook(lambda *a: a[-1] * 2),
    "hook of the norm": lambda c: c.edge_norm.register_forward_hook(lambda *a: a[-1] + 1),
    "subclass": lambda c: setattr(c.gate, "__class__", Halved),
    "subclass of the first layer": lambda c: setattr(c.edge_input, "__class__", Halved),
    "replaced": lambda c: setattr(c, "edge_output", nn.Sequential(c.edge_output, nn.Tanh())),
    "no normalisation": lambda c: setattr(c, "edge_norm", nn.Identity()),
    "activation": lambda c: c.shift_mlp.__setitem__(1, nn.Tanh()),
    "forward": lambda c: own_forward(c.edge_output),
    "weight norm": lambda c: parametrizations.weight_norm(c.edge_output),
    "method": lambda c: setattr(c, "__class__", OwnShift),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_users_change_has_its_effect(change, generator, monkeypatch):
    conv, other = pair_of()
    data = inputs(11, torch.float64, generator)
    before = conv(*data, ptr=PTR)
    for one in (conv, other):
        CHANGES[change](one)
    with monkeypatch.context() as patch:
        patch.setattr(module, "choose_backend", lambda *_: pytest.fail("the kernel was asked for"))
        found = everything(conv, *data)
    wanted = everything(other, *data)
    assert max(closest(found, wanted).values()) < 1e-10
    if change != "weight norm":
        assert not torch.allclose(found["h"], before[0]) or not torch.allclose(found["x"], before[1])


def test_changed_layers_give_what_their_formula_says(generator):
    """A first layer that is halved, and hence the second of a normalised one, is not passed over."""
    conv, _ = pair_of()
    h, x, s = inputs(11, torch.float64, generator)
    conv.edge_norm = nn.Identity()
    conv.edge_input.__class__ = Halved
    j, i = complete_graph(PTR)
    seen = torch.cat([h[i], h[j], conv._pair_features(x[i], x[j], (), h.dtype)], -1)
    m = conv.edge_output((seen @ conv.edge_input.weight.T / 2).relu()).relu()
    m = m * conv.gate(m).sigmoid()
    summed = torch.zeros_like(h).index_add(0, i, m)
    wanted = h + conv.node_mlp(torch.cat([h, summed, s], -1))
    assert torch.allclose(conv(h, x, s, ptr=PTR)[0], wanted, rtol=1e-10, atol=1e-10)


def test_second_derivatives_are_refused_by_name_or_there(generator):
    conv, other = pair_of()
    h, x, s = inputs(11, torch.float64, generator)
    with pytest.raises(BackendError, match=r"no second derivatives.*'dense'"):
        torch.autograd.grad(conv(h, x, s, ptr=PTR)[0].sum(), h, create_graph=True)
    (first,) = torch.autograd.grad(other(h, x, s, ptr=PTR)[0].square().sum(), h, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), x)[0].isfinite().all()


def test_the_door_is_checked(generator):
    conv, _ = pair_of()
    h, x, s = inputs(11, torch.float64, generator)
    with pytest.raises(ValueError, match="ptr must rise"):
        conv(h, x, s, ptr=torch.tensor([0, 50, N]))
    with pytest.raises(ValueError, match=r"the coordinates must have the shape \(49, 4\)"):
        conv(h, x[:-1], s, ptr=PTR)
    with pytest.raises(ValueError, match=r"must be torch\.float64, not torch\.float32"):
        moments(x, *split_linear(h, conv.edge_input.weight)._replace(source=h.float()), PTR)
    with pytest.raises(ValueError, match="a limit from 0 up, not nan"):
        pair_of(clamp=float("nan"))[0](h, x, s, ptr=PTR)


def test_no_compiler_no_kernel_same_numbers(generator, monkeypatch):
    conv, other = pair_of()
    conv.backend = "auto"
    monkeypatch.setattr(module, "choose_backend", lambda *_: "dense")
    data = inputs(11, torch.float64, generator)
    found, wanted = everything(conv, *data), everything(other, *data)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_coordinates_stay_double(generator):
    """Hard collinear momenta: their invariants are lost in single precision."""
    conv, other = (one.eval() for one in pair_of(torch.float32))
    h, _, s = inputs(11, torch.float32, generator)
    p = torch.tensor([500.0, 1.0, 2.0]) + 1e-3 * torch.randn(N, 3, generator=generator, dtype=torch.float64)
    x = torch.cat([p.norm(dim=-1, keepdim=True), p], -1)
    assert minkowski_square(x[0] - x[1]).abs() < 1e-3
    for one, wanted in zip(conv(h, x, s, ptr=PTR), other(h, x, s, ptr=PTR)):
        assert torch.allclose(one, wanted, rtol=2e-5, atol=2e-5)
