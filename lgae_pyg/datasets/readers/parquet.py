"""Parquet files, read with pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from lgae_pyg.data import DataFileError
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

    def checksums(self, names: Sequence[str]) -> str:
        """CRC-32 of the pages, which pyarrow does not tell: it stands in the header of the first one."""
        with reading(self.path, "Parquet"), _open(self.path) as file, open(self.path, "rb") as raw:
            top = {field.name for field in file.schema_arrow}
            wanted = {_top(name, top) for name in names}
            group = file.metadata.row_group(0) if file.num_row_groups else None
            columns = [group.column(i) for i in range(group.num_columns)] if group else []
            flags = [_has_crc(raw, one) for one in columns if _top(one.path_in_schema, top) in wanted]
        return "CRC-32 of each page" if flags and all(flags) else ""

    def read(self, names: Sequence[str], rows: int, first: int, stop: int) -> Iterator[dict[str, Any]]:
        """Reads row groups as they are needed."""
        with reading(self.path, "Parquet"), _open(self.path) as file:
            top = {field.name for field in file.schema_arrow}
            groups = _row_groups(file)
            begin = int(np.searchsorted(groups, first, side="right")) - 1
            end = int(np.searchsorted(groups, stop, side="left"))
            skip, left = first - int(groups[begin]), stop - first
            wanted = sorted({_top(name, top) for name in names})
            self._refuse_doubles(wanted, [field.name for field in file.schema_arrow])
            batches = file.iter_batches(rows, row_groups=range(begin, end), columns=wanted)
            for batch in batches:
                if skip >= len(batch):
                    skip -= len(batch)
                    continue
                batch, skip = batch.slice(skip, left), 0
                left -= len(batch)
                yield {name: _values(batch, name, _top(name, top)) for name in names}


    def _refuse_doubles(self, wanted: Sequence[str], there: Sequence[str]) -> None:
        for name in wanted:
            if there.count(name) > 1:
                raise DataFileError(
                    f"{self.path} has {there.count(name)} columns of the name '{name}', and which one is meant "
                    "cannot be known: give the columns different names, and write the file again."
                )


_NUMPY_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}


def _open(path: str) -> Any:
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path, page_checksum_verification=True)


def _has_crc(raw: BinaryIO, column: Any) -> bool:
    """Whether the header of a column's first page has a checksum.

    It is a structure of Thrift's compact protocol, which begins with numbers: type, size, compressed size, and as
    the fourth, where it is there, the checksum; 0x15 announces a number that is the next field.
    """
    places = (column.dictionary_page_offset, column.data_page_offset)
    raw.seek(min(place for place in places if place is not None))
    header, place = raw.read(32), 0
    for _ in range(3):
        if header[place] != 0x15:
            return False
        place += 1
        while header[place] & 0x80:  # more bytes of the number follow
            place += 1
        place += 1
    return header[place] == 0x15


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
    if pyarrow.types.is_primitive(column.type) and not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    array = ak.from_arrow(column)
    for part in name[len(top) + 1 :].split(".") if name != top else ():
        array = array[part]
    return to_plain(array)
