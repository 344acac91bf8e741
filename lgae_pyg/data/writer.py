"""Writing more jets than memory holds: a folder of shards, and an index that is written last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.checksums import write_signed
from lgae_pyg.data.errors import DataFileError
from lgae_pyg.data.shards import FORMAT, VERSION, read_checked
from lgae_pyg.data.store import JetStore
from lgae_pyg.data.tensor_file import checksum, dtype_name
from lgae_pyg.files import plain, remove_partial
from lgae_pyg.vocabulary import STORE_INDEX

#: Bytes after which a shard is full.
SHARD_BYTES = 32 << 20

Fields = Mapping[str, "np.ndarray | Tensor"]


class JetStoreWriter:
    """Writes jets, as they come, to a folder that :meth:`JetStore.load` opens like one file.

    The folder holds shards (each a file of :meth:`JetStore.save`, cut where the jets fill ``shard_bytes``) and
    ``index.json``, which is written last and at once: a folder without it is no store. Memory holds one shard::

        with JetStoreWriter("jets", {"unit": "GeV"}) as writer:
            for sizes, p4, labels in chunks:
                writer.add(sizes, {"pos": p4}, {"y": labels})

    **Pieces.** Several processes write one store, and an interrupted writing goes on, where the jets come in
    numbered pieces (the files that are read, or parts of them). Each piece is written by a writer of its own and
    ended with :meth:`finish`, which leaves a receipt; :meth:`resume` tells which pieces are whole, and
    :meth:`join` makes the store of all of them, in the order of their numbers. The bytes of the shards depend on
    the jets of their piece, ``meta`` and ``shard_bytes`` alone, not on how the jets are divided among
    :meth:`add`, on the number of processes or on interruptions::

        done = JetStoreWriter.resume("jets", meta)                  # {number: notes}
        for number in set(range(pieces)) - set(done):               # in any process, in any order
            with JetStoreWriter("jets", meta, piece=number) as writer:
                writer.add(...)
                writer.finish(read=1000)
        JetStoreWriter.join("jets", meta, pieces=pieces)

    Args:
        path: The folder; it is made if missing.
        meta: Plain values that describe the store, as in :class:`JetStore`.
        shard_bytes: Size of a shard; the last of a piece may be smaller.
        piece: Number of the piece that this writer writes, over what an interrupted writer left of it.

    Raises:
        FileExistsError: the folder holds a finished store.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        meta: Mapping[str, Any] | None = None,
        shard_bytes: int = SHARD_BYTES,
        piece: int = 0,
    ) -> None:
        if shard_bytes < 1 or piece < 0:
            raise ValueError(
                f"shard_bytes must be positive and piece not negative, not {shard_bytes} and {piece}."
            )
        self.path, self.piece, self.shard_bytes = Path(path), piece, shard_bytes
        self.meta = plain(meta or {}, "meta")
        self.path.mkdir(parents=True, exist_ok=True)
        _refuse_finished(self.path)
        self._shards: list[dict[str, Any]] = []
        self._fields: dict[str, Any] | None = None
        self._held: list[tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]] = []
        self._room = shard_bytes
        self._ended = False

    def add(self, sizes: np.ndarray | Tensor, particle_fields: Fields, jet_fields: Fields | None = None) -> None:
        """Appends jets; the arrays may be changed afterwards.

        Args:
            sizes: Number of particles of each jet.
            particle_fields: Fields with a row per particle, ``pos`` among them.
            jet_fields: Fields with a row per jet.

        Shapes:
            - **sizes**: :math:`(J,)`
            - **particle_fields**: :math:`(\\sum_b n_b, \\ldots)`
            - **jet_fields**: :math:`(J, \\ldots)`

        Raises:
            ValueError: names the field that does not fit, to the number of jets or to those added before.
        """
        if self._ended:
            raise ValueError(
                f"piece {self.piece} of {self.path} is finished: write further jets as another piece."
            )
        sizes = torch.as_tensor(sizes).long()
        particles = {name: torch.as_tensor(value) for name, value in particle_fields.items()}
        jets = {name: torch.as_tensor(value) for name, value in (jet_fields or {}).items()}
        JetStore(_offsets(sizes), particles, jets)  # checks that all fits together
        self._check_fields(particles, jets)
        widths = _row_bytes(particles), _row_bytes(jets) + 8
        filled = torch.cumsum(sizes * widths[0] + widths[1], 0)
        jet, particle, used = 0, 0, 0
        while jet < len(sizes):
            full = (
                int(torch.searchsorted(filled, used + self._room)) + 1
            )  # jets up to the one that fills the shard
            stop = min(full, len(sizes))
            end = particle + int(sizes[jet:stop].sum())
            held = {name: value[particle:end].clone() for name, value in particles.items()}
            self._held.append(
                (sizes[jet:stop], held, {name: value[jet:stop].clone() for name, value in jets.items()})
            )
            self._room -= int(filled[stop - 1]) - used
            jet, particle, used = stop, end, int(filled[stop - 1])
            if self._room <= 0:
                self._write_shard()

    def finish(self, **notes: Any) -> None:
        """Ends the piece: writes its last shard, and a receipt with ``notes``, which :meth:`resume` gives back."""
        if self._held:
            self._write_shard()
        own = {shard["file"] for shard in self._shards}
        for file in self.path.glob(f"{self.piece:05d}-*.safetensors"):
            if file.name not in own:  # of an interrupted writer
                file.unlink(missing_ok=True)
        receipt = {
            "meta": self.meta,
            "shard_bytes": self.shard_bytes,
            "fields": self._fields,
            "shards": self._shards,
        }
        write_signed(self.path / f"{self.piece:05d}.json", {**receipt, "notes": plain(notes, "notes")})
        self._ended = True

    def close(self, **meta: Any) -> Path:
        """Ends the piece and makes the store of all pieces up to this one.

        Args:
            meta: What is to be added to the meta of the store.

        Returns:
            The folder.
        """
        if not self._ended:
            self.finish()
        return self.join(self.path, {**self.meta, **meta}, self.piece + 1)

    def __enter__(self) -> JetStoreWriter:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None and not self._ended:
            self.close()

    @staticmethod
    def is_finished(path: str | os.PathLike[str], **meta: Any) -> bool:
        """Whether a folder holds a finished store whose meta says this; what processes that were killed left in
        the folder, finished or not, is removed. Nobody may be writing to it.

        Raises:
            FileExistsError: the folder holds a finished store of something else.
        """
        path, finished = Path(path), (Path(path) / STORE_INDEX).exists()
        if finished:
            found = read_checked(path / STORE_INDEX)["meta"]
            if any(found.get(key) != value for key, value in plain(meta, "meta").items()):
                raise FileExistsError(
                    f"{path} holds a finished store of other jets: remove it, or choose another folder."
                )
            for receipt in path.glob("[0-9]*.json"):
                receipt.unlink(missing_ok=True)
        remove_partial(path)
        return finished

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], meta: Mapping[str, Any] | None = None, shard_bytes: int = SHARD_BYTES
    ) -> dict[int, dict[str, Any]]:
        """Numbers of the pieces that were written whole with the same arguments and are intact, with their notes.

        All bytes of their shards are read and compared with their checksums. What was being written is removed, so
        nobody must be writing to the folder.

        Raises:
            FileExistsError: the folder holds a finished store.
        """
        path, wanted = Path(path), {"meta": plain(meta or {}, "meta"), "shard_bytes": shard_bytes}
        _refuse_finished(path)
        remove_partial(path)
        done = {}
        for file in sorted(path.glob("[0-9]*.json")):
            try:
                receipt = read_checked(file)
                intact = all(_is_intact(path / shard["file"], shard) for shard in receipt["shards"])
            except DataFileError:
                continue
            if intact and all(receipt[key] == value for key, value in wanted.items()):
                done[int(file.stem)] = receipt["notes"]
        return done

    @staticmethod
    def join(path: str | os.PathLike[str], meta: Mapping[str, Any], pieces: int) -> Path:
        """Makes the store of the finished pieces 0, 1, ..., ``pieces`` - 1.

        Args:
            path: The folder.
            meta: Meta of the whole store.
            pieces: How many there must be.

        Returns:
            The folder.

        Raises:
            FileNotFoundError: a piece is not finished, or a shard is missing.
            DataFileError: a shard has another size than was written.
            ValueError: there are no jets, or pieces have different fields; the message names the piece.
        """
        path, shards = Path(path), []
        fields: Any = None
        for piece in range(pieces):
            receipt = read_checked(path / f"{piece:05d}.json")
            if receipt["shards"] and fields not in (None, receipt["fields"]):
                raise ValueError(
                    f"piece {piece} of {path} has the fields {receipt['fields']}, those before {fields}."
                )
            fields = receipt["fields"] if receipt["shards"] else fields
            shards += receipt["shards"]
        for shard in shards:
            if (path / shard["file"]).stat().st_size != shard["bytes"]:
                raise DataFileError(f"{path / shard['file']} is not what was written: write its piece again.")
        if not shards:
            raise ValueError(f"a store cannot be made of no jets: nothing was written to {path}.")
        index = {"format": FORMAT, "version": VERSION, **fields, "shards": shards, "meta": plain(meta, "meta")}
        write_signed(path / STORE_INDEX, index)
        for piece in range(pieces):
            (path / f"{piece:05d}.json").unlink(missing_ok=True)
        return path

    def _write_shard(self) -> None:
        sizes = torch.cat([held[0] for held in self._held])
        particles = {name: torch.cat([held[1][name] for held in self._held]) for name in self._held[0][1]}
        jets = {name: torch.cat([held[2][name] for held in self._held]) for name in self._held[0][2]}
        file = f"{self.piece:05d}-{len(self._shards):05d}.safetensors"
        size, sums = JetStore(_offsets(sizes), particles, jets, self.meta).save(self.path / file)
        counts = {"jets": len(sizes), "particles": int(sizes.sum())}
        self._shards.append({"file": file, **counts, "bytes": size, "crc32": sums})
        self._held, self._room = [], self.shard_bytes

    def _check_fields(self, particles: Mapping[str, Tensor], jets: Mapping[str, Tensor]) -> None:
        """The fields are those added before, in name, type and shape of a row, or a ``ValueError``."""
        found = {"particle_fields": _describe(particles), "jet_fields": _describe(jets)}
        if self._fields is None:
            self._fields = found
        for group, fields in found.items():
            for name in dict.fromkeys((*self._fields[group], *fields)):
                now, before = fields.get(name, "missing"), self._fields[group].get(name, "missing")
                if now != before:
                    raise ValueError(
                        f"the {group[:-1].replace('_', ' ')} '{name}' is {now}, in jets added before {before}."
                    )


def _is_intact(path: Path, shard: Mapping[str, Any]) -> bool:
    try:
        tensors = JetStore.load(path)._tensors()
    except (DataFileError, FileNotFoundError):
        return False
    return {name: checksum(value) for name, value in tensors.items()} == shard["crc32"]


def _refuse_finished(path: Path) -> None:
    if (path / STORE_INDEX).exists():
        raise FileExistsError(f"{path} holds a finished store: remove it, or choose another folder.")


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), torch.cumsum(sizes, 0)])


def _row_bytes(fields: Mapping[str, Tensor]) -> int:
    return sum(
        value[0:0].flatten(1).shape[1] * value.element_size() if value.dim() > 1 else value.element_size()
        for value in fields.values()
    )


def _describe(fields: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        name: {"dtype": dtype_name(name, value), "shape": list(value.shape[1:])} for name, value in fields.items()
    }
