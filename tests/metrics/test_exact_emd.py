"""The exact energy mover's distance: known answers, the axioms of a metric, EnergyFlow's numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m, relative_coordinates, transverse_momentum
from lgae_pyg.metrics import exact_emd
from lgae_pyg.ops.graphs import node_to_graph, pointers
from lgae_pyg.ops.jets import jet_sum
from lgae_pyg.ops.threads import CHUNK


def random_jets(seed, jets=4, largest=12, smallest=1):
    """Jets within a circle of radius 1 about (0.3, -1)."""
    generator = torch.Generator().manual_seed(seed)
    ptr = pointers(torch.randint(smallest, largest + 1, (jets,), generator=generator))
    pt, radius, angle = torch.rand(3, int(ptr[-1]), generator=generator, dtype=torch.float64)
    eta, phi = 0.3 + radius * torch.cos(7 * angle), -1 + radius * torch.sin(7 * angle)
    return from_pt_eta_phi_m(pt**3 + 1e-3, eta, phi), ptr


def jets_of(*jets):
    columns = torch.tensor([particle for jet in jets for particle in jet], dtype=torch.float64).T
    return from_pt_eta_phi_m(*columns), torch.tensor([0, *map(len, jets)]).cumsum(0)


def relative_total(p4, ptr):
    return jet_sum(transverse_momentum(p4), ptr) / transverse_momentum(jet_sum(p4, ptr))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(-1.0, 1.0))
def test_a_jet_that_is_turned_costs_its_momentum_times_the_angle(seed, angle):
    p4, ptr = random_jets(seed)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = torch.tensor([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]], dtype=p4.dtype)
    expected = abs(angle) * relative_total(p4, ptr)
    torch.testing.assert_close(exact_emd(p4 @ turn.T, ptr, p4, ptr), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 3.0))
def test_a_difference_in_total_momentum_is_the_distance(seed, factor):
    p4, ptr = random_jets(seed)
    expected = abs(factor - 1) * relative_total(p4, ptr)
    torch.testing.assert_close(exact_emd(factor * p4, ptr, p4, ptr), expected, rtol=1e-9, atol=1e-9)


def test_one_particle_against_two():
    one = jets_of([(3.0, 0.0, 0.0)])
    two = jets_of([(1.0, 0.3, 0.4), (2.0, 0.0, -0.1)])
    # 1 x 0.5 + 2 x 0.1
    assert exact_emd(*one, *two, relative_to=None).item() == pytest.approx(0.7, abs=1e-12)
    # 2 x 0.1 to the near particle, the rest to the far one, and 1 is missing
    heavier = jets_of([(2.0, 0.3, 0.4), (2.0, 0.0, -0.1)])
    assert exact_emd(*one, *heavier, relative_to=None).item() == pytest.approx(0.2 + 0.5 + 1.0, abs=1e-12)


def test_a_jet_is_at_distance_zero_from_itself():
    p4, ptr = random_jets(1, jets=50)
    for relative_to in ("target", "own", None):
        assert exact_emd(p4, ptr, p4, ptr, relative_to).abs().max() < 1e-15
    order = torch.cat([a + torch.randperm(b - a) for a, b in zip(ptr[:-1].tolist(), ptr[1:].tolist())])
    assert exact_emd(p4[order], ptr, p4, ptr).abs().max() < 1e-15


def test_own_axes_forget_a_common_turn_and_a_common_factor():
    p4, ptr = random_jets(2)
    turned = from_pt_eta_phi_m(*_coordinates(p4 * 3.0, 0.5))
    assert exact_emd(turned, ptr, p4, ptr, relative_to="own").abs().max() < 1e-12
    assert exact_emd(turned, ptr, p4, ptr).min() > 0.5


def _coordinates(p4, turn):
    beam = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=p4.dtype)
    pt, eta, phi = relative_coordinates(p4, beam).unbind(-1)
    return pt, eta, phi + turn


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_it_is_a_metric(first, second, third):
    a, b, c = random_jets(first), random_jets(second), random_jets(third)

    def distance(one, other):
        return exact_emd(*one, *other, relative_to=None)

    torch.testing.assert_close(distance(a, b), distance(b, a), rtol=1e-12, atol=1e-12)
    assert (distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12).all()
    assert (distance(a, b) >= 0).all()


@pytest.mark.parametrize("relative_to", ["target", "own", None])
def test_energyflow_gives_the_same_numbers(relative_to):
    energyflow = pytest.importorskip("energyflow.emd")
    (p4, ptr), (target, target_ptr) = random_jets(3, 30, 30), random_jets(4, 30, 30)
    values = exact_emd(p4, ptr, target, target_ptr, relative_to)
    beam = torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=p4.dtype).expand(30, 4)
    true_axes = beam if relative_to is None else jet_sum(target, target_ptr)
    axes = jet_sum(p4, ptr) if relative_to == "own" else true_axes
    events = relative_coordinates(p4, axes[node_to_graph(ptr)]).tensor_split(ptr[1:-1])
    true = relative_coordinates(target, true_axes[node_to_graph(target_ptr)]).tensor_split(target_ptr[1:-1])
    expected = [energyflow.emd(one.numpy(), other.numpy(), R=1, beta=1) for one, other in zip(events, true)]
    np.testing.assert_allclose(values.numpy(), expected, rtol=0, atol=1e-9)


def test_threads_and_progress_change_nothing():
    p4, ptr = random_jets(5, jets=2 * CHUNK + 7, largest=5)
    target, target_ptr = random_jets(6, jets=2 * CHUNK + 7, largest=5)
    seen = []
    alone = exact_emd(p4, ptr, target, target_ptr, threads=1)
    spread = exact_emd(p4, ptr, target, target_ptr, threads=3, progress=lambda *count: seen.append(count))
    assert torch.equal(alone, spread)
    jets = 2 * CHUNK + 7
    assert seen == [(CHUNK, jets), (2 * CHUNK, jets), (jets, jets)]


def test_single_precision_is_computed_in_double_precision():
    (p4, ptr), (target, target_ptr) = random_jets(7), random_jets(8)
    single = exact_emd(p4.float(), ptr, target.float(), target_ptr)
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, exact_emd(p4, ptr, target, target_ptr), rtol=1e-5, atol=1e-6)
