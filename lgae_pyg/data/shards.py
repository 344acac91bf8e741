"""Reading a folder of shards: files are mapped when they are needed, and let go of before they fill the memory."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.checksums import read_signed
from lgae_pyg.data.errors import DataFileError
from lgae_pyg.data.tensor_file import DTYPES, checksum
from lgae_pyg.vocabulary import STORE_INDEX

FORMAT, VERSION = "lgae_pyg.JetShards", 1

#: Bytes of mapped files that may be resident before all maps are dropped.
RESIDENT_BYTES = 128 << 20

_TORCH = {name: dtype for dtype, name in DTYPES.items()}
_MEND = "make the folder again from the raw files"
_READ_AHEAD = 1 << 16  # what the system maps around a page that is touched


class Shards:
    """The shards that an ``index.json`` lists.

    The index holds the size of each file and a checksum of each tensor in it. A tensor is compared with its
    checksum when this process first reads from it; so a damaged shard is found when one of its jets is used.

    A process that is forked, or is given a pickle, opens the files by itself: nothing but the path is pickled.

    Args:
        path: The folder.

    Raises:
        FileNotFoundError: there is no index: the folder is something else, or was not finished.
        DataFileError: the index is damaged, or of another format.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        index = read_index(self.path)
        self.meta: dict[str, Any] = index["meta"]
        self._files: list[dict[str, Any]] = index["shards"]
        self._kinds = {f"particle.{name}": kind for name, kind in index["particle_fields"].items()}
        self._kinds |= {f"jet.{name}": kind for name, kind in index["jet_fields"].items()}
        self._kinds["ptr"] = {"dtype": "I64", "shape": []}
        self._places: dict[int, dict[str, int]] = {}
        self._maps: dict[int, torch.UntypedStorage] = {}
        self._sound: set[tuple[int, str]] = set()
        self._touched = 0

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return type(self), (self.path,)

    def ptr(self) -> Tensor:
        """First particle of each jet of all shards, and at the end the number of all particles (J + 1,).

        Raises:
            DataFileError: a shard is missing, damaged, or of another size than the index says.
        """
        jets = sum(file["jets"] for file in self._files)
        ptr, jet, particle = torch.zeros(jets + 1, dtype=torch.long), 0, 0
        for number, file in enumerate(self._files):
            torch.add(self.tensor(number, "ptr"), particle, out=ptr[jet : jet + file["jets"] + 1])
            jet, particle = jet + file["jets"], particle + file["particles"]
            if ptr[jet] != particle:
                raise DataFileError(
                    f"{self.path / file['file']} does not have the particles of the index: {_MEND}."
                )
        return ptr

    def fields(self, owner: str) -> dict[str, ShardedField]:
        """The fields with a row per ``"particle"`` or per ``"jet"``, by name."""
        rows = torch.tensor([0] + [file[f"{owner}s"] for file in self._files])
        starts, prefix = torch.cumsum(rows, 0), f"{owner}."
        return {
            name.removeprefix(prefix): ShardedField(
                self, name, starts, _TORCH[kind["dtype"]], tuple(kind["shape"])
            )
            for name, kind in self._kinds.items()
            if name.startswith(prefix)
        }

    def tensor(self, number: int, name: str) -> Tensor:
        """A tensor of a shard, mapped; it is to be used at once and not to be kept.

        Raises:
            DataFileError: the shard is missing, damaged, or of another size than the index says.
        """
        file, kind = self._files[number], self._kinds[name]
        owner = name.partition(".")[0]
        shape: tuple[int, ...] = (file["jets"] + 1,) if owner == "ptr" else (file[f"{owner}s"], *kind["shape"])
        dtype = _TORCH[kind["dtype"]]
        if self._touched > RESIDENT_BYTES:
            self._maps.clear()
            self._touched = 0
        try:
            storage = self._map(number)
            place = self._places[number][name] // dtype.itemsize
            tensor = torch.empty(0, dtype=dtype).set_(storage, place, shape)  # type: ignore[call-overload]
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataFileError(f"{self.path / file['file']} is damaged ({error}): {_MEND}.") from error
        if (number, name) not in self._sound:
            if checksum(tensor) != file["crc32"][name]:
                raise DataFileError(
                    f"{self.path / file['file']} is damaged: the checksum of '{name}' does not match: {_MEND}."
                )
            self._sound.add((number, name))
            self.touch(tensor.nbytes)
        return tensor

    def touch(self, count: int) -> None:
        """Counts bytes of mapped files that have been read."""
        self._touched += count + 2 * _READ_AHEAD

    def _map(self, number: int) -> torch.UntypedStorage:
        """A shard's file; its size is compared with that in the index each time it is mapped."""
        if number in self._maps:
            return self._maps[number]
        file = self._files[number]
        path = self.path / file["file"]
        if not path.is_file():
            raise DataFileError(f"{path} is missing: {_MEND}.")
        if path.stat().st_size != file["bytes"]:
            raise DataFileError(f"{path} has {path.stat().st_size} bytes, not {file['bytes']}: {_MEND}.")
        if number not in self._places:
            with open(path, "rb") as opened:
                size = int.from_bytes(opened.read(8), "little")
                header = json.loads(opened.read(min(size, file["bytes"])))
            places = {name: entry["data_offsets"][0] for name, entry in header.items() if name in self._kinds}
            self._places[number] = {name: 8 + size + place for name, place in places.items()}
        self._maps[number] = torch.UntypedStorage.from_file(  # type: ignore[assignment]
            str(path), False, file["bytes"]
        )
        return self._maps[number]


