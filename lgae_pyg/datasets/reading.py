"""Files with their card become checked jets, a chunk at a time, and jets the fields of a store."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.data import DataFileError
from lgae_pyg.data.admission import Admission
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Rules, admit
from lgae_pyg.datasets.assembly import assemble
from lgae_pyg.datasets.cards import Card
from lgae_pyg.datasets.columns import CardColumns
from lgae_pyg.datasets.readers import ROWS
from lgae_pyg.registry import check_choice
from lgae_pyg.vocabulary import SPLITS

#: Rows (events) of a file whose jets are linked that are read at a time: an event holds thousands of candidates.
EVENTS = 500


@dataclass(frozen=True)
class Piece:
    """Some rows of a file: of file number ``file``, from row ``first`` up to row ``stop``."""

    file: int
    first: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.first


@dataclass
class JetReading:
    """The reading of files: an iterator of checked jets that keeps the account.

    Args:
        files: paths of the files.
        card: what their columns are.
        rules: what the gate does.
        unit: unit of the jets.
        seed: seed of azimuths that are drawn.
        classes: only these classes, numbered in this order; all where ``None``.
        max_jets: of each class (of all jets where there are none) the first so many.
        progress: called with the share of the current file (its path, rows done, all rows).
        piece: read only these rows; all files are read when ``None``.

    Attributes:
        splits: jets in each part of the published split.
        admission: the account of the gate.
        class_names: names of the classes, empty where there are no labels.
        x_names: names of the features.
        observer_names: names of the observers.
        notes: sentences on what else was done.

    Raises:
        DataFileError: on the way, for files that are broken or do not fit the card or each other.
        ValueError: for classes that the card does not have.
    """

    files: Sequence[str]
    card: Card
    rules: Rules = field(default_factory=Rules)
    unit: str = "GeV"
    seed: int = 0
    classes: Sequence[str] | None = None
    max_jets: int | None = None
    progress: Callable[[str, int, int], Any] = lambda *_: None
    piece: Piece | None = None
    splits: list[int] = field(default_factory=lambda: [0] * len(SPLITS), init=False)
    admission: Admission = field(default_factory=Admission, init=False)
    class_names: list[str] = field(default_factory=list, init=False)
    x_names: list[str] = field(default_factory=list, init=False)
    observer_names: list[str] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)

    def __iter__(self) -> Iterator[FlatJets]:
        largest = -1
        for path, jets in self.unchecked():
            jets, account = admit(jets, self.rules, path)
            self.admission += account
            if "y" in jets.jets and len(jets):
                largest = max(largest, int(jets.jets["y"].max()))
            if len(jets):
                if "split" in jets.jets:
                    self.splits = [n + int((jets.jets["split"] == i).sum()) for i, n in enumerate(self.splits)]
                yield jets
        if not self.class_names and largest >= 0:
            self.class_names = [str(number) for number in range(largest + 1)]
        if not self.admission.kept and self.piece is None:
            raise DataFileError(
                f"{', '.join(self.files[:3])}: no jet is left. " + "; ".join(self.admission.lines())
            )

    def unchecked(self) -> Iterator[tuple[str, FlatJets]]:
        """The jets before the gate, with the path of their file; the account of the gate is not kept."""
        first, taken = None, {}
        self.card.check_versions(self.files)
        for number, path in enumerate(self.files):
            wanted = self.piece is None or self.piece.file == number
            if not wanted and first is not None:
                continue
            source = CardColumns(self.card, path)
            first = first or source
            self._join(first, source)
            if not wanted:
                continue
            for jets in self._jets_of(source, number):
                yield path, self._choose(jets, taken)
                if self._have_enough(taken):
                    return

    def _join(self, first: CardColumns, source: CardColumns) -> None:
        """Takes what the file says of all jets, and refuses a file that says something else than the first."""
        card = source.card
        for key in ("features", "observers", "jet_ref", "weight"):
            if set(getattr(card, key)) != set(getattr(first.card, key)):
                lacks = [
                    one
                    for one in {*source.left_out, *first.left_out}
                    if (one in source.left_out) != (one in first.left_out)
                ]
                raise DataFileError(
                    f"{source.path} and {first.path} differ in {', '.join(sorted(lacks))} ({key}), which only one "
                    "of them has: read them apart, or take these columns out of the card."
                )
        if source.reader.unit not in ("", card.unit):
            raise DataFileError(f"{source.path} is in {source.reader.unit}, not in {card.unit}: read it apart.")
        names = class_names_of(source)
        if (said := source.reader.protection(source.needed)) not in self.notes:
            self.notes.append(said)
        if source is first:
            self.x_names, self.observer_names = list(card.features), list(card.observers)
            self.class_names = names
            if source.left_out:
                self.notes.append(f"columns of {card} that the files do not have: {', '.join(source.left_out)}")
            if "ptrel" in card.momenta and "phi" not in card.jet_ref:
                self.notes.append(
                    f"the azimuths of the jets are not in the files and were drawn (seed {self.seed})"
                )
            if self.classes is not None:
                for name in self.classes:
                    check_choice(f"class in {card}", name, names)
                self.class_names = list(self.classes)
            self._file_names = names
        elif names != self._file_names:
            raise DataFileError(f"{source.path} has the classes {names}, but {first.path} {self._file_names}")

    def _jets_of(self, source: CardColumns, number: int) -> Iterator[FlatJets]:
        """The jets of a file, with the fields ``file_id`` and those of the file's name."""
        rows = EVENTS if source.card.links else ROWS
        split = split_of(source.card, source.path)
        first = done = self.piece.first if self.piece else 0
        for chunk in source.chunks(rows, done, self.piece.stop if self.piece else None):
            jets = assemble(source, chunk, first, self.unit, (self.seed, number), done)
            first, done = first + self._count(jets, chunk, source), done + len(next(iter(chunk.values())))
            more = {"file_id": np.full(len(jets), number)} if len(self.files) > 1 else {}
            more |= {} if split is None else {"split": np.full(len(jets), split)}
            self.progress(source.path, done, source.reader.rows)
            yield replace(jets, jets={**jets.jets, **more})

    @staticmethod
    def _count(jets: FlatJets, chunk: Any, source: CardColumns) -> int:
        """Jets of a chunk before any selection."""
        if not source.card.links:
            return len(next(iter(chunk.values())))
        if not source.card.selection:
            return len(jets)
        from lgae_pyg.datasets.layouts import counts

        text = source.card.links.get("references") or source.card.links["jets"]
        return int(counts(source.value(text, chunk)).sum())

    def _choose(self, jets: FlatJets, taken: dict[int, int]) -> FlatJets:
        """The jets of the classes asked for, and of them the first ones."""
        y = jets.jets.get("y")
        if self.classes is not None:
            if y is None:
                raise ValueError(f"classes cannot be chosen: {self.card} gives no labels")
            order = np.full(len(self._file_names), -1)
            order[[self._file_names.index(name) for name in self.classes]] = np.arange(len(self.classes))
            jets = jets.take_jets(order[y] >= 0)
            y = order[jets.jets["y"]]
            jets = replace(jets, jets={**jets.jets, "y": y})
        if self.max_jets is None:
            return jets
        numbers = np.zeros(len(jets), dtype=np.int64) if y is None else y
        chosen = []
        for number in np.unique(numbers).tolist():
            left = self.max_jets - taken.get(number, 0)
            chosen.append(np.flatnonzero(numbers == number)[:left])
            taken[number] = taken.get(number, 0) + len(chosen[-1])
        return jets.take_jets(np.sort(np.concatenate(chosen))) if chosen else jets

    def _have_enough(self, taken: dict[int, int]) -> bool:
        """Whether later jets are not wanted."""
        if self.max_jets is None:
            return False
        full = [number for number, count in taken.items() if count >= self.max_jets]
        by_jets = bool(self.card.labels)
        return len(full) >= (len(self.class_names) or np.inf) if by_jets else bool(full)


