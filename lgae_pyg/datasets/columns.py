"""The columns of one file under the names of a card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.cards import Card
from lgae_pyg.datasets.expressions import evaluate, names_in
from lgae_pyg.datasets.readers import ROWS, Reader, open_reader

_OPTIONAL = ("features", "observers", "jet_ref")


class CardColumns:
    """A file, opened as its card says: chunks of the columns that the card needs.

    Args:
        card: the card.
        path: the file.

    Attributes:
        card: the card of this file: ``{words}`` filled in, optional columns that are missing left out.
        left_out: those columns.

    Raises:
        DataFileError: if the file is of another format, is damaged, or lacks a column; the message says which
            place of the card wants it.
    """

    def __init__(self, card: Card, path: str) -> None:
        card = card.filled()
        self.reader: Reader = open_reader(path, card.table, card.offsets, card.format, str(card))
        self.axes = {
            name: (column, place) for column, names in card.axes.items() for place, name in enumerate(names)
        }
        self.series = {name: self._numbered(pattern) for name, pattern in card.series.items()}
        for name, pattern in card.series.items():
            if not self.series[name]:
                self.reader.require([pattern.replace("{}", "0")], f", wanted for series.{name} in {card}")
        self.left_out: list[str] = []
        self.card = self._present(card)
        self.needed = sorted(self._needed())

    @property
    def path(self) -> str:
        """The file."""
        return self.reader.path

    @property
    def unnamed(self) -> list[str]:
        """Columns of the file that the card names nowhere, and that are not read."""
        named = {*self.needed, self.card.labels.get("names")}
        return [name for name in self.reader.columns if name not in named]

    def chunks(self, rows: int = ROWS, first: int = 0, stop: int | None = None) -> Iterator[dict[str, Any]]:
        """The columns that the card names, a few rows at a time; numbered columns and axes have their names."""
        for raw in self.reader.chunks(self.needed, rows, first, stop):
            chunk = {name: raw[name] for name in raw if name not in self.axes}
            chunk |= {
                name: raw[column][..., place] for name, (column, place) in self.axes.items() if column in raw
            }
            for name, columns in self.series.items():
                chunk[name] = np.stack([raw[column] for column in columns], axis=1)
            yield chunk

    def value(self, text: str, chunk: Mapping[str, Any]) -> Any:
        """What stands at a place of the card: a column, or a formula of columns.

        Raises:
            DataFileError: if the formula cannot be computed.
        """
        if text in chunk:
            return chunk[text]
        try:
            return evaluate(text, chunk)
        except ValueError as error:
            raise DataFileError(f"{self.path}, {self.card}: {error}") from error

    def names_of(self, text: str) -> set[str]:
        """Names of the columns at a place of the card; a column's own name need not be a formula."""
        if text in self.reader.columns or text in self.axes or text in self.series:
            return {text}
        try:
            return names_in(text)
        except ValueError:
            if re.search(r"[(*/+<>=&|]", text):
                raise
            return {text}  # the name of a column that is missing

    def _is_there(self, name: str) -> bool:
        if name in self.axes:
            return self.axes[name][0] in self.reader.columns
        return name in self.series or name in self.reader.columns

    def _present(self, card: Card) -> Card:
        """The card without the optional columns that are missing."""
        changes: dict[str, Any] = {}
        for key in (*_OPTIONAL, "weight"):
            value = getattr(card, key)
            entries = value if isinstance(value, Mapping) else {"": value}
            kept = {}
            for name, text in entries.items():
                wanted = text.removesuffix("?")
                if text.endswith("?") and not all(map(self._is_there, self.names_of(wanted))):
                    self.left_out.append(wanted)
                else:
                    kept[name] = wanted
            changes[key] = kept if isinstance(value, Mapping) else kept.get("", "")
        return replace(card, **changes)

    def _needed(self) -> set[str]:
        """Columns of the file that the card needs."""
        needed: set[str] = set()
        for place, text in self.card.texts().items():
            for name in self.names_of(text):
                columns = [self.axes[name][0]] if name in self.axes else self.series.get(name, [name])
                self.reader.require(columns, f", wanted for {place} in {self.card}")
                needed |= set(columns)
        for column, names in self.card.axes.items():
            shape = self.reader.columns[column].shape if column in self.reader.columns else (len(names),)
            if not shape or shape[-1] is None or shape[-1] < len(names):
                raise DataFileError(
                    f"{self.path}: '{column}' has the shape {self.reader.columns[column].shape_text} in each row, "
                    f"and {self.card} names {len(names)} places on its last axis"
                )
        return needed

    def _numbered(self, pattern: str) -> list[str]:
        """Columns E_0, E_1, ... (or from 1 on), as far as they go."""
        if "{}" not in pattern:
            raise ValueError(f"a series needs {{}} in the place of the number, such as E_{{}}, not '{pattern}'")
        columns, number = [], 0 if pattern.replace("{}", "0") in self.reader.columns else 1
        while (name := pattern.replace("{}", str(number))) in self.reader.columns:
            columns.append(name)
            number += 1
        head, tail = map(re.escape, pattern.split("{}", 1))
        beyond = [name for name in self.reader.columns if re.fullmatch(rf"{head}\d+{tail}", name)]
        if len(beyond) > len(columns) > 0:
            raise DataFileError(
                f"{self.path}: of the columns {pattern} there is number {number - 1}, but not {number}, and "
                "others after it: the file does not fit together"
            )
        return columns
