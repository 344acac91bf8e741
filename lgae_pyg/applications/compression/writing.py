"""Jets into a file: blocks, tables, and the choice of the coder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lgae_pyg.applications.compression.block import (
    Jets,
    Layout,
    Written,
    count_block,
    field_columns,
    write_block,
)
from lgae_pyg.applications.compression.coders import Learned, Plain, variants
from lgae_pyg.applications.compression.container import Header, write_block_of, write_header
from lgae_pyg.applications.compression.particles import CELLS
from lgae_pyg.applications.compression.quantise import Bounds, Grid
from lgae_pyg.applications.compression.streams import Counter, library
from lgae_pyg.data import JetStore
from lgae_pyg.files import plain, write_atomically
from lgae_pyg.lock import writing
from lgae_pyg.registry import check_choice
from lgae_pyg.version import __version__

#: Most jets of a block, and jets that tables are made of and coders compared with.
BLOCK_JETS, SAMPLE_JETS = 4096, 20_000
CODERS = ("auto", "plain", "learned", "model")
#: The field of the jets' four-momenta.
JET_P4 = "jet_p4"
_META = ("unit", "class_names", "x_names", "observer_names", "origin", "card", "admission", "notes")


@dataclass
class Account:
    """What was written.

    Attributes:
        jets, particles, blocks: how many.
        exact: particles that are kept as they are, since the grid cannot hold them.
        size: bytes of the file.
        parts: bytes of its parts: ``momenta``, ``exact``, each field, ``header`` (with the tables), ``frame``.
        worst: the largest errors of what comes back: ``pt`` and ``mass`` relative, ``eta`` and ``phi`` in 1e-3.
        coder: how the particles are written.
        compared: bits per jet of the momenta with each coder, on a sample, where there was a choice.
    """

    jets: int = 0
    particles: int = 0
    blocks: int = 0
    exact: int = 0
    size: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    worst: dict[str, float] = field(default_factory=dict)
    coder: str = "plain"
    compared: dict[str, float] = field(default_factory=dict)

    def add(self, block: Written) -> None:
        """Adds a block."""
        self.jets, self.particles = self.jets + block.jets, self.particles + block.particles
        self.blocks, self.exact = self.blocks + 1, self.exact + block.exact
        for name, length in block.parts.items():
            self.parts[name] = self.parts.get(name, 0) + length
        for name, value in block.worst.items():
            self.worst[name] = max(self.worst.get(name, 0.0), value)

    def bits(self, *parts: str) -> float:
        """Bits per jet, of the whole file or of some parts."""
        total = sum(self.parts.get(part, 0) for part in parts) if parts else self.size
        return 8 * total / max(self.jets, 1)

    def lines(self) -> list[str]:
        """The account in sentences."""
        others = [name for name in self.parts if name not in ("momenta", "exact", "header", "frame")]
        fields = "".join(f", {name} {self.bits(name):.1f}" for name in others)
        lines = [
            f"{self.jets:,} jets, {self.particles:,} particles in {self.blocks:,} blocks, {self.size:,} bytes: "
            f"{self.bits():.1f} bits per jet",
            f"of these: momenta {self.bits('momenta', 'exact'):.1f}{fields}, header, tables and checksums "
            f"{self.bits('header', 'frame'):.1f}",
            f"largest errors of what comes back: pT {self.worst.get('pt', 0):.2e} (relative), eta "
            f"{self.worst.get('eta', 0):.3g}e-3, phi {self.worst.get('phi', 0):.3g}e-3, mass "
            f"{self.worst.get('mass', 0):.2e} (relative, where there is one)",
            "the jets are in their order; the particles of each are sorted by falling pT",
        ]
        if self.exact:
            lines.append(f"{self.exact:,} particles do not fit the grid and are kept as they are")
        if self.compared:
            found = ", ".join(f"{name} {bits:.1f}" for name, bits in self.compared.items())
            lines.append(f"bits per jet of the momenta by coder, tables included: {found}; used: {self.coder}")
        return lines


def compress(
    jets: Any,
    path: str | os.PathLike[str],
    *,
    pt: float = 0.01,
    angle: float = 1.0,
    jet: bool = False,
    drop: Sequence[str] = (),
    model: str | os.PathLike[str] | None = None,
    coder: str = "auto",
    check: Callable[[], Any] = lambda: None,
) -> Account:
    """Writes jets into a file in which no particle is moved by more than the bounds.

    Every block is decompressed again and compared before it is written. Labels, weights and all other fields are
    kept as they are. The jets keep their order; the particles of each are stored by falling pT.

    Args:
        jets: a data set (:class:`~lgae_pyg.datasets.JetFiles`, ...) or a :class:`~lgae_pyg.data.JetStore`.
        path: the file; an older one is replaced when all is written.
        pt: largest relative error of the transverse momentum of a particle, and of its mass where it has one.
        angle: largest error of its pseudorapidity and of its azimuth, in units of 1e-3.
        jet: keep the four-momentum of each jet (the sum of its particles as they were) in the field ``jet_p4``.
        drop: fields that are left out.
        model: a checkpoint of an autoencoder, whose rebuilt jets the particles are then told apart from.
        coder: ``plain``; ``learned``; ``model``; or ``auto``, the shorter of plain and model on a sample.
        check: called after each block; what it raises ends the work, and the file is as it was before.

    Returns:
        The account: bits per jet, largest errors.

    Raises:
        FileExistsError: another process writes this file.
        ValueError: for bounds that cannot be kept, momenta that are not finite (the message names the jet), fields
            of other types, or a model that cannot be used.
        ImportError: constriction is not installed.
    """
    library()
    check_choice("coder", coder, CODERS)
    if coder == "model" and model is None:
        raise ValueError("coder = model needs a checkpoint: model=PATH")
    with writing(path, "compression"):
        return _compress(jets, Path(path), Bounds(pt, angle), (drop, jet), (model, coder), check)


def _compress(
    jets: Any,
    path: Path,
    bounds: Bounds,
    fields: tuple[Sequence[str], bool],
    how: tuple[str | os.PathLike[str] | None, str],
    check: Callable[[], Any],
) -> Account:
    """The work of :func:`compress` in a place that nobody else writes."""
    source = _Source(getattr(jets, "store", jets), *fields)
    layout = Layout(bounds, Grid.of(bounds, source.dtype), source.dtype, tuple(source.columns))
    chosen, tables, compared = _choose(source, layout, *how)
    blocks = list(source.blocks())
    versions = {"lgae_pyg": __version__, "numpy": np.__version__} | chosen.versions()
    counts = len(source), source.num_particles, len(blocks)
    header = Header(layout, *counts, chosen.describe(), source.meta, versions, tables)
    account = Account(coder=chosen.name, compared=compared)

    def write(file: BinaryIO) -> None:
        account.parts["header"], account.parts["frame"] = write_header(file, header), 0
        for number, (first, stop) in enumerate(blocks):
            block = write_block(source.read(range(first, stop)), layout, tables, *chosen.walks)
            account.parts["frame"] += write_block_of(file, number, block) - sum(block.parts.values())
            account.add(block)
            check()
        account.size = file.tell()

    write_atomically(path, write)
    return account


class _Source:
    """The jets of a store in flat arrays."""

    def __init__(self, store: JetStore, drop: Sequence[str], jet: bool) -> None:
        self._store, self._drop, self._jet = store, set(drop), jet
        for name in drop:
            check_choice("field to be dropped", name, [*store.particle_fields, *store.jet_fields])
        if "pos" in drop:
            raise ValueError("the momenta cannot be dropped")
        meta = store.meta
        self.meta = plain({name: meta[name] for name in _META if name in meta}, "meta")
        first = self.read(range(min(1, len(store))))
        self.dtype, self.columns = first.p4.dtype.name, field_columns(first.particles, first.jets)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"momenta are float32 or float64, not {self.dtype}")
        self.sizes = store.sizes.numpy()
        self.num_particles = int(self.sizes.sum())

    def __len__(self) -> int:
        return len(self._store)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First jet and the one after the last of each block: so many that memory is bounded."""
        first = 0
        while first < len(self):
            sizes = self.sizes[first : first + BLOCK_JETS]
            cells = np.maximum.accumulate(sizes) * np.arange(1, len(sizes) + 1)
            stop = first + int(np.searchsorted(cells, CELLS, side="right"))
            if stop == first:
                raise ValueError(f"jet {first} has {sizes[0]:,} particles, more than the {CELLS:,} of a block")
            yield first, stop
            first = stop

    def sample(self) -> Iterator[Jets]:
        """Jets from all places, no more than :data:`SAMPLE_JETS`, in pieces that fit a block."""
        step = max(1, -(-len(self) // SAMPLE_JETS))
        for first, stop in self.blocks():
            ids = range(first + (-first) % step, stop, step)
            if len(ids):
                yield self.read(ids)

    def read(self, ids: range) -> Jets:
        """These jets.

        Raises:
            ValueError: momenta are not finite.
        """
        part = self._store.gather(ids)
        particles = {
            name: values.numpy() for name, values in part.particle_fields.items() if name not in self._drop
        }
        jets = {name: values.numpy() for name, values in part.jet_fields.items() if name not in self._drop}
        p4, ptr = particles.pop("pos"), part.ptr.numpy()
        bad = np.flatnonzero(~np.isfinite(p4).all(axis=1))
        if len(bad):
            number = ids[int(np.searchsorted(ptr, bad[0], side="right")) - 1]
            raise ValueError(f"jet {number} has momenta that are not finite: leave it out (bad_jets=drop does)")
        if self._jet:
            jets[JET_P4] = totals(p4, ptr).astype(p4.dtype)
        return Jets(p4, ptr, particles, jets)


def totals(p4: np.ndarray, ptr: np.ndarray) -> np.ndarray:
    """Four-momenta of jets, the sums of their particles in float64, (J, 4)."""
    sums = np.zeros((len(ptr), 4))
    full = np.flatnonzero(np.diff(ptr))
    if len(full):
        sums[full] = np.add.reduceat(p4.astype(np.float64), ptr[full], axis=0)
    return sums[:-1]


def _choose(
    source: _Source, layout: Layout, model: str | os.PathLike[str] | None, coder: str
) -> tuple[Plain, Mapping[str, np.ndarray], dict[str, float]]:
    """The coder, its tables, and bits per jet of the momenta with each that could have been taken."""
    found: list[Plain] = [Plain()] if coder in ("auto", "plain") else []
    if coder == "learned":
        found.append(Learned(source.meta.get("unit")))
    if model is not None and coder in ("auto", "model"):
        found += variants(model, source.meta.get("unit"), source.sample(), layout)
    counted = [(one, _tables(source, layout, one)) for one in found]
    if len(counted) == 1:
        return *counted[0], {}
    sizes: list[int] = []
    for one, tables in counted:
        blocks = (write_block(jets, layout, tables, *one.walks) for jets in source.sample())
        sizes.append(sum(block.parts["momenta"] for block in blocks) + one.overhead(tables))
    best = int(np.argmin(sizes))
    jets = max(1, sum(len(jets) for jets in source.sample()))
    compared: dict[str, float] = {}
    for (one, _), size in zip(counted, sizes):
        compared[one.name] = min(8 * size / jets, compared.get(one.name, np.inf))
    return *counted[best], compared


def _tables(source: _Source, layout: Layout, coder: Plain) -> Mapping[str, np.ndarray]:
    counter = Counter()
    for jets in source.sample():
        count_block(jets, layout, counter, coder.walks[-1])
    return counter.tables()
