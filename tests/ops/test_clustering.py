"""Exclusive clustering: the definition, all observers and orders, collinear pieces, and the way back."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.lorentz import boost, rotation
from lgae_pyg.lorentz.frames import rest_frame
from lgae_pyg.ops import clustering
from lgae_pyg.ops.clustering import Clustering, distances, exclusive_clusters, split_clusters


def one_by_one(p: Tensor, clusters: int) -> tuple[Tensor, list[float]]:
    """The definition in loops, for one jet: momenta by falling rest energy, and the distances of all mergings."""
    total = p.sum(0)
    left, steps = list(p), []
    while len(left) > clusters:
        rest = [rest_frame(q, total) for q in left]
        pairs = []
        for i in range(len(left)):
            for j in range(i):
                q = (rest[i][0] * rest[j] - rest[j][0] * rest[i])[1:] / (rest[i][0] + rest[j][0])
                pairs.append((float(q.norm()), i, j))
        d, i, j = min(pairs)
        left = [q for k, q in enumerate(left) if k not in (i, j)] + [left[i] + left[j]]
        steps.append(d)
    left.sort(key=lambda q: -float(rest_frame(q, total)[0]))
    return torch.stack(left), steps


def placed(jets: list[Tensor], places: int) -> Tensor:
    return torch.stack([torch.cat([p, p.new_zeros(places - len(p), 4)]) for p in jets])


def test_clusters_are_those_of_the_definition(massless_jet: Callable, generator: torch.Generator) -> None:
    jets = [massless_jet(n, generator) for n in (1, 3, 5, 9, 14)]
    found = exclusive_clusters(placed(jets, 14), 5)
    for p, momenta, parents in zip(jets, found.momenta, found.parents):
        expected, steps = one_by_one(p, 5)
        torch.testing.assert_close(momenta[: len(expected)], expected, rtol=0, atol=1e-14)
        assert not momenta[len(expected) :].any() and int((parents >= 0).sum()) == len(steps) == max(0, len(p) - 5)


def test_distance_of_light_like_momenta_is_their_mass_times_the_shares(massless_jet, generator) -> None:
    """d^2 = 2 z (1 - z) p_i . p_j, whatever the frame, and infinite where nothing can merge."""
    p = torch.cat([massless_jet(6, generator), torch.zeros(2, 4, dtype=torch.float64)])
    rest = rest_frame(p, p.sum(0))
    d = distances(rest.unsqueeze(0))[0]
    z = rest[:6, :1] / (rest[:6, :1] + rest[:6, 0])
    metric = torch.diag(torch.tensor([1.0, -1, -1, -1], dtype=torch.float64))
    expected = 2 * z * (1 - z) * (p[:6] @ metric @ p[:6].T)
    off = ~torch.eye(6, dtype=torch.bool)
    torch.testing.assert_close(d[:6, :6].square()[off], expected[off], rtol=1e-10, atol=1e-16)
    assert d[6:].isinf().all() and d.diagonal().isinf().all()


@pytest.mark.parametrize("clusters", [1, 4, 12])
def test_all_observers_and_all_orders_find_the_same_clusters(clusters, massless_jet, generator) -> None:
    slots = placed([massless_jet(n, generator) for n in (12, 12, 7)], 12)
    first = exclusive_clusters(slots, clusters)
    shuffled = exclusive_clusters(slots[:, torch.randperm(12, generator=generator)], clusters)
    for one, other in zip(first, shuffled):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    for move in (boost(2.0, "y"), rotation(2.0, torch.randn(3, generator=generator))):
        moved = exclusive_clusters(slots @ move.T, clusters)
        torch.testing.assert_close(moved.momenta, first.momenta @ move.T, rtol=0, atol=1e-10)
        torch.testing.assert_close(moved.imbalance, first.imbalance, rtol=0, atol=1e-10)
        assert torch.equal(moved.parents, first.parents)


def test_negative_control(massless_jet, generator, monkeypatch) -> None:
    """Energies and momenta of the laboratory would make clusters of one observer alone."""
    slots, move = placed([massless_jet(12, generator) for _ in range(8)], 12), boost(2.0, "y").T
    monkeypatch.setattr(clustering, "rest_frame", lambda p, total: p)
    moved, first = (exclusive_clusters(p, 4).momenta for p in (slots @ move, slots))
    assert (moved - first @ move).abs().max() > 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(5, 19), st.data())
def test_collinear_pieces_have_the_same_clusters(massless_jet, seed: int, size: int, data) -> None:
    """A particle in two collinear pieces: one split more at the end, of as much imbalance as the pieces have."""
    p = massless_jet(size, torch.Generator().manual_seed(seed))
    which, share = data.draw(st.integers(0, size - 1)), data.draw(st.floats(1e-3, 0.5))
    pieces = torch.cat(
        [p[:which], p[which : which + 1] * share, p[which + 1 :], p[which : which + 1] * (1 - share)]
    )
    first, second = (exclusive_clusters(placed([q], 20), 8) for q in (p, pieces))
    count = int((first.parents >= 0).sum())
    assert int((second.parents >= 0).sum()) == count + 1
    torch.testing.assert_close(second.momenta, first.momenta, rtol=0, atol=1e-12)
    assert torch.equal(second.parents[:, :count], first.parents[:, :count])
    expected = first.imbalance.clone()
    expected[0, count] = 1 - 2 * share
    torch.testing.assert_close(second.imbalance, expected, rtol=0, atol=1e-8)


def test_clusters_split_into_the_particles_of_collinear_jets(generator) -> None:
    """Where all particles of a cluster are parallel, clusters and imbalances are the particles."""
    axes = torch.nn.functional.normalize(torch.randn(3, 3, generator=generator, dtype=torch.float64), dim=-1)
    energies = torch.rand(11, generator=generator, dtype=torch.float64) + 0.1
    axis = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    p = energies.unsqueeze(1) * torch.cat([torch.ones(11, 1), axes[axis]], 1)
    found = exclusive_clusters(p.unsqueeze(0), 3)
    back = split_clusters(found, torch.tensor([11]))[0]
    torch.testing.assert_close(back[back[:, 0].argsort()], p[p[:, 0].argsort()], rtol=0, atol=1e-14)
    assert int((found.parents >= 0).sum()) == 8 and found.momenta[0, :3].any(1).all()


def test_splits_by_hand() -> None:
    """One cluster of momentum 8: halves, one of which gives three quarters and a quarter; then the next jet."""
    momenta = torch.zeros(2, 3, 4, dtype=torch.float64)
    momenta[0, 0, 0], momenta[1, :2, 0] = 8, torch.tensor([5.0, 3])
    told = Clustering(momenta, torch.tensor([[0, 0.5], [0.2, 0]]).double(), torch.tensor([[0, 1], [1, -1]]))
    back = split_clusters(told, torch.tensor([3, 3]))[..., 0]
    torch.testing.assert_close(back, torch.tensor([[4, 3, 1], [5, 1.8, 1.2]]).double())


def test_no_particles_and_one(massless_jet, generator) -> None:
    slots = placed([torch.zeros(0, 4, dtype=torch.float64), massless_jet(1, generator)], 3)
    found = exclusive_clusters(slots, 2)
    assert torch.equal(found.momenta, slots) and (found.parents == -1).all() and not found.imbalance.any()
    assert exclusive_clusters(slots[:, :1], 1).parents.shape == (2, 0)


def test_gradients_pass(massless_jet, generator) -> None:
    slots = placed([massless_jet(9, generator), massless_jet(2, generator)], 9).requires_grad_()
    momenta, imbalance, _ = exclusive_clusters(slots, 4)
    ((momenta**2).sum() + (imbalance**2).sum()).backward()
    assert slots.grad.isfinite().all() and slots.grad[0].any(1).all()
