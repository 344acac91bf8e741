"""What separate jets must have in common to be laid one after another."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from lgae_pyg.data.jet import JetData, unit_of


def without_units(jets: list[JetData], meta: Mapping[str, Any] | None) -> tuple[list[JetData], dict[str, Any]]:
    """The jets without their field ``unit``, which all must agree on, and which goes into the meta."""
    meta, units = dict(meta or {}), {unit_of(jet) for jet in jets}
    if None in units:  # that some have one and some have none is said with the other fields
        return jets, meta
    units |= {meta.get("unit", *units)} if len(units) == 1 else set()
    if len(units) > 1:
        names = ", ".join(sorted(units))
        raise ValueError(f"The jets state different units ({names}): bring them to one, jet.in_unit('TeV').")
    jets = [copy.copy(jet) for jet in jets]
    for jet in jets:
        del jet.unit
    return jets, {**meta, "unit": units.pop()}


def first_difference(jets: Sequence[JetData], names: Iterable[str]) -> str | None:
    """Which field is of another kind in which jet than in the first, in one sentence."""
    for name in names:
        first = _kind(jets[0][name])
        for number, jet in enumerate(jets):
            if _kind(jet[name]) != first:
                return f"The field '{name}' is {_kind(jet[name])} in jet {number}, but {first} in jet 0."
    return None


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    shape = ", ".join(("n", *map(str, value.shape[1:]))) if value.dim() else ""
    return f"a tensor of shape ({shape})"