class ShardedField:
    """A field of many jets that lies in shards; it is read by rows like a tensor, and gives tensors in memory.

    Args:
        shards: Where it lies.
        name: Its name in the files.
        starts: First row in each shard, and at the end the number of all rows.
        dtype: Its type.
        shape: Shape of a row.
    """

    def __init__(
        self, shards: Shards, name: str, starts: Tensor, dtype: torch.dtype, shape: tuple[int, ...]
    ) -> None:
        self.shards, self.name, self.dtype = shards, name, dtype
        self.shape = torch.Size((int(starts[-1]), *shape))
        self._starts = starts

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"ShardedField('{self.name}', {tuple(self.shape)}, {self.dtype})"

    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        if isinstance(rows, slice):
            rows = torch.from_numpy(np.arange(*rows.indices(len(self))))
        return self.index_select(0, rows)

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """These rows as a tensor of its own; shard after shard, in whatever order they are asked for.

        Raises:
            DataFileError: a shard is missing or damaged.
        """
        order = None
        if (rows.diff() < 0).any():
            rows, order = rows.sort()
        found = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        owners, counts = torch.searchsorted(self._starts[:-1], rows, right=True).unique_consecutive(
            return_counts=True
        )
        place = 0
        for owner, count in zip((owners - 1).tolist(), counts.tolist()):
            tensor, here = self.shards.tensor(owner, self.name), rows[place : place + count] - self._starts[owner]
            torch.index_select(tensor, 0, here, out=found[place : place + count])
            self.shards.touch(int(here[-1] - here[0] + 1) * (tensor.nbytes // max(len(tensor), 1)))
            place += count
        if order is None:
            return found
        result = torch.empty_like(found)
        result[order] = found
        return result


def read_checked(path: Path) -> dict[str, Any]:
    """Reads what :func:`~lgae_pyg.checksums.write_signed` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        DataFileError: it is not what was written.
    """
    try:
        return read_signed(path)
    except ValueError as error:
        raise DataFileError(f"{error}: {_MEND}.") from error


def is_finished(path: str | os.PathLike[str]) -> bool:
    """Whether a folder of shards is there whose writing was finished."""
    return Path(path, STORE_INDEX).is_file()


def read_index(path: Path) -> dict[str, Any]:
    """The index of a folder, compared with its checksum.

    Raises:
        FileNotFoundError: there is none.
        DataFileError: it is damaged, or of another format.
    """
    if not is_finished(path):
        raise FileNotFoundError(
            f"{path} is a folder without {STORE_INDEX}: no store of jets, or one whose writing was not finished."
        )
    index = read_checked(path / STORE_INDEX)
    if index.get("format") != FORMAT or index.get("version") != VERSION:
        raise DataFileError(
            f"{path / STORE_INDEX} is of format {index.get('format')} {index.get('version')}, this version of "
            f"lgae_pyg reads {FORMAT} {VERSION}: update it, or make the folder again."
        )
    for file in index["shards"]:
        if not re.fullmatch(r"\d{5,}-\d{5,}\.safetensors", file["file"]):
            raise DataFileError(f"{path / STORE_INDEX} names the file '{file['file']}', which is no shard.")
    return index
