"""How the particles of a file are written: plainly, or told apart from what a model rebuilds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from lgae_pyg.applications.compression import arithmetic
from lgae_pyg.applications.compression.block import Jets, Layout, Walker
from lgae_pyg.applications.compression.particles import Walk
from lgae_pyg.applications.compression.streams import Tables, tables_to_bytes
from lgae_pyg.data.units import unit_factor
from lgae_pyg.registry import check_choice


class Plain:
    """Each particle against those before it in its jet (:class:`~.particles.Walk`)."""

    name = "plain"

    @property
    def walk(self) -> Walker:
        """What goes through the particles."""
        return Walk

    @property
    def walks(self) -> tuple[Walker, ...]:
        """What may write a block so that :attr:`walk` can read it: the shortest is taken. First comes that itself,
        last what tables of frequencies are made with."""
        return (self.walk,)

    def describe(self) -> dict[str, Any]:
        """Plain values from which :func:`coder_from` makes the same."""
        return {"name": self.name}

    def versions(self) -> dict[str, str]:
        """Versions of the packages that the bytes depend on."""
        return {"constriction": metadata.version("constriction")}

    def overhead(self, tables: Tables) -> int:
        """Bytes that the header takes for this coder, more or less."""
        return len(tables_to_bytes(tables)[1]) + len(repr(self.describe()))


class Learned(Plain):
    """Each particle with the laws of a network that comes with the package (:class:`~.learned.LearnedWalk`).

    Args:
        unit: of the jets; ``None`` is taken for GeV, which costs bits if it is not.
    """

    name = "learned"

    def __init__(self, unit: str | None) -> None:
        from lgae_pyg.applications.compression.network import load

        self._network = load()
        self._log_unit = float(arithmetic.log(np.array([unit_factor(unit or "GeV", "GeV")]))[0])

    @property
    def walk(self) -> Walker:
        return self.walks[0]

    @property
    def walks(self) -> tuple[Walker, ...]:
        from lgae_pyg.applications.compression.learned import LearnedWalk

        return tuple(partial(LearnedWalk, self._network, self._log_unit, plain) for plain in (False, True))

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "fingerprint": self._network.fingerprint}


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
    check_choice("coder of the file", described["name"], ("plain", "learned", "model"))
    if described["name"] == "plain":
        return Plain()
    if described["name"] == "learned":
        learned = Learned(unit)
        if learned.describe()["fingerprint"] != described.get("fingerprint"):
            raise ValueError(
                f"the file was written with the network {described.get('fingerprint')} of another version of "
                f"lgae_pyg; this one has {learned.describe()['fingerprint']}: read it with that version"
            )
        return learned
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
