"""Losses: values computed by hand, zeros, invariances, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.lorentz.group import random_lorentz
from lgae_pyg.losses import LOSSES, assign, chamfer, get_loss, hungarian, mse

ORDER_FREE = ("chamfer", "chamfer_minkowski", "hungarian")


def random_jets(seed, sizes=(3, 1, 6, 4)):
    generator = torch.Generator().manual_seed(seed)
    spatial = torch.randn(sum(sizes), 3, generator=generator, dtype=torch.float64)
    p4 = torch.cat([spatial.norm(dim=-1, keepdim=True), spatial], -1)
    return p4, torch.tensor([0, *sizes]).cumsum(0)


def permuted(p4, ptr, seed=0):
    generator = torch.Generator().manual_seed(seed)
    starts = ptr[:-1].tolist()
    orders = [start + torch.randperm(n, generator=generator) for start, n in zip(starts, ptr.diff().tolist())]
    return p4[torch.cat(orders)]


def jets_of(*jets):
    p4 = torch.tensor([particle for jet in jets for particle in jet], dtype=torch.float64)
    return p4, torch.tensor([0, *map(len, jets)]).cumsum(0)


P = [[2.0, 1.0, 0.0, 0.0], [5.0, 0.0, 3.0, 0.0]]
Q = [[5.0, 0.0, 4.0, 1.0], [2.0, 1.0, 1.0, 0.0]]


def test_mse_by_hand():
    # differences (-3, 1, -4, -1) and (3, -1, 2, 0): squares 27 + 14 over 8 numbers
    assert mse(*jets_of(P), *jets_of(Q)).tolist() == [41 / 8]


def test_mse_fills_the_shorter_jet_with_zeros():
    # second particle against nothing: 25 + 9
    expected = (1 + 4) / 8 + 34 / 8
    short = jets_of([[3.0, 1.0, 0.0, 2.0]])
    assert mse(*jets_of(P), *short).tolist() == [expected]
    assert mse(*short, *jets_of(P)).tolist() == [expected]


def test_chamfer_by_hand():
    # d2: P0Q0 9+1+16+1=27, P0Q1 1, P1Q0 1+1=2, P1Q1 9+1+4=14
    assert chamfer(*jets_of(P), *jets_of(Q)).tolist() == [1 + 2 + 2 + 1]


def test_chamfer_of_unequal_jets_by_hand():
    # every P is paired with Q0, Q0 with the nearer one
    assert chamfer(*jets_of(P), *jets_of(Q[:1])).tolist() == [27 + 2 + 2]


def test_minkowski_chamfer_by_hand():
    # (p-q)^2: P0Q0 9-1-16-1=-9, P0Q1 -1, P1Q0 -1-1=-2, P1Q1 9-1-4=4; the absolute values count
    assert chamfer(*jets_of(P), *jets_of(Q), metric="minkowski").tolist() == [1 + 2 + 2 + 1]
    assert chamfer(*jets_of(P[:1]), *jets_of(Q[:1]), metric="minkowski").tolist() == [18]


def test_hungarian_by_hand():
    # P0-Q1, P1-Q0: squares 1 and 2 over 8 numbers
    assert hungarian(*jets_of(P), *jets_of(Q)).tolist() == [3 / 8]


def test_hungarian_minimises_distances_not_squares():
    jet = jets_of([[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    target = jets_of([[0.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 0.0]])
    # in order: distances 1 + sqrt(2), squares 1 + 2; crossed: 0 + sqrt(5) < 1 + sqrt(2), squares 0 + 5
    assert hungarian(*jet, *target).tolist() == [5 / 8]


def test_assignment_has_the_right_direction():
    target, ptr = random_jets(1, sizes=(5,))
    order = torch.tensor([3, 0, 4, 1, 2])
    rows, target_rows = assign(target[order], ptr, target, ptr)
    assert target_rows.tolist() == [0, 1, 2, 3, 4]
    assert order[rows].tolist() == [0, 1, 2, 3, 4]


def test_hungarian_of_unequal_jets():
    longer, target = jets_of([*P, [0.0, 0.0, 0.0, 2.0]]), jets_of(Q)
    assert hungarian(*longer, *target).tolist() == [(3 + 4) / 12]
    assert hungarian(*target, *longer).tolist() == [(3 + 4) / 12]
    assert hungarian(*longer, *target, unmatched="ignore").tolist() == [3 / 8]


@pytest.mark.parametrize("name", LOSSES)
def test_a_jet_is_at_distance_zero_from_itself(name):
    p4, ptr = random_jets(2)
    assert get_loss(name)(p4, ptr, p4, ptr).tolist() == [0.0] * 4


@pytest.mark.parametrize("name", ORDER_FREE)
def test_the_order_of_particles_does_not_matter(name):
    p4, ptr = random_jets(3)
    other, _ = random_jets(4)
    loss = get_loss(name)
    torch.testing.assert_close(loss(permuted(p4, ptr), ptr, p4, ptr), torch.zeros(4, dtype=p4.dtype))
    torch.testing.assert_close(loss(permuted(p4, ptr), ptr, other, ptr), loss(p4, ptr, other, ptr))


def test_the_order_of_particles_matters_to_mse():
    p4, ptr = random_jets(3)
    value = mse(permuted(p4, ptr), ptr, p4, ptr)
    assert value[1] == 0 and (value[[0, 2, 3]] > 0.01).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-4, 1e-2), st.integers(0, 3))
def test_a_small_shift_has_the_obvious_value(seed, size, component):
    p4, ptr = random_jets(seed)
    shift = torch.zeros(4, dtype=p4.dtype)
    shift[component] = size
    n = ptr.diff()
    separation = torch.cdist(p4, p4).fill_diagonal_(math.inf).min()
    if separation < 2.5 * size:
        return
    moved = p4 + shift
    torch.testing.assert_close(chamfer(moved, ptr, p4, ptr), 2.0 * n.to(p4) * size**2)
    torch.testing.assert_close(mse(moved, ptr, p4, ptr), torch.full((4,), size**2 / 4, dtype=p4.dtype))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("same_sizes", [True, False])
def test_the_value_of_a_jet_does_not_depend_on_its_batch(name, same_sizes):
    p4, ptr = random_jets(5)
    target, target_ptr = random_jets(6, (3, 1, 6, 4) if same_sizes else (5, 2, 1, 4))
    loss = get_loss(name)
    together = loss(p4, ptr, target, target_ptr)
    for jet in range(4):
        own, true = p4[ptr[jet] : ptr[jet + 1]], target[target_ptr[jet] : target_ptr[jet + 1]]
        alone = loss(own, torch.tensor([0, len(own)]), true, torch.tensor([0, len(true)]))
        torch.testing.assert_close(together[jet : jet + 1], alone, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "emd_sinkhorn"])
def test_gradients(name):
    p4, ptr = random_jets(7, (3, 2))
    target, target_ptr = random_jets(8, (2, 4))
    p4.requires_grad_()
    target.requires_grad_()
    loss = get_loss(name)
    assert torch.autograd.gradcheck(lambda p, q: loss(p, ptr, q, target_ptr), (p4, target))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_minkowski_chamfer_is_lorentz_invariant(seed):
    p4, ptr = random_jets(seed)
    target, target_ptr = random_jets(seed + 1, (2, 5, 3, 4))
    transform = random_lorentz(max_rapidity=1.5, generator=torch.Generator().manual_seed(seed))
    before = chamfer(p4, ptr, target, target_ptr, metric="minkowski")
    after = chamfer(p4 @ transform.T, ptr, target @ transform.T, target_ptr, metric="minkowski")
    torch.testing.assert_close(after, before, rtol=1e-8, atol=1e-11)


def test_euclidean_chamfer_is_not_lorentz_invariant():
    p4, ptr = random_jets(1)
    target, _ = random_jets(2)
    transform = random_lorentz(max_rapidity=1.5, generator=torch.Generator().manual_seed(3))
    change = chamfer(p4 @ transform.T, ptr, target @ transform.T, ptr) / chamfer(p4, ptr, target, ptr)
    assert (change - 1).abs().max() > 0.1


def test_a_jet_with_nan_spoils_its_own_value_only():
    p4, ptr = random_jets(9)
    target, _ = random_jets(10)
    broken = p4.clone()
    broken[5, 2] = math.nan
    for loss in LOSSES.values():
        value, healthy = loss(broken, ptr, target, ptr), loss(p4, ptr, target, ptr)
        assert value.isnan().tolist() == [False, False, True, False]
        torch.testing.assert_close(value[[0, 1, 3]], healthy[[0, 1, 3]])


def test_bad_input_is_named():
    p4, ptr = random_jets(1)
    with pytest.raises(ValueError, match="unknown loss 'mae': choose one of mse, chamfer"):
        get_loss("mae")
    with pytest.raises(ValueError, match="unknown metric"):
        chamfer(p4, ptr, p4, ptr, metric="manhattan")
    for loss in LOSSES.values():
        with pytest.raises(ValueError, match="4 reconstructed jets are compared with 3 target jets"):
            loss(p4, ptr, p4, ptr[:-1])
        with pytest.raises(ValueError, match="target jet 1 of the batch has no particles"):
            loss(p4, ptr, p4, torch.tensor([0, 4, 4, 10, 14]))
        with pytest.raises(ValueError, match="ends at 13, but there are 14 particles"):
            loss(p4, ptr, p4, torch.tensor([0, 3, 4, 10, 13]))
