"""Batch normalisation on pairs: statistics of all pairs, updated once, in chunks of any size."""

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.ops.graphs import complete_graph, pointers
from lgae_pyg.ops.pair_chunks import Pairs, all_pairs
from lgae_pyg.ops.pair_norm import pair_batch_norm, pair_moments
from lgae_pyg.ops.pairs import pair_sum, split_linear


def edge_scalars(x_i: Tensor, x_j: Tensor) -> Tensor:
    invariants = torch.stack([minkowski_square(x_i - x_j), minkowski_dot(x_i, x_j)], -1)
    return invariants.sign() * invariants.abs().log1p()


class LorentzBlock(nn.Module):
    """A block of LorentzNet: gated edge network with batch normalisation, sum for scalars, mean for momenta."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.norm = nn.Linear(2 * width + 2, width, bias=False), nn.BatchNorm1d(width)
        self.edge = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.gate = nn.Sequential(nn.Linear(width, 1), nn.Sigmoid())
        self.coordinate = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1, bias=False))
        self.node = nn.Linear(2 * width, width)

    def forward(self, h: Tensor, x: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        linear = split_linear(h, self.first.weight)
        nodes = (linear.target, x), (linear.source, x)
        scale_shift = pair_batch_norm(
            self.norm, lambda a_i, x_i, b_j, x_j: linear.join(a_i, b_j, edge_scalars(x_i, x_j)), pairs, *nodes
        )
        first = linear.rescaled(*scale_shift)

        def message(a_i: Tensor, x_i: Tensor, b_j: Tensor, x_j: Tensor) -> tuple[Tensor, Tensor]:
            m = self.edge(first.join(a_i, b_j, edge_scalars(x_i, x_j)))
            m = self.gate(m) * m
            return m, (x_i - x_j) * self.coordinate(m)

        nodes = (first.target, x), (first.source, x)
        summed, shift = pair_sum(message, pairs, *nodes, reduce=("sum", "mean"))
        return h + self.node(torch.cat([h, summed], -1)), x + 0.1 * shift

    def plain(self, h: Tensor, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        j, i = edges
        m = self.edge(self.norm(self.first(torch.cat([h[i], h[j], edge_scalars(x[i], x[j])], -1))))
        m = self.gate(m) * m
        summed = torch.zeros_like(h).index_add(0, i, m)
        shift = torch.zeros_like(x).index_add(0, i, (x[i] - x[j]) * self.coordinate(m))
        shift = shift / torch.bincount(i, minlength=len(h)).clamp(min=1).unsqueeze(-1)
        return h + self.node(torch.cat([h, summed], -1)), x + 0.1 * shift


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def gradients(outputs: tuple[Tensor, ...], block: nn.Module, *inputs: Tensor) -> list[Tensor]:
    loss = sum((part.sin() * torch.linspace(0.5, 1.5, part.numel()).view_as(part)).sum() for part in outputs)
    return list(torch.autograd.grad(loss, (*inputs, *block.parameters())))


@settings(max_examples=40, deadline=None)
@example(sizes=[2], limit=1, training=True, momentum=0.1)
@example(sizes=[1, 2, 1, 6, 1], limit=4, training=True, momentum=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5).filter(lambda sizes: max(sizes) > 1),
    limit=st.integers(1, 40) | st.none(),
    training=st.booleans(),
    momentum=st.sampled_from([0.1, 0.7, None]),
)
def test_lorentz_block_agrees_with_its_edge_list(
    sizes: list[int], limit: int | None, training: bool, momentum: float | None
) -> None:
    ptr, block = pointers(torch.tensor(sizes)), LorentzBlock(4).double().train(training)
    block.norm.momentum = momentum
    nn.init.uniform_(block.norm.weight), nn.init.uniform_(block.norm.bias)
    other = copy.deepcopy(block)
    h, x = (torch.randn(sum(sizes), width, dtype=torch.float64, requires_grad=True) for width in (4, 4))
    for _ in range(2):
        ours = block(h, x, all_pairs(ptr, max_pairs=limit))
        plain = other.plain(h, x, complete_graph(ptr))
        ours_gradients, plain_gradients = gradients(ours, block, h, x), gradients(plain, other, h, x)
        assert_equal([*ours, *ours_gradients], [*plain, *plain_gradients])
    assert_equal(list(block.buffers()), list(other.buffers()))
    assert int(block.norm.num_batches_tracked) == (2 if training else 0)


def test_lorentz_block_commutes_with_permutations() -> None:
    block, pairs = LorentzBlock(4).double(), all_pairs(torch.tensor([0, 6, 7, 12]), max_pairs=11)
    h, x = torch.randn(2, 12, 4, dtype=torch.float64)
    order = torch.cat([torch.randperm(6), torch.tensor([6]), 7 + torch.randperm(5)])
    with torch.no_grad():
        for moved, still in zip(block(h[order], x[order], pairs), block(h, x, pairs)):
            torch.testing.assert_close(moved, still[order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}])
def test_options_of_the_normalisation(options: dict[str, bool]) -> None:
    ptr, v = torch.tensor([0, 5, 9]), torch.randn(9, 3, dtype=torch.float64)
    source, _ = complete_graph(ptr)
    ours, theirs = (nn.BatchNorm1d(3, **options).double() for _ in range(2))
    for training in (True, False):
        ours.train(training), theirs.train(training)
        scale, shift = pair_batch_norm(ours, torch.sin, all_pairs(ptr, max_pairs=7), [], [v])
        assert_equal([v[source].sin() * scale + shift], [theirs(v[source].sin())])


def test_moments_of_chunks_far_from_zero() -> None:
    ptr = torch.tensor([0, 1, 4, 5, 13])
    v = 1e6 + torch.randn(13, 2, dtype=torch.float64) + torch.arange(13).unsqueeze(-1)
    values = v[complete_graph(ptr)[0]]
    mean, variance = pair_moments(lambda v_j: v_j, all_pairs(ptr, max_pairs=6), [], [v])
    torch.testing.assert_close(mean, values.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(variance, values.var(0, correction=0), rtol=1e-9, atol=0)


def test_moments_of_half_precision_are_not_rounded() -> None:
    v = (1000 + 16 * torch.randn(12, 2)).bfloat16()
    values = v[complete_graph(torch.tensor([0, 12]))[0]].double()
    mean, variance = pair_moments(lambda v_j: v_j, all_pairs(torch.tensor([0, 12]), max_pairs=30), [], [v])
    torch.testing.assert_close(mean.double(), values.mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance.double(), values.var(0, correction=0), rtol=1e-4, atol=0)


def test_no_pairs_leave_the_statistics_alone() -> None:
    norm, pairs = nn.BatchNorm1d(2), all_pairs(torch.tensor([0, 1, 2]))
    norm.running_mean.fill_(3.0)
    scale, shift = pair_batch_norm(norm, torch.sin, pairs, [], [torch.ones(2, 2)])
    assert scale.isfinite().all() and shift.isfinite().all()
    assert (norm.running_mean == 3).all() and norm.num_batches_tracked == 0


def test_statistics_of_one_pair_are_refused() -> None:
    pairs = all_pairs(torch.tensor([0, 1]), self_loops=True)
    with pytest.raises(ValueError, match="needs more than one pair"):
        pair_batch_norm(nn.BatchNorm1d(2), torch.sin, pairs, [], [torch.ones(1, 2)])


def test_synchronised_statistics_are_refused() -> None:
    with pytest.raises(TypeError, match="without SyncBatchNorm"):
        pair_batch_norm(nn.SyncBatchNorm(2), torch.sin, all_pairs(torch.tensor([0, 3])), [], [torch.ones(3, 2)])


@pytest.mark.parametrize(
    "function",
    [
        nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
        nn.BatchNorm1d(2, track_running_stats=False).eval(),
        lambda v_j: torch.nn.functional.batch_norm(v_j, None, None, training=True),
        lambda v_j: torch.batch_norm(v_j, None, None, None, None, True, 0.1, 1e-5, False),
        lambda v_j: torch.batch_norm_stats(v_j, 1e-5)[0] * v_j,
    ],
    ids=["module", "without running statistics", "function", "torch", "synchronised"],
)
@pytest.mark.parametrize("recompute", [True, False])
def test_statistics_of_one_chunk_are_refused(function, recompute: bool) -> None:
    v = torch.randn(8, 2)
    pairs = all_pairs(torch.tensor([0, 4, 8]), max_pairs=12)
    with pytest.raises(RuntimeError, match="statistics from one chunk of the pairs: use max_pairs=None"):
        pair_sum(function, pairs, [], [v], recompute=recompute)


def test_evaluation_in_chunks_and_training_at_once() -> None:
    ptr, v = torch.tensor([0, 4, 8]), torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    norm = nn.BatchNorm1d(2).double()
    source, target = complete_graph(ptr)
    for training in (True, False):
        plain_norm = copy.deepcopy(norm)
        norm.train(training), plain_norm.train(training)
        ours = pair_sum(norm, all_pairs(ptr, max_pairs=None if training else 5), [], [v])
        plain = torch.zeros(8, 2, dtype=torch.float64).index_add(0, target, plain_norm(v[source]))
        assert_equal([ours, *gradients((ours,), norm, v)], [plain, *gradients((plain,), plain_norm, v)])
        assert_equal(list(norm.buffers()), list(plain_norm.buffers()))
        assert norm.num_batches_tracked == 1
