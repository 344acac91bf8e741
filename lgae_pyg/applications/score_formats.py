"""Score files: Parquet, HDF5, ROOT or npz by suffix. The same table always gives the same bytes."""

from __future__ import annotations

import datetime
import io
import json
import os
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from lgae_pyg.applications.score_table import EVENT_COLUMNS, ScoreTable, in_words
from lgae_pyg.data import DataFileError
from lgae_pyg.files import new_file
from lgae_pyg.places import score_format

#: The key of the metadata in every format, and the name of the tree in ROOT files.
KEY, TREE = "lgae_pyg", "jets"

#: Rows of a row group, a chunk or a basket.
ROWS = 50_000

#: Columns that hold words.
WORDS = ("file", "status")

#: Parts of the columns of that name, all of them in the order of the jets.
Parts = Callable[[Sequence[str]], Iterable[Mapping[str, np.ndarray]]]


def write_scores(path: Path, columns: Sequence[str], rows: int, parts: Parts, meta: Mapping[str, Any]) -> Path:
    """Writes a score file: all of it under its name, or nothing.

    Args:
        path: the file; an older one is replaced.
        columns: names of the columns.
        rows: number of jets.
        parts: gives the columns of these names, part by part; ``file`` and ``status`` as numbers.
        meta: plain values; among them the words of the numbers, ``files`` and ``statuses``.

    Returns:
        The path.

    Raises:
        ValueError: for an unknown suffix.
    """
    kind, path = score_format(path), Path(path)
    with new_file(path) as partial:
        _WRITERS[kind](partial, columns, rows, parts, meta)
    return path


def read_scores(path: str | os.PathLike[str]) -> ScoreTable:
    """Reads a score file of any format.

    Raises:
        OSError: there is no such file.
        ValueError: for an unknown suffix.
        DataFileError: it is damaged, or none of ours.
    """
    found, meta = _opened(path, True)
    columns = {name: found[name] for name in meta["columns"]}
    return ScoreTable(in_words(columns, meta) if score_format(path) == "root" else columns, meta)


def read_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a score file says of itself; errors are those of :func:`read_scores`."""
    return _opened(path, False)[1]


def _opened(path: str | os.PathLike[str], whole: bool) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    kind = score_format(path)
    open(path, "rb").close()  # what the system forbids is said in its own words
    try:
        columns, text = _READERS[kind](str(path), whole)
        return columns, dict(json.loads(text))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataFileError(f"{path} is no score file of lgae_pyg, or damaged ({reason})") from error


def _regrouped(parts: Iterable[Mapping[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """The same columns in parts of :data:`ROWS` rows, so that files do not depend on how they came."""
    held: list[Mapping[str, np.ndarray]] = []
    count = 0
    for part in parts:
        length = len(next(iter(part.values())))
        start = 0
        while count + length - start >= ROWS:
            stop = start + ROWS - count
            yield _together([*held, {name: values[start:stop] for name, values in part.items()}])
            held, count, start = [], 0, stop
        if start < length:
            held.append({name: values[start:] for name, values in part.items()})
            count += length - start
    if held:
        yield _together(held)


def _together(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _text(meta: Mapping[str, Any]) -> str:
    return json.dumps(meta, sort_keys=True)


def _words_of(name: str, meta: Mapping[str, Any]) -> list[str]:
    """The words of a column's numbers, or none."""
    return list(meta[{"file": "files", "status": "statuses"}[name]]) if name in WORDS else []


def _type_of(name: str) -> str:
    return "i8" if name in (*WORDS, *EVENT_COLUMNS, "jet", "y", "num_particles") else "f8"


def _write_parquet(path: Path, columns: Sequence[str], rows: int, parts: Parts, meta: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    words = {name: pa.array(_words_of(name, meta), pa.string()) for name in WORDS}
    kinds = {"i8": pa.int64(), "f8": pa.float64()}
    fields = [(name, pa.string() if name in WORDS else kinds[_type_of(name)]) for name in columns]
    schema = pa.schema(fields, metadata={KEY: _text(meta)})
    with parquet.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for part in _regrouped(parts(columns)):
            arrays = [
                words[name].take(pa.array(part[name])) if name in WORDS else pa.array(part[name], kind)
                for name, kind in fields
            ]
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=ROWS)


def _read_parquet(path: str, whole: bool) -> tuple[dict[str, np.ndarray], str]:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path, page_checksum_verification=True) as file:
        text = file.schema_arrow.metadata[KEY.encode()].decode()
        table = file.read() if whole else None
    columns = {} if table is None else {name: table[name].to_numpy() for name in table.column_names}
    return {name: values.astype(str) if name in WORDS else values for name, values in columns.items()}, text


