"""ParticleNet's compiled edge convolution against the plain one."""

import copy

import pytest
import torch
from torch import nn

from lgae_pyg.nn import ParticleNetConv
from lgae_pyg.nn import edge_conv as module
from lgae_pyg.ops.backends.choice import BackendError

N, EDGES = 40, 170


def pair_of(dtype=torch.float64, in_channels=5, channels=(7, 70, 16)):
    torch.manual_seed(3)
    conv = ParticleNetConv(in_channels, channels, backend="fused").to(dtype)
    for norm in conv.norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)
    other = copy.deepcopy(conv)
    other.backend = "dense"
    return conv, other


def inputs(dtype, generator, in_channels=5, with_attr=True):
    """Edges in no order, particles without any, and features far from zero."""
    x = 30 + torch.randn(N, in_channels, generator=generator, dtype=torch.float64)
    edges = torch.randint(0, N - 3, (2, EDGES), generator=generator)
    attr = torch.randn(EDGES, 2 * in_channels, generator=generator, dtype=torch.float64)
    attr = attr.to(dtype).requires_grad_() if with_attr else None
    return x.to(dtype).requires_grad_(), edges, attr


def everything(conv, x, edges, attr):
    out = conv(x, edges, attr)
    leaves = [part for part in (x, attr, *conv.parameters()) if part is not None]
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    grads = torch.autograd.grad((out * weights).sum(), leaves)
    return [out, *grads, *(value for value in conv.state_dict().values())]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [(7, 70, 16), (9,), (64, 5)])
@pytest.mark.parametrize("with_attr", [True, False])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_the_kernel_is_the_plain_convolution(dtype, limit, with_attr, channels, training, generator):
    conv, other = (one.train(training) for one in pair_of(dtype, channels=channels))
    data = inputs(dtype, generator, with_attr=with_attr)
    for found, wanted in zip(everything(conv, *data), everything(other, *data), strict=True):
        size = float(wanted.detach().abs().max().clamp(min=1))
        assert torch.allclose(found, wanted, rtol=limit, atol=limit * size)


def test_what_users_change_has_its_effect(generator, monkeypatch):
    changes = {
        "hook": lambda c: c.norms[1].register_forward_hook(lambda *a: a[-1] * 2),
        "replaced": lambda c: c.norms.__setitem__(0, nn.Identity()),
        "layer": lambda c: c.layers.__setitem__(1, nn.Sequential(c.layers[1], nn.Tanh())),
        "message": lambda c: setattr(c, "__class__", type("Own", (ParticleNetConv,), {"message": halved})),
        "aggregation": lambda c: setattr(c, "aggr_module", nn.Module()) or setattr(c, "aggr_module", summed()),
    }
    monkeypatch.setattr(module, "choose_backend", lambda *_: pytest.fail("the kernel was asked for"))
    x, edges, attr = inputs(torch.float64, generator)
    for name, change in changes.items():
        conv, other = pair_of()
        change(conv)
        assert not torch.allclose(conv(x, edges, attr), other(x, edges, attr)), name


def halved(self, target_i, source_j, edge_attr):
    return ParticleNetConv.message(self, target_i, source_j, edge_attr) / 2


def summed():
    from torch_geometric.nn.aggr import SumAggregation

    return SumAggregation()


def test_wrong_edges_and_second_derivatives_are_refused(generator):
    conv, other = pair_of()
    x, edges, attr = inputs(torch.float64, generator)
    with pytest.raises(ValueError, match="edges must be between nodes 0 to 39, not -1 to"):
        conv(x, torch.cat([edges[:, 1:], torch.tensor([[-1], [0]])], 1), attr)
    with pytest.raises(ValueError, match="edges must be between nodes 0 to 39"):
        conv(x, edges + 4, attr)
    with pytest.raises(ValueError, match=r"must be torch\.int64"):
        conv(x, edges.int(), attr)
    with pytest.raises(ValueError, match="more than one pair"):
        conv(x, edges[:, :1], attr[:1])
    with pytest.raises(BackendError, match="backend='dense'"):
        torch.autograd.grad(conv(x, edges, attr).sum(), x, create_graph=True)
    (first,) = torch.autograd.grad(other(x, edges, attr).square().sum(), x, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), x)[0].isfinite().all()
