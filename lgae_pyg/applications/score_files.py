"""Files of jets become one score file: in bounded memory, by several processes, resumable after a kill."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import safe_open
from torch import Tensor

from lgae_pyg.applications.score_formats import format_of, read_meta, write_scores
from lgae_pyg.applications.score_model import Scorer
from lgae_pyg.applications.score_table import Scored, Summary, described, joined
from lgae_pyg.data import DataFileError
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.shards import read_signed, write_signed
from lgae_pyg.data.tensor_file import metadata_of, read_tensors, write_tensors
from lgae_pyg.datasets.base import fingerprint
from lgae_pyg.datasets.cards import Card, read_card
from lgae_pyg.datasets.columns import CardColumns
from lgae_pyg.datasets.reading import JetReading, Piece
from lgae_pyg.datasets.recognition import recognise_card
from lgae_pyg.files import plain
from lgae_pyg.ops.threads import limited_threads

#: Rows of a file that are one piece: what is scored again after a kill.
PIECE_ROWS = 5_000

#: Pieces that one process takes at a time, neighbours that are read in one go.
STRETCH = 8

JOB, LOCK = "job.json", ".lock"

Progress = Callable[[int, int], Any]


@dataclass(frozen=True)
class ScoreJob:
    """Files that a model scores; with the same values the same bytes come out.

    Args:
        model: path of the checkpoint, or of the folder of a run.
        files: the files, in their order.
        card: what their columns are.
        latents: give the codes, too.
        codes: those of ordinary jets, for scores of the codes
            (:func:`~lgae_pyg.applications.score_model.reference_codes`).
        batch_size: jets per batch.
        piece_rows: rows of a piece.
    """

    model: str
    files: tuple[str, ...]
    card: Card
    latents: bool = False
    codes: Tensor | None = None
    batch_size: int = 64
    piece_rows: int = PIECE_ROWS

    def scorer(self) -> Scorer:
        """The model, loaded."""
        scorer = Scorer.of(self.model, self.latents, self.batch_size)
        return scorer if self.codes is None else scorer.fitted(self.codes)

    def recipe(self, scorer: Scorer) -> dict[str, Any]:
        """Plain values by which an interrupted job is known again."""
        codes = None if self.codes is None else hashlib.sha256(self.codes.numpy().tobytes()).hexdigest()
        about = {key: value for key, value in scorer.about().items() if key != "version"}
        inputs = {os.path.abspath(path): fingerprint(path) for path in self.files}
        options = {"latents": self.latents, "batch_size": self.batch_size, "piece_rows": self.piece_rows}
        job = {"model": about, "input files": inputs, "card": self.card.to_dict(), "reference": codes}
        return plain(job | {"options": options, "version": scorer.about()["version"]}, "job")

    def pieces(self) -> list[Piece]:
        """The parts of the work: some rows of a file each; all of a file whose jets are linked to candidates.

        Raises:
            DataFileError: a file cannot be read, or lacks what the card names.
        """
        found = []
        for number, path in enumerate(self.files):
            rows = CardColumns(self.card, path).reader.rows
            step = rows or 1
            step = step if self.card.links else self.piece_rows
            found += [Piece(number, first, min(first + step, rows)) for first in range(0, rows, step)]
        return found

    def scored(self, scorer: Scorer, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Scored]]:
        """The scores of neighbouring pieces of one file, one after another."""
        first, path = pieces[0], self.files[pieces[0].file]
        stretch = Piece(first.file, first.first, pieces[-1].stop)
        reading = JetReading(self.files, self.card, scorer.rules, scorer.unit, scorer.seed, piece=stretch)
        chunks = (jets for _, jets in reading.unchecked())
        for piece, parts in [(first, chunks)] if self.card.links else cut(chunks, pieces):
            found = joined([scorer(jets, first.file, path) for jets in parts if len(jets)] or [Scored({})])
            yield piece, replace(found, class_names=reading.class_names, notes=reading.notes)


def cut(chunks: Iterable[FlatJets], pieces: Sequence[Piece]) -> Iterator[tuple[Piece, list[FlatJets]]]:
    """The jets of each piece, in at most one part, from chunks that were cut elsewhere."""
    waiting, held = list(pieces), []
    for jets in chunks:
        while len(jets):
            inside = jets.rows < waiting[0].stop
            held.append(jets if inside.all() else jets.take_jets(inside))
            if inside.all():
                break
            yield waiting.pop(0), [FlatJets.joined(held)]
            jets, held = jets.take_jets(~inside), []
    for piece in waiting:
        yield piece, [FlatJets.joined(held)] if held else []
        held = []


def choose_card(card: Any, files: Sequence[str], trained: Card | None, labels: bool = True) -> Card:
    """What is in the files: the card asked for; else that of the training, where it fits; else it is recognised.

    Args:
        card: name of a preset, file or entries of a card, or ``None``.
        files: the files.
        trained: the card of the training.
        labels: whether classes and published splits are read; without, files need not have them.

    Raises:
        DataFileError: none is given, none fits.
        ValueError: for a card that cannot be.
    """
    if card is not None:
        found = read_card(card)
    elif trained is not None and _fits(_bare(trained, labels), files[0]):
        found = trained
    else:
        found = recognise_card(files[0])
    return _bare(found, labels)


def _bare(card: Card, labels: bool) -> Card:
    return card if labels else replace(card, labels={}, split={})


def _fits(card: Card, path: str) -> bool:
    try:
        CardColumns(card, path)
        card.file_class(path)
    except ValueError:
        return False
    return True


def parts_folder(out: str | os.PathLike[str]) -> Path:
    """Where the parts of a score file lie until it is written."""
    out = Path(out)
    return out.with_name(f"{out.name}.parts")


def score_files(
    job: ScoreJob,
    out: str | os.PathLike[str],
    workers: int = 1,
    shard: tuple[int, int] | None = None,
    progress: Progress = lambda done, total: None,
) -> Path | None:
    """Scores files of jets and writes a score file, see :mod:`~lgae_pyg.applications.score_formats`.

    Each piece is written, whole or not at all, to a folder beside the file (:func:`parts_folder`). A job that was
    killed goes on with the pieces that are missing, and the file is that of an uninterrupted one, byte for byte, for
    any number of processes and shards. Each process computes with one thread.

    Args:
        job: what is scored.
        out: the score file; its suffix says the format.
        workers: processes; more than one start fresh Python processes.
        shard: (i, n), the i-th of n shares of the pieces, counted from 1: only these are scored, and no file is
            written. The same call without a shard scores what is missing and writes the file.
        progress: called with the number of rows that are done, and of all that are wanted.

    Returns:
        The file; ``None`` for a shard.

    Raises:
        FileExistsError: the file, or the folder of parts, is of another job, or another process is at work there.
        DataFileError: a file of jets cannot be read; what was scored before is kept.
        ValueError: for an unknown suffix, or a shard that cannot be.
    """
    out, folder = Path(out), parts_folder(out)
    format_of(out)
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard {shard[0]}/{shard[1]}: count from 1, as in 1/4, 2/4, 3/4, 4/4")
    with limited_threads(1), _alone(folder, shard):
        scorer = job.scorer()
        recipe, pieces = job.recipe(scorer), job.pieces()
        signature = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
        if out.exists():
            _check_finished(out, signature)
        else:
            _begin(folder, recipe)
            _score_missing(_Work(job, folder, signature, pieces), scorer, shard or (1, 1), workers, progress)
            if shard is not None:
                return None
            about = {**scorer.about(), "card": job.card.to_dict(), "job": signature}
            assemble(folder, out, about, job.files, len(pieces))
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _score_missing(work: _Work, scorer: Scorer, shard: tuple[int, int], workers: int, progress: Progress) -> None:
    """Scores the pieces of a shard whose parts are not there."""
    pieces, (own, shards) = work.pieces, shard
    numbers = range(len(pieces) * (own - 1) // shards, len(pieces) * own // shards)
    done = {number for number in numbers if _is_whole(work.folder, number, work.signature)}
    total, rows = (sum(pieces[number].rows for number in some) for some in (numbers, done))
    progress(rows, total)
    stretches = stretches_of([number for number in numbers if number not in done], pieces, workers)
    for finished in _run(work, stretches, workers, scorer):
        rows += sum(pieces[number].rows for number in finished)
        progress(rows, total)


def assemble(folder: Path, out: Path, about: Mapping[str, Any], files: Sequence[str], pieces: int) -> Path:
    """Writes the score file from its parts, in their order, a part at a time.

    Args:
        folder: of the parts, all of which are there.
        out: the file.
        about: what it says of itself beside what the parts say.
        files: the files of jets.
        pieces: number of parts.
    """
    for left in out.parent.glob(f".{out.name}.*.partial"):  # of one that was killed here
        left.unlink(missing_ok=True)
    known = [json.loads(metadata_of(part_path(folder, number))["about"]) for number in range(pieces)]
    summary = Summary(known)

    def parts(names: Sequence[str]) -> Iterator[Mapping[str, np.ndarray]]:
        for number, one in enumerate(known):
            if one["jets"]:
                with safe_open(part_path(folder, number), framework="np") as file:
                    found = {name: file.get_tensor(name) for name in names if name in one["columns"]}
                yield summary.rows_of(names, found, one["statuses"], one["jets"])

    meta = {**about, **described(summary, short_names(files))}
    return write_scores(out, summary.columns, summary.rows, parts, plain(meta, "meta"))


def short_names(files: Sequence[str]) -> list[str]:
    """Names of files without folders; with as many folders as are needed where some are the same."""
    names = [os.path.basename(path) for path in files]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([os.path.abspath(path) for path in files])
    return [os.path.relpath(path, common) for path in files]


def part_path(folder: Path, number: int) -> Path:
    """The file of a part."""
    return folder / f"{number:06d}.safetensors"


def stretches_of(missing: Sequence[int], pieces: Sequence[Piece], workers: int) -> list[list[int]]:
    """Numbers of pieces that are scored together: neighbours in one file, few where there are many processes."""
    longest = max(1, min(STRETCH, len(missing) // (4 * workers)))
    found: list[list[int]] = []
    for number in missing:
        last = found[-1] if found else []
        neighbour = last and last[-1] == number - 1 and pieces[last[-1]].file == pieces[number].file
        if neighbour and len(last) < longest:
            last.append(number)
        else:
            found.append([number])
    return found


def _is_whole(folder: Path, number: int, signature: str) -> bool:
    """Whether a part is there, undamaged, and of this job."""
    try:
        return read_tensors(part_path(folder, number))[1].get("job") == signature
    except (FileNotFoundError, DataFileError):
        return False


def _begin(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Makes sure that the folder of parts is of this job."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError, DataFileError):
        before = read_signed(folder / JOB)["recipe"]
        differ = [key for key in recipe if before.get(key) != recipe[key]]
        if differ:
            raise FileExistsError(
                f"{folder} holds parts of another job ({', '.join(differ)} differ): go on with that one, remove the "
                "folder, or choose another file."
            )
        return
    write_signed(folder / JOB, {"recipe": recipe})


def _check_finished(out: Path, signature: str) -> None:
    try:
        same = read_meta(out).get("job") == signature
    except DataFileError:
        same = False
    if not same:
        raise FileExistsError(f"{out} is there already and of another job: remove it, or choose another file.")


@contextlib.contextmanager
def _alone(folder: Path, shard: tuple[int, int] | None) -> Iterator[None]:
    """Context in which no other process does the same work; file systems without locks are trusted."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / (LOCK if shard is None else f"{LOCK}-{shard[0]}-of-{shard[1]}"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FileExistsError(f"another process is at work in {folder}: wait for its end.") from None
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # not empty
            Path(lock.lock_file).unlink(missing_ok=True)
            folder.rmdir()