def account_of(reading: JetReading) -> dict[str, Any]:
    """What is to be known of jets when they have been read, as plain values; see :func:`description`."""
    names = ("class_names", "x_names", "observer_names", "notes", "splits")
    return {"admission": reading.admission.to_dict(), **{name: list(getattr(reading, name)) for name in names}}


def join_accounts(accounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The account of jets that were read in parts."""
    first = accounts[0]
    return {
        "admission": sum((Admission.from_dict(one["admission"]) for one in accounts), Admission()).to_dict(),
        "class_names": max((one["class_names"] for one in accounts), key=len),
        "x_names": first["x_names"],
        "observer_names": first["observer_names"],
        "notes": list(dict.fromkeys(line for one in accounts for line in one["notes"])),
        "splits": [sum(counts) for counts in zip(*(one["splits"] for one in accounts))],
    }


def description(card: Card, account: Mapping[str, Any]) -> dict[str, Any]:
    """The ``meta`` of a store: names of classes and columns, where the jets come from, what was done to them."""
    meta, notes, splits = dict(account), list(account["notes"]), account["splits"]
    meta["published_split"] = all(splits)
    if any(splits):
        parts = ", ".join(f"{count:,} {name}" for name, count in zip(SPLITS, splits))
        said = "is used unless fractions are given" if all(splits) else "is not used, since a part is not here"
        notes.append(f"the published split {said}: {parts}")
    del meta["splits"]
    return {**meta, "notes": notes, "origin": card.about or f"jets read with {card}", "card": card.name}


def class_names_of(source: CardColumns) -> list[str]:
    """Names of the classes: of the card, or of an array of the file."""
    card = source.card
    if card.class_names or "names" not in card.labels or card.labels["names"] not in source.reader.columns:
        return list(card.class_names)
    values = source.reader.whole(card.labels["names"])
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def split_of(card: Card, path: str) -> int | None:
    """Place in the published split that a file's name gives, or that of its folder; -1 for none.

    ``None`` where the card does not take it from names.
    """
    patterns = card.split.get("files")
    if not patterns:
        return None
    folder, name = os.path.split(path)
    for text in (name, os.path.basename(folder)):
        for key, pattern in patterns.items():
            if fnmatch.fnmatch(text, pattern):
                return SPLITS.index(key)
    return -1


def store_fields(jets: FlatJets) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """What a store keeps of jets: sizes, fields of the particles (``pos``, ``x``) and fields of the jets.

    Shapes:
        - **returns**: :math:`(J,)`; :math:`(n, 4)` and :math:`(n, k)`; :math:`(J, \\ldots)` each
    """
    particles = {"pos": _tensor(jets.p4)}
    if jets.particles:
        particles["x"] = _tensor(np.stack([one.astype(np.float32) for one in jets.particles.values()], axis=1))
    fields = {name: _tensor(values) for name, values in jets.jets.items()} | {"jet_id": _tensor(jets.rows)}
    return _tensor(jets.sizes), particles, fields


def _tensor(values: np.ndarray) -> Tensor:
    values = np.ascontiguousarray(values)
    if values.dtype.kind in "iub":
        values = values.astype(np.int64)
    return torch.from_numpy(values if values.flags.writeable else values.copy())
