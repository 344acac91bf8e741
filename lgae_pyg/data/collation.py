"""Separate jets laid one after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data.jet import JetData, unit_named
from lgae_pyg.data.rounding import format_of, rounding_at_rest

_PARTICLE_FIELDS = ("pos", "x")


def collate(
    jets: Iterable[JetData], meta: Mapping[str, Any] | None = None
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """What :meth:`lgae_pyg.data.JetStore.from_jets` makes its store of.

    Returns:
        ``ptr``, the particle fields, the jet fields, and the meta with the unit of the jets.

    Raises:
        ValueError: as there.
    """
    jets = list(jets)
    if not jets:
        raise ValueError("A JetStore cannot be made of no jets.")
    names = dict.fromkeys(name for jet in jets for name in jet.keys())
    for number, jet in enumerate(jets):
        missing = [name for name in ("pos", *names) if name not in jet]
        if missing:
            raise ValueError(f"Jet {number} has no field '{missing[0]}': give it to all jets or to none.")
    for name in names:
        check_name(name)
    try:
        whole = Batch.from_data_list(jets)
    except Exception as error:
        raise ValueError(_first_difference(jets, names) or f"The jets cannot be collated: {error}") from error
    particle_fields, jet_fields = {}, {}
    ptr, one_each = whole._slice_dict["pos"], torch.arange(len(jets) + 1)
    for name in names:
        value, slices = whole[name], whole._slice_dict[name]
        if not isinstance(value, Tensor):
            kind = type(jets[0][name]).__name__
            raise ValueError(f"The field '{name}' is a {kind}: a JetStore holds numbers and tensors only.")
        if name not in _PARTICLE_FIELDS and torch.equal(slices, one_each):
            jet_fields[name] = value
        elif torch.equal(slices, ptr):
            particle_fields[name] = value
        else:
            rows = slices.diff()
            number = int((rows != ptr.diff()).nonzero()[0])
            raise ValueError(
                f"The field '{name}' of jet {number} has {rows[number]} rows, neither one per particle "
                f"({len(jets[number].pos)}) nor one: what belongs to a whole jet has the shape (1, ...)."
            )
    meta = dict(meta or {})
    if "unit_in_gev" in jet_fields:
        unit = unit_named(jet_fields.pop("unit_in_gev"))
        if meta.setdefault("unit", unit) != unit:
            raise ValueError(f"The jets are in {unit}, and not in {meta['unit']} as the meta says.")
    if "rounding" in jet_fields:
        rounding = jet_fields["rounding"]
        given = format_of(rounding)
        if given != particle_fields["pos"].dtype:
            meta.setdefault("given", str(given).removeprefix("torch."))
        if torch.equal(rounding, rounding_at_rest(given, len(rounding))):
            del jet_fields["rounding"]  # the store says it of all
    return ptr, particle_fields, jet_fields, meta


def check_name(name: str) -> None:
    """A name that PyTorch Geometric's collation leaves alone, or a ``ValueError``."""
    if "index" in name or "batch" in name or name in ("ptr", "face", "p4", "num_nodes"):
        raise ValueError(f"The field name '{name}' means something else to PyTorch Geometric.")


def _first_difference(jets: Sequence[JetData], names: Iterable[str]) -> str | None:
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
