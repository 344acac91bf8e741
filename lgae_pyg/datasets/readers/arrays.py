"""Files that hold arrays: NumPy's npz and npy, and what they share with HDF5."""

from __future__ import annotations

import zipfile
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.readers.base import Column, Reader, reading

Take = Callable[[str, int, int], np.ndarray]


class ArrayReader(Reader):
    """A file of arrays, whose first axis is the row; with ``offsets``, also arrays of one entry per particle."""

    def settle(self, shapes: dict[str, tuple[tuple[int, ...], str]]) -> None:
        """Takes the columns from the shapes and types of the arrays.

        The number of rows is that of the offsets minus one, or else the first length that most arrays have.
        """
        lengths = {name: shape[0] for name, (shape, _) in shapes.items() if shape}
        if self.offsets:
            if self.offsets not in lengths:
                self.columns = {name: Column(name, dtype, shape[1:]) for name, (shape, dtype) in shapes.items()}
                self.require([self.offsets], ", the offsets of the jets")
            self.rows = lengths[self.offsets] - 1
            with self.opened([self.offsets]) as take:
                self._ptr = self._checked(take(self.offsets, 0, self.rows + 1))
        elif lengths:
            counts = list(lengths.values())
            self.rows = max(counts, key=counts.count)
        for name, (shape, dtype) in shapes.items():
            if name == self.offsets or not shape:
                continue
            jagged = self._per_particle(shape[0])
            self.columns[name] = Column(name, dtype, ((None,) if jagged else ()) + shape[1:])
        self._lengths = lengths

    @abstractmethod
    def opened(self, names: Sequence[str]) -> Any:
        """A context that gives the function ``take(name, first, last)``; it is called with rising ``first``."""

    def read(self, names: Sequence[str], rows: int, first: int) -> Iterator[dict[str, Any]]:
        """Reads slices of the arrays."""
        if not self.offsets and len({self._lengths[name] for name in names}) == 1:
            self.rows = self._lengths[names[0]]  # whatever length the other arrays have
        for name in names:
            if self._lengths[name] != self.rows and not self._per_particle(self._lengths[name]):
                raise DataFileError(
                    f"{self.path}: '{name}' has {self._lengths[name]} entries, where there are {self.rows} jets: "
                    "the file does not fit together, or it needs another card."
                )
        with self.opened(names) as take:
            for start in range(first, self.rows, rows):
                stop = min(start + rows, self.rows)
                yield {name: self._slice(take, name, start, stop) for name in names}

    def whole(self, name: str) -> Any:
        """All of an array, which need not have an entry per jet."""
        self.require([name])
        with self.opened([name]) as take:
            return take(name, 0, self._lengths[name])

    def _slice(self, take: Take, name: str, start: int, stop: int) -> Any:
        if not self._per_particle(self._lengths[name]):
            return take(name, start, stop)
        import awkward as ak

        values = take(name, int(self._ptr[start]), int(self._ptr[stop]))
        offsets = ak.index.Index64(self._ptr[start : stop + 1] - self._ptr[start])
        return ak.Array(ak.contents.ListOffsetArray(offsets, ak.from_numpy(values, highlevel=False)))

    def _per_particle(self, length: int) -> bool:
        return bool(self.offsets) and length == self._ptr[-1] and length != self.rows

    def _checked(self, ptr: np.ndarray) -> np.ndarray:
        if ptr.ndim != 1 or ptr.dtype.kind not in "iu" or len(ptr) < 1 or ptr[0] != 0 or (np.diff(ptr) < 0).any():
            raise DataFileError(f"{self.path}: the offsets '{self.offsets}' must be integers that rise from 0.")
        return ptr.astype(np.int64)


class NumpyReader(ArrayReader):
    """An ``.npz`` archive (or a single ``.npy``, as the column ``array``); pickles in it are never opened.

    Arrays are streamed, also compressed ones; the archive's checksums are verified at the end of each.
    """

    format = "npz"

    def look(self) -> None:
        """Reads the headers of the arrays."""
        with reading(self.path, "npz"), self._archive() as archive:
            shapes = {}
            for name in archive:
                with archive[name]() as stream:
                    shape, _, dtype = _header(stream)
                    shapes[name] = (shape, "pickle" if dtype.hasobject else str(dtype))
            self._pickles = {name for name, (_, dtype) in shapes.items() if dtype == "pickle"}
            self.settle(shapes)

    @contextmanager
    def _archive(self) -> Iterator[dict[str, Callable[[], BinaryIO]]]:
        """The arrays by name, as functions that open them."""
        if not zipfile.is_zipfile(self.path) and _begins(self.path, b"\x93NUMPY"):
            yield {"array": lambda: open(self.path, "rb")}
            return
        with zipfile.ZipFile(self.path) as archive:
            members = [member for member in archive.namelist() if member.endswith(".npy")]
            yield {one.removesuffix(".npy"): lambda one=one: archive.open(one) for one in members}

    @contextmanager
    def opened(self, names: Sequence[str]) -> Iterator[Take]:
        """Streams of the arrays, read side by side."""
        if refused := sorted(self._pickles & set(names)):
            raise DataFileError(
                f"{self.path}: '{refused[0]}' holds Python objects (a pickle), which are never opened: save it as "
                "an array of numbers (flat, with offsets)."
            )
        with reading(self.path, "npz"), self._archive() as archive, ExitStack() as stack:
            streams = {name: _Stream(stack.enter_context(archive[name]())) for name in names}
            yield lambda name, first, last: streams[name].take(first, last)


class _Stream:
    """An array in a file that is read from its beginning to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self.shape, columnwise, self.dtype = _header(file)
        self.file, self.place = file, 0
        self.whole: np.ndarray | None = None
        self.row = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        if columnwise and len(self.shape) > 1:  # of such an array no rows can be read alone
            data = _exactly(file, self.row * self.shape[0])
            self.whole = np.frombuffer(data, self.dtype).reshape(self.shape, order="F")

    def take(self, first: int, last: int) -> np.ndarray:
        if self.whole is not None:
            return self.whole[first:last]
        while self.place < first:  # rows that nobody wants
            step = min(first - self.place, max(1, (1 << 24) // max(1, self.row)))
            _exactly(self.file, step * self.row)
            self.place += step
        data = _exactly(self.file, (last - first) * self.row)
        self.place = last
        if last == self.shape[0]:
            self.file.read(1)  # the end, where the archive verifies its checksum
        return np.frombuffer(data, self.dtype).reshape(last - first, *self.shape[1:])


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"an array of version {version}")
    return read[version](file)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{size - len(data)} bytes are missing at its end")
    return data


def _begins(path: str, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic
