"""Layers of taggers by themselves: against PyG's own, in chunks, with edges, in anybody's model."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import EdgeConv, global_mean_pool

from lgae_pyg.lorentz import boost
from lgae_pyg.nn import LorentzNetConv, LorentzPatch, PairPatch, ParticleNetConv, complete_graph
from lgae_pyg.nn.lorentz_patch import pair_numbers
from lgae_pyg.ops.pair_chunks import all_pairs
from lgae_pyg.ops.pairs import walk_pairs

PTR = torch.tensor([0, 1, 8, 28])


def momenta(generator):
    p = torch.randn(28, 3, generator=generator, dtype=torch.float64)
    return torch.cat([p.norm(dim=-1, keepdim=True) + 0.1, p], -1)


def lorentz_net_inputs(generator):
    h = torch.randn(28, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    return h, momenta(generator), torch.rand(28, 2, generator=generator, dtype=torch.float64)


def plain_block(conv, h, x, s, edges):
    """The block written out along edges, with PyTorch's own batch normalisation."""
    j, i = edges
    psi = lambda a: a.sign() * a.abs().log1p()  # noqa: E731
    square = lambda a: (a * a * torch.tensor([1.0, -1.0, -1.0, -1.0]).double()).sum(-1, keepdim=True)  # noqa: E731
    dot = (x[i] * x[j] * torch.tensor([1.0, -1.0, -1.0, -1.0]).double()).sum(-1, keepdim=True)
    m = torch.cat([h[i], h[j], psi(square(x[i] - x[j])), psi(dot)], -1)
    m = conv.edge_output(conv.edge_norm(conv.edge_input(m)).relu()).relu()
    m = m * conv.gate(m).sigmoid()
    shift = (x[i] - x[j]) * conv.shift_mlp(m)
    degree = torch.bincount(i, minlength=len(h)).clamp(min=1).unsqueeze(-1)
    new_x = x + conv.step * torch.zeros_like(x).index_add(0, i, shift) / degree
    summed = torch.zeros_like(h).index_add(0, i, m)
    return h + conv.node_mlp(torch.cat([h, summed, s], -1)), new_x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("way", ["ptr", "batch", "edges", "chunks"])
def test_lorentz_net_conv_is_its_formula(way, training, generator):
    torch.manual_seed(1)
    conv, other = (LorentzNetConv(6, 2, step=0.3).double().train(training) for _ in range(2))
    nn.init.normal_(conv.shift_mlp[-1].weight)
    other.load_state_dict(conv.state_dict())
    h, x, s = lorentz_net_inputs(generator)
    edges = complete_graph(PTR)
    expected = plain_block(other, h, x, s, edges)
    graph = torch.repeat_interleave(torch.arange(3), PTR.diff())
    options = {"ptr": {"ptr": PTR}, "batch": {"batch": graph}, "edges": {"edge_index": edges}}
    if way == "chunks":
        found = conv.pass_along(h, x, s, all_pairs(PTR, max_pairs=50))
    else:
        found = conv(h, x, s, **options[way])
    for one, wanted in zip(found, expected):
        assert torch.allclose(one, wanted, rtol=1e-11, atol=1e-11)
    weights = list(conv.parameters()), list(other.parameters())
    gradients = [torch.autograd.grad(sum(part.square().sum() for part in parts), [h, *own])
                 for parts, own in zip((found, expected), weights)]  # fmt: skip
    assert all(torch.allclose(*pair, rtol=1e-8, atol=1e-8) for pair in zip(*gradients))
    assert torch.allclose(conv.edge_norm.running_var, other.edge_norm.running_var)


