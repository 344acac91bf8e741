"""Laws of the detector of towers and tracks, on made-up particles."""

import dataclasses
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.datasets.pythia.detector import CHARGED, LEPTON, NEUTRAL, PHOTON, Particles
from lgae_pyg.datasets.pythia.energy_flow import measure_energy_flow
from lgae_pyg.generator.settings import GeneratorSettings

ATLAS = GeneratorSettings.from_dict({"preset": "top_tagging"})
PERFECT = dataclasses.replace(
    ATLAS, track_scale=0, track_floor=0, track_efficiency=1, soft_track_efficiency=1, track_pt_min=0, bend_pt=0,
    photon_stochastic=0, photon_noise=0, photon_floor=0, hadron_stochastic=0, hadron_noise=0, hadron_floor=0,
    photon_energy_min=0, hadron_energy_min=0,
)


def shower(*particles: tuple[int, float, float, float], event: int = 0) -> Particles:
    """Massless particles of (kind, pT, eta, phi)."""
    kind, pt, eta, phi = (np.array(column) for column in zip(*particles))
    return Particles(np.full(len(pt), event), kind.astype(np.int8), pt * np.cos(phi), pt * np.sin(phi),
                     pt * np.sinh(eta), pt * np.cosh(eta))


def random_shower(number: int, seed: int, eta_max: float = 2.4) -> Particles:
    rng = np.random.default_rng(seed)
    kind, pt = rng.integers(0, 4, number), 10 ** rng.uniform(-0.3, 2.5, number)
    eta, phi = (rng.uniform(-most, most, number) for most in (eta_max, math.pi))
    return shower(*zip(kind, pt, eta, phi))


def measured(particles: Particles, detector: GeneratorSettings, seed: int = 0) -> Particles:
    return measure_energy_flow(particles, detector, np.random.default_rng(seed))


@given(number=st.integers(1, 80), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_perfect_detector_keeps_all_energy(number, seed):
    truth = random_shower(number, seed)
    found = measured(truth, PERFECT)
    assert math.isclose(found.energy.sum(), truth.energy.sum(), rel_tol=1e-9)
    for kinds in ((CHARGED, LEPTON), (PHOTON,), (NEUTRAL,)):
        both = [sample.energy[np.isin(sample.kind, kinds)].sum() for sample in (truth, found)]
        assert math.isclose(*both, rel_tol=1e-9, abs_tol=1e-6)


@given(number=st.integers(1, 80), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_objects_are_massless_above_threshold_and_inside(number, seed):
    found = measured(random_shower(number, seed, 5.0), ATLAS, seed)
    assert np.allclose(found.energy, np.sqrt(found.px**2 + found.py**2 + found.pz**2), rtol=1e-12)
    assert (found.energy[found.kind == PHOTON] >= ATLAS.photon_energy_min).all()
    assert (found.energy[found.kind == NEUTRAL] >= ATLAS.hadron_energy_min).all()
    charged = np.isin(found.kind, (CHARGED, LEPTON))
    assert (np.abs(found.eta[charged]) <= ATLAS.track_eta_max + 1e-9).all()
    assert (np.abs(found.eta[~charged]) <= ATLAS.calorimeter_eta_max + 1e-9).all()


def test_neutral_hadrons_are_what_a_tower_holds_beyond_its_tracks():
    inside = (0.05, 0.05)  # in the middle of a tower, where the next one begins at 0.1
    found = measured(shower((CHARGED, 20.0, *inside), (NEUTRAL, 30.0, *inside), (PHOTON, 10.0, *inside)), PERFECT)
    assert found.kind.tolist() == [CHARGED, PHOTON, NEUTRAL]
    assert np.allclose(found.energy, [20 * math.cosh(0.05), 10 * math.cosh(0.05), 30 * math.cosh(0.05)])
    assert (np.abs(found.eta[1:] - 0.05) <= 0.05).all() and found.eta[1] == found.eta[2]


def test_lost_tracks_are_seen_in_the_calorimeter_and_soft_bent_ones_nowhere():
    blind = dataclasses.replace(PERFECT, track_efficiency=0, soft_track_efficiency=0)
    assert measured(shower((CHARGED, 20.0, 0.0, 0.0)), blind).kind.tolist() == [NEUTRAL]
    assert len(measured(shower((CHARGED, 0.3, 0.0, 0.0)), dataclasses.replace(blind, bend_pt=0.345))) == 0
    assert len(measured(shower((NEUTRAL, 20.0, 3.3, 0.0), (PHOTON, 20.0, -4.0, 0.0)), blind)) == 0


def test_what_curls_up_before_the_calorimeter_leaves_no_track():
    soft, hard = ((kind, pt, 0.0, phi) for kind, pt, phi in ((CHARGED, 0.3, 0.0), (LEPTON, 0.4, 1.0)))
    assert measured(shower(soft, hard), PERFECT).kind.tolist() == [CHARGED, LEPTON]
    assert measured(shower(soft, hard), dataclasses.replace(PERFECT, bend_pt=0.345)).kind.tolist() == [LEPTON]


def test_the_field_turns_charged_particles_into_another_tower():
    """A particle of twice the smallest pT is turned by 30 degrees, three towers of ten."""
    bent = dataclasses.replace(PERFECT, track_efficiency=0, soft_track_efficiency=0, bend_pt=5.0)
    found = measured(shower((CHARGED, 10.0, 0.0, 0.05)), bent)
    assert abs(abs(found.phi[0] - 0.05) - math.pi / 6) < math.pi / 18


def test_resolution_of_a_tower_is_that_of_the_card():
    energy, number = 50.0, 4000
    events = [shower((NEUTRAL, energy, 0.0, 0.0), event=event) for event in range(number)]
    found = measured(Particles.join(events), ATLAS, 3)
    sigma = math.hypot(0.5205 * math.sqrt(energy), 1.59, 0.0302 * energy)
    assert len(found) == number
    assert abs(found.energy.mean() - energy) < 4 * sigma / math.sqrt(number)
    assert abs(found.energy.std() / sigma - 1) < 0.06
