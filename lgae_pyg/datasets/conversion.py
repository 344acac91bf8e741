"""Files of jets become a store on disk: in bounded memory, by several processes, resumable after a kill."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lgae_pyg.checksums import fingerprint
from lgae_pyg.data.admission import Admission
from lgae_pyg.data.gate import Rules
from lgae_pyg.data.writer import JetStoreWriter, read_checked
from lgae_pyg.datasets.cards import Card
from lgae_pyg.datasets.columns import CardColumns
from lgae_pyg.datasets.reading import JetReading, Piece, account_of, description, join_accounts, store_fields
from lgae_pyg.lock import writing
from lgae_pyg.processes import end_with_parent, holding_stops, ignore_stops
from lgae_pyg.vocabulary import STORE_INDEX

#: Rows of a file that are one piece of the work, more or less: pieces end where the file's own blocks do.
PIECE_ROWS = 100_000


@dataclass(frozen=True)
class Conversion:
    """What is converted, and how; with the same values the same bytes come out.

    Args:
        files: the files, in their order.
        card: what their columns are.
        rules: what the gate does with the jets.
        unit: unit of the momenta in the store.
        seed: seed of azimuths that are drawn.
        classes: only these classes, numbered in this order; all where ``None``.
    """

    files: tuple[str, ...]
    card: Card
    rules: Rules = Rules()  # noqa: RUF009
    unit: str = "GeV"
    seed: int = 0
    classes: tuple[str, ...] | None = None

    def recipe(self) -> dict[str, Any]:
        """Plain values by which an interrupted conversion is known again."""
        files = {os.path.abspath(path): fingerprint(path) for path in self.files}
        described = {"files": files, "card": self.card.to_dict(), "rules": asdict(self.rules)}
        chosen = None if self.classes is None else list(self.classes)
        return {**described, "unit": self.unit, "seed": self.seed, "classes": chosen}

    def pieces(self) -> list[Piece]:
        """The parts of the work: some rows of a file each; all of a file whose jets are linked to candidates.

        Raises:
            DataFileError: a file cannot be read, or lacks what the card names.
        """
        return [piece for number in range(len(self.files)) for piece in self._pieces_of(number)]

    def _pieces_of(self, number: int) -> Iterator[Piece]:
        source = CardColumns(self.card, self.files[number])
        rows = source.reader.rows
        if source.card.links or rows <= PIECE_ROWS:
            yield Piece(number, 0, rows)
            return
        seams, first = np.asarray(source.reader.seams(source.needed), dtype=np.int64), 0
        while first < rows:
            near = seams[(seams > first + PIECE_ROWS // 2) & (seams <= first + 2 * PIECE_ROWS)]
            distance = np.abs(near - first - PIECE_ROWS)
            stop = min(rows, int(near[distance.argmin()]) if len(near) else first + PIECE_ROWS)
            yield Piece(number, first, stop)
            first = stop

    def reading(self, piece: Piece | None = None) -> JetReading:
        """The jets of all files, or of one piece, through the gate."""
        return JetReading(self.files, self.card, self.rules, self.unit, self.seed, self.classes, piece=piece)


def convert(
    work: Conversion,
    out: str | os.PathLike[str],
    workers: int = 1,
    progress: bool = True,
    check: Callable[[], Any] = lambda: None,
) -> Admission:
    """Writes the jets of files to a store, see :class:`~lgae_pyg.data.writer.JetStoreWriter`.

    A conversion that was killed goes on where it was: pieces that are whole and of the same work are kept, and the
    result is that of an uninterrupted one, byte for byte, for any number of processes.

    Args:
        work: what is converted.
        out: folder of the store.
        workers: processes; more than one start fresh Python processes.
        progress: show a bar with the jets per second.
        check: called after each piece; what it raises ends the work, which can go on.

    Returns:
        What the gate did with the jets.

    Raises:
        FileExistsError: the folder holds a finished store of something else, or somebody else writes to it.
        DataFileError: a file cannot be read; it is named, and what was written before is kept.
    """
    out, recipe, pieces = Path(out), work.recipe(), work.pieces()
    with writing(out, "conversion", folder=True):
        if JetStoreWriter.is_finished(out, conversion=recipe):
            return Admission.from_dict(read_checked(out / STORE_INDEX)["meta"]["admission"])
        meta = {"conversion": recipe, "unit": work.unit}
        account = join_accounts(_write_missing(work, out, meta, pieces, workers, progress, check))
        described = {**meta, **description(work.card, account), "files": list(work.files)}
        JetStoreWriter.join(out, described, len(pieces))
    return Admission.from_dict(account["admission"])


def _write_missing(
    work: Conversion,
    out: Path,
    meta: Mapping[str, Any],
    pieces: Sequence[Piece],
    workers: int,
    progress: bool,
    check: Callable[[], Any],
) -> list[dict[str, Any]]:
    """Writes the pieces that are not there; the notes of all."""
    done = JetStoreWriter.resume(out, meta) if out.is_dir() else {}
    waiting = [number for number in range(len(pieces)) if number not in done]
    total = sum(piece.rows for piece in pieces)
    with tqdm(total=total, unit="jets", disable=None if progress else True, desc=out.name, unit_scale=True) as bar:
        bar.update(sum(pieces[number].rows for number in done))
        for number, notes in _run(work, os.fspath(out), meta, pieces, waiting, workers):
            done[number] = notes
            bar.update(pieces[number].rows)
            check()
    return [done[number] for number in range(len(pieces))]


def _run(
    work: Conversion,
    out: str,
    meta: Mapping[str, Any],
    pieces: Sequence[Piece],
    waiting: Sequence[int],
    workers: int,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Writes pieces, here or in other processes; gives the number and the notes of each when it is done."""
    if min(workers, len(waiting)) <= 1:
        for number in waiting:
            yield number, _write_piece(work, out, meta, pieces[number], number)
        return
    fresh, job = multiprocessing.get_context("spawn"), (work, out, meta)
    with ProcessPoolExecutor(min(workers, len(waiting)), mp_context=fresh, initializer=_start_worker) as pool:
        with holding_stops():
            futures = {pool.submit(_write_piece, *job, pieces[number], number): number for number in waiting}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    end_with_parent()
    ignore_stops()


def _write_piece(work: Conversion, out: str, meta: Mapping[str, Any], piece: Piece, number: int) -> dict[str, Any]:
    """Converts one piece; returns what is to be known of it."""
    reading = work.reading(piece)
    writer = JetStoreWriter(out, meta, piece=number)
    for jets in reading:
        writer.add(*store_fields(jets))
    account = account_of(reading)
    writer.finish(**account)
    return account