def test_lorentz_net_conv_needs_its_features_and_moves_vectors(generator):
    conv = LorentzNetConv(6, 2, edge_dim=1).double()
    h, x, s = lorentz_net_inputs(generator)
    with pytest.raises(ValueError, match="needs 1 columns of edge_attr, but was given none"):
        conv(h, x, s, ptr=PTR)
    with pytest.raises(ValueError, match="pass one of edge_index"):
        conv(h, x, s)
    conv = LorentzNetConv(6, 2, step=0.3).double().eval()
    nn.init.normal_(conv.shift_mlp[-1].weight)
    transform = boost(1.0, "y")
    moved, turned = conv(h, x, s, ptr=PTR)[1], conv(h, x @ transform.T, s, ptr=PTR)[1]
    assert torch.allclose(turned, moved @ transform.T, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(moved, x)


def test_memory_of_lorentz_net_is_that_of_a_chunk(generator, monkeypatch):
    """No function of pairs sees more than a chunk of them."""
    seen = []

    def watched(function, *arguments, **options):
        return walk_pairs(lambda *rows: seen.append(len(rows[0])) or function(*rows), *arguments, **options)

    monkeypatch.setattr("lgae_pyg.ops.pairs.walk_pairs", watched)
    conv, ptr = LorentzNetConv(4, 1, backend="dense"), torch.tensor([0, 300])
    h, x = torch.randn(300, 4), torch.randn(300, 4)
    conv.eval()(h, x, h[:, :1], ptr=ptr)
    assert sum(seen) == 300 * 299 and max(seen) <= 1 << 14


@pytest.mark.parametrize("channels", [(8, 8), (5, 5)])
def test_particle_net_conv_is_the_edge_convolution_of_pyg(channels, generator):
    conv = ParticleNetConv(5, channels).double()
    layers = [part for pair in zip(conv.layers, conv.norms) for part in (*pair, nn.ReLU())]
    state = [dict(layer.state_dict()) for layer in layers]
    theirs = EdgeConv(nn.Sequential(*layers), aggr="mean")
    for layer, values in zip(layers, state):
        layer.load_state_dict(values)
    x = torch.randn(28, 5, generator=generator, dtype=torch.float64)
    edges = complete_graph(PTR)
    expected = (conv.shortcut(x) + theirs(x, edges)).relu()
    assert torch.allclose(conv(x, edges), expected, rtol=1e-11, atol=1e-11)
    attr = torch.randn(edges.shape[1], 10, generator=generator, dtype=torch.float64)
    assert not torch.allclose(conv(x, edges, attr), expected)
    with pytest.raises(ValueError, match="takes 5 features, not 4"):
        conv(x[:, :4], edges)


def test_numbers_of_pairs(generator):
    """Every unordered pair has one number, which both of its edges find."""
    ptr = torch.tensor([0, 3, 3, 4, 9])
    edges = complete_graph(ptr)
    numbers = pair_numbers(edges, ptr)
    assert numbers.sort().values.tolist() == sorted(2 * list(range(3 + 10)))
    p4 = torch.rand(9, 4, generator=generator, dtype=torch.float64) + torch.tensor([3.0, 0, 0, 0]).double()
    patch = PairPatch([4], "energy").double().eval()
    patch.embedding, patch.projections = nn.Sequential(nn.Linear(1, 1)).double(), nn.ModuleList([nn.Identity()])
    nn.init.ones_(patch.embedding[0].weight)
    nn.init.zeros_(patch.embedding[0].bias)
    found = patch(p4, ptr)[0][numbers].squeeze(-1)
    assert torch.allclose(found.exp(), p4[edges[0], 0] + p4[edges[1], 0])


class Own(nn.Module):
    """Somebody's network of PyG layers, with Lorentz features added before each."""

    def __init__(self):
        super().__init__()
        self.first = EdgeConv(nn.Linear(8, 16))
        self.second = EdgeConv(nn.Linear(32, 2))
        self.patch = LorentzPatch([4, 16], k=3, scale="TeV")

    def forward(self, batch):
        edges = complete_graph(batch=batch.batch)
        one, other = self.patch(batch.pos, batch=batch.batch)
        x = self.first(batch.pos.float() + one, edges).relu()
        return global_mean_pool(self.second(x + other, edges), batch.batch)


def test_a_patch_in_a_model_of_ones_own(jets):
    model = Own()
    model(jets).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert sum(p.numel() for p in model.patch.parameters()) == 8834 + 66 * 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": []}, "a block and a friend"),
        ({"widths": [3], "k": 0}, "a block and a friend"),
        ({"widths": [3], "feature": "pt"}, "unknown group feature"),
        ({"widths": [3], "scale": "MeV"}, "unknown unit"),
    ],
)
def test_wrong_patches(options, message):
    with pytest.raises(ValueError, match=message):
        LorentzPatch(**options)
