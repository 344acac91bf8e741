"""What all readers of files share: a list of columns, and chunks of them in bounded memory."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.registry import suggestion

#: Rows of a chunk: some tens of megabytes for jets of a hundred particles.
ROWS = 10_000

_SHOWN = 40


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Args:
        name: its name, as cards use it.
        dtype: type of its numbers.
        shape: shape of one row; ``None`` stands for a length that differs from row to row.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] = ()

    @property
    def shape_text(self) -> str:
        """The shape of one row as it is printed: ``()``, ``(n)``, ``(200, 4)``."""
        return "(" + ", ".join("n" if size is None else str(size) for size in self.shape) + ")"


class Reader(ABC):
    """A file as a table: columns with a value, a list or an array in each row.

    Args:
        path: the file.
        table: tree or group of the file; the only one when empty.
        offsets: column with the first particle of each jet (and at the end their number), where the particles of
            all jets lie one after another; a row is then a jet, and columns as long as the particles are lists.

    Attributes:
        table: the tree or group that is read.
        rows: number of rows.
        columns: the columns by name.
        tables: what the file holds beside it: number of rows by name of the tree or group.

    Raises:
        OSError: if the system does not let the file be read.
        DataFileError: if it is cut short, damaged, or has no such table; the message says what is inside.
    """

    format = ""

    def __init__(self, path: str | os.PathLike[str], table: str = "", offsets: str = "") -> None:
        self.path, self.table, self.offsets = os.fspath(path), table, offsets
        self.rows = 0
        self.columns: dict[str, Column] = {}
        self.tables: dict[str, int] = {}
        self.look()

    @abstractmethod
    def look(self) -> None:
        """Fills ``table``, ``tables``, ``rows`` and ``columns``."""

    @abstractmethod
    def read(self, names: Sequence[str], rows: int, first: int) -> Iterator[dict[str, Any]]:
        """Chunks of columns that are there, from a row on."""

    def seams(self, names: Sequence[str]) -> Sequence[int]:
        """Rows at which reading may begin without unpacking rows before; none where all rows will do."""
        return ()

    def chunks(self, names: Sequence[str], rows: int = ROWS, first: int = 0) -> Iterator[dict[str, Any]]:
        """Some columns, a few rows at a time.

        Args:
            names: which columns.
            rows: how many rows at a time.
            first: the row to begin with.

        Yields:
            The columns by name: NumPy arrays where all rows have the same shape, awkward arrays elsewhere.

        Raises:
            DataFileError: if a column is not there, or cannot be read.
        """
        self.require(names)
        if self.rows > first:
            yield from self.read(names, rows, first)

    def whole(self, name: str) -> Any:
        """All of a small column, whatever its length.

        Raises:
            DataFileError: if it is not there, or cannot be read.
        """
        self.require([name])
        parts = [chunk[name] for chunk in self.read([name], self.rows or 1, 0)]
        return np.concatenate(parts)

    def require(self, names: Sequence[str], why: str = "") -> None:
        """Refuses columns that the file does not have.

        Raises:
            DataFileError: names what is missing, what is there, and what was probably meant.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            inside = ", ".join(list(self.columns)[:_SHOWN]) + (", ..." if len(self.columns) > _SHOWN else "")
            where = f"{self.path}, {self.table}" if self.table else self.path
            raise DataFileError(
                f"{where} has no column {', '.join(missing[:_SHOWN])}{why}{suggestion(missing[0], self.columns)}. "
                f"It has: {inside or 'no columns'}. Choose another card, or change this one; `lgae data inspect "
                f"{os.path.basename(self.path)}` proposes one."
            )

    def only_table(self, what: str) -> str:
        """The table asked for, or the only one of :attr:`tables`.

        Raises:
            DataFileError: there is none of that name, or the choice is left open.
        """
        if self.table in self.tables or (not self.table and len(self.tables) == 1):
            return self.table or next(iter(self.tables))
        inside = ", ".join(f"{name} ({rows} rows)" for name, rows in self.tables.items()) or "nothing of the kind"
        asked = f"no {what} '{self.table}'" if self.table else f"more than one {what}, or none"
        raise ManyTables(
            self.tables,
            f"{self.path} has {asked}; it has: {inside}. Name one as `table` in the card"
            f"{suggestion(self.table, self.tables)}.",
        )


class ManyTables(DataFileError):
    """A file of several tables, none of which was chosen, or not one that is there.

    Args:
        tables: number of rows by name of the table.
        message: the message.
    """

    def __init__(self, tables: dict[str, int], message: str) -> None:
        super().__init__(message)
        self.tables = tables


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Turns the errors of a library that reads a file into one clear error; those of the system pass.

    Raises:
        DataFileError: the file is damaged, cut short, or of a kind that is not read.
    """
    try:
        yield
    except (DataFileError, MemoryError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and (error.errno or type(error) is not OSError):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataFileError(
            f"{path} cannot be read as {kind} ({reason}): it is cut short or damaged, or uses a part of the "
            "format that is not read. Fetch or make it again."
        ) from error


def refuse(path: str, jet: int, field: str, reason: str) -> NoReturn:
    """Raises the error of a jet whose numbers cannot be used."""
    raise DataFileError(f"{path}, jet {jet} (from 0): '{field}' {reason}.")


def to_plain(array: Any) -> Any:
    """An awkward array as a NumPy array where all its rows have the same shape, otherwise unchanged.

    Missing numbers become NaN, and missing lists empty, so that the gate sees them.
    """
    import awkward as ak

    if any(mark in str(array.type) for mark in ("?", "option")):
        array = (
            ak.fill_none(ak.fill_none(array, [], axis=0), np.nan, axis=-1)
            if array.ndim > 1
            else (ak.fill_none(array, np.nan))
        )
    if "var *" in str(array.type) or array.fields:
        return array
    return ak.to_numpy(array)
