"""Files of anybody's scores as tables of columns: Parquet, HDF5, ROOT, NumPy, CSV. Nothing in them is ever run."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.readers import open_reader, recognise
from lgae_pyg.datasets.readers.base import ManyTables, Reader, reading
from lgae_pyg.registry import suggestion

#: Suffixes of tables of text, which no first bytes tell.
TEXT = (".csv", ".tsv", ".txt", ".dat", ".csv.gz", ".tsv.gz", ".txt.gz")
#: Key of what our own score files say of themselves, the tree in ROOT files, and its largest size.
KEY, TREE, LARGEST = "lgae_pyg", "jets", 1 << 26
#: Most rows that are read into memory, and columns that a message names.
MOST_ROWS, SHOWN = 50_000_000, 40


@dataclass(frozen=True)
class ScoreFile:
    """A file as a table.

    Args:
        path: the file.
        columns: names of the columns.
        meta: what a file of ours says of itself; empty for other files.
        reader: that reads it; ``None`` for text.
        notes: what was chosen when it was opened.
    """

    path: str
    columns: Sequence[str]
    meta: Mapping[str, Any] = field(default_factory=dict)
    reader: Reader | None = None
    notes: Sequence[str] = ()

    @classmethod
    def open(cls, path: str | os.PathLike[str], table: str = "") -> ScoreFile:
        """Opens a file, whose format is recognised by what is in it, that of text by its suffix.

        Args:
            path: the file.
            table: tree or group; ``jets``, the only one or the largest when empty.

        Raises:
            OSError: if the system does not let it be read.
            DataFileError: if it is damaged or of no format that is read.
        """
        path = os.path.abspath(os.path.expanduser(os.fspath(path)))
        if path.lower().endswith(TEXT):
            return cls(path, _header(path)[0])
        notes = []
        try:
            reader = open_reader(path, table)
        except ManyTables as several:
            if not several.tables or table:
                inside = ", ".join(f"{name} ({rows:,} rows)" for name, rows in several.tables.items())
                raise DataFileError(
                    f"{path} has no table '{table}'; it has: {inside or 'none'}. Choose with --table."
                ) from None
            name = TREE if TREE in several.tables else max(several.tables, key=several.tables.__getitem__)
            notes.append(f"Table: {name} (a guess; --table chooses another).")
            reader = open_reader(path, name)
        if reader.rows > MOST_ROWS:
            raise DataFileError(
                f"{path} has {reader.rows:,} rows, more than {MOST_ROWS:,}: judge a part of them, the errors are "
                "small enough with it."
            )
        columns = [
            column.name for column in reader.columns.values() if None not in column.shape and column.name != KEY
        ]
        return cls(path, columns, _meta(path), reader, notes)

    def require(self, names: Sequence[str]) -> None:
        """Refuses columns that the file does not have.

        Raises:
            DataFileError: names what is missing, what was probably meant, and what there is.
        """
        for name in names:
            if name not in self.columns:
                raise DataFileError(
                    f"{self.path} has no column '{name}'{suggestion(name, self.columns)}. It has: {self.inside}."
                )

    @property
    def inside(self) -> str:
        """The names of the columns, for messages."""
        return ", ".join(self.columns[:SHOWN]) + (", ..." if len(self.columns) > SHOWN else "") or "no columns"

    def read(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Some columns, whole.

        Raises:
            DataFileError: if one is not there or cannot be read, or there are no rows.
        """
        self.require(names)
        if self.reader is None:
            found = _read_text(self.path, names)
        else:
            found = {name: np.asarray(self.reader.whole(name)) for name in names} if self.reader.rows else {}
        if not found or not len(next(iter(found.values()))):
            raise DataFileError(f"{self.path} has no rows: there are no jets to judge.")
        return found


def _meta(path: str) -> dict[str, Any]:
    """What a file says under our key; empty where there is nothing."""
    kind = recognise(path)
    with reading(path, kind):
        text = _META[kind](path) if kind in _META else None
    if text is None:
        return {}
    try:
        if len(text) > LARGEST:
            raise ValueError("it is too long")
        meta = json.loads(text)
        if not isinstance(meta, dict):
            raise ValueError("it is no object")
        return meta
    except (ValueError, RecursionError) as error:
        raise DataFileError(
            f"{path}: what it says of itself ('{KEY}') is no JSON ({error}): it is damaged."
        ) from error


def _parquet_meta(path: str) -> str | None:
    import pyarrow.parquet as parquet

    found = (parquet.read_schema(path).metadata or {}).get(KEY.encode())
    return None if found is None else found.decode()


def _hdf5_meta(path: str) -> str | None:
    import h5py

    with h5py.File(path, "r") as file:
        if KEY in file.attrs:
            found = file.attrs[KEY]
            return found.decode() if isinstance(found, bytes) else str(found)
        one = file.get(KEY) if isinstance(file.get(KEY, getlink=True), h5py.HardLink) else None
        if not isinstance(one, h5py.Dataset) or one.dtype != np.uint8 or one.size > LARGEST:
            return None
        return one[()].tobytes().decode()


def _npz_meta(path: str) -> str | None:
    with np.load(path, allow_pickle=False) as found:
        if not hasattr(found, "files") or KEY not in found.files:
            return None
        return str(np.ravel(found[KEY])[0])


def _root_meta(path: str) -> str | None:
    import uproot

    with uproot.open(Path(path)) as file:
        return str(file[KEY]) if file.classnames(cycle=False).get(KEY) == "TObjString" else None


_META = {"parquet": _parquet_meta, "hdf5": _hdf5_meta, "npz": _npz_meta, "root": _root_meta}


def _header(path: str) -> tuple[list[str], str]:
    """The names in the first line of a text, and what stands between them."""
    import pyarrow as pa

    with reading(path, "CSV"), pa.input_stream(path, compression="detect") as stream:
        head = stream.read(1 << 20)
    line = io.StringIO(head.decode("utf-8-sig", "replace")).readline().rstrip("\r\n")
    delimiter = max(",;\t ", key=line.count)
    names = next(csv.reader([line], delimiter=delimiter), [])
    if not names or not line.strip():
        raise DataFileError(f"{path} is empty: the first line must have the names of the columns.")
    if any(_is_number(name) for name in names):
        raise DataFileError(
            f"{path} begins with numbers, not with the names of its columns ({line[:60]!r}): add a first line "
            "with their names."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataFileError(f"{path} has two columns '{twice}': rename one of them.")
    return names, delimiter


def _is_number(text: str) -> bool:
    try:
        float(text)
        return text.strip().lower() not in ("nan", "inf", "infinity")
    except ValueError:
        return False


def _read_text(path: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of a text; what is missing is NaN, or ``None`` among words."""
    from pyarrow import csv as text

    everything, delimiter = _header(path)
    with reading(path, "CSV"):
        found = text.read_csv(
            path,
            text.ReadOptions(use_threads=False, column_names=everything, skip_rows=1),
            text.ParseOptions(delimiter=delimiter),
            text.ConvertOptions(include_columns=list(names), strings_can_be_null=True),
        )
        return {name: found[name].to_numpy() for name in names}