def _write_hdf5(path: Path, columns: Sequence[str], rows: int, parts: Parts, meta: Mapping[str, Any]) -> None:
    import h5py

    words = {name: np.array([word.encode() for word in _words_of(name, meta)] or [b""]) for name in WORDS}
    words = {name: values.astype(f"S{max(1, values.dtype.itemsize)}") for name, values in words.items()}
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
    options = {"track_times": False, **(packed | {"chunks": (min(rows, ROWS),)} if rows else {})}
    with h5py.File(path, "w") as file:
        text = _text(meta)
        if len(text.encode()) < 60_000:  # more does not fit into the header of an object
            file.attrs[KEY] = text
        else:
            file.create_dataset(KEY, data=np.frombuffer(text.encode(), dtype="u1"), track_times=False)
        for name in columns:
            kind = words[name].dtype if name in WORDS else _type_of(name)
            file.create_dataset(name, (rows,), kind, **options)
        first = 0
        for part in _regrouped(parts(columns)):
            stop = first + len(part[columns[0]])
            for name in columns:
                file[name][first:stop] = words[name][part[name]] if name in WORDS else part[name]
            first = stop


def _read_hdf5(path: str, whole: bool) -> tuple[dict[str, np.ndarray], str]:
    import h5py

    with h5py.File(path, "r") as file:
        text = file.attrs[KEY] if KEY in file.attrs else file[KEY][()].tobytes().decode()
        own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink) and name != KEY]
        columns = {name: file[name][()] for name in own} if whole else {}
    return {
        name: np.char.decode(values, "utf-8") if name in WORDS else values for name, values in columns.items()
    }, text


def _write_npz(path: Path, columns: Sequence[str], rows: int, parts: Parts, meta: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with _entry(archive, KEY) as file:
            np.lib.format.write_array(file, np.array([_text(meta)]), allow_pickle=False)
        for name in columns:
            words = np.array(_words_of(name, meta) or [""])
            dtype = words.dtype if name in WORDS else np.dtype(_type_of(name))
            header = {"descr": dtype.str, "fortran_order": False, "shape": (rows,)}
            with _entry(archive, name) as file:
                head = io.BytesIO()
                np.lib.format.write_array_header_1_0(head, header)
                file.write(head.getvalue())
                for part in parts([name]):
                    file.write(np.ascontiguousarray(words[part[name]] if name in WORDS else part[name], dtype))


def _entry(archive: zipfile.ZipFile, name: str) -> Any:
    """An array of the archive, with a date that is always the same."""
    entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    entry.compress_type = archive.compression
    entry._compresslevel = archive.compresslevel  # type: ignore[attr-defined]  # public from Python 3.13 on
    return archive.open(entry, "w", force_zip64=True)


def _read_npz(path: str, whole: bool) -> tuple[dict[str, np.ndarray], str]:
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files if name != KEY} if whole else {}
        return columns, str(file[KEY][0])


def _write_root(path: Path, columns: Sequence[str], rows: int, parts: Parts, meta: Mapping[str, Any]) -> None:
    """A tree of plain numbers. Times and identifiers, which ROOT files carry, are always the same; and of a file
    that is given open, the name is not in it."""
    import uproot

    code = uproot._util.datetime_to_code(datetime.datetime(2000, 1, 1))
    timeless = mock.patch.object(uproot._util, "datetime_to_code", lambda _: code)
    with (
        timeless,
        open(path, "wb+") as bare,
        uproot.recreate(bare, uuid_function=lambda: uuid.UUID(int=0)) as file,
    ):
        tree = file.mktree(TREE, {name: _type_of(name) for name in columns})
        for part in _regrouped(parts(columns)):
            tree.extend({name: part[name].astype(_type_of(name)) for name in columns})
        file[KEY] = _text(meta)


def _read_root(path: str, whole: bool) -> tuple[dict[str, np.ndarray], str]:
    import uproot

    with uproot.open(Path(path)) as file:
        tree = file[TREE]
        return {name: tree[name].array(library="np") for name in (tree.keys() if whole else ())}, str(file[KEY])


_WRITERS = {"parquet": _write_parquet, "hdf5": _write_hdf5, "root": _write_root, "npz": _write_npz}
_READERS = {"parquet": _read_parquet, "hdf5": _read_hdf5, "root": _read_root, "npz": _read_npz}
