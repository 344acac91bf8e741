"""Energy mover's distances for training: values, gradients, awkward jets."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.lorentz.group import boost, rotation
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m, transverse_momentum
from lgae_pyg.losses import emd, emd_sinkhorn, jet_mse

NAMES = {"emd": emd, "emd_sinkhorn": emd_sinkhorn}


def jets_of(*jets, dtype=torch.float64):
    """Massless jets from lists of (pt, eta, phi)."""
    columns = torch.tensor([particle for jet in jets for particle in jet], dtype=dtype).T
    return from_pt_eta_phi_m(*columns), torch.tensor([0, *map(len, jets)]).cumsum(0)


def random_jets(seed, sizes=(5, 1, 9, 30), width=0.15, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    pt = torch.rand(n, generator=generator, dtype=torch.float64).square() + 0.01
    eta, phi = width * torch.randn(2, n, generator=generator, dtype=torch.float64)
    return from_pt_eta_phi_m(pt, eta + 0.4, phi + 3.1).to(dtype), torch.tensor([0, *sizes]).cumsum(0)


def directions(jets, seed, count=1):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(count, *jets.shape, generator=generator, dtype=jets.dtype)
    return found / found.flatten(1).norm(dim=1).view(-1, 1, 1)


def test_emd_is_relative_to_the_target():
    # half of the target's pT moves by 0.3; the sum of collinear particles has pT 4
    target = jets_of([(2.0, 0.0, 0.0), (2.0, 0.0, 0.0)])
    moved = jets_of([(2.0, 0.0, 0.0), (2.0, 0.3, 0.0)])
    assert emd(*moved, *target).item() == pytest.approx(0.15, abs=1e-12)
    assert emd(*jets_of([(1.0, 0.0, 0.2)]), *target).item() == pytest.approx(0.25 * 0.2 + 0.75, abs=1e-12)


def test_emd_wraps_the_azimuth():
    target, jet = jets_of([(1.0, 0.0, math.pi - 0.05)]), jets_of([(1.0, 0.0, -math.pi + 0.05)])
    assert emd(*jet, *target).item() == pytest.approx(0.1, abs=1e-12)
    assert emd_sinkhorn(*jet, *target).item() == pytest.approx(0.1, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(-math.pi, math.pi), st.floats(-2, 2), st.floats(0.1, 1e3))
def test_emd_is_invariant_along_and_about_the_beam_and_has_no_unit(seed, angle, rapidity, unit):
    # The axis of the target enters through its pT alone, which all of these leave as it is, or scale alike.
    (p4, ptr), (target, _) = random_jets(seed), random_jets(seed + 1)
    transform = unit * boost(rapidity, axis="z") @ rotation(angle, axis="z")
    before = emd(p4, ptr, target, ptr)
    after = emd(p4 @ transform.T, ptr, target @ transform.T, ptr)
    torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("sizes", [(5, 1, 9, 30), (2, 7, 9, 12)])
def test_sinkhorn_is_near_the_exact_distance(sizes):
    (p4, ptr), (target, target_ptr) = random_jets(1), random_jets(2, sizes)
    exact = emd(p4, ptr, target, target_ptr)
    torch.testing.assert_close(emd_sinkhorn(p4, ptr, target, target_ptr), exact, rtol=0.1, atol=1e-3)
    fine = emd_sinkhorn(p4, ptr, target, target_ptr, blur=1e-4, scaling=0.95)
    torch.testing.assert_close(fine, exact, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("which", ["jet", "target"])
def test_the_gradient_of_sinkhorn_is_that_of_its_value(which):
    (p4, ptr), (target, target_ptr) = random_jets(3, (4, 6)), random_jets(4, (7, 3))

    def loss(moved):
        pair = (moved, ptr, target, target_ptr) if which == "jet" else (p4, ptr, moved, target_ptr)
        return emd_sinkhorn(*pair, blur=0.05, scaling=0.99).sum()

    point = (p4 if which == "jet" else target).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    for direction in directions(point, 5, 4):
        step = 1e-5 * direction
        numeric = (loss(point.detach() + step) - loss(point.detach() - step)) / 2e-5
        assert numeric.item() == pytest.approx((gradient * direction).sum().item(), rel=0.02, abs=2e-3)


def test_the_gradients_of_both_agree():
    (p4, ptr), (target, _) = random_jets(6), random_jets(7)
    gradients = []
    for loss in (emd, lambda *jets: emd_sinkhorn(*jets, blur=1e-3, scaling=0.95)):
        leaf = p4.clone().requires_grad_()
        gradients.append(torch.autograd.grad(loss(leaf, ptr, target, ptr).sum(), leaf)[0].flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


def awkward_jets():
    """A jet against itself, particles in one place, at rest or along the beam, alone, and many."""
    coincident = [(1.0, 0.1, 0.1), (2.0, 0.1, 0.1), (1.0, 0.3, 0.0)]
    jets = [coincident, coincident, [(1.0, 0.0, 0.0)], [(1.0, 0.0, 0.0), (0.5, 0.2, 0.1), (0.1, 0.0, 0.0)]]
    targets = [coincident, coincident[:2], [(2.0, 0.1, 0.0)], [(1.0, 0.0, 0.0)]]
    return jets_of(*jets), jets_of(*targets)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("special", [None, [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 3.0], [-1.0, 0.0, 0.0, 0.0]])
def test_awkward_jets_have_finite_values_and_gradients(name, dtype, special):
    (p4, ptr), (target, target_ptr) = awkward_jets()
    p4, target = p4.to(dtype), target.to(dtype)
    if special is not None:
        p4[-1] = p4[0] = torch.tensor(special, dtype=dtype)
        target[1] = torch.tensor(special, dtype=dtype)
    p4.requires_grad_()
    target.requires_grad_()
    value = NAMES[name](p4, ptr, target, target_ptr)
    value.sum().backward()
    assert value.dtype == dtype and value.isfinite().all()
    assert p4.grad.isfinite().all() and target.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_jet_that_has_vanished_costs_all_of_the_target(name):
    target, ptr = random_jets(8)
    jet = torch.zeros_like(target).requires_grad_()
    value = NAMES[name](jet, ptr, target, ptr)
    total = torch.stack([transverse_momentum(one).sum() / transverse_momentum(one.sum(0)) for one in
                         target.tensor_split(ptr[1:-1])])
    torch.testing.assert_close(value, total, rtol=1e-9 if name == "emd" else 0.01, atol=0)
    value.sum().backward()
    assert jet.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_sinkhorn_and_emd_in_single_precision(name):
    (p4, ptr), (target, _) = random_jets(9), random_jets(10)
    single = NAMES[name](p4.float(), ptr, target.float(), ptr)
    torch.testing.assert_close(single.double(), NAMES[name](p4, ptr, target, ptr), rtol=1e-4, atol=1e-6)


def test_sinkhorn_vanishes_with_its_gradient_for_equal_jets():
    p4, ptr = random_jets(11)
    leaf = p4.clone().requires_grad_()
    value = emd_sinkhorn(leaf, ptr, p4, ptr)
    value.sum().backward()
    assert value.abs().max() < 1e-12 and leaf.grad.abs().max() < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_gradient_steps_bring_a_jet_to_its_target(name):
    # The gradient of a distance does not fall with the distance, so the steps must.
    (p4, ptr), (target, _) = random_jets(12, (4, 6)), random_jets(13, (4, 6))
    jet = p4.clone().requires_grad_()
    optimizer = torch.optim.Adam([jet], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
    before = NAMES["emd"](p4, ptr, target, ptr)
    for _ in range(120):
        optimizer.zero_grad()
        NAMES[name](jet, ptr, target, ptr).sum().backward()
        optimizer.step()
        schedule.step()
    assert (NAMES["emd"](jet.detach(), ptr, target, ptr) < 0.1 * before).all()


@pytest.mark.parametrize("loss", [emd, emd_sinkhorn, jet_mse])
def test_other_coordinates_are_refused(loss):
    relative, ptr = torch.rand(5, 3), torch.tensor([0, 5])
    with pytest.raises(ValueError, match=r"four-momenta, but was given 3 columns.*set loss\.space=momenta"):
        loss(relative, ptr, relative, ptr)


def test_bad_input_of_emd_is_named():
    p4, ptr = random_jets(1)
    with pytest.raises(ValueError, match="relative_to='beam'"):
        emd(p4, ptr, p4, ptr, relative_to="beam")


@pytest.mark.parametrize(("loss", "package"), [(emd, "ot"), (emd_sinkhorn, "geomloss")])
def test_a_missing_solver_is_named(monkeypatch, loss, package):
    monkeypatch.setitem(sys.modules, package, None)
    p4, ptr = random_jets(1)
    with pytest.raises(ImportError, match=r"pip install 'lgae-pyg\[emd\]'"):
        loss(p4, ptr, p4, ptr)
