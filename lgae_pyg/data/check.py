"""The gate for batches: what a model is given in Python is checked once, before it looks at it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.data.admission import IMPLAUSIBLE_MASS, LEAST_MASS
from lgae_pyg.data.jet import MOVED, JetData, check_mark, jet_name, problem_with, set_mark, unit_of
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.lorentz.kinematics import energy, mass, transverse_momentum

#: A jet is clearly unsorted where a particle has so much more pT than the one before.
CLEARLY = 1.01


def check_batch(
    batch: Any,
    offsets: Callable[[Any], Tensor],
    unit: str | None = None,
    ordered: bool = False,
    slots: int | None = None,
    padding: bool = False,
) -> None:
    r"""Refuses a batch that a model cannot read, or would read as something else.

    Jets of a store that went through the gate (:mod:`lgae_pyg.data.gate`) carry a mark, as do batches that passed
    here; of those only the unit is compared, and no GPU is waited for. The mark is lost with other momenta
    (``batch.pos = ...``, in-place changes).

    Args:
        batch: a PyG batch, or anything with ``pos``.
        offsets: gives ``ptr``, the offsets of its jets, shape :math:`(B + 1,)`; called where they are needed.
        unit: the unit that the model works in; ``None`` if unknown.
        ordered: whether the model takes the particles in the order of the list. Most jets unsorted by falling pT
            are then warned of; jets that were sorted before they were moved (boosted) are not.
        slots: the largest number of particles that the model has room for; ``None`` for any.
        padding: whether rows of zeros are allowed.

    Raises:
        ValueError: names the jet, the field and the mend: a stated unit other than the model's, momenta without
            stated unit whose jets would be heavier than 15 TeV in the model's (where they would be lighter than
            0.5 GeV, or the unit is stated, it is a warning), no floating-point numbers, not finite,
            negative energies, rows of zeros, columns in another order, empty jets, more particles than slots.
    """
    stated = unit_of(batch)
    if stated is not None and unit is not None and stated != unit:
        raise ValueError(
            f"the batch is in {stated}, but the model works in {unit}: convert it, "
            f"model(batch.in_unit('{unit}')); or, "
            f"if the model is to learn jets in {stated}, set model.unit = '{stated}'"
        )
    if check_mark(batch):
        return
    ptr = offsets(batch)
    with torch.no_grad():
        _check_values(batch, ptr, slots, padding)
        if unit is not None:
            _check_plausible(batch.pos, ptr, unit, stated)
        if ordered and getattr(batch, "_mark", None) != MOVED:
            _check_order(batch.pos, ptr)
    if isinstance(batch, JetData):
        set_mark(batch)


def _check_values(batch: Any, ptr: Tensor, slots: int | None, padding: bool) -> None:
    p4 = batch.pos
    sizes = ptr.diff()
    if not p4.is_floating_point():
        raise ValueError(problem_with(p4))
    sound = torch.isfinite(p4).all() & ((energy(p4) >= 0) if padding else (energy(p4) > 0)).all()
    last = (p4[:, 3] > 0.999 * torch.linalg.vector_norm(p4[:, :3], dim=-1)).float().mean()
    facts = torch.stack([sound, last <= 0.5, (sizes > 0).all(), sizes.max() <= (slots or len(p4))])
    if facts.all():
        return
    filled, fits = facts[2:].tolist()
    if not filled:
        number = int(sizes.argmin())
        raise ValueError(f"{_name(batch, ptr, number)}: the field 'pos' has no particle: leave empty jets out")
    if not fits:
        number = int(sizes.argmax())
        raise ValueError(
            f"{_name(batch, ptr, number)} has {int(sizes[number])} particles, but the model has {slots} slots: "
            f"keep the {slots} leading ones (num_particles={slots} of the data set) or build a larger model"
        )
    for number, (begin, end) in enumerate(zip(ptr.tolist(), ptr[1:].tolist())):
        problem = problem_with(p4[begin:end], padding)
        if problem:
            raise ValueError(f"{_name(batch, ptr, number)}: {problem}")


def _check_plausible(p4: Tensor, ptr: Tensor, unit: str, stated: str | None) -> None:
    """The median mass of the jets, which no boost changes, cannot be above 15 TeV, nor tiny for many particles."""
    sizes = ptr.diff()
    graph = torch.repeat_interleave(sizes, output_size=len(p4))
    jets = torch.zeros(len(sizes), 4, dtype=torch.float64, device=p4.device).index_add(0, graph, p4.double())
    gev, crowded = mass(jets).abs() * UNITS_IN_GEV[unit], sizes > 5
    heavy = 2 * (gev > IMPLAUSIBLE_MASS).sum() > len(sizes)
    light = 2 * (crowded & (gev < LEAST_MASS)).sum() > crowded.sum()
    heavy, light = torch.stack([heavy, light]).tolist()
    if not heavy and not light:
        return
    found = "heavier than 15 TeV" if heavy else "lighter than 0.5 GeV"
    text = f"most jets of the batch are {found} if 'pos' is in {unit}, the unit of the model"
    likely = {"TeV": "GeV", "PeV": "TeV"} if heavy else {"GeV": "TeV", "TeV": "PeV"}
    mend = (
        f"{text}: it looks like {likely.get(unit, 'another unit')}. State the unit, JetData(pos=..., unit='GeV') "
        f"or batch.unit = 'GeV', and convert, model(batch.in_unit('{unit}'))"
    )
    if heavy and stated is None:
        raise ValueError(f"{mend}; if they are in {unit} all the same, say so: batch.unit = '{unit}'")
    warnings.warn(mend, stacklevel=5)


def _check_order(p4: Tensor, ptr: Tensor) -> None:
    pt, sizes = transverse_momentum(p4), ptr.diff()
    graph = torch.repeat_interleave(sizes, output_size=len(p4))
    rises = (pt[1:] > CLEARLY * pt[:-1]) & (graph[1:] == graph[:-1])
    unsorted = torch.zeros_like(sizes).index_add(0, graph[1:], rises.long()) > 0
    if 2 * int(unsorted.sum()) > len(sizes):
        warnings.warn(
            "most jets of the batch are not sorted by falling pT, and the model takes the particles in their "
            "order: sort them as the training jets were (lgae_pyg.data.gate.admit), or the result means little",
            stacklevel=5,
        )


def _name(batch: Any, ptr: Tensor, number: int) -> str:
    """Jet number so and so of the batch, with class and row where the batch knows them."""
    jets, known = len(ptr) - 1, {}
    for field in ("y", "jet_id"):
        value = getattr(batch, field, None)
        if isinstance(value, Tensor) and value.numel() == jets:
            known[field] = value.flatten()[number]
    name = jet_name(JetData(**known)) if known else ""
    return f"jet {number} of the batch" + (f" ({name})" if name else "")
