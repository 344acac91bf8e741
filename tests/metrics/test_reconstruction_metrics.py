"""Reconstruction metrics: exact answers."""

import math

import numpy as np
import pytest
import torch

from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m
from lgae_pyg.metrics import (
    JET_FEATURES,
    PARTICLE_FEATURES,
    compression_rates,
    jet_features,
    match_particles,
    particle_features,
    relative_error,
    summary,
)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def random_jets(seed=0, sizes=(4, 1, 7)):
    generator = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    pt, eta, phi = torch.rand(3, int(ptr[-1]), generator=generator, dtype=torch.float64)
    return from_pt_eta_phi_m(pt + 0.1, eta - 0.5, 6.0 * phi), ptr


def test_jet_features_by_hand():
    p4 = vector([5.0, 3.0, 0.0, 4.0], [5.0, 0.0, 4.0, -3.0], [1.0, -1.0, 0.0, 0.0])
    features = jet_features(p4, torch.tensor([0, 2, 3]))
    # first jet (10, 3, 4, 1): M2 = 100 - 26
    expected = vector(
        [math.sqrt(74), 5.0, math.asinh(0.2), math.atan2(4, 3)],
        [0.0, 1.0, 0.0, math.pi],
    )
    torch.testing.assert_close(features, expected)


def test_the_jet_mass_knows_what_becomes_of_the_energies():
    p4, ptr = vector([6.0, 3.0, 0.0, 4.0], [6.0, -3.0, 0.0, -4.0]), torch.tensor([0, 2])
    assert jet_features(p4, ptr)[0, 0] == 12
    assert jet_features(p4, ptr, massless_particles=True)[0, 0] == 10


def test_a_space_like_jet_has_a_negative_mass():
    features = jet_features(vector([3.0, 5.0, 0.0, 0.0]), torch.tensor([0, 1]))
    assert features[0, 0] == -4


def test_particle_features_are_relative_to_the_own_jet():
    p4, ptr = random_jets()
    features = particle_features(p4, ptr)
    assert features.shape == (12, len(PARTICLE_FEATURES))
    torch.testing.assert_close(features[4], vector(1.0, 0.0, 0.0))
    # the axis is the vector sum, so the components along and across it add up to 1 and 0
    for first, last in ((0, 4), (5, 12)):
        pt_rel, _, phi_rel = features[first:last].unbind(-1)
        torch.testing.assert_close((pt_rel * phi_rel.cos()).sum(), vector(1.0).squeeze())
        torch.testing.assert_close((pt_rel * phi_rel.sin()).sum(), vector(0.0).squeeze(), atol=1e-14, rtol=0)


def test_relative_error_divides_by_the_true_value():
    error = relative_error(vector([2.0, 1.0]), vector([1.0, 2.0]), ("mass", "pt"))
    assert error.tolist() == [[1.0, -0.5]]


def test_differences_of_azimuths_are_wrapped():
    names = JET_FEATURES
    target = vector([1.0, 1.0, 1.0, 3.0])
    error = relative_error(vector([1.0, 1.0, 7.5, -3.0]), target, names)
    torch.testing.assert_close(error, vector([0.0, 0.0, 6.5, (2 * math.pi - 6) / 3]))


def test_a_true_value_of_zero_has_no_relative_error():
    error = relative_error(vector([0.0], [1.0], [3.0]), vector([0.0], [0.0], [2.0]), ("eta_rel",))
    assert error.isnan().squeeze().tolist() == [True, True, False]
    numbers = summary(error)
    assert (numbers["n"], numbers["undefined"], numbers["median"]) == (1, 2, 0.5)


def test_summary_by_hand():
    numbers = summary([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20])
    assert numbers == {
        "median": 5.0, "iqr": 5.0, "idr": 8.0, "mad": 3.0, "n": 11.0, "undefined": 0.0,
        "mean": pytest.approx(65 / 11), "abs_mean": pytest.approx(65 / 11),
        "std": pytest.approx(math.sqrt(685 / 11 - (65 / 11) ** 2)),
    }  # fmt: skip


