"""Observables of jets, and distances beside those of halves."""

import math

import numpy as np
import pytest
import torch

from lgae_pyg.lorentz import from_pt_eta_phi_m
from lgae_pyg.metrics.jet_shapes import JET_SHAPES, Shapes, jet_shapes, shape_distances


def shapes(values: np.ndarray) -> Shapes:
    """Jets of one particle each, in which every observable has the same values."""
    return Shapes(dict.fromkeys(JET_SHAPES, values), np.arange(len(values) + 1))


def test_observables_by_hand():
    """Two back-to-back pairs: (3, 3) GeV at a distance of 0.4, and one particle of 5 GeV."""
    pt, phi = torch.tensor([3.0, 3.0, 5.0]), torch.tensor([0.2, -0.2, 1.0])
    p4 = from_pt_eta_phi_m(pt, torch.full((3,), 0.5), phi, torch.zeros(3))
    found = jet_shapes(p4, torch.tensor([0, 2, 3]), 0.8)
    assert list(found) == list(JET_SHAPES)
    assert found["particles"].tolist() == [2, 1]
    assert np.allclose(found["mass"], [6 * math.sin(0.2), 0], atol=2e-3)  # m^2 = 2 pT^2 (1 - cos 0.4)
    assert np.allclose(found["particle_pt"], [3, 3, 5])
    assert np.allclose(found["pt"], [6 * math.cos(0.2), 5]) and np.allclose(found["eta"][1], 0.5)
    assert (found["tau21"] == 0).all() and (found["tau32"] == 0).all()
    assert found.values_of("particle_pt", np.array([1, 0])).tolist() == pytest.approx([5, 3, 3])


def test_ratios_do_not_depend_on_the_radius():
    rng = np.random.default_rng(0)
    columns = (torch.tensor(rng.uniform(*window, 60)) for window in ((1, 50), (-0.4, 0.4), (-0.4, 0.4)))
    p4 = from_pt_eta_phi_m(*columns, torch.zeros(60, dtype=torch.float64))
    narrow, wide = (jet_shapes(p4, torch.arange(0, 61, 20), radius) for radius in (0.4, 0.8))
    for name in ("tau21", "tau32"):
        assert np.allclose(narrow[name], wide[name]) and (narrow[name] > 0).all() and (narrow[name] < 1).all()


def test_distance_of_a_shift_is_the_shift_and_that_of_equals_is_noise():
    rng = np.random.default_rng(1)
    real = shapes(rng.normal(0, 1, 400))
    shifted, equal = (shape_distances(real, shapes(values))[0]
                      for values in (real["mass"] + 2, rng.normal(0, 1, 800)))
    assert shifted["distance"] == pytest.approx(2) and shifted["equal"] == pytest.approx(2, abs=0.2)
    assert equal["equal"] < 1.5 * equal["halves_95"] and equal["halves"] < equal["halves_95"] < 0.3
    assert shape_distances(real, real, seed=3) == shape_distances(real, real, seed=3)


@pytest.mark.parametrize(("real", "other"), [(3, 100), (100, 49)])
def test_too_few_jets_are_refused(real, other):
    with pytest.raises(ValueError, match=f"{real} real and {other} other jets"):
        shape_distances(shapes(np.arange(real)), shapes(np.arange(other)))
