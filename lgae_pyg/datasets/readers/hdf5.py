"""HDF5 files of any layout, pandas' tables among them, read with h5py alone."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.hdf5 import open_hdf5
from lgae_pyg.datasets.readers.arrays import ArrayReader, Take
from lgae_pyg.datasets.readers.base import reading

_PLUGINS = {32001: "blosc", 32026: "blosc2", 32015: "zstd", 32004: "lz4", 307: "bzip2", 305: "lzo"}


@dataclass(frozen=True)
class _Source:
    """Where a column lies: a dataset, a field of its compound type, a place on the last axis."""

    dataset: str
    field: str | None = None
    place: int | None = None


class Hdf5Reader(ArrayReader):
    """An HDF5 file: its datasets are the columns, by their path within ``table`` (a group; the file when empty).

    A file of one pandas table (``DataFrame.to_hdf``, either format) shows the columns of that table, and one with
    a single dataset of a compound type its fields. The names of pandas' columns are read from pickles that are
    taken apart, never run.
    """

    format = "hdf5"

    def look(self) -> None:
        """Lists the datasets, or the columns of the table."""
        with reading(self.path, "HDF5"), open_hdf5(self.path) as file:
            frames = {name: group for name, group in _groups(file) if "pandas_type" in group.attrs}
            self.tables = {name: _frame_rows(group) for name, group in frames.items()}
            if self.table not in frames and len(frames) == 1 and not self.table:
                self.table = next(iter(frames))
            if self.table and self.table not in file:
                self.tables |= {name: 0 for name, _ in _groups(file)}
                self.only_table("table or group")
            group = file[self.table] if self.table else file
            if self.table in frames:
                self._sources = _frame_columns(self.path, self.table, group)
            else:
                self._sources = _dataset_columns(self.table, group)
            self.settle({name: _shape(file, source) for name, source in self._sources.items()})

    @contextmanager
    def opened(self, names: Sequence[str]) -> Iterator[Take]:
        """Slices of the datasets; those of several columns are read once."""
        with reading(self.path, "HDF5"), open_hdf5(self.path) as file:
            for dataset in {self._sources[name].dataset for name in names}:
                _check_filters(self.path, file[dataset])
            last_read: dict[str, tuple[int, int, np.ndarray]] = {}

            def take(name: str, first: int, last: int) -> np.ndarray:
                source = self._sources[name]
                if last_read.get(source.dataset, (None,))[:2] != (first, last):
                    last_read[source.dataset] = (first, last, file[source.dataset][first:last])
                block = last_read[source.dataset][2]
                block = block if source.field is None else block[source.field]
                return block if source.place is None else block[..., source.place]

            yield take


def _groups(file: h5py.File) -> list[tuple[str, h5py.Group]]:
    found: list[tuple[str, h5py.Group]] = []
    file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Group) else None)
    return found


def _dataset_columns(table: str, group: h5py.Group | h5py.Dataset) -> dict[str, _Source]:
    """Every dataset of the group; the fields of a compound one, alone by their own names."""
    datasets: dict[str, h5py.Dataset] = {}
    if isinstance(group, h5py.Dataset):
        datasets[table] = group
    else:
        group.visititems(
            lambda name, item: datasets.update({name: item}) if isinstance(item, h5py.Dataset) else None
        )
    compound = [name for name, one in datasets.items() if one.dtype.names]
    sources = {}
    for name, one in datasets.items():
        path = one.name
        if not one.dtype.names:
            sources[name] = _Source(path)
        for field in one.dtype.names or ():
            sources[field if len(compound) == 1 else f"{name}/{field}"] = _Source(path, field)
    return sources


def _frame_rows(group: h5py.Group) -> int:
    if isinstance(group.get("table"), h5py.Dataset):
        return len(group["table"])
    return len(group["axis1"]) if isinstance(group.get("axis1"), h5py.Dataset) else 0


def _frame_columns(path: str, name: str, group: h5py.Group) -> dict[str, _Source]:
    """Columns of a pandas table: blocks of columns of one type, whose names lie beside them."""
    sources: dict[str, _Source] = {}
    table = group.get("table")
    if isinstance(table, h5py.Dataset) and table.dtype.names:
        if (rows := int(table.attrs.get("NROWS", len(table)))) != len(table):
            raise DataFileError(f"{path}: '{name}' says it has {rows} rows, and has {len(table)}: damaged.")
        for field in table.dtype.names:
            kind, width = table.attrs.get(f"{field}_kind"), table.dtype[field].shape
            if not width:
                sources[field] = _Source(table.name, field)
                continue
            titles = _strings(kind)
            if len(titles) != width[0]:
                raise DataFileError(
                    f"{path}: the block '{field}' of the pandas table '{name}' has {width[0]} columns and "
                    f"{len(titles)} names: it is damaged, or written by a pandas that is not known."
                )
            sources |= {title: _Source(table.name, field, place) for place, title in enumerate(titles)}
        return sources
    block = 0
    while f"block{block}_values" in group:
        values, items = group[f"block{block}_values"], group[f"block{block}_items"]
        if len(items) != values.shape[-1]:
            raise DataFileError(
                f"{path}: block{block} of '{name}' has {len(items)} names, not {values.shape[-1]}."
            )
        titles = [title.decode() if isinstance(title, bytes) else str(title) for title in items[:]]
        sources |= {title: _Source(values.name, None, place) for place, title in enumerate(titles)}
        block += 1
    return sources


def _strings(pickled: Any) -> list[str]:
    """The texts in a pickled list, which is taken apart and not loaded."""
    data = pickled.encode("latin-1") if isinstance(pickled, str) else bytes(pickled or b"")
    try:
        return [
            str(text)
            for code, text, _ in pickletools.genops(data)
            if "UNICODE" in code.name or "STRING" in code.name
        ]
    except ValueError:
        return []


def _shape(file: h5py.File, source: _Source) -> tuple[tuple[int, ...], str]:
    dataset = file[source.dataset]
    shape, dtype = dataset.shape or (), dataset.dtype
    if source.field is not None:
        dtype = dtype[source.field]
        shape, dtype = shape + dtype.shape, dtype.base
    return (shape[:-1] if source.place is not None else shape), str(dtype)


def _check_filters(path: str, dataset: h5py.Dataset) -> None:
    """Says which compression is missing, in place of HDF5's general words."""
    properties = dataset.id.get_create_plist()
    codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if missing and _has_plugins():
        missing = [code for code in missing if not h5py.h5z.filter_avail(code)]
    if missing:
        raise DataFileError(
            f"{path}: '{dataset.name}' is compressed with {_PLUGINS.get(missing[0], f'filter {missing[0]}')}, "
            "which h5py does not bring: pip install hdf5plugin, and it is used."
        )


def _has_plugins() -> bool:
    try:
        import hdf5plugin  # noqa: F401  registers its filters
    except ImportError:
        return False
    return True
