"""Some jets as flat arrays, on their way from a file to the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class FlatJets:
    r"""Jets of different sizes as they were read: readers give them, the gate checks them, the store keeps them.

    The particles of all jets lie one after another; jet :math:`b` owns the rows ``ptr[b]`` to ``ptr[b + 1]``.
    Nothing is promised yet about order, padding or values: that is what :mod:`lgae_pyg.data.gate` is for.

    Args:
        p4: four-momenta (E, px, py, pz), float32 or float64 as in the file, in ``unit``.
        ptr: first particle of each jet, and at the end the number of all particles.
        particles: further columns with a value per particle, by name (charge, particle type, displacement).
        jets: columns with a row per jet, by name: ``y`` (class number), ``weight``, reference values, observers.
        rows: place of each jet in its file; 0, 1, ... when omitted.
        unit: unit of the momenta.

    Shapes:
        - **p4**: :math:`(n, 4)`, **particles**: :math:`(n,)` each
        - **ptr**: :math:`(J + 1,)`, **rows**: :math:`(J,)`, **jets**: :math:`(J, \ldots)` each

    Raises:
        ValueError: if the shapes do not agree; the message names the column.
    """

    p4: np.ndarray
    ptr: np.ndarray
    particles: Mapping[str, np.ndarray] = field(default_factory=dict)
    jets: Mapping[str, np.ndarray] = field(default_factory=dict)
    rows: np.ndarray = None  # type: ignore[assignment]  # numbered when the jets are made
    unit: str = "GeV"

    def __post_init__(self) -> None:
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(self.ptr) - 1))
        if self.p4.ndim != 2 or self.p4.shape[1] != 4:
            raise ValueError(f"four-momenta must have the shape (particles, 4), not {self.p4.shape}")
        if self.ptr[0] != 0 or self.ptr[-1] != len(self.p4) or (np.diff(self.ptr) < 0).any():
            raise ValueError(f"ptr must rise from 0 to the number of particles, {len(self.p4)}")
        for columns, length, kind in ((self.particles, len(self.p4), "particle"), (self.jets, len(self), "jet")):
            for name, values in columns.items():
                if len(values) != length:
                    raise ValueError(f"the column '{name}' has {len(values)} values for {length} {kind}s")
        if len(self.rows) != len(self):
            raise ValueError(f"rows has {len(self.rows)} values for {len(self)} jets")

    def __len__(self) -> int:
        return len(self.ptr) - 1

    @property
    def sizes(self) -> np.ndarray:
        """Number of particles of each jet, (J,)."""
        return np.diff(self.ptr)

    @property
    def owner(self) -> np.ndarray:
        """The jet of each particle, (n,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @cached_property
    def columns(self) -> np.ndarray:
        """The components of the momenta one after another in float64, (4, n); computed once."""
        return self.p4.T.astype(np.float64, order="C")

    @cached_property
    def total(self) -> np.ndarray:
        """The four-momenta of the jets, (4, J), of which none may be empty; computed once."""
        return np.add.reduceat(self.columns, self.ptr[:-1], axis=-1) if len(self) else self.columns

    @cached_property
    def length2(self) -> np.ndarray:
        r"""The squares :math:`|\vec p|^2` in float64, (n,); computed once."""
        _, px, py, pz = self.columns
        return px * px + py * py + pz * pz

    @cached_property
    def pt(self) -> np.ndarray:
        r"""The transverse momenta :math:`p_T = \sqrt{p_x^2 + p_y^2}` in float64, (n,); computed once."""
        _, px, py, _ = self.columns
        return np.sqrt(px * px + py * py)

    @classmethod
    def joined(cls, parts: Sequence[FlatJets]) -> FlatJets:
        """Jets of several parts, at least one, with the same columns, one after another."""
        first, *more = parts
        if not more:
            return first
        sizes = np.concatenate([part.sizes for part in parts])
        particles = {name: np.concatenate([part.particles[name] for part in parts]) for name in first.particles}
        jets = {name: np.concatenate([part.jets[name] for part in parts]) for name in first.jets}
        p4, rows = (np.concatenate([getattr(part, name) for part in parts]) for name in ("p4", "rows"))
        return cls(p4, np.concatenate([[0], np.cumsum(sizes)]), particles, jets, rows, first.unit)

    def take_particles(self, chosen: np.ndarray) -> FlatJets:
        """The jets with some of their particles.

        Args:
            chosen: flags, one per particle; or numbers of particles, those of a jet together and the jets in their
                order (as a sorting within the jets gives them).
        """
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        ptr = np.zeros(len(self.ptr), dtype=np.int64)
        np.cumsum(np.bincount(self.owner[chosen], minlength=len(self)), out=ptr[1:])
        particles = {name: values[chosen] for name, values in self.particles.items()}
        return replace(self, p4=self.p4[chosen], ptr=ptr, particles=particles)

    def take_jets(self, chosen: np.ndarray) -> FlatJets:
        """Some of the jets, by flags or by numbers."""
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        sizes = self.sizes[numbers]
        ptr = np.zeros(len(numbers) + 1, dtype=np.int64)
        np.cumsum(sizes, out=ptr[1:])
        places = np.arange(ptr[-1]) + np.repeat(self.ptr[:-1][numbers] - ptr[:-1], sizes)
        particles = {name: values[places] for name, values in self.particles.items()}
        jets = {name: values[numbers] for name, values in self.jets.items()}
        return replace(self, p4=self.p4[places], ptr=ptr, particles=particles, jets=jets, rows=self.rows[numbers])