def _run(work: _Work, stretches: Sequence[Sequence[int]], workers: int, scorer: Scorer) -> Iterator[Sequence[int]]:
    """Scores stretches, here or in other processes; gives the numbers of the pieces that are done."""
    if min(workers, len(stretches)) <= 1:
        for stretch in stretches:
            yield from ([number] for number in work.write(scorer, stretch))
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(stretches)), fresh, _start_worker, (work,)) as pool:
        futures = {pool.submit(_score_stretch, stretch): stretch for stretch in stretches}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Work:
    """What every process knows."""

    job: ScoreJob
    folder: Path
    signature: str
    pieces: Sequence[Piece]

    def write(self, scorer: Scorer, stretch: Sequence[int]) -> Iterator[int]:
        """Scores neighbouring pieces and writes their parts; gives their numbers."""
        found = self.job.scored(scorer, [self.pieces[number] for number in stretch])
        for number, (_, scored) in zip(stretch, found, strict=True):
            about = {"about": json.dumps(scored.about()), "job": self.signature}
            tensors = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in scored.columns.items()}
            write_tensors(part_path(self.folder, number), tensors, about)
            yield number


_worker: tuple[_Work, Scorer] | None = None


def _start_worker(work: _Work) -> None:
    """Loads the model in a new process, which ends with the one that started it, however that ends."""
    global _worker
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    torch.set_num_threads(1)
    _worker = work, work.job.scorer()


def _score_stretch(stretch: Sequence[int]) -> None:
    work, scorer = _worker
    with limited_threads(1):
        list(work.write(scorer, stretch))
