"""Files of jets become one score file: in bounded memory, by several processes, resumable after a kill."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import safe_open

from lgae_pyg.applications.score_formats import read_meta, write_scores
from lgae_pyg.applications.score_job import ScoreJob, check_features, short_names, stretches_of
from lgae_pyg.applications.score_model import Scorer
from lgae_pyg.applications.score_table import Summary, described
from lgae_pyg.checksums import read_signed, write_signed
from lgae_pyg.data import DataFileError
from lgae_pyg.data.tensor_file import metadata_of, read_tensors, write_tensors
from lgae_pyg.datasets.reading import Piece
from lgae_pyg.files import plain, remove_partial
from lgae_pyg.ops.threads import limited_threads
from lgae_pyg.places import score_format
from lgae_pyg.processes import end_with_parent, holding_stops, ignore_stops

JOB, LOCK = "job.json", ".lock"

Progress = Callable[[int, int], Any]


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
    check: Callable[[], Any] = lambda: None,
) -> Path | None:
    """Scores files of jets and writes a score file, see :mod:`~lgae_pyg.applications.score_formats`.

    Each piece is written, whole or not at all, to a folder beside the file (:func:`parts_folder`). A job that was
    killed goes on with the pieces that are missing, and the file is that of an uninterrupted one, byte for byte,
    for any number of processes and shards. Each process computes with one thread.

    Args:
        job: what is scored.
        out: the score file; its suffix says the format.
        workers: processes; more than one start fresh Python processes.
        shard: (i, n), the i-th of n shares of the pieces, counted from 1: only these are scored, and no file is
            written. The same call without a shard scores what is missing and writes the file.
        progress: called with the number of rows that are done, and of all that are wanted.
        check: called after each piece; what it raises (:meth:`lgae_pyg.processes.GracefulStop.check`) ends the
            job, which can go on.

    Returns:
        The file; ``None`` for a shard.

    Raises:
        FileExistsError: the file, or the folder of parts, is of another job, or another process is at work there.
        DataFileError: a file of jets cannot be read; what was scored before is kept.
        ValueError: for an unknown suffix, or a shard that cannot be.
    """
    out, folder = Path(out), parts_folder(out)
    score_format(out)
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard {shard[0]}/{shard[1]}: count from 1, as in 1/4, 2/4, 3/4, 4/4")
    with limited_threads(1), _alone(folder, shard):
        scorer = job.scorer()
        check_features(scorer, job.card)
        recipe, pieces = job.recipe(scorer), job.pieces()
        signature = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
        if out.exists():
            _check_finished(out, signature)
        else:
            _begin(folder, recipe)
            todo = _Work(job, folder, signature, pieces)
            _score_missing(todo, scorer, shard or (1, 1), workers, progress, check)
            if shard is not None:
                return None
            about = {**scorer.about(), "card": job.card.to_dict(), "job": signature, "notes": job.notes(scorer)}
            assemble(folder, out, about, job.files, len(pieces))
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _score_missing(
    work: _Work,
    scorer: Scorer,
    shard: tuple[int, int],
    workers: int,
    progress: Progress,
    check: Callable[[], Any],
) -> None:
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
        check()


def assemble(folder: Path, out: Path, about: Mapping[str, Any], files: Sequence[str], pieces: int) -> Path:
    """Writes the score file from its parts, in their order, a part at a time.

    Args:
        folder: of the parts, all of which are there.
        out: the file.
        about: what it says of itself beside what the parts say.
        files: the files of jets.
        pieces: number of parts.
    """
    remove_partial(out.parent, out.name)
    known = [json.loads(metadata_of(part_path(folder, number))["about"]) for number in range(pieces)]
    summary = Summary(known)

    def parts(names: Sequence[str]) -> Iterator[Mapping[str, np.ndarray]]:
        for number, one in enumerate(known):
            if one["jets"]:
                with safe_open(part_path(folder, number), framework="np") as file:
                    found = {name: file.get_tensor(name) for name in names if name in one["columns"]}
                yield summary.rows_of(names, found, one["statuses"], one["jets"])

    meta = {**about, **described(summary, short_names(files), about.get("notes", ()))}
    return write_scores(out, summary.columns, summary.rows, parts, plain(meta, "meta"))


def part_path(folder: Path, number: int) -> Path:
    """The file of a part."""
    return folder / f"{number:06d}.safetensors"


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
                f"{folder} holds parts of another job ({', '.join(differ)} differ): go on with that one, remove "
                "the folder, or choose another file."
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
        with contextlib.suppress(OSError):  # before it is opened to others, so that nobody takes a deleted file
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def _run(work: _Work, stretches: Sequence[Sequence[int]], workers: int, scorer: Scorer) -> Iterator[Sequence[int]]:
    """Scores stretches, here or in other processes; gives the numbers of the pieces that are done."""
    if min(workers, len(stretches)) <= 1:
        for stretch in stretches:
            yield from ([number] for number in work.write(scorer, stretch))
        return
    fresh = multiprocessing.get_context("spawn")
    enough = fresh.Event()
    with ProcessPoolExecutor(min(workers, len(stretches)), fresh, _start_worker, (work, enough)) as pool:
        with holding_stops():
            futures = [pool.submit(_score_stretch, stretch) for stretch in stretches]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            enough.set()
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


_worker: tuple[_Work, Scorer, Any] | None = None


def _start_worker(work: _Work, enough: Any) -> None:
    """Loads the model in a new process, which ends with the one that started it, however that ends."""
    global _worker
    end_with_parent()
    ignore_stops()
    torch.set_num_threads(1)
    _worker = work, work.job.scorer(), enough


def _score_stretch(stretch: Sequence[int]) -> list[int]:
    """Scores neighbouring pieces, until it is said to be enough; gives the numbers of those that are done."""
    assert _worker is not None  # set when the process was started
    work, scorer, enough = _worker
    done = []
    with limited_threads(1):
        for number in work.write(scorer, stretch):
            done.append(number)
            if enough.is_set():
                break
    return done
