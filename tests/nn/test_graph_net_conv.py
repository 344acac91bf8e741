"""The layer of the GNNAE: one formula on every path, gradients, symmetry under permutations."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.nn import GraphNetConv
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.edge_networks import edge_network_sum
from lgae_pyg.ops.graphs import complete_graph, pointers

PAPER = ((30, (50, 40, 30), (30, 15)), (15, (30, 30, 30), (15, 8)), (8, (16, 20, 30), (8, 45)))
SMALL = (3, (4, 2), (5, 3))
BACKENDS = ("edge_list", "dense", "fused")


def by_hand(conv: GraphNetConv, x: Tensor) -> Tensor:
    """The definition, pair by pair, for one jet."""

    def perceptron(layers: torch.nn.ModuleList, values: Tensor) -> Tensor:
        for layer in layers:
            values = layer.weight @ values + layer.bias
            values = torch.where(values > 0, values, conv.slope * values)
        return values

    rows = []
    for x_i in x:
        squares = [((x_j - x_i + 1e-16) ** 2).sum().view(1) for x_j in x]
        distances = squares if conv.distance == "squared" else [(square + 1e-12).sqrt() for square in squares]
        pairs = [torch.cat([x_i, x_j, d]) for x_j, d in zip(x, distances)]
        message = sum(perceptron(conv.edge_layers, pair) for pair in pairs) / conv.neighbours
        rows.append(perceptron(conv.node_layers, torch.cat([message, x_i])))
    return torch.stack(rows)


def alone(conv: GraphNetConv, x: Tensor) -> Tensor:
    """The layer on one jet."""
    return conv(x, ptr=torch.tensor([0, len(x)]))


def features(nodes: int, width: int) -> Tensor:
    return torch.randn(nodes, width, dtype=torch.float64, requires_grad=True)


def values_and_gradients(conv: GraphNetConv, x: Tensor, *graph: Tensor | None) -> list[Tensor]:
    y = conv(x, *graph)
    weights = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *conv.parameters()])]


@pytest.mark.parametrize("options", [{}, {"distance": "norm", "neighbours": 4}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_formula(backend: str, options: dict) -> None:
    conv = GraphNetConv(*SMALL, backend=backend, **options).double()
    x = features(4, 3)
    torch.testing.assert_close(alone(conv, x), by_hand(conv, x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"distance": "norm", "neighbours": 30}])
@pytest.mark.parametrize("sizes", PAPER)
def test_every_path_gives_the_same_numbers(sizes: tuple, options: dict) -> None:
    conv = GraphNetConv(*sizes, **options).double()
    ptr = pointers(torch.tensor([30, 1, 7, 70, 2, 33]))
    x = features(int(ptr[-1]), sizes[0])
    plain = values_and_gradients(conv, x, complete_graph(ptr, self_loops=True))
    for backend in BACKENDS:
        conv.backend = backend
        for found, expected in zip(values_and_gradients(conv, x, None, ptr), plain):
            assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    widths=st.sampled_from([(3,), (4, 2), (17, 16, 1)]),
    width=st.sampled_from([1, 3, 16, 18]),
    slope=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_the_compiled_sum_is_the_plain_one(sizes: list, widths: tuple, width: int, slope: float) -> None:
    conv = GraphNetConv(width, widths, (2,), slope, backend="fused").double()
    ptr = pointers(torch.tensor(sizes))
    x = features(int(ptr[-1]), width)
    fused = values_and_gradients(conv, x, None, ptr)
    conv.backend = "edge_list"
    for found, expected in zip(fused, values_and_gradients(conv, x, None, ptr)):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


def test_with_distances_a_network_without_biases_scales_with_its_input() -> None:
    """So a jet much wider than the rest cannot explode, as it does where distances are squared."""
    conv = GraphNetConv(*SMALL, distance="norm").double()
    for name, parameter in conv.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    x = features(6, 3)
    torch.testing.assert_close(alone(conv, 1e3 * x), 1e3 * alone(conv, x), rtol=1e-6, atol=1e-4)


def test_unknown_distance() -> None:
    with pytest.raises(ValueError, match="unknown distance 'manhattan'"):
        GraphNetConv(*SMALL, distance="manhattan")


@pytest.mark.parametrize("distance", ["squared", "norm"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients(backend: str, distance: str) -> None:
    conv = GraphNetConv(*SMALL, distance=distance, backend=backend).double()
    ptr = torch.tensor([0, 3, 4, 6])
    names, parameters = zip(*conv.named_parameters())

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(conv, dict(zip(names, values)), (x,), {"ptr": ptr})

    assert torch.autograd.gradcheck(run, (features(6, 3), *parameters))


def test_chunks_of_pairs_add_up() -> None:
    network = GraphNetConv(*SMALL).double().edge_network()
    ptr = torch.tensor([0, 5, 6, 9])
    x = features(9, 3)
    whole = edge_network_sum(x, network, ptr, max_pairs=None)
    torch.testing.assert_close(edge_network_sum(x, network, ptr, max_pairs=4), whole, rtol=1e-13, atol=1e-14)


def test_jets_do_not_talk_to_each_other() -> None:
    conv = GraphNetConv(*PAPER[0]).double()
    ptr = pointers(torch.tensor([4, 1, 9]))
    x = features(14, 30)
    one_by_one = torch.cat([alone(conv, x[begin:end]) for begin, end in pairwise(ptr.tolist())])
    torch.testing.assert_close(conv(x, ptr=ptr), one_by_one, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_permutation_equivariance(backend: str, generator: torch.Generator) -> None:
    conv = GraphNetConv(*PAPER[0], backend=backend).double()
    x, order = features(20, 30), torch.randperm(20, generator=generator)
    torch.testing.assert_close(alone(conv, x[order]), alone(conv, x)[order], rtol=1e-12, atol=1e-13)


def test_narrow_features_are_filled_up_with_zeros() -> None:
    conv = GraphNetConv(*PAPER[0]).double()
    x = features(5, 3)
    filled = torch.cat([x, x.new_zeros(5, 27)], -1)
    assert torch.equal(alone(conv, x), alone(conv, filled))
    with pytest.raises(ValueError, match="31 features per node, but the layer takes 30 at most"):
        alone(conv, torch.zeros(2, 31, dtype=torch.float64))


def test_any_edges() -> None:
    """A node without edges gets a message of zeros, one with a doubled edge twice the message."""
    conv = GraphNetConv(3, (4,), (5, 2)).double()
    x = features(3, 3)
    once, twice = (conv(x, torch.tensor([[0], [1]]).repeat(1, count)) for count in (1, 2))
    assert torch.equal(once[0], twice[0]) and not torch.allclose(once[1], twice[1])
    torch.testing.assert_close(once[0], conv(x, torch.zeros(2, 0, dtype=torch.long))[0])


def test_the_last_activation() -> None:
    with_it, without = (GraphNetConv(3, (4,), (2,), 0.2, last) for last in (True, False))
    without.load_state_dict(with_it.state_dict())
    x = torch.randn(6, 3)
    torch.testing.assert_close(torch.nn.functional.leaky_relu(alone(without, x), 0.2), alone(with_it, x))


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="unknown backend 'fast'"):
        GraphNetConv(*SMALL, backend="fast")
    with pytest.raises(ValueError, match="need one width at least"):
        GraphNetConv(3, (), (2,))


def test_what_cannot_run_says_why() -> None:
    halves, ptr = torch.zeros(1, 3, dtype=torch.bfloat16), torch.tensor([0, 1])
    network = GraphNetConv(*SMALL).bfloat16().edge_network()
    dense = edge_network_sum(halves, network, ptr, backend="dense")
    assert torch.equal(edge_network_sum(halves, network, ptr, backend="auto"), dense)
    with pytest.raises(BackendError, match=r"no kernels for torch\.bfloat16; 'auto' or 'dense' can"):
        edge_network_sum(halves, network, ptr, backend="fused")
