"""A block of jets as bytes, and back; what comes back is checked when it is written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lgae_pyg.applications.compression import lossless
from lgae_pyg.applications.compression.particles import JetIntegers, Walk, jets_on_grid, stored_order
from lgae_pyg.applications.compression.quantise import EXACT, Bounds, Grid, errors, quantise, restore
from lgae_pyg.applications.compression.streams import Counter, Decoder, Encoder, Tables

#: Makes the walk through the particles of a block: stream, grid, known jets or none, number of jets.
Walker = Callable[[Any, Grid, JetIntegers | None, int], Walk]

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Jets:
    """Some jets in flat arrays.

    Args:
        p4: four-momenta (E, px, py, pz), (n, 4).
        ptr: first particle of each jet, and at the end the number of all, (J + 1,).
        particles: further fields with a row per particle, by name.
        jets: fields with a row per jet, by name.
    """

    p4: np.ndarray
    ptr: np.ndarray
    particles: Mapping[str, np.ndarray] = field(default_factory=dict)
    jets: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ptr) - 1


@dataclass(frozen=True)
class Column:
    """A field that is kept as it is: whose it is (``particle`` or ``jet``), its name, type and shape of a row."""

    owner: str
    name: str
    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layout:
    """What all blocks of a file have in common.

    Args:
        bounds: what is promised.
        grid: the grid of the particles.
        dtype: type of the momenta, ``float32`` or ``float64``.
        columns: the fields that are kept.
    """

    bounds: Bounds
    grid: Grid
    dtype: str
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Written:
    """A block as bytes, and the account of it.

    Args:
        content: the bytes.
        checksum: CRC-32 of the momenta that come back.
        jets, particles: how many.
        exact: particles that are kept as they are.
        parts: bytes of the particles on the grid, of those kept, and of each field.
        worst: the largest errors (:func:`~lgae_pyg.applications.compression.quantise.errors`).
    """

    content: bytes
    checksum: int
    jets: int
    particles: int
    exact: int
    parts: Mapping[str, int]
    worst: Mapping[str, float]


def count_block(jets: Jets, layout: Layout, counter: Counter, walk: Walker = Walk) -> None:
    """Adds the symbols of some jets to a counter."""
    order, integers, _ = _on_grid(jets, layout)
    walk(counter, layout.grid, jets_on_grid(integers.take(order), jets.ptr), len(jets)).run()


def write_block(jets: Jets, layout: Layout, tables: Tables, walk: Walker = Walk, *others: Walker) -> Written:
    """Compresses jets, decompresses them again, and compares.

    Args:
        jets, layout, tables: of the file.
        walk: reads the block, and may write it.
        others: may write it, too, so that ``walk`` can read it; the shortest is taken.

    Raises:
        RuntimeError: they do not come back within the bounds: an error of this package, and nothing is written.
    """
    order, integers, _ = _on_grid(jets, layout)
    known = jets_on_grid(integers.take(order), jets.ptr)
    written = []
    for one in (walk, *others):
        encoder = Encoder(tables)
        one(encoder, layout.grid, known, len(jets)).run()
        written.append(encoder.bytes())
    exact = jets.p4[order][integers.kind[order] == EXACT]
    parts = {"momenta": min(written, key=len), "exact": lossless.pack(exact)}
    for column in layout.columns:
        values = jets.particles[column.name][order] if column.owner == "particle" else jets.jets[column.name]
        parts[column.name] = lossless.pack(values)
    content = b"".join(_LENGTH.pack(len(part)) + part for part in parts.values())
    content += bytes(max(0, least_bytes(len(jets), len(jets.p4)) - len(content)))
    back, place = read_content(content, len(jets), len(jets.p4), layout, tables, walk)
    worst = _check(jets, order[place], back, layout)
    return Written(
        content,
        zlib.crc32(momenta_bytes(back.p4)),
        len(jets),
        len(jets.p4),
        len(exact),
        {name: len(part) for name, part in parts.items()},
        worst,
    )


def least_bytes(jets: int, particles: int) -> int:
    """Bytes that a block of so many jets and particles has at least (zeros fill it up): what it can ask for is
    bounded by its size."""
    return jets // 32 + particles // 32


def read_content(
    content: bytes, jets: int, particles: int, layout: Layout, tables: Tables, walk: Walker = Walk
) -> tuple[Jets, np.ndarray]:
    """The jets of a block.

    Args:
        content: the bytes.
        jets, particles: how many there must be.
        layout, tables: of the file.
        walk: how the particles of a jet are read one after another.

    Returns:
        The jets, particles by falling pT; and the place of each particle among the stored ones.

    Raises:
        ValueError: the bytes are not a block of so many jets.
    """
    parts = _parts(content, 2 + len(layout.columns))
    try:
        known = walk(Decoder(tables, parts[0]), layout.grid, None, jets).run()
    except (AssertionError, KeyError, OverflowError) as error:
        raise ValueError(f"numbers that cannot have been written ({error})") from error
    sizes = known.sizes + known.exact
    if int(sizes.sum()) != particles:
        raise ValueError(f"{int(sizes.sum())} particles instead of {particles}")
    ptr = np.zeros(jets + 1, dtype=np.int64)
    np.cumsum(sizes, out=ptr[1:])
    p4 = np.empty((particles, 4), dtype=layout.dtype)
    kept = _kept(known, ptr)
    p4[~kept] = restore(known.particles, layout.grid, layout.dtype)
    p4[kept] = lossless.restore(parts[1], layout.dtype, (int(kept.sum()), 4))
    order = _falling(p4, ptr)
    fields: dict[str, dict[str, np.ndarray]] = {"particle": {}, "jet": {}}
    for column, part in zip(layout.columns, parts[2:]):
        rows = particles if column.owner == "particle" else jets
        values = lossless.restore(part, column.dtype, (rows, *column.shape))
        fields[column.owner][column.name] = values[order] if column.owner == "particle" else values
    return Jets(p4[order], ptr, fields["particle"], fields["jet"]), order


def momenta_bytes(p4: np.ndarray) -> bytes:
    """The bytes over which the checksum of the momenta is taken."""
    return np.ascontiguousarray(p4, dtype=p4.dtype.newbyteorder("<")).tobytes()


def _on_grid(jets: Jets, layout: Layout) -> tuple[np.ndarray, Any, np.ndarray]:
    integers, back = quantise(jets.p4, layout.bounds, layout.grid)
    return stored_order(integers, jets.ptr), integers, back


def _check(jets: Jets, order: np.ndarray, back: Jets, layout: Layout) -> dict[str, float]:
    """Compares what came back with what was given, and returns the largest errors."""
    moved = errors(jets.p4[order], back.p4)
    worst = {name: float(values.max(initial=0.0)) for name, values in moved.items()}
    bounds = layout.bounds
    limits = {"pt": bounds.pt, "eta": bounds.angle, "phi": bounds.angle, "mass": bounds.pt * (1 + bounds.pt / 2)}
    same = np.array_equal(jets.ptr, back.ptr)
    for column in layout.columns:
        here = jets.particles if column.owner == "particle" else jets.jets
        there = back.particles if column.owner == "particle" else back.jets
        given = here[column.name][order] if column.owner == "particle" else here[column.name]
        same &= given.tobytes() == there[column.name].tobytes()
    if not same or any(not worst[name] <= limit for name, limit in limits.items()):
        raise RuntimeError(f"jets do not come back as they must (errors {worst}): please report it")
    return worst


def _parts(content: bytes, count: int) -> list[bytes]:
    """Parts with their lengths before them; what is left is zeros that fill up."""
    parts, place = [], 0
    for _ in range(count):
        if place + _LENGTH.size > len(content):
            raise ValueError("it ends too early")
        (length,) = _LENGTH.unpack_from(content, place)
        place += _LENGTH.size
        if place + length > len(content):
            raise ValueError("it ends too early")
        parts.append(content[place : place + length])
        place += length
    if content[place:].strip(b"\0"):
        raise ValueError("bytes after its last part")
    if len(parts[0]) % 4:
        raise ValueError("its first part is no row of words")
    return parts


def _kept(known: JetIntegers, ptr: np.ndarray) -> np.ndarray:
    """Which of the stored particles are kept as they are: the last ones of each jet, (n,)."""
    place = np.arange(ptr[-1]) - np.repeat(ptr[:-1], np.diff(ptr))
    return place >= np.repeat(known.sizes, np.diff(ptr))


def _falling(p4: np.ndarray, ptr: np.ndarray) -> np.ndarray:
    """The order by falling pT within each jet, (n,)."""
    _, px, py, _ = p4.T.astype(np.float64)
    with np.errstate(over="ignore"):
        pt = np.sqrt(px * px + py * py)
    return np.lexsort((-pt, np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))))


def field_columns(particles: Mapping[str, np.ndarray], jets: Mapping[str, np.ndarray]) -> Sequence[Column]:
    """The columns of fields, sorted by name.

    Raises:
        ValueError: for types that are not kept.
    """
    found = []
    for owner, fields in (("particle", particles), ("jet", jets)):
        for name, values in sorted(fields.items()):
            if values.dtype.name not in lossless.KINDS:
                raise ValueError(f"the field '{name}' of type {values.dtype} is not kept: leave it out (drop)")
            found.append(Column(owner, name, values.dtype.name, tuple(values.shape[1:])))
    return tuple(found)
