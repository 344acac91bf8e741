"""Laws of the parametrised detector, on made-up particles."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.datasets.pythia.detector import (
    CHARGED,
    LEPTON,
    NEUTRAL,
    PHOTON,
    Particles,
    calorimeter_resolution,
    cells,
    measure,
)
from lgae_pyg.generator.settings import GeneratorSettings, check_classes

PERFECT = GeneratorSettings(
    track_scale=0, track_floor=0, track_pt_max=0, track_efficiency=1, track_angle=0, photon_stochastic=0,
    photon_noise=0, photon_floor=0, photon_cell=0, hadron_stochastic=0, hadron_noise=0, hadron_floor=0,
    hadron_cell=0, track_pt_min=0, photon_pt_min=0, hadron_pt_min=0,
)
COARSE = dataclasses.replace(
    PERFECT, track_scale=0.00025, track_floor=0.015, track_pt_max=110, track_efficiency=0.9,
    photon_stochastic=0.03, photon_noise=0.24, photon_floor=0.005, photon_cell=0.0175,
    hadron_stochastic=1.2, hadron_floor=0.05, hadron_cell=0.087,
)


def shower(
    number: int, seed: int, events: int = 3, energy: float | None = None, kind: int | None = None
) -> Particles:
    """Particles of random kind, pT from 0.1 GeV to 1 TeV and |eta| < 2.5; masses of pions where not photons."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 4, number).astype(np.int8) if kind is None else np.full(number, kind, np.int8)
    eta, phi = rng.uniform(-2.5, 2.5, number), rng.uniform(-np.pi, np.pi, number)
    pt = 10 ** rng.uniform(-1, 3, number) if energy is None else energy / np.cosh(eta)
    mass = np.where(kinds == PHOTON, 0.0, 0.13957 if energy is None else 0.0)
    total = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    return Particles(np.sort(rng.integers(0, events, number)), kinds, pt * np.cos(phi), pt * np.sin(phi),
                     pt * np.sinh(eta), total)


def columns(particles: Particles) -> list[np.ndarray]:
    return [getattr(particles, field.name) for field in dataclasses.fields(particles)]


@given(number=st.integers(1, 60), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_perfect_detector_changes_nothing(number, seed):
    truth = shower(number, seed)
    for before, after in zip(columns(truth), columns(measure(truth, PERFECT, np.random.default_rng(seed)))):
        assert np.array_equal(before, after)


@given(number=st.integers(1, 200), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_measured_objects_are_physical(number, seed):
    truth = shower(number, seed)
    seen = measure(truth, COARSE, np.random.default_rng(seed))
    momentum = np.sqrt(seen.px**2 + seen.py**2 + seen.pz**2)
    assert np.all(seen.energy > 0)
    assert np.all(seen.energy >= momentum * (1 - 1e-12))
    assert np.all(np.diff(seen.event) >= 0)
    assert set(seen.event) <= set(truth.event)
    assert len(seen) <= len(truth)


@given(number=st.integers(1, 200), seed=st.integers(0, 2**31), edge=st.floats(0.005, 0.5))
@settings(max_examples=30, deadline=None)
def test_cells_keep_the_energy_of_each_event_and_move_nothing_far(number, seed, edge):
    truth = shower(number, seed)
    objects, first = cells(truth, edge, 3.0, NEUTRAL)
    for event in range(3):
        assert objects.energy[objects.event == event].sum() == pytest.approx(
            truth.energy[truth.event == event].sum(), rel=1e-12)
    assert np.allclose(objects.energy**2, objects.px**2 + objects.py**2 + objects.pz**2, rtol=1e-9)
    assert np.all(objects.kind == NEUTRAL)
    largest = 2 * np.pi / int(2 * np.pi / edge) / 2 + 1e-9
    assert np.all(np.abs(objects.eta - truth.eta[first]) <= 6 / int(6 / edge) / 2 + 1e-9)
    turn = np.mod(objects.phi - truth.phi[first] + np.pi, 2 * np.pi) - np.pi
    assert np.all(np.abs(turn) <= largest)
    addresses = {(e, round(a, 6), round(b, 6)) for e, a, b in zip(objects.event, objects.eta, objects.phi)}
    assert len(addresses) == len(objects)


def test_cells_end_at_their_largest_pseudorapidity():
    truth = shower(500, 3)
    objects, _ = cells(truth, 0.1, 1.0, PHOTON)
    assert objects.energy.sum() == pytest.approx(truth.energy[np.abs(truth.eta) < 1.0].sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "energy"), [(CHARGED, 50.0), (LEPTON, 20.0), (PHOTON, 10.0), (NEUTRAL, 200.0)]
)
def test_energy_scale_is_unbiased_and_resolution_is_the_asked_one(kind, energy):
    settings = dataclasses.replace(COARSE, photon_cell=0, hadron_cell=0, track_efficiency=1, track_pt_max=0)
    truth = shower(20_000, 5, energy=energy, kind=kind)
    response = measure(truth, settings, np.random.default_rng(0)).energy / truth.energy
    if kind in (CHARGED, LEPTON):
        expected = np.hypot(settings.track_scale * truth.pt, settings.track_floor)
    else:
        name = "photon" if kind == PHOTON else "hadron"
        numbers = (getattr(settings, f"{name}_{part}") for part in ("stochastic", "noise", "floor"))
        expected = calorimeter_resolution(truth.energy, *numbers)
    pull = (response - 1) / expected
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(pull)))


