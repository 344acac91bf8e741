r"""A fast ATLAS-like detector: tracks, calorimeter towers, and what the towers hold beyond their tracks.

It follows the idea of Delphes' energy flow (de Favereau et al., arXiv:1307.6346, Section 3): a charged particle
is measured by its track; photons and neutral hadrons are what is left of a tower's energy when the energies of
the tracks that end in it are taken off. Fluctuations of a tower therefore leave neutral objects beside tracks.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.datasets.pythia.detector import (
    CHARGED,
    LEPTON,
    NEUTRAL,
    PHOTON,
    Particles,
    calorimeter_resolution,
    tracks,
)
from lgae_pyg.generator.settings import GeneratorSettings

SOFT = 1.0
"""Up to this transverse momentum in GeV ``soft_track_efficiency`` holds."""


def measure_energy_flow(particles: Particles, settings: GeneratorSettings, rng: np.random.Generator) -> Particles:
    r"""What the detector reports of the particles of each event.

    Charged hadrons leave a track with the probability ``track_efficiency`` (``soft_track_efficiency`` up to
    1 GeV), electrons and muons always, all within ``track_eta_max`` and none that the field curls up before the
    calorimeter (``bend_pt``). Photons deposit their energy in the
    electromagnetic layer of a tower, hadrons in the hadronic one, electrons and muons nowhere. A layer measures
    :math:`E` as a log-normal number of mean :math:`E` and standard deviation :math:`\sigma(E)`,

    .. math:: \sigma(E)^2 = a^2 E + b^2 + c^2 E^2 ,

    and :math:`E_\text{measured}`, and then :math:`E_\text{measured} - \sum E_\text{tracks}`, must be above the
    layer's threshold and above its own :math:`\sigma`, or is 0. The two layers of a tower give massless objects
    in one direction, uniform in the tower. Particles outside of the towers are lost, but for their tracks.

    Args:
        particles: the visible stable particles, events in order.
        settings: efficiencies, resolutions, towers and thresholds.
        rng: source of the random numbers.

    Returns:
        The massless objects: events in order, inside an event tracks, photons, neutral hadrons.
    """
    seen = np.flatnonzero(_leaves_track(particles, settings, rng))
    measured, first = tracks(particles.take(seen), settings, rng)
    tracked = np.zeros(len(particles))
    tracked[seen[first]] = measured.energy
    address = _towers(particles, settings, rng)
    stopped = np.flatnonzero((address >= 0) & (particles.kind != LEPTON))
    towers, member = np.unique(address[stopped], return_inverse=True)
    eta, phi = _directions(towers, settings, rng)
    parts = [replace(measured, energy=np.sqrt(measured.px**2 + measured.py**2 + measured.pz**2))]
    for kind in (PHOTON, NEUTRAL):
        inside = (particles.kind[stopped] == PHOTON) == (kind == PHOTON)
        deposit, taken = (np.bincount(member.reshape(-1), values[stopped] * inside, len(towers))
                          for values in (particles.energy, tracked))
        energy = _excess(deposit, taken, kind, settings, rng)
        full = energy > 0
        event = towers[full] // _tower_count(settings)
        parts.append(_massless(event, kind, energy[full], eta[full], phi[full]))
    objects = Particles.join(parts)
    return objects.take(np.argsort(objects.event, kind="stable"))


def _leaves_track(particles: Particles, settings: GeneratorSettings, rng: np.random.Generator) -> NDArray:
    efficiency = np.where(particles.pt > SOFT, settings.track_efficiency, settings.soft_track_efficiency)
    found = rng.random(len(particles)) < efficiency
    track = (particles.kind == LEPTON) | ((particles.kind == CHARGED) & found)
    return track & (np.abs(particles.eta) <= settings.track_eta_max) & (particles.pt >= settings.bend_pt)


def _grid(settings: GeneratorSettings) -> tuple[int, int]:
    """Towers along eta and along phi: the largest number of equal ones not smaller than asked for."""
    return (int(round(2 * settings.calorimeter_eta_max / settings.tower_eta, 6)),
            int(round(2 * np.pi / settings.tower_phi, 6)))


def _tower_count(settings: GeneratorSettings) -> int:
    rows, columns = _grid(settings)
    return rows * columns


def _towers(particles: Particles, settings: GeneratorSettings, rng: np.random.Generator) -> NDArray[np.int64]:
    r"""Number of the tower that each particle hits, counted through the events; -1 if it hits none.

    A solenoid's field turns a charged particle by :math:`\sin\delta = p_\text{bend} / p_T` on its way to the
    calorimeter; one of :math:`p_T < p_\text{bend}` does not arrive. Charges are not kept, so the sense is drawn.
    """
    rows, columns = _grid(settings)
    eta, phi = particles.eta, particles.phi
    bend = np.where(particles.kind == CHARGED, settings.bend_pt / particles.pt, 0.0)
    phi = phi + np.arcsin(np.minimum(bend, 1)) * rng.choice([-1, 1], len(particles))
    inside = (np.abs(eta) < settings.calorimeter_eta_max) & (bend <= 1)
    row = np.floor((np.where(inside, eta, 0) / settings.calorimeter_eta_max + 1) / 2 * rows).astype(np.int64)
    column = np.floor(np.mod(phi / (2 * np.pi), 1) * columns).astype(np.int64)
    address = (particles.event * rows + np.minimum(row, rows - 1)) * columns + np.minimum(column, columns - 1)
    return np.where(inside, address, -1)


def _directions(
    towers: NDArray[np.int64], settings: GeneratorSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A direction (eta, phi) in each tower, uniform in it."""
    rows, columns = _grid(settings)
    row = (towers // columns) % rows + rng.random(len(towers))
    column = towers % columns + rng.random(len(towers))
    return (2 * row / rows - 1) * settings.calorimeter_eta_max, column / columns * 2 * np.pi


def _excess(
    deposit: NDArray, tracked: NDArray, kind: int, settings: GeneratorSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Energy of one layer of the towers beyond that of their tracks, or 0."""
    name = "photon" if kind == PHOTON else "hadron"
    resolution = [getattr(settings, f"{name}_{part}") for part in ("stochastic", "noise", "floor")]
    threshold = getattr(settings, f"{name}_energy_min")

    def significant(energy: NDArray) -> NDArray:
        relative = calorimeter_resolution(np.maximum(energy, 1e-9), *resolution)
        return np.where((energy >= threshold) & (energy > 0) & (relative <= 1), energy, 0.0)

    width = np.log1p(calorimeter_resolution(np.maximum(deposit, 1e-9), *resolution) ** 2)
    measured = deposit * np.exp(np.sqrt(width) * rng.standard_normal(len(deposit)) - width / 2)
    return significant(significant(measured) - tracked)


def _massless(event: NDArray, kind: int, energy: NDArray, eta: NDArray, phi: NDArray) -> Particles:
    pt = energy / np.cosh(eta)
    return Particles(event, np.full(len(event), kind, np.int8), pt * np.cos(phi), pt * np.sin(phi),
                     pt * np.sinh(eta), energy)
