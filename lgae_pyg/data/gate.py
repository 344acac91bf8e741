"""The gate: jets from a file or from memory are checked once, mended where that is possible, and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from lgae_pyg.data.admission import IMPLAUSIBLE_MASS, LEAST_MASS, MASSIVE, Admission
from lgae_pyg.data.errors import DataFileError
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.registry import check_choice

#: Relative errors of E and |p|, in units of the source's rounding, that a chain of a few operations may leave.
ROUNDING_STEPS = 8

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
    energy are dropped (or stop everything); particles are sorted by falling :math:`p_T`; jets are cut. The result
    passes unchanged when it is given again, and the report of some jets is the sum of the reports of their parts.

    Args:
        jets: the jets as they were read.
        rules: what to do; the defaults of :class:`Rules` when omitted.
        where: name of the file, for messages.

    Returns:
        The jets, and the report.

    Raises:
        DataFileError: names file, jet, field and mend: the first column is not the energy (as with the columns
            px, py, pz, E), momenta are no floating-point numbers, or a jet is bad and ``bad_jets`` is ``"stop"``.
        ValueError: for an unknown unit.
    """
    rules = rules or Rules()
    check_choice("unit", jets.unit, UNITS_IN_GEV)
    _check_columns(jets, where)
    read, rows = len(jets), len(jets.p4)
    occupied = jets.p4[:, 0] != 0
    if not occupied.all():
        jets = jets.take_particles(occupied)
    padding = rows - len(jets.p4)
    jets, dropped = _without_bad_jets(jets, rules, where)
    jets, disordered = _ordered(jets, rules)
    jets, cut = _cut(jets, rules.num_particles)
    kinds = _kinds_of_particles(jets.p4)
    order = {"sorted": disordered} if rules.order == "pt" else {"unsorted": disordered}
    counts = {"read": read, "kept": len(jets), "dropped": dropped, "padding": padding, **order, **kinds, **cut}
    return jets, Admission(unit=jets.unit, **counts)


def _check_columns(jets: FlatJets, where: str) -> None:
    """Refuses momenta that are no floating-point numbers, or whose first column cannot be the energy."""
    p4 = jets.p4
    if p4.dtype not in (np.float32, np.float64):
        _refuse(where, None, f"holds {p4.dtype}", "Momenta must be float32 or float64")
    with np.errstate(invalid="ignore", over="ignore"):
        energy, length = _column(p4, 0), np.sqrt(_sum_of_squares(p4[:, 1:]))
        far = energy < FAR_BELOW * length
        if 2 * np.count_nonzero(far) <= np.count_nonzero(energy + length != 0):
            return
        last = _column(p4, 3)[far]
        swapped = last >= np.sqrt(_sum_of_squares(p4[far, :3])) * (1 - 1e-3)
    found = "has E < |p| by far for most particles"
    if 2 * np.count_nonzero(swapped) > len(last):
        found += ": the columns look like (px, py, pz, E)"
    first = int(np.searchsorted(jets.ptr, np.flatnonzero(far)[0], side="right")) - 1
    mend = "The columns must be (E, px, py, pz): reorder them, p4[:, [3, 0, 1, 2]]"
    _refuse(where, int(jets.rows[first]), found, mend)


def _without_bad_jets(jets: FlatJets, rules: Rules, where: str) -> tuple[FlatJets, dict[str, int]]:
    """Leaves out the jets that no network can read, each counted under the first reason that it gives."""
    good = np.ones(len(jets), dtype=bool)
    dropped = {}
    for reason, field, mend, bad in _reasons(jets):
        bad &= good
        if bad.any():
            if rules.bad_jets == "stop":
                mend += ", or leave such jets out (bad_jets=drop)"
                _refuse(where, int(jets.rows[np.flatnonzero(bad)[0]]), f"is {reason}", mend, field)
            name = reason if field == "p4" else f"{field} {reason}"
            dropped[name] = int(bad.sum())
            good &= ~bad
    return (jets if good.all() else jets.take_jets(good)), dropped


def _reasons(jets: FlatJets):
    """What can be wrong with a jet: reason, field, mend, and a flag for each jet."""
    yield "empty", "p4", "Remove the jet", jets.sizes == 0
    yield "not finite", "p4", "Remove the jet", ~np.isfinite(_total(jets)).all(axis=1)
    yield "of negative energy", "p4", "The columns must be (E, px, py, pz)", _any(jets, jets.p4[:, 0] < 0)
    for name, values in jets.particles.items():
        if values.dtype.kind == "f":
            wrong = ~np.isfinite(values)
            yield "not finite", name, "Mend the column", _any(jets, wrong)
    if "weight" in jets.jets:
        yield "not finite", "weight", "Mend the weight", ~np.isfinite(jets.jets["weight"])


def _ordered(jets: FlatJets, rules: Rules) -> tuple[FlatJets, int]:
    """Sorts the jets that are not ordered by falling pT beyond rounding; how many there are."""
    pt = _transverse(jets.p4)
    slack = 1 + ROUNDING_STEPS * np.finfo(jets.p4.dtype).eps
    rises = np.zeros(len(pt), dtype=bool)
    rises[1:] = pt[1:] > pt[:-1] * slack
    rises[jets.ptr[:-1]] = False  # no jet is empty here
    if not rises.any():
        return jets, 0
    owner = jets.owner
    disordered = np.bincount(owner[rises], minlength=len(jets)) > 0
    if rules.order == "pt":
        rows = np.flatnonzero(disordered[owner])
        order = np.arange(len(pt))
        order[rows] = rows[np.lexsort((-pt[rows], owner[rows]))]
        jets = jets.take_particles(order)
    return jets, int(disordered.sum())