def test_lost_and_very_hard_tracks_go_to_the_hadron_calorimeter():
    truth = shower(20_000, 8, kind=CHARGED)
    half = dataclasses.replace(PERFECT, track_efficiency=0.7, hadron_cell=1e-5)
    share = (measure(truth, half, np.random.default_rng(0)).kind == CHARGED).mean()
    assert share == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / len(truth)))
    limited = dataclasses.replace(PERFECT, track_pt_max=110, hadron_cell=1e-5)
    seen = measure(truth, limited, np.random.default_rng(0))
    assert np.array_equal(seen.kind == CHARGED, truth.pt <= 110)
    leptons = shower(100, 9, kind=LEPTON)
    blind = dataclasses.replace(COARSE, track_efficiency=0)
    assert np.all(measure(leptons, blind, np.random.default_rng(0)).kind == LEPTON)


def test_angles_are_smeared_at_fixed_transverse_momentum_and_mass():
    truth = shower(20_000, 4, kind=CHARGED)
    seen = measure(truth, dataclasses.replace(PERFECT, track_angle=0.01), np.random.default_rng(0))
    assert np.allclose(seen.pt, truth.pt)
    mass2 = seen.energy**2 - seen.px**2 - seen.py**2 - seen.pz**2
    assert np.allclose(mass2, 0.13957**2, atol=1e-9 * seen.energy.max() ** 2)
    for change in (seen.eta - truth.eta, np.mod(seen.phi - truth.phi + np.pi, 2 * np.pi) - np.pi):
        assert change.std() == pytest.approx(0.01, rel=0.03)
        assert abs(change.mean()) < 4 * 0.01 / np.sqrt(len(truth))


def test_thresholds_drop_soft_objects_of_their_kind_only():
    truth = shower(2_000, 6)
    settings = dataclasses.replace(PERFECT, track_pt_min=1.0, photon_pt_min=2.0, hadron_pt_min=5.0)
    seen = measure(truth, settings, np.random.default_rng(0))
    limit = np.select([truth.kind == PHOTON, truth.kind == NEUTRAL], [2.0, 5.0], 1.0)
    assert np.array_equal(seen.energy, truth.energy[truth.pt >= limit])


def test_same_numbers_same_measurement():
    truth = shower(300, 1)
    first, second, third = (measure(truth, COARSE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.energy, second.energy)
    assert len(first) != len(third) or not np.array_equal(first.energy, third.energy)


def test_settings_survive_a_dictionary_and_refuse_nonsense():
    changed = GeneratorSettings(hadron_cell=0.1, underlying_event=False)
    assert GeneratorSettings.from_dict(changed.to_dict()) == changed
    assert GeneratorSettings.from_dict({"hadron_cell": 0.1}).hadron_cell == 0.1
    with pytest.raises(ValueError, match="hadron_cel"):
        GeneratorSettings.from_dict({"hadron_cel": 0.1})
    with pytest.raises(ValueError, match="photon_noise"):
        GeneratorSettings(photon_noise=-1)
    with pytest.raises(ValueError, match="track_efficiency"):
        GeneratorSettings(track_efficiency=1.1)
    with pytest.raises(ValueError, match="jet_pt_min and jet_pt_max"):
        GeneratorSettings(jet_pt_min=2000)
    with pytest.raises(ValueError, match="choose from g, q, t, w, z"):
        check_classes(["g", "x"])
    assert check_classes(["q", "g", "q"]) == ("q", "g")
