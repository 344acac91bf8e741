"""The file: a header, tables of frequencies, and blocks of jets, each with its checksums.

docs/compression.md has the layout byte by byte.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from lgae_pyg.applications.compression import lossless
from lgae_pyg.applications.compression.block import Column, Layout, Written, least_bytes
from lgae_pyg.applications.compression.particles import CELLS
from lgae_pyg.applications.compression.quantise import Bounds, Grid
from lgae_pyg.applications.compression.streams import Tables, tables_from_bytes, tables_to_bytes, unpack
from lgae_pyg.data import DataFileError

MAGIC, BLOCK, VERSION = b"\x89LGAEJ\r\n", b"JETS", 2
#: The coder that version 2 brought; files of the others are of version 1, which older packages read.
_NEWER = "learned"
#: Most that a file may declare.
MAX_JETS, MAX_HEADER, MAX_CONTEXTS, MAX_BLOCKS = 1 << 16, 1 << 24, 1 << 16, 1 << 24

_PREFIX = struct.Struct("<8sIIII")  # magic, version, bytes of the header packed and plain, of the tables packed
_HEAD = struct.Struct("<4sIIIIII")  # magic, number, jets, particles, bytes, checksums of the bytes and the momenta
_CHECKSUM = struct.Struct("<I")
_MEND = "It is damaged or cut short: fetch it or make it again."


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Args:
        layout: bounds, grid, type of the momenta and fields.
        jets, particles, blocks: how many.
        coder: how particles are written, ``{"name": "plain"}``; of the model path also the model's label, its
            fingerprint and the steps of its code.
        meta: what is known of the jets: unit, names of classes.
        versions: of the packages that wrote it.
        tables: levels of the frequencies.
    """

    layout: Layout
    jets: int
    particles: int
    blocks: int
    coder: Mapping[str, Any]
    meta: Mapping[str, Any]
    versions: Mapping[str, str]
    tables: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a block is.

    Args:
        number: of the block.
        first: its first jet.
        jets, particles: how many.
        start, length: of its bytes in the file.
        checksum, momenta: CRC-32 of these bytes, and of the momenta that come out.
    """

    number: int
    first: int
    jets: int
    particles: int
    start: int
    length: int
    checksum: int
    momenta: int


def write_header(file: BinaryIO, header: Header) -> int:
    """Writes the header and the tables, and returns the number of bytes."""
    layout, (names, tables) = header.layout, tables_to_bytes(header.tables)
    plain = {
        "dtype": layout.dtype,
        "bounds": asdict(layout.bounds),
        "grid": asdict(layout.grid),
        "columns": [[one.owner, one.name, one.dtype, list(one.shape)] for one in layout.columns],
        "counts": [header.jets, header.particles, header.blocks],
        "coder": dict(header.coder),
        "tables": names,
        "meta": dict(header.meta),
        "versions": dict(header.versions),
    }
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True).encode()
    if len(text) > MAX_HEADER:
        raise ValueError(
            f"what is known of the jets takes {len(text):,} bytes, more than the {MAX_HEADER:,} of a file"
        )
    packed = zlib.compress(text, 9)
    version = VERSION if header.coder["name"] == _NEWER else 1
    start = _PREFIX.pack(MAGIC, version, len(packed), len(text), len(tables))
    content = start + packed + tables
    return file.write(content + _CHECKSUM.pack(zlib.crc32(content)))


def write_block_of(file: BinaryIO, number: int, block: Written) -> int:
    """Writes a block, and returns the number of bytes."""
    sums = zlib.crc32(block.content), block.checksum
    head = _HEAD.pack(BLOCK, number, block.jets, block.particles, len(block.content), *sums)
    return file.write(head + _CHECKSUM.pack(zlib.crc32(head)) + block.content)


def read_header(file: BinaryIO, path: str | os.PathLike[str]) -> Header:
    """Reads the header and the tables; what they declare is bounded before memory is asked for.

    Raises:
        DataFileError: it is no such file, is damaged, or is of a later version.
    """
    start = file.read(_PREFIX.size)
    if start[:8] != MAGIC[: len(start[:8])] or len(start) < 8:
        found = f"begins with {start[:8]!r}" if start else "is empty"
        raise DataFileError(f"{path} is no file of compressed jets: it {found}.")
    if len(start) < _PREFIX.size:
        raise DataFileError(f"{path} ends within its header. {_MEND}")
    _, version, packed, plain, tables = _PREFIX.unpack(start)
    left = os.fstat(file.fileno()).st_size - _PREFIX.size
    if packed + tables + _CHECKSUM.size > left or plain > MAX_HEADER:
        what = f"of version {version}, which this one ({VERSION}) does not read" if version > VERSION else "cut"
        raise DataFileError(f"{path}: the header is {what}, or its first bytes are damaged. {_MEND}")
    content = file.read(packed + tables)
    if _CHECKSUM.unpack(file.read(_CHECKSUM.size)) != (zlib.crc32(start + content),):
        raise DataFileError(f"{path}: the header does not fit its checksum. {_MEND}")
    if not 1 <= version <= VERSION:
        known = f"this lgae_pyg reads versions up to {VERSION}: update it."
        raise DataFileError(f"{path} is of version {version}, {known}")
    try:
        return _header(json.loads(unpack(content[:packed], plain)), content[packed:])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFileError(f"{path}: its header says what cannot be ({error}).") from error


def _header(values: Mapping[str, Any], tables: bytes) -> Header:
    """The header of what was read, or one of the errors of whoever believes too much."""
    names = [(str(name), int(contexts)) for name, contexts in values["tables"]]
    if any(contexts < 1 for _, contexts in names) or sum(contexts for _, contexts in names) > MAX_CONTEXTS:
        raise ValueError("impossible numbers of tables")
    columns = [
        Column(str(owner), str(name), str(kind), tuple(map(int, shape)))
        for owner, name, kind, shape in values["columns"]
    ]
    for one in columns:
        is_known = one.owner in ("particle", "jet") and one.dtype in lossless.KINDS
        width = 1
        for length in one.shape:
            width *= length if 0 < length <= 4096 else 4097
        if not is_known or len(one.shape) > 4 or width > 4096:
            raise ValueError(f"the column {one}")
    if values["dtype"] not in ("float32", "float64"):
        raise ValueError(f"momenta of type {values['dtype']}")
    jets, particles, blocks = (int(count) for count in values["counts"])
    if not all(0 <= count < 2**62 for count in (jets, particles, blocks)) or blocks > MAX_BLOCKS:
        raise ValueError(f"the numbers {jets}, {particles}, {blocks} of jets, particles, blocks")
    layout = Layout(Bounds(**values["bounds"]), Grid(**values["grid"]), values["dtype"], tuple(columns))
    coder = dict(values["coder"], name=str(values["coder"]["name"]))
    meta, versions = dict(values["meta"]), dict(values["versions"])
    return Header(layout, jets, particles, blocks, coder, meta, versions, tables_from_bytes(names, tables))


def find_blocks(file: BinaryIO, path: str | os.PathLike[str], header: Header) -> list[Place]:
    """Goes from head to head of the blocks, from where the header ended.

    Raises:
        DataFileError: a block is damaged in its head or cut short (the message names it), or there are others than
            the header says.
    """
    places, jets, size = [], 0, os.fstat(file.fileno()).st_size
    for number in range(header.blocks):
        name = f"{path}: block {number} of {header.blocks} (blocks from 0; jets from {jets} on)"
        head, checksum = file.read(_HEAD.size), file.read(_CHECKSUM.size)
        if len(checksum) < _CHECKSUM.size:
            raise DataFileError(f"{name} is missing: the file is cut short. {_MEND}")
        if _CHECKSUM.unpack(checksum) != (zlib.crc32(head),) or not head.startswith(BLOCK):
            raise DataFileError(f"{name}: its head does not fit its checksum. {_MEND}")
        _, found, count, particles, length, *sums = _HEAD.unpack(head)
        if found != number or not 0 < count <= MAX_JETS or particles > 2 * CELLS:
            raise DataFileError(f"{name} declares itself number {found}, {count} jets and {particles} particles.")
        start = file.tell()
        if start + length > size:
            raise DataFileError(f"{name} is cut short: {size - start} of {length} bytes are there. {_MEND}")
        if length < least_bytes(count, particles):
            raise DataFileError(f"{name} declares {particles} particles in {length} bytes, which are too few.")
        places.append(Place(number, jets, count, particles, start, length, *sums))
        jets += count
        file.seek(start + length)
    if file.tell() != size:
        raise DataFileError(f"{path}: {size - file.tell()} bytes follow its last block. {_MEND}")
    if jets != header.jets or sum(place.particles for place in places) != header.particles:
        raise DataFileError(f"{path}: its blocks hold {jets} jets, its header says {header.jets}.")
    return places


def read_bytes(file: BinaryIO, path: Path, place: Place) -> bytes:
    """The bytes of a block.

    Raises:
        DataFileError: they do not fit their checksum.
    """
    file.seek(place.start)
    content = file.read(place.length)
    if zlib.crc32(content) != place.checksum or len(content) != place.length:
        raise DataFileError(
            f"{path}: block {place.number} (jets {place.first} to {place.first + place.jets - 1}) does not fit "
            f"its checksum. {_MEND} Other blocks can be read."
        )
    return content
