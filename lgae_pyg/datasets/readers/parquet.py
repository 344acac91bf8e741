"""Parquet files, read with pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lgae_pyg.datasets.readers.base import Column, Reader, reading, to_plain


class ParquetReader(Reader):
    """A Parquet file; lists are jagged columns, and parts of structures (``part.px``) columns of their own.

    Checksums of pages are verified where the file has them.
    """

    format = "parquet"

    def look(self) -> None:
        """Reads the schema."""
        with reading(self.path, "Parquet"), _open(self.path) as file:
            self.rows = file.metadata.num_rows
            for field in file.schema_arrow:
                self.columns |= {column.name: column for column in _columns(field.name, field.type)}

    def seams(self, names: Sequence[str]) -> Sequence[int]:
        """Where row groups begin."""
        with reading(self.path, "Parquet"), _open(self.path) as file:
            return _row_groups(file).tolist()

    def read(self, names: Sequence[str], rows: int, first: int) -> Iterator[dict[str, Any]]:
        """Reads row groups as they are needed."""
        with reading(self.path, "Parquet"), _open(self.path) as file:
            top = {field.name for field in file.schema_arrow}
            groups = _row_groups(file)
            begin = int(np.searchsorted(groups, first, side="right")) - 1
            skip = first - int(groups[begin])
            wanted = sorted({_top(name, top) for name in names})
            batches = file.iter_batches(rows, row_groups=range(begin, file.num_row_groups), columns=wanted)
            for batch in batches:
                if skip >= len(batch):
                    skip -= len(batch)
                    continue
                batch, skip = batch.slice(skip), 0
                yield {name: _values(batch, name, _top(name, top)) for name in names}


_NUMPY_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}


def _open(path: str) -> Any:
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path, page_checksum_verification=True)


def _row_groups(file: Any) -> np.ndarray:
    """First row of each row group, and the number of all rows."""
    return np.cumsum([0] + [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)])


def _top(name: str, top: set[str]) -> str:
    """The column of the file to which a name belongs."""
    return name if name in top else next(one for one in top if name.startswith(f"{one}."))


def _columns(name: str, kind: Any, shape: tuple[int | None, ...] = ()) -> Iterator[Column]:
    from pyarrow import types

    if types.is_struct(kind):
        for part in kind:
            yield from _columns(f"{name}.{part.name}", part.type, shape)
    elif types.is_fixed_size_list(kind):
        yield from _columns(name, kind.value_type, (*shape, kind.list_size))
    elif types.is_list(kind) or types.is_large_list(kind):
        yield from _columns(name, kind.value_type, (*shape, None))
    else:
        yield Column(name, _NUMPY_NAMES.get(str(kind), str(kind)), shape)


def _values(batch: Any, name: str, top: str) -> Any:
    import awkward as ak
    import pyarrow

    column = batch.column(top)
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        return column.to_numpy(zero_copy_only=False)
    if pyarrow.types.is_dictionary(column.type):
        return column.dictionary_decode().to_numpy(zero_copy_only=False)
    array = ak.from_arrow(column)
    for part in name[len(top) + 1 :].split(".") if name != top else ():
        array = array[part]
    return to_plain(array)
