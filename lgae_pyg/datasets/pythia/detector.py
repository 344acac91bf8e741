"""A parametrised CMS-like detector on flat arrays of particles, after arXiv:1709.08705, Section 3.

Charged hadrons and leptons become tracks; photons fill the cells of an electromagnetic calorimeter, neutral
hadrons (and charged hadrons without a track) those of a hadron calorimeter. The energy of one cell is one
massless object in the direction of the cell's centre: this granularity is the angular resolution of the
calorimeters. Then every object's momentum is multiplied by a random factor of mean 1.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.generator.settings import GeneratorSettings

CHARGED, PHOTON, NEUTRAL, LEPTON = range(4)
"""Kinds of particles: charged hadron, photon, neutral hadron, electron or muon."""

SMALLEST_FACTOR = 1e-10
"""Measured energies stay positive, however far below 0 the random factor falls (arXiv:1709.08705's code)."""


@dataclass(frozen=True)
class Particles:
    """Particles of many events as arrays of one length.

    Attributes:
        event: number of the event, never falling along the array.
        kind: one of :data:`CHARGED`, :data:`PHOTON`, :data:`NEUTRAL`, :data:`LEPTON`.
        px: momentum along x in GeV.
        py: momentum along y in GeV.
        pz: momentum along the beam in GeV.
        energy: energy in GeV.
    """

    event: NDArray[np.int64]
    kind: NDArray[np.int8]
    px: NDArray[np.float64]
    py: NDArray[np.float64]
    pz: NDArray[np.float64]
    energy: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.event)

    @property
    def pt(self) -> NDArray[np.float64]:
        """Transverse momentum in GeV."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> NDArray[np.float64]:
        """Pseudorapidity; infinite along the beam."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.arcsinh(self.pz / self.pt)

    @property
    def phi(self) -> NDArray[np.float64]:
        """Azimuth in [-pi, pi]."""
        return np.arctan2(self.py, self.px)

    def take(self, choice: NDArray) -> "Particles":
        """The particles at a mask or at positions."""
        return Particles(*(getattr(self, field.name)[choice] for field in fields(self)))

    def scaled(self, factor: NDArray[np.float64]) -> "Particles":
        """All four components of each momentum times its factor."""
        return Particles(self.event, self.kind, self.px * factor, self.py * factor, self.pz * factor,
                         self.energy * factor)

    @staticmethod
    def join(parts: list["Particles"]) -> "Particles":
        """One set after the other; the events are no longer in order."""
        return Particles(*(np.concatenate([getattr(part, field.name) for part in parts])
                           for field in fields(Particles)))


def measure(particles: Particles, settings: GeneratorSettings, rng: np.random.Generator) -> Particles:
    r"""What the detector reports of the particles of each event.

    Charged hadrons leave a track with probability ``track_efficiency`` if :math:`p_T \le`
    ``track_pt_max`` (0: no limit); leptons always do. With efficiency 1, all resolutions 0, all cells 0 and
    no thresholds the input comes back unchanged.

    Args:
        particles: the visible stable particles, events in order.
        settings: the resolutions, cells and thresholds.
        rng: source of the random numbers.

    Returns:
        The measured objects: events in order, inside an event in the order of the (first) true particle.
    """
    found = rng.random(len(particles)) < settings.track_efficiency
    if settings.track_pt_max > 0:
        found &= particles.pt <= settings.track_pt_max
    track = (particles.kind == LEPTON) | ((particles.kind == CHARGED) & found)
    photon = particles.kind == PHOTON
    parts, origins = [], []
    for mask, detect in ((track, tracks), (photon, _photons), (~track & ~photon, _hadrons)):
        measured, first = detect(particles.take(mask), settings, rng)
        parts.append(measured)
        origins.append(np.flatnonzero(mask)[first])
    return Particles.join(parts).take(np.argsort(np.concatenate(origins), kind="stable"))


def calorimeter_resolution(
    energy: NDArray[np.float64], stochastic: float, noise: float, floor: float
) -> NDArray[np.float64]:
    r"""Relative energy resolution :math:`\sqrt{a^2/E + b^2/E^2 + c^2}` of a calorimeter.

    Args:
        energy: E in GeV, above 0.
        stochastic: a in GeV^(1/2).
        noise: b in GeV.
        floor: c.
    """
    return np.sqrt(stochastic**2 / energy + (noise / energy) ** 2 + floor**2)


