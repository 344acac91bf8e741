r"""Four-momenta as whole numbers with a guaranteed error, and back.

A particle is :math:`(\ln p_T, \eta, \varphi)` on a grid, and what it has of mass:

.. math:: p_T' = e^{a s}, \quad \eta' = b t, \quad \varphi' = 2 \pi c / N, \quad
          E' = \sqrt{|\vec p'|^2 \pm m'^2}, \quad m' = e^{d s}

with integers :math:`a, b, c, d`. The steps are such that a particle is moved by no more than the bounds, with what
the number format itself rounds. Whether it is so is checked on what comes back, and a particle that the grid
cannot give back (without transverse momentum, of negative energy, too close to the end of the number format) is
kept as it is.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lgae_pyg.applications.compression import arithmetic

#: Kinds of particles: E = |p|, E > |p|, E < |p|, and those that are kept as they are.
MASSLESS, MASSIVE, SPACELIKE, EXACT = range(4)

#: A mass is known where m² is above this many steps of the number format, in units of E².
_MASS_STEPS = 32
#: The smallest bound in steps of the number format, and what of each bound is left to its rounding.
_LEAST_STEPS, _ROUNDING_STEPS = 64, 4
_LARGEST = 2.0**50


@dataclass(frozen=True)
class Bounds:
    """How much a particle may be moved.

    Args:
        pt: relative error of the transverse momentum, and of the mass where there is one.
        angle: error of pseudorapidity and azimuth, each, in units of 1e-3.

    Raises:
        ValueError: for bounds that cannot be.
    """

    pt: float = 0.01
    angle: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.pt < 1:
            raise ValueError(f"the bound on pT is a share between 0 and 1, such as 0.01, not {self.pt:g}")
        if not 0 < self.angle <= 500:
            raise ValueError(f"the bound on angles is in units of 1e-3, above 0 and up to 500, not {self.angle:g}")

    def __str__(self) -> str:
        return f"pT {self.pt:g} relative, eta and phi {self.angle:g}e-3"


@dataclass(frozen=True)
class Grid:
    r"""The grid of the integers; its numbers are kept in the file, and are never computed again.

    Args:
        log_pt: step :math:`s` of the logarithms of pT and mass.
        eta: step :math:`t`.
        turn: number :math:`N` of azimuths.
    """

    log_pt: float
    eta: float
    turn: int

    def __post_init__(self) -> None:
        sound = all(isinstance(step, float) and 1e-12 < step < 2 for step in (self.log_pt, self.eta))
        if not sound or not isinstance(self.turn, int) or not 3 < self.turn < 2**40:
            raise ValueError(f"steps that cannot be: {asdict(self)}")

    @classmethod
    def of(cls, bounds: Bounds, dtype: Any) -> Grid:
        """The coarsest grid that keeps the bounds for momenta of that type.

        Raises:
            ValueError: the numbers themselves are not as precise as the bounds.
        """
        step = float(np.finfo(dtype).eps)
        for name, bound, shown in (("pt", bounds.pt, 1.0), ("angle", 1e-3 * bounds.angle, 1e-3)):
            if bound < _LEAST_STEPS * step:
                raise ValueError(
                    f"the bound {name} = {bound / shown:g} is finer than {np.dtype(dtype).name} numbers are: "
                    f"choose {_LEAST_STEPS * step / shown:.1e} or more, or keep the file as it is"
                )
        pt, angle = bounds.pt - _ROUNDING_STEPS * step, 1e-3 * bounds.angle - _ROUNDING_STEPS * step
        return cls(2 * math.log1p(pt), 2 * angle, max(4, math.ceil(math.pi / angle)))


@dataclass(frozen=True)
class Integers:
    """Particles on the grid: kind, and numbers of pT, eta, phi and mass (0 where there is none); (n,) each."""

    kind: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    mass: np.ndarray

    def take(self, chosen: np.ndarray) -> Integers:
        """Some of the particles."""
        return Integers(*(values[chosen] for values in vars(self).values()))


def quantise(p4: np.ndarray, bounds: Bounds, grid: Grid) -> tuple[Integers, np.ndarray]:
    """Puts particles on the grid.

    Args:
        p4: finite four-momenta (E, px, py, pz), float32 or float64.
        bounds: what must be kept.
        grid: made of these bounds.

    Shapes:
        - **p4**: :math:`(n, 4)`

    Returns:
        The integers, of kind ``EXACT`` where the bounds would not be kept; and what :func:`restore` gives back.
    """
    with np.errstate(all="ignore"):
        pt, eta, phi, square = coordinates(p4)
        far = np.abs(square) > _resolution(p4) * np.square(p4[:, 0].astype(np.float64))
        kind = np.where(far, np.where(square > 0, MASSIVE, SPACELIKE), MASSLESS)
        columns = [
            np.log(pt) / grid.log_pt,
            eta / grid.eta,
            phi * (grid.turn / (2 * math.pi)),
            np.where(far, np.log(np.abs(square)) * 0.5 / grid.log_pt, 0.0),
        ]
        sound = np.all([np.abs(values) < _LARGEST for values in columns], axis=0)
        columns = [np.rint(np.where(sound, values, 0)).astype(np.int64) for values in columns]
    columns[2] %= grid.turn
    integers = Integers(np.where(sound, kind, MASSLESS), *columns)
    back = restore(integers, grid, p4.dtype)
    kept = sound & within(p4, back, bounds)
    exact = Integers(np.where(kept, integers.kind, EXACT), *(np.where(kept, values, 0) for values in columns))
    return exact, np.where(kept[:, None], back, p4)


def restore(integers: Integers, grid: Grid, dtype: Any) -> np.ndarray:
    """Four-momenta of integers that are not ``EXACT``, the same bits on every machine.

    Returns:
        (E, px, py, pz) of that type, (n, 4).
    """
    with np.errstate(all="ignore"):
        pt = arithmetic.exp(integers.pt * grid.log_pt)
        cos, sin = arithmetic.cos_sin(integers.phi, grid.turn)
        px, py, pz = pt * cos, pt * sin, pt * arithmetic.sinh(integers.eta * grid.eta)
        mass = np.where(integers.kind == MASSLESS, 0.0, arithmetic.exp(integers.mass * grid.log_pt))
        square = np.where(integers.kind == SPACELIKE, -mass * mass, mass * mass)
        energy = np.sqrt(np.maximum(px * px + py * py + pz * pz + square, 0))
        return np.stack([energy, px, py, pz], axis=1).astype(dtype)


def errors(p4: np.ndarray, back: np.ndarray) -> dict[str, np.ndarray]:
    r"""How far particles were moved, (n,) each; 0 where nothing changed.

    ``pt``: :math:`|p_T' / p_T - 1|`; ``eta``, ``phi``: in units of 1e-3; ``mass``: :math:`|m'^2 - m^2| / 2 m^2`
    beyond what the number format resolves (:math:`32 \epsilon E^2`).
    """
    with np.errstate(all="ignore"):
        (pt, eta, phi, square), (pt2, eta2, phi2, square2) = coordinates(p4), coordinates(back)
        turn = np.abs(phi2 - phi)
        unresolved = _resolution(p4) * np.square(p4[:, 0].astype(np.float64))
        beyond = np.maximum(np.abs(square2 - square) - unresolved, 0)
        found = {
            "pt": np.abs(pt2 / pt - 1),
            "eta": 1e3 * np.abs(eta2 - eta),
            "phi": 1e3 * np.minimum(turn, 2 * math.pi - turn),
            "mass": np.where(beyond > 0, beyond / (2 * np.abs(square)), 0.0),
        }
    same = (p4 == back).all(axis=1)
    return {name: np.where(same, 0.0, values) for name, values in found.items()}


def within(p4: np.ndarray, back: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Whether each particle came back within the bounds, (n,)."""
    limits = {"pt": bounds.pt, "eta": bounds.angle, "phi": bounds.angle, "mass": bounds.pt * (1 + bounds.pt / 2)}
    moved = errors(p4, back)
    return np.isfinite(back).all(axis=1) & np.all([moved[name] <= limits[name] for name in limits], axis=0)


def coordinates(p4: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r""":math:`p_T, \eta, \varphi, m^2` in float64, (n,) each, :math:`m^2 = (E - |\vec p|)(E + |\vec p|)`."""
    energy, px, py, pz = p4.T.astype(np.float64)
    pt = np.hypot(px, py)
    length = np.hypot(pt, pz)
    return pt, np.arcsinh(pz / pt), np.arctan2(py, px), (energy - length) * (energy + length)


def _resolution(p4: np.ndarray) -> np.ndarray:
    """The part of E² below which m² is rounding, (n,); float32 numbers in a float64 column keep their rounding."""
    single = (p4 == p4.astype(np.float32)).all(axis=1)
    return _MASS_STEPS * np.where(single, np.finfo(np.float32).eps, np.finfo(p4.dtype).eps)
