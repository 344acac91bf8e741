"""How the particles of a file are written: plainly, or told apart from what a model rebuilds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

import numpy as np

from lgae_pyg.applications.compression.block import Jets, Layout, Walker
from lgae_pyg.applications.compression.particles import Walk
from lgae_pyg.applications.compression.streams import Tables, tables_to_bytes
from lgae_pyg.registry import check_choice


class Plain:
    """Each particle against those before it in its jet (:class:`~.particles.Walk`)."""

    name = "plain"

    @property
    def walk(self) -> Walker:
        """What goes through the particles."""
        return Walk

    def describe(self) -> dict[str, Any]:
        """Plain values from which :func:`coder_from` makes the same."""
        return {"name": self.name}

    def versions(self) -> dict[str, str]:
        """Versions of the packages that the bytes depend on."""
        return {"constriction": metadata.version("constriction")}

    def overhead(self, tables: Tables) -> int:
        """Bytes that the header takes for this coder, more or less."""
        return len(tables_to_bytes(tables)[1]) + len(repr(self.describe()))


class Rebuilt(Plain):
    """Each particle against the one that an autoencoder rebuilds from the code of the jet, which is stored.

    Args:
        rebuilder: the model.
        steps: of the numbers of the code.
    """

    name = "model"

    def __init__(self, rebuilder: Any, steps: np.ndarray) -> None:
        self._rebuilder, self._steps = rebuilder, steps

    @property
    def walk(self) -> Walker:
        from lgae_pyg.applications.compression.rebuilt import RebuiltWalk

        return lambda *arguments: RebuiltWalk(self._rebuilder, self._steps, *arguments)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, **self._rebuilder.describe(), "steps": self._steps.tolist()}

    def versions(self) -> dict[str, str]:
        return super().versions() | {"torch": metadata.version("torch")}


def variants(
    model: str | os.PathLike[str], unit: str | None, sample: Iterable[Jets], layout: Layout
) -> Iterator[Rebuilt]:
    """Coders with a model, of different steps of its code.

    Args:
        model: a checkpoint.
        unit: of the jets.
        sample: jets; the code's numbers are measured on the first ones.
        layout: of the file.

    Raises:
        ValueError: the model cannot be used.
    """
    from lgae_pyg.applications.compression.rebuilt import STEPS, Rebuilder, spread

    rebuilder = Rebuilder.load(model, unit)
    sizes = spread(rebuilder, next(iter(sample)), layout)
    return (Rebuilt(rebuilder, sizes * step) for step in STEPS)


def coder_from(described: Mapping[str, Any], unit: str | None, model: str | os.PathLike[str] | None) -> Plain:
    """The coder of a file.

    Args:
        described: what the header says of it.
        unit: of the jets.
        model: the checkpoint, where a model is needed.

    Raises:
        ValueError: a model is needed, or another one.
    """
    check_choice("coder of the file", described["name"], ("plain", "model"))
    if described["name"] == "plain":
        return Plain()
    from lgae_pyg.applications.compression.rebuilt import Rebuilder

    label, wanted = described.get("label"), described.get("fingerprint")
    if model is None:
        raise ValueError(
            f"the file was written with the model {label}, fingerprint {wanted}: give its checkpoint (model)"
        )
    rebuilder = Rebuilder.load(model, unit)
    if rebuilder.fingerprint != wanted:
        raise ValueError(
            f"{model} is not the model that the file was written with: its fingerprint is "
            f"{rebuilder.fingerprint}, that of the file {wanted} ({label})"
        )
    steps = np.asarray(described.get("steps"), dtype=np.float64)
    if steps.ndim != 1 or not (np.isfinite(steps) & (steps > 0)).all():
        raise ValueError("the steps of the code in the header cannot be")
    return Rebuilt(rebuilder, steps)