def test_summary_of_negative_infinite_and_missing_values():
    assert summary([-2.0, -4.0])["abs_mean"] == 3
    assert summary([0.0, 1.0, 2.0, math.inf])["median"] == 1.5
    assert summary([0.0, 1.0, 2.0, math.inf])["mean"] == math.inf
    nothing = summary([math.nan])
    assert nothing["n"] == 0 and nothing["undefined"] == 1 and math.isnan(nothing["median"])


def test_columns_are_not_pooled():
    """Errors of mass, pT, eta and phi are not one sample; a single column is."""
    p4, ptr = random_jets()
    errors = relative_error(1.1 * jet_features(p4, ptr), jet_features(p4, ptr), JET_FEATURES)
    for several in (errors, errors[:1], errors.unsqueeze(0)):
        with pytest.raises(ValueError, match=r"several samples.*for column in values\.T"):
            summary(several)
    assert [summary(errors[:, k : k + 1])["median"] for k in (1, 2, 3)] == pytest.approx([0.1, 0.1, 0.1])
    assert summary(errors[:, 1:2]) == summary(errors[:, 1])
    pooled = summary(errors.ravel())
    assert pooled["n"] + pooled["undefined"] == errors.numel()


@pytest.mark.parametrize("space", ["cartesian", "relative"])
def test_matching_finds_the_permutation(space):
    p4, ptr = random_jets()
    order = torch.tensor([2, 0, 3, 1, 4, 11, 9, 7, 5, 6, 8, 10])
    rows, target_rows = match_particles(p4[order], ptr, p4, ptr, space)
    assert target_rows.tolist() == list(range(12))
    assert order[rows].tolist() == list(range(12))
    rows, target_rows = match_particles(p4[order], ptr, p4, ptr, "slots")
    assert rows.tolist() == target_rows.tolist() == list(range(12))


def test_cartesian_matching_ignores_the_energy_and_relative_matching_the_scale():
    target, ptr = vector([5.0, 1.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0]), torch.tensor([0, 2])
    other = vector([1.0, 1.1, 0.0, 0.0], [5.0, 2.1, 0.0, 0.0])
    assert match_particles(other, ptr, target, ptr, "cartesian")[0].tolist() == [0, 1]
    p4, ptr = random_jets(sizes=(6,))
    assert match_particles(100 * p4.flip(0), ptr, p4, ptr, "relative")[0].tolist() == [5, 4, 3, 2, 1, 0]


def test_only_true_particles_are_matched():
    target, target_ptr = random_jets(1, sizes=(2, 3))
    padding = torch.zeros(1, 4, dtype=torch.float64)
    fixed = torch.cat([target[:2].flip(0), padding, padding, target[2:], padding])
    rows, target_rows = match_particles(fixed, torch.tensor([0, 4, 8]), target, target_ptr, "cartesian")
    assert rows.tolist() == [1, 0, 4, 5, 6] and target_rows.tolist() == [0, 1, 2, 3, 4]
    rows, target_rows = match_particles(fixed, torch.tensor([0, 4, 8]), target, target_ptr, "slots")
    assert rows.tolist() == [0, 1, 4, 5, 6] and target_rows.tolist() == [0, 1, 2, 3, 4]
    rows, target_rows = match_particles(target, target_ptr, fixed, torch.tensor([0, 4, 8]), "slots")
    assert rows.tolist() == [0, 1, 2, 3, 4] and target_rows.tolist() == [0, 1, 4, 5, 6]


def test_unknown_space():
    p4, ptr = random_jets()
    with pytest.raises(ValueError, match="unknown space 'polar'"):
        match_particles(p4, ptr, p4, ptr, "polar")


@pytest.mark.parametrize(
    ("latent", "percent"), [(36, 30.00), (68, 56.67), (116, 96.67), (18, 15.00), (74, 61.67), (106, 88.33)]
)
def test_published_compression_rates_count_four_momenta(latent, percent):
    assert round(compression_rates(latent, 30)["four_vector"], 2) == percent


def test_both_definitions_and_the_side_information():
    assert compression_rates(45, 30)["massless"] == 50.0
    assert compression_rates(74, 30, side_information=1) == {
        "four_vector": pytest.approx(185 / 3), "four_vector_with_side": 62.5,
        "massless": pytest.approx(740 / 9), "massless_with_side": pytest.approx(250 / 3),
    }  # fmt: skip
    assert np.isclose(compression_rates(74, 150)["four_vector"], 12.3333333)
