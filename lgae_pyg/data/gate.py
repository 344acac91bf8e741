"""The gate: jets from a file or from memory are checked once, mended where that is possible, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from lgae_pyg.data.admission import IMPLAUSIBLE_MASS, LEAST_MASS, MASSIVE, Admission
from lgae_pyg.data.errors import DataFileError
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.registry import check_choice

#: Relative errors of E and |p|, in units of the source's rounding, that a chain of a few operations may leave.
ROUNDING_STEPS = 8

#: Momentum in GeV that no particle has, whoever looks at it: beyond, invariants of jets do not fit in float32.
LARGEST_MOMENTUM = 1e12

#: Energy below this share of |p| is no matter of rounding: the column is not the energy.
FAR_BELOW = 0.9


@dataclass(frozen=True)
class Rules:
    """What the gate does with jets.

    Args:
        num_particles: jets are cut to that many particles, the first ones after sorting; ``None`` for no cut.
        order: ``"pt"`` sorts the particles of a jet by falling pT where they are not (equal ones keep their
            order); ``"kept"`` leaves them as they came.
        bad_jets: ``"drop"`` leaves out jets that no network can read, and counts them; ``"stop"`` raises an error.

    Raises:
        ValueError: for an unknown choice, or fewer than one particle.
    """

    num_particles: int | None = None
    order: str = "pt"
    bad_jets: str = "drop"

    def __post_init__(self) -> None:
        check_choice("order", self.order, ("pt", "kept"))
        check_choice("bad_jets", self.bad_jets, ("drop", "stop"))
        if self.num_particles is not None and self.num_particles < 1:
            raise ValueError(f"num_particles must be at least 1, not {self.num_particles}.")


def admit(jets: FlatJets, rules: Rules | None = None, where: str = "") -> tuple[FlatJets, Admission]:
    r"""Checks jets, mends what can be mended, and counts all that was done.

    In this order: rows without energy (padding) are removed; jets that are empty, not finite, or hold a negative
    energy or momenta beyond 1e12 GeV are dropped (or stop everything); particles are sorted by falling
    :math:`p_T`; jets are cut. The result passes unchanged when it is given again, and the report of some jets is
    the sum of the reports of their parts.

    Args:
        jets: the jets as they were read.
        rules: what to do; the defaults of :class:`Rules` when omitted.
        where: name of the file, for messages.

    Returns:
        The jets, and the report.

    Raises:
        DataFileError: names file, jet, field and mend: the columns look like (px, py, pz, E),
            momenta are no floating-point numbers, or a jet is bad and ``bad_jets`` is ``"stop"``.
        ValueError: for an unknown unit.
    """
    rules = rules or Rules()
    check_choice("unit", jets.unit, UNITS_IN_GEV)
    if jets.p4.dtype not in (np.float32, np.float64):
        _refuse(where, None, f"holds {jets.p4.dtype}", "Momenta must be float32 or float64")
    jets = replace(jets)  # what was computed of these momenta before may be of others
    counts: dict[str, Any] = {"unit": jets.unit, "read": len(jets)}
    with np.errstate(over="ignore", invalid="ignore"):
        _check_columns(jets, where)
        jets, counts["padding"] = _without_padding(jets)
        jets, counts["dropped"] = _without_bad_jets(jets, rules, where)
        jets, disordered = _ordered(jets, rules)
        counts["sorted" if rules.order == "pt" else "unsorted"] = disordered
        jets, losses = _cut(jets, rules.num_particles)
        counts |= {"kept": len(jets), **losses, **_kinds_of_particles(jets)}
    return jets, Admission(**counts)


def faults(jets: FlatJets) -> np.ndarray:
    """Why no network can read a jet, in the words of :attr:`Admission.dropped`; empty for those that :func:`admit`
    keeps.

    Shapes:
        - **returns**: texts, :math:`(J,)`
    """
    found = np.full(len(jets), "", dtype=object)
    with np.errstate(over="ignore", invalid="ignore"):
        numbered, _ = _without_padding(replace(jets, rows=np.arange(len(jets))))
        for words, _, left, bad in _sifted(numbered):
            found[left.rows[bad]] = words
    return found


def _check_columns(jets: FlatJets, where: str) -> None:
    """Refuses momenta whose last column looks like the energy, and the first does not."""
    energy, px, py, pz = jets.columns
    far = energy * np.abs(energy) < FAR_BELOW**2 * jets.length2
    if 2 * np.count_nonzero(far) <= np.count_nonzero(jets.length2):
        return
    if 2 * np.count_nonzero(pz[far] >= 0.999 * np.sqrt(energy * energy + px * px + py * py)[far]) <= far.sum():
        return  # whatever it is; such particles are counted
    first = int(np.searchsorted(jets.ptr, np.flatnonzero(far)[0], side="right")) - 1
    mend = "The columns must be (E, px, py, pz): reorder them, p4[:, [3, 0, 1, 2]]"
    found = "has E < |p| by far for most particles: the columns look like (px, py, pz, E)"
    _refuse(where, int(jets.rows[first]), found, mend)


def _without_padding(jets: FlatJets) -> tuple[FlatJets, int]:
    occupied = jets.columns[0] != 0
    kept = np.count_nonzero(occupied)
    return (jets if kept == len(occupied) else jets.take_particles(occupied)), len(occupied) - kept


def _without_bad_jets(jets: FlatJets, rules: Rules, where: str) -> tuple[FlatJets, dict[str, int]]:
    """Leaves out the jets that no network can read, each counted under the first reason that it gives."""
    dropped = {}
    for words, name, before, bad in _sifted(jets):
        if rules.bad_jets == "stop":
            reason, mend = words.removeprefix(f"{name} "), "Mend it, or leave such jets out (bad_jets=drop)"
            _refuse(where, int(before.rows[np.flatnonzero(bad)[0]]), f"is {reason}", mend, name)
        dropped[words] = int(bad.sum())
        jets = before.take_jets(~bad)
    return jets, dropped


def _sifted(jets: FlatJets) -> Iterator[tuple[str, str, FlatJets, np.ndarray]]:
    """Each reason that jets give: its words, the field, the jets without one so far, flags of the bad ones."""
    for reason, field, find in _REASONS:
        for name in jets.particles if field == "particles" else (field,):
            bad = find(jets, name)
            if bad.any():
                yield (reason if name == "p4" else f"{name} {reason}"), name, jets, bad
                jets = jets.take_jets(~bad)


def _empty(jets: FlatJets, _: str) -> np.ndarray:
    return jets.sizes == 0


def _not_finite(jets: FlatJets, _: str) -> np.ndarray:
    return ~np.isfinite(jets.total).all(axis=0)


def _negative(jets: FlatJets, _: str) -> np.ndarray:
    return _any(jets, jets.columns[0] < 0)


def _too_large(jets: FlatJets, _: str) -> np.ndarray:
    limit = LARGEST_MOMENTUM / UNITS_IN_GEV[jets.unit]
    return _any(jets, (jets.columns[0] > limit) | (jets.length2 > limit**2))


def _feature_not_finite(jets: FlatJets, name: str) -> np.ndarray:
    return _any(jets, ~np.isfinite(jets.particles[name]))


def _weight_not_finite(jets: FlatJets, _: str) -> np.ndarray:
    return ~np.isfinite(jets.jets.get("weight", np.zeros(len(jets))))


#: What no network can read: the reason, the field, and a function that flags such jets.
_REASONS = (
    ("empty", "p4", _empty),
    ("not finite", "p4", _not_finite),
    ("of negative energy", "p4", _negative),
    ("of more than 1e12 GeV", "p4", _too_large),
    ("not finite", "particles", _feature_not_finite),
    ("not finite", "weight", _weight_not_finite),
)


def _ordered(jets: FlatJets, rules: Rules) -> tuple[FlatJets, int]:
    """Sorts the jets that are not ordered by falling pT beyond rounding; how many there are."""
    pt = jets.pt
    slack = 1 + ROUNDING_STEPS * np.finfo(jets.p4.dtype).eps
    rises = np.zeros(len(pt), dtype=bool)
    rises[1:] = pt[1:] > pt[:-1] * slack
    rises[jets.ptr[:-1]] = False  # no jet is empty here
    disordered = _any(jets, rises)
    if rules.order == "pt" and disordered.any():
        owner = jets.owner
        rows = np.flatnonzero(disordered[owner])
        order = np.arange(len(pt))
        order[rows] = rows[np.lexsort((-pt[rows], owner[rows]))]
        jets = jets.take_particles(order)
    return jets, int(disordered.sum())


def _cut(jets: FlatJets, num_particles: int | None) -> tuple[FlatJets, dict[str, Any]]:
    """Cuts jets to their first particles, and measures what it costs."""
    pt, mass = _pt_and_mass(jets)
    report: dict[str, Any] = {"pt": float(pt.sum()), "mass": float(mass.sum()), **_plausibility(jets, mass)}
    large = jets.sizes > (num_particles or len(jets.p4))
    if large.any():
        particles = len(jets.p4)
        place = np.arange(particles) - np.repeat(jets.ptr[:-1], jets.sizes)
        jets = jets.take_particles(place < num_particles)
        pt_left, left = _pt_and_mass(jets)
        pt_lost, mass_lost = (pt - pt_left)[large], np.maximum(mass - left, 0)[large]
        report |= {"cut": int(large.sum()), "cut_particles": particles - len(jets.p4), "cut_to": num_particles}
        report |= {"pt_lost": float(pt_lost.sum()), "pt_worst": _worst(pt_lost, pt[large])}
        report |= {"mass_lost": float(mass_lost.sum()), "mass_worst": _worst(mass_lost, mass[large])}
        mass = left
    return jets, report | _against_reference(jets, mass)


def _plausibility(jets: FlatJets, mass: np.ndarray) -> dict[str, int]:
    """Jets heavier than any collider makes, and jets of several particles that are lighter than jets are."""
    gev, crowded = mass * UNITS_IN_GEV[jets.unit], jets.sizes > 5
    flags = {"heavy": gev > IMPLAUSIBLE_MASS, "crowded": crowded, "light": crowded & (gev < LEAST_MASS)}
    return {name: int(flag.sum()) for name, flag in flags.items()}


def _against_reference(jets: FlatJets, mass: np.ndarray) -> dict[str, float]:
    """The mass of the particles that are left beside the jet mass that the file gives (``jet_ref``)."""
    reference = jets.jets.get("jet_ref")
    if reference is None:
        return {}
    given = np.asarray(reference)[:, 3].astype(np.float64)
    known = np.isfinite(given) & (given > 0)
    lost = given[known] - mass[known]
    totals = {"reference_mass": float(given[known].sum()), "reference_lost": float(lost.sum())}
    return totals | {"reference_worst": _worst(np.abs(lost), given[known])}


def _kinds_of_particles(jets: FlatJets) -> dict[str, int]:
    r"""How many particles have mass, no momentum, or :math:`E < |\vec p|` beyond the rounding of the source."""
    p4, length2 = jets.p4, jets.length2
    square = jets.columns[0] * jets.columns[0]
    massive = np.count_nonzero(length2 < square * (1 - MASSIVE))
    below = np.flatnonzero(length2 > square * _slack(p4.dtype))
    if p4.dtype == np.float64 and len(below):  # float32 numbers in a float64 column keep their rounding
        single = (p4[below] == p4[below].astype(np.float32)).all(axis=1)
        below = below[~single | (length2[below] > square[below] * _slack(np.float32))]
    at_rest = len(p4) - np.count_nonzero(length2)
    return {"particles": len(p4), "massive": massive, "below_shell": len(below), "at_rest": at_rest}


def _slack(dtype: Any) -> float:
    """What the square of a number of that type may be off by, as a factor."""
    return (1 + ROUNDING_STEPS * float(np.finfo(dtype).eps)) ** 2


def _sums(jets: FlatJets, values: np.ndarray) -> np.ndarray:
    """Sums over the particles of each jet along the last axis; no jet is empty."""
    return np.add.reduceat(values, jets.ptr[:-1], axis=-1) if len(jets) else values[..., :0]


def _any(jets: FlatJets, flags: np.ndarray) -> np.ndarray:
    """Whether a particle of the jet has the flag, (J,)."""
    found = np.zeros(len(jets), dtype=bool)
    rows = np.flatnonzero(flags.reshape(len(flags), -1).any(axis=1) if flags.ndim > 1 else flags)
    found[np.searchsorted(jets.ptr, rows, side="right") - 1] = True
    return found


def _pt_and_mass(jets: FlatJets) -> tuple[np.ndarray, np.ndarray]:
    """Scalar sum of the particles' pT and invariant mass of each jet, (J,) each; masses below zero are zero."""
    energy, px, py, pz = jets.total
    mass = np.sqrt(np.maximum(energy * energy - px * px - py * py - pz * pz, 0))
    return _sums(jets, jets.pt), mass


def _worst(lost: np.ndarray, whole: np.ndarray) -> float:
    """The largest share that a jet lost."""
    share = np.divide(lost, whole, out=np.zeros_like(whole), where=whole > 0)
    return float(share.max(initial=0.0))


def _refuse(where: str, row: int | None, reason: str, mend: str, field: str = "p4") -> NoReturn:
    place = ", ".join(part for part in (where, "" if row is None else f"jet {row} (row from 0)") if part)
    raise DataFileError(f"{place or 'The jets'}: the field '{field}' {reason}. {mend}.")