def _cut(jets: FlatJets, num_particles: int | None) -> tuple[FlatJets, dict[str, float]]:
    """Cuts jets to their first particles, and measures what it costs."""
    pt, mass = _sum(jets, _transverse(jets.p4)), _mass(jets)
    large = jets.sizes > (num_particles or len(jets.p4))
    report = {"pt": float(pt.sum()), "mass": float(mass.sum()), **_plausibility(jets, mass)}
    if large.any():
        before = len(jets.p4)
        place = np.arange(before) - np.repeat(jets.ptr[:-1], jets.sizes)
        jets = jets.take_particles(place < num_particles)
        pt_lost, mass_lost = pt - _sum(jets, _transverse(jets.p4)), np.maximum(mass - (left := _mass(jets)), 0)
        report |= {"cut": int(large.sum()), "cut_particles": before - len(jets.p4)}
        report |= {"pt_lost": float(pt_lost[large].sum()), "pt_worst": _worst(pt_lost[large], pt[large])}
        report |= {"mass_lost": float(mass_lost[large].sum()), "mass_worst": _worst(mass_lost[large], mass[large])}
        mass = left
    return jets, report | _against_reference(jets, mass)


def _plausibility(jets: FlatJets, mass: np.ndarray) -> dict[str, int]:
    """Jets heavier than any collider makes, and jets of several particles lighter than a pair of pions' scale."""
    gev = UNITS_IN_GEV[jets.unit]
    crowded = jets.sizes > 5
    light = crowded & (mass * gev < LEAST_MASS)
    heavy = mass * gev > IMPLAUSIBLE_MASS
    return {"heavy": int(heavy.sum()), "crowded": int(crowded.sum()), "light": int(light.sum())}


def _against_reference(jets: FlatJets, mass: np.ndarray) -> dict[str, float]:
    """The mass of the particles that are left beside the jet mass that the file gives (``jet_ref``)."""
    reference = jets.jets.get("jet_ref")
    if reference is None or not len(jets):
        return {}
    given = reference[:, 3].astype(np.float64)
    known = np.isfinite(given) & (given > 0)
    lost = given[known] - mass[known]
    totals = {"reference_mass": float(given[known].sum()), "reference_lost": float(lost.sum())}
    return totals | {"reference_worst": _worst(np.abs(lost), given[known])}


def _kinds_of_particles(p4: np.ndarray) -> dict[str, int]:
    r"""How many particles have mass (:math:`m^2/E^2 > 10^{-4}`), and how many :math:`E < |\vec p|` beyond rounding."""
    energy = _column(p4, 0)
    square, length2 = energy * energy, _sum_of_squares(p4[:, 1:])
    below = np.flatnonzero(length2 > square * (1 + ROUNDING_STEPS * np.finfo(p4.dtype).eps) ** 2)
    if p4.dtype == np.float64 and len(below):  # float32 numbers in a float64 column keep their rounding
        single = (p4[below] == p4[below].astype(np.float32)).all(axis=1)
        slack = np.where(single, 1 + ROUNDING_STEPS * np.finfo(np.float32).eps, 1.0) ** 2
        below = below[length2[below] > square[below] * slack]
    massive = np.count_nonzero(square - length2 > MASSIVE * square)
    return {"particles": len(p4), "massive": massive, "below_shell": len(below)}


def _column(p4: np.ndarray, number: int) -> np.ndarray:
    return p4[:, number].astype(np.float64)


def _sum_of_squares(columns: np.ndarray) -> np.ndarray:
    """Sum of the squares of some columns in float64, (n,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return sum(_column(columns, number) ** 2 for number in range(columns.shape[1]))


def _transverse(p4: np.ndarray) -> np.ndarray:
    return np.sqrt(_sum_of_squares(p4[:, 1:3]))


def _sum(jets: FlatJets, values: np.ndarray) -> np.ndarray:
    """The sum over the particles of each jet, (J,)."""
    return np.bincount(jets.owner, weights=values, minlength=len(jets))


def _any(jets: FlatJets, flags: np.ndarray) -> np.ndarray:
    """Whether a particle of the jet has the flag, (J,)."""
    if flags.ndim > 1:
        flags = flags.reshape(len(flags), -1).any(axis=1)
    found = np.zeros(len(jets), dtype=bool)
    found[np.searchsorted(jets.ptr, np.flatnonzero(flags), side="right") - 1] = True
    return found


def _total(jets: FlatJets) -> np.ndarray:
    """Total momentum of each jet in float64, (J, 4); not finite where one of its particles is not."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.stack([_sum(jets, jets.p4[:, number]) for number in range(4)], axis=1)


def _mass(jets: FlatJets) -> np.ndarray:
    total = _total(jets)
    return np.sqrt(np.maximum(total[:, 0] ** 2 - _sum_of_squares(total[:, 1:]), 0))


def _worst(lost: np.ndarray, whole: np.ndarray) -> float:
    """The largest share that a jet lost."""
    share = np.divide(lost, whole, out=np.zeros_like(whole), where=whole > 0)
    return float(share.max(initial=0.0))


def _refuse(where: str, row: int | None, reason: str, mend: str, field: str = "p4") -> NoReturn:
    place = ", ".join(part for part in (where, "" if row is None else f"jet {row} (row from 0)") if part)
    raise DataFileError(f"{place or 'The jets'}: the field '{field}' {reason}. {mend}.")
