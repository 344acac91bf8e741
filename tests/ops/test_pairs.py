"""Sums over pairs give the values and gradients of the plain formulas, in the memory of one chunk."""

import weakref

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lgae_pyg.ops.graphs import complete_graph, pointers
from lgae_pyg.ops.pair_chunks import all_pairs, edge_pairs
from lgae_pyg.ops.pairs import pair_sum, split_linear

ragged = given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    self_loops=st.booleans(),
    limit=st.integers(1, 60) | st.none(),
    recompute=st.booleans(),
)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(-1, keepdim=True)


class GraphNet(nn.Module):
    """A layer of the GNN autoencoder: edge network on [x_i, x_j, d_ij], sum over j, node network."""

    def __init__(self, width: int, hidden: int, out: int):
        super().__init__()
        self.first = nn.Linear(2 * width + 1, hidden)
        self.edge = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2))
        self.node = nn.Sequential(nn.Linear(hidden + width, out), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor, ptr: Tensor, limit: int | None, loops: bool = True, recompute: bool = True):
        first = split_linear(x, self.first.weight, self.first.bias)

        def message(a_i: Tensor, x_i: Tensor, b_j: Tensor, x_j: Tensor) -> Tensor:
            return self.edge(first.join(a_i, b_j, squared_distance(x_i, x_j)))

        pairs = all_pairs(ptr, loops, limit)
        summed = pair_sum(message, pairs, (first.target, x), (first.source, x), recompute=recompute)
        return self.node(torch.cat([summed, x], -1))

    def plain(self, x: Tensor, edges: Tensor) -> Tensor:
        j, i = edges
        messages = self.edge(self.first(torch.cat([x[i], x[j], squared_distance(x[i], x[j])], -1)))
        summed = messages.new_zeros(len(x), messages.shape[1]).index_add(0, i, messages)
        return self.node(torch.cat([summed, x], -1))

    def dense(self, x: Tensor) -> Tensor:
        """On jets of equal size, (B, N, F)."""
        n = x.shape[1]
        x_i, x_j = x.unsqueeze(2).expand(-1, -1, n, -1), x.unsqueeze(1).expand(-1, n, -1, -1)
        messages = self.edge(self.first(torch.cat([x_i, x_j, squared_distance(x_i, x_j)], -1)))
        return self.node(torch.cat([messages.sum(2), x], -1))


def gradients(output: Tensor | tuple[Tensor, ...], *inputs: Tensor) -> list[Tensor]:
    """Gradients of a generic scalar of the outputs."""
    outputs = (output,) if isinstance(output, Tensor) else output
    loss = sum((part.sin() * torch.linspace(0.5, 1.5, part.numel()).view_as(part)).sum() for part in outputs)
    return list(torch.autograd.grad(loss, inputs))


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_split_linear_is_the_layer_on_concatenated_pairs() -> None:
    x, features = torch.randn(5, 3).double(), torch.randn(4, 2).double()
    i, j = torch.tensor([0, 4, 2, 2]), torch.tensor([1, 1, 2, 3])
    for columns in (2, 0):
        layer = nn.Linear(6 + columns, 7).double()
        expected = layer(torch.cat([x[i], x[j], features[:, :columns]], 1))
        split = split_linear(x, layer.weight, layer.bias)
        found = split.join(split.target[i], split.source[j], features if columns else None)
        assert_equal([found], [expected])
        scale, shift = torch.randn(2, 7).double()
        split = split.rescaled(scale, shift)
        found = split.join(split.target[i], split.source[j], features if columns else None)
        assert_equal([found], [scale * expected + shift])


def test_split_linear_refuses_a_layer_too_narrow() -> None:
    with pytest.raises(ValueError, match="a layer of 5 inputs cannot act on pairs of 3 features each"):
        split_linear(torch.zeros(2, 3), torch.zeros(4, 5))


@settings(max_examples=40, deadline=None)
@example(sizes=[1], self_loops=False, limit=1, recompute=True)
@example(sizes=[1, 1], self_loops=False, limit=None, recompute=True)
@example(sizes=[1, 1, 5, 1], self_loops=False, limit=3, recompute=True)
@ragged
def test_graph_net_agrees_with_its_edge_list(
    sizes: list[int], self_loops: bool, limit: int | None, recompute: bool
) -> None:
    ptr, layer = pointers(torch.tensor(sizes)), GraphNet(3, 5, 4).double()
    x = torch.randn(sum(sizes), 3, dtype=torch.float64, requires_grad=True)
    ours, plain = layer(x, ptr, limit, self_loops, recompute), layer.plain(x, complete_graph(ptr, self_loops))
    inputs = (x, *layer.parameters())
    assert_equal([ours, *gradients(ours, *inputs)], [plain, *gradients(plain, *inputs)])


