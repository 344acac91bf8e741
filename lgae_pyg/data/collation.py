"""What separate jets must have in common to be laid one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from lgae_pyg.data.jet import JetData


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