def cells(particles: Particles, edge: float, eta_max: float, kind: int) -> tuple[Particles, NDArray[np.int64]]:
    r"""Sums the energies in the cells of a calorimeter.

    The cells are :math:`\Delta\eta \times \Delta\phi` squares of about ``edge``: the largest number of equal
    ones that fits into :math:`|\eta| < \eta_\mathrm{max}` and into :math:`2\pi`.

    Args:
        particles: what hits the calorimeter; outside of ``eta_max`` it is lost.
        edge: edge of a cell; 0 leaves the particles as they are.
        eta_max: largest pseudorapidity.
        kind: the kind that the cells get.

    Returns:
        Massless objects of the cells' energies in the directions of the cells' centres, and for each the
        position of the first particle in its cell.
    """
    if edge == 0:
        return particles, np.arange(len(particles))
    eta_cells, phi_cells = int(2 * eta_max / edge), int(2 * np.pi / edge)
    eta = particles.eta
    inside = np.flatnonzero(np.abs(eta) < eta_max)
    row = np.floor((eta[inside] + eta_max) / (2 * eta_max) * eta_cells).astype(np.int64)
    column = np.floor(np.mod(particles.phi[inside], 2 * np.pi) / (2 * np.pi) * phi_cells).astype(np.int64)
    row, column = np.minimum(row, eta_cells - 1), np.minimum(column, phi_cells - 1)
    address = (particles.event[inside] * eta_cells + row) * phi_cells + column
    address, first, member = np.unique(address, return_index=True, return_inverse=True)
    energy = np.bincount(member.reshape(-1), weights=particles.energy[inside], minlength=len(address))
    eta = ((address // phi_cells) % eta_cells + 0.5) / eta_cells * 2 * eta_max - eta_max
    phi = (address % phi_cells + 0.5) / phi_cells * 2 * np.pi
    pt = energy / np.cosh(eta)
    objects = Particles(address // (eta_cells * phi_cells), np.full(len(address), kind, np.int8),
                        pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy)
    return objects, inside[first]


def tracks(
    particles: Particles, settings: GeneratorSettings, rng: np.random.Generator
) -> tuple[Particles, NDArray[np.int64]]:
    """Charged particles as their tracks measure them, and of each track the place of its particle."""
    resolution = np.hypot(settings.track_scale * particles.pt, settings.track_floor)
    measured = _smeared(particles, resolution, rng)
    if settings.track_angle > 0:
        measured = _turned(measured, settings.track_angle, rng)
    return _above(measured, np.arange(len(particles)), settings.track_pt_min)


def _photons(particles: Particles, settings: GeneratorSettings, rng: np.random.Generator):
    objects, first = cells(particles, settings.photon_cell, settings.calorimeter_eta_max, PHOTON)
    resolution = calorimeter_resolution(
        objects.energy, settings.photon_stochastic, settings.photon_noise, settings.photon_floor
    )
    return _above(_smeared(objects, resolution, rng), first, settings.photon_pt_min)


def _hadrons(particles: Particles, settings: GeneratorSettings, rng: np.random.Generator):
    objects, first = cells(particles, settings.hadron_cell, settings.calorimeter_eta_max, NEUTRAL)
    resolution = calorimeter_resolution(
        objects.energy, settings.hadron_stochastic, settings.hadron_noise, settings.hadron_floor
    )
    return _above(_smeared(objects, resolution, rng), first, settings.hadron_pt_min)


def _smeared(particles: Particles, resolution: NDArray, rng: np.random.Generator) -> Particles:
    factor = 1 + resolution * rng.standard_normal(len(particles))
    return particles.scaled(np.maximum(factor, SMALLEST_FACTOR))


def _turned(particles: Particles, angle: float, rng: np.random.Generator) -> Particles:
    """Gaussian noise on eta and phi at fixed transverse momentum and mass."""
    eta = particles.eta + angle * rng.standard_normal(len(particles))
    phi = particles.phi + angle * rng.standard_normal(len(particles))
    pt, pz = particles.pt, particles.pt * np.sinh(eta)
    energy = np.sqrt(np.maximum(particles.energy**2 - particles.pz**2 + pz**2, 0))
    return Particles(particles.event, particles.kind, pt * np.cos(phi), pt * np.sin(phi), pz, energy)


def _above(particles: Particles, first: NDArray, pt_min: float) -> tuple[Particles, NDArray]:
    keep = particles.pt >= pt_min
    return particles.take(keep), first[keep]