def test_graph_net_agrees_with_dense_pairs() -> None:
    layer, x = GraphNet(3, 5, 4).double(), torch.randn(4, 6, 3, dtype=torch.float64, requires_grad=True)
    ours, dense = layer(x.flatten(0, 1), torch.arange(0, 25, 6), 50).view(4, 6, 4), layer.dense(x)
    inputs = (x, *layer.parameters())
    assert_equal([ours, *gradients(ours, *inputs)], [dense, *gradients(dense, *inputs)])


def test_graph_net_commutes_with_permutations() -> None:
    layer, ptr = GraphNet(3, 5, 4).double(), torch.tensor([0, 6, 7, 12])
    x = torch.randn(12, 3, dtype=torch.float64)
    order = torch.cat([torch.randperm(6), torch.tensor([6]), 7 + torch.randperm(5)])
    with torch.no_grad():
        torch.testing.assert_close(layer(x[order], ptr, 11), layer(x, ptr, 11)[order], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(layer(x[order], ptr, 11), layer(x, ptr, 11))


def test_sums_and_means_particle_by_particle() -> None:
    sizes, width = [4, 1, 3], torch.randn(2, dtype=torch.float64)
    u, v = torch.randn(2, 8, 2, dtype=torch.float64)
    expected = torch.zeros(3, 8, 2, dtype=torch.float64)
    for begin, size in zip((0, 4, 5), sizes):
        for i in range(begin, begin + size):
            for j in range(begin, begin + size):
                if i != j:
                    expected[0, i] += torch.tanh(u[i] * v[j])
                    expected[1, i] += u[i].dot(width) * v[j] / (size - 1)
                    expected[2, i] += torch.tanh(u[i] * v[j]) / (size - 1)

    def function(u_i: Tensor, v_j: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(u_i * v_j), (u_i @ width).unsqueeze(-1) * v_j

    pairs = all_pairs(pointers(torch.tensor(sizes)), max_pairs=5)
    both = pair_sum(function, pairs, [u], [v], reduce=("sum", "mean"))
    assert_equal(list(both), [expected[0], expected[1]])
    assert (both[0][4] == 0).all() and (both[1][4] == 0).all()
    assert_equal(list(pair_sum(function, pairs, [u], [v], reduce="mean")), [expected[2], expected[1]])


@settings(max_examples=30, deadline=None)
@example(count=0, limit=None, how="mean")
@given(count=st.integers(0, 25), limit=st.integers(1, 30) | st.none(), how=st.sampled_from(["sum", "mean"]))
def test_given_edges_with_features(count: int, limit: int | None, how: str) -> None:
    edges = torch.randint(6, (2, count))
    x, attributes = (torch.randn(rows, 3, dtype=torch.float64, requires_grad=True) for rows in (6, count))
    mlp = nn.Sequential(nn.Linear(9, 4), nn.Tanh()).double()
    gate = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()).double()

    def message(x_i: Tensor, x_j: Tensor, d_ij: Tensor) -> Tensor:
        m = mlp(torch.cat([x_i, x_j, d_ij], -1))
        return gate(m) * m

    ours = pair_sum(message, edge_pairs(edges, 6, limit), [x], [x], [attributes], reduce=how)
    messages = message(x[edges[1]], x[edges[0]], attributes)
    plain = torch.zeros(6, 4, dtype=torch.float64).index_add(0, edges[1], messages)
    if how == "mean":
        plain = plain / torch.bincount(edges[1], minlength=6).clamp(min=1).unsqueeze(-1)
    inputs = (x, attributes, *mlp.parameters(), *gate.parameters())
    assert_equal([ours, *gradients(ours, *inputs)], [plain, *gradients(plain, *inputs)])


def test_features_follow_the_order_of_the_complete_graph() -> None:
    ptr = pointers(torch.tensor([3, 5, 1, 4]))
    source, target = complete_graph(ptr)
    features = torch.randn(len(source), 2, 3, dtype=torch.float64, requires_grad=True)
    ours = pair_sum(torch.sin, all_pairs(ptr, max_pairs=9), [], [], [features])
    plain = torch.zeros(13, 2, 3, dtype=torch.float64).index_add(0, target, features.sin())
    assert_equal([ours, *gradients(ours, features)], [plain, *gradients(plain, features)])


def test_gradients_have_gradients() -> None:
    ptr, layer = torch.tensor([0, 3, 5]), GraphNet(2, 3, 2).double()
    layer.edge[0] = layer.edge[2] = layer.node[1] = nn.Tanh()
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert len(all_pairs(ptr, True, 4).groups) > 1
    assert torch.autograd.gradgradcheck(lambda x: layer(x, ptr, 4), (x,))


def test_dropout_is_the_same_when_computed_again() -> None:
    ptr, v = torch.tensor([0, 9, 15]), torch.randn(15, 4, dtype=torch.float64, requires_grad=True)
    dropped = pair_sum(nn.Dropout(0.5), all_pairs(ptr, max_pairs=20), [], [v])
    assert not torch.equal(dropped, pair_sum(nn.Dropout(0.5), all_pairs(ptr, max_pairs=20), [], [v]))
    (gradient,) = torch.autograd.grad(dropped, v, torch.ones_like(dropped))
    torch.testing.assert_close((gradient * v).sum(), dropped.sum(), rtol=1e-12, atol=1e-12)


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, and keeps the largest number seen."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.peak, self.known = 0, 0, set()

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else [result]:
            if isinstance(part, Tensor) and part.untyped_storage()._cdata not in self.known:
                storage = part.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                self.known.add(key)
                self.live, self.peak = self.live + size, max(self.peak, self.live + size)
                weakref.finalize(storage, self._forget, key, size)
        return result


def training_memory(particles: int, limit: int | None) -> tuple[int, int]:
    """Largest memory of a forward and backward pass on one jet, and memory kept between the two, in bytes."""
    layer, x = GraphNet(8, 16, 8), torch.randn(particles, 8, requires_grad=True)
    with LiveMemory() as memory:
        out = layer(x, torch.tensor([0, particles]), limit)
        kept = memory.live
        out.sum().backward()
    return memory.peak, kept


def test_memory_is_that_of_one_chunk() -> None:
    small, large = 16, 160
    row = 16 * 4
    whole_peak, whole_kept = training_memory(large, None)
    assert whole_kept > 2 * large**2 * row and whole_peak > 3 * large**2 * row
    peak, kept = training_memory(large, small**2)
    assert kept < 10 * large * row
    assert peak < training_memory(small, small**2)[0] + 20 * large * row < whole_peak / 30


def test_no_call_sees_more_pairs_than_allowed() -> None:
    seen, v = [], torch.randn(40, 2, requires_grad=True)

    def function(v_j: Tensor) -> Tensor:
        seen.append(len(v_j))
        return v_j.sin()

    pairs = all_pairs(torch.tensor([0, 30, 31, 40]), max_pairs=100)
    out = pair_sum(function, pairs, [], [v])
    forward = len(seen)
    assert sum(seen) == pairs.count == 30 * 29 + 9 * 8
    out.sum().backward()
    assert max(seen) <= 100 and sum(seen) == 2 * pairs.count and len(seen) == 2 * forward
    seen.clear()
    with torch.no_grad():
        pair_sum(function, pairs, [], [v])
    pair_sum(function, pairs, [], [v], recompute=False).sum().backward()
    assert sum(seen) == 2 * pairs.count


def test_variables_bound_to_something_else_are_refused() -> None:
    ptr, v = torch.tensor([0, 4, 8]), torch.randn(8, 2, requires_grad=True)
    weight = torch.tensor(2.0)

    def scaled(v_j: Tensor) -> Tensor:
        return (weight * v_j).sin()

    outs = [pair_sum(f, all_pairs(ptr, max_pairs=6), [], [v]) for f in (scaled, lambda v_j: scaled(v_j))]
    whole = pair_sum(scaled, all_pairs(ptr), [], [v])
    weight = torch.tensor(3.0)
    for out in outs:
        with pytest.raises(RuntimeError, match="'weight', used by a function of pairs, was bound to something"):
            out.sum().backward()
    (gradient,) = torch.autograd.grad(whole.sum(), v)
    torch.testing.assert_close(gradient, 3 * 2 * (2 * v).cos())


@pytest.mark.parametrize("reduce", ["max", ("sum", "max")])
def test_unknown_reduction_is_named(reduce: str | tuple[str, ...]) -> None:
    pairs, v = all_pairs(torch.tensor([0, 3])), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="unknown reduction 'max': choose one of sum, mean"):
        pair_sum(lambda v_j: (v_j, v_j), pairs, [], [v], reduce=reduce)


def test_wrong_numbers_are_named() -> None:
    pairs, v = all_pairs(torch.tensor([0, 3])), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="2 reductions for 1 outputs of the function"):
        pair_sum(torch.sin, pairs, [], [v], reduce=("sum", "sum"))
    with pytest.raises(ValueError, match="a node tensor has 4 rows for 3 nodes"):
        pair_sum(torch.sin, pairs, [], [torch.zeros(4, 2)])
    with pytest.raises(ValueError, match="a pair tensor has 3 rows for 6 pairs"):
        pair_sum(torch.sin, pairs, [], [], [v])
