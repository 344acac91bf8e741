"""What all losses have in common: scaling, coordinates of any kind, spreading over threads, combination."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.losses import LOSSES, assign, chamfer, get_loss, jet_mse, pad_jets
from lgae_pyg.ops.graphs import pointers
from lgae_pyg.ops.threads import CHUNK, solve_jets
from lgae_pyg.training import ReconstructionTask

DEGREE = {"mse": 2, "chamfer": 2, "chamfer_minkowski": 2, "hungarian": 2, "jet_mse": 2}
DEGREE |= {"emd": 0, "emd_sinkhorn": 0}
ANY_COLUMNS = ("mse", "chamfer", "hungarian")


def random_jets(seed, jets=4, smallest=1, largest=8, columns=4):
    generator = torch.Generator().manual_seed(seed)
    ptr = pointers(torch.randint(smallest, largest + 1, (jets,), generator=generator))
    values = torch.randn(int(ptr[-1]), columns, generator=generator, dtype=torch.float64)
    if columns == 4:
        values[:, 0] = values[:, 1:].norm(dim=1)
    return values, ptr


def test_every_loss_has_a_scaling_law():
    assert set(DEGREE) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-3, 1e3))
def test_a_change_of_unit(name, seed, factor):
    p4, ptr = random_jets(seed)
    target, target_ptr = random_jets(seed + 1)
    loss = get_loss(name)
    expected = factor ** DEGREE[name] * loss(p4, ptr, target, target_ptr)
    scaled = loss(factor * p4, ptr, factor * target, target_ptr)
    torch.testing.assert_close(scaled, expected, rtol=1e-7, atol=1e-9 * factor ** DEGREE[name])


@pytest.mark.parametrize("name", ANY_COLUMNS)
@pytest.mark.parametrize("columns", [1, 3])
def test_other_coordinates(name, columns):
    loss = get_loss(name)
    points, ptr = random_jets(1, largest=3, columns=columns)
    targets, target_ptr = random_jets(2, largest=4, columns=columns)
    assert loss(points, ptr, points, ptr).tolist() == [0.0] * 4
    points.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(p, ptr, targets, target_ptr), points)


def test_mse_of_relative_coordinates_by_hand():
    points, ptr = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])
    assert get_loss("mse")(points, ptr, torch.zeros(2, 3), ptr).tolist() == [6 / 6]


def test_jet_mse_by_hand():
    # sums (7, 1, 3, 0) and (6, 1, 4, 1): squares 1 + 0 + 1 + 1
    p4 = torch.tensor([[2.0, 1.0, 0.0, 0.0], [5.0, 0.0, 3.0, 0.0]])
    target = torch.tensor([[6.0, 1.0, 4.0, 1.0]])
    assert jet_mse(p4, torch.tensor([0, 2]), target, torch.tensor([0, 1])).tolist() == [3 / 4]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_jet_mse_does_not_see_how_a_jet_is_shared_out(seed):
    p4, ptr = random_jets(seed, smallest=2)
    change = torch.randn(ptr.numel() - 1, 4, dtype=p4.dtype, generator=torch.Generator().manual_seed(seed))
    moved = p4.clone()
    moved[ptr[:-1]] += change
    moved[ptr[:-1] + 1] -= change
    torch.testing.assert_close(jet_mse(moved, ptr, p4, ptr), torch.zeros(4, dtype=p4.dtype))


@pytest.mark.parametrize("name", ["chamfer", "hungarian", "jet_mse", "emd_sinkhorn", "emd"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_and_batch_do_not_matter(name, seed):
    p4, ptr = random_jets(seed)
    target, target_ptr = random_jets(seed + 1)
    loss = get_loss(name)
    together = loss(p4, ptr, target, target_ptr)
    for jet in range(4):
        own, true = p4[ptr[jet] : ptr[jet + 1]].flip(0), target[target_ptr[jet] : target_ptr[jet + 1]]
        alone = loss(own, torch.tensor([0, len(own)]), true, torch.tensor([0, len(true)]))
        torch.testing.assert_close(together[jet : jet + 1], alone, rtol=1e-9, atol=1e-12)


def test_the_assignment_does_not_depend_on_threads(monkeypatch):
    jets, ptr = random_jets(1, jets=3 * CHUNK + 5, largest=6)
    targets, target_ptr = random_jets(2, jets=3 * CHUNK + 5, largest=6)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        found.append(torch.stack(assign(jets, ptr, targets, target_ptr)))
    assert torch.equal(*found)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_jets(threads):
    jets = 2 * CHUNK + 1
    assert solve_jets(lambda jet: jet, jets, threads) == list(range(jets))


def test_an_error_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError):
        solve_jets(lambda jet: 1 / (jet - CHUNK - 3), 2 * CHUNK, threads=2)


def test_padding_of_jets_of_one_size_is_a_view():
    jets, ptr = random_jets(3, smallest=5, largest=5)
    padded, mask = pad_jets(jets, ptr)
    assert padded.shape == (4, 5, 4) and mask.all() and padded.data_ptr() == jets.data_ptr()
    wider, mask = pad_jets(jets, ptr, 6)
    assert torch.equal(wider[:, :5], padded) and not mask[:, 5].any()


def test_minkowski_wants_four_momenta():
    points, ptr = random_jets(1, columns=3)
    with pytest.raises(ValueError, match="3 columns"):
        chamfer(points, ptr, points, ptr, metric="minkowski")


@pytest.mark.parametrize("names", [["chamfer", "jet_mse"], ["chamfer", "emd"], list(LOSSES)])
def test_a_combination_is_the_weighted_sum(names):
    """Among them Chamfer with jet features, and Chamfer with the energy mover's distance."""
    (p4, ptr), (target, target_ptr) = random_jets(5), random_jets(6)
    weights = [0.5 + index for index in range(len(names))]
    module = ReconstructionTask(torch.nn.Linear(1, 1), losses=names, weights=weights)
    result = SimpleNamespace(p4=p4, ptr=ptr, native=None)
    batch = SimpleNamespace(pos=target, ptr=target_ptr)
    expected = sum(w * get_loss(name)(p4, ptr, target, target_ptr) for name, w in zip(names, weights))
    torch.testing.assert_close(module.jet_losses(batch, result), expected)


def test_losses_of_momenta_refuse_native_coordinates():
    points, ptr = random_jets(7, columns=3)
    module = ReconstructionTask(torch.nn.Linear(1, 1), losses=["emd"], space="native")
    with pytest.raises(ValueError, match=r"set loss\.space=momenta"):
        result = SimpleNamespace(p4=None, ptr=ptr, native=(points, ptr, points, ptr))
        module.jet_losses(SimpleNamespace(pos=None, ptr=ptr), result)
