"""Jets out of a file: all of them, block by block, or some."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from lgae_pyg.applications.compression.block import Jets, momenta_bytes, read_content
from lgae_pyg.applications.compression.coders import coder_from
from lgae_pyg.applications.compression.container import find_blocks, read_bytes, read_header
from lgae_pyg.data import DataFileError, JetStore


class CompressedJets:
    """A file of compressed jets, opened; what is read from it is decompressed then, a block at a time.

    Args:
        path: the file.
        model: the checkpoint that it was written with, where it was written with one.

    Attributes:
        header: what the file says of itself.
        places: where its blocks are.

    Raises:
        OSError: the system does not let it be read.
        DataFileError: it is no such file, or damaged, or cut short; the message names the block.
        ValueError: it was written with a model, and this is none or another one.

    Example:
        >>> with CompressedJets("jets.lgj") as jets:
        ...     len(jets), jets.block(3).p4, jets.read(1000, 1010).ptr
    """

    def __init__(self, path: str | os.PathLike[str], model: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self._file = open(self.path, "rb")
        try:
            self.header = read_header(self._file, self.path)
            self.places = find_blocks(self._file, self.path, self.header)
            self._coder = coder_from(self.header.coder, self.header.meta.get("unit"), model)
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return self.header.jets

    def __enter__(self) -> CompressedJets:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def block(self, number: int) -> Jets:
        """The jets of a block.

        Raises:
            DataFileError: it is damaged; or it was decompressed to other numbers than were written.
        """
        place, header = self.places[number], self.header
        content = read_bytes(self._file, self.path, place)
        where = f"{self.path}: block {number} (jets {place.first} to {place.first + place.jets - 1})"
        try:
            jets, _ = read_content(
                content, place.jets, place.particles, header.layout, header.tables, self._coder.walk
            )
        except ValueError as error:
            raise DataFileError(f"{where} cannot be decompressed ({error}).") from error
        if zlib.crc32(momenta_bytes(jets.p4)) != place.momenta:
            raise DataFileError(
                f"{where} is whole, but other momenta come out than were written: {header.versions} wrote "
                "it, and other versions or another processor compute in another way. Decompress it with those."
            )
        return jets

    def blocks(self) -> Iterator[Jets]:
        """All jets, block by block."""
        return (self.block(place.number) for place in self.places)

    def read(self, first: int, stop: int) -> Jets:
        """Jets from number ``first`` up to ``stop``; only their blocks are read.

        Raises:
            IndexError: there are not so many jets.
        """
        if not 0 <= first <= stop <= len(self):
            raise IndexError(f"there are {len(self)} jets, not {first} to {stop}")
        parts = []
        for place in self.places:
            if place.first < stop and first < place.first + place.jets:
                jets = self.block(place.number)
                parts.append(_some(jets, max(first - place.first, 0), min(stop - place.first, len(jets))))
        return self._joined(parts)

    def store(self) -> JetStore:
        """All jets in memory."""
        jets = self._joined(list(self.blocks()))
        particles, fields = (
            {name: torch.from_numpy(values) for name, values in group.items()}
            for group in ({"pos": jets.p4, **jets.particles}, jets.jets)
        )
        return JetStore(torch.from_numpy(jets.ptr), particles, fields, dict(self.header.meta))

    def _joined(self, parts: list[Jets]) -> Jets:
        """Jets one after another."""
        layout = self.header.layout
        sizes = np.concatenate([np.zeros(1, dtype=np.int64), *(np.diff(part.ptr) for part in parts)])
        fields: dict[str, dict[str, np.ndarray]] = {"particle": {}, "jet": {}}
        for one in layout.columns:
            held = [(part.particles if one.owner == "particle" else part.jets)[one.name] for part in parts]
            fields[one.owner][one.name] = np.concatenate([np.zeros((0, *one.shape), dtype=one.dtype), *held])
        p4 = np.concatenate([np.zeros((0, 4), dtype=layout.dtype), *(part.p4 for part in parts)])
        return Jets(p4, np.cumsum(sizes), fields["particle"], fields["jet"])


def decompress(path: str | os.PathLike[str], model: str | os.PathLike[str] | None = None) -> JetStore:
    """The jets of a compressed file as a store in memory; errors are those of :class:`CompressedJets`.

    Example:
        >>> store = decompress("jets.lgj")
        >>> store.unit, len(store), store.batch([0, 1]).pos
    """
    with CompressedJets(path, model) as jets:
        return jets.store()


def _some(jets: Jets, first: int, stop: int) -> Jets:
    """Jets first, ..., stop - 1."""
    begin, end = jets.ptr[first], jets.ptr[stop]
    particles = {name: values[begin:end] for name, values in jets.particles.items()}
    fields = {name: values[first:stop] for name, values in jets.jets.items()}
    return Jets(jets.p4[begin:end], jets.ptr[first : stop + 1] - begin, particles, fields)
