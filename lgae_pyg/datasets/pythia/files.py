"""Writes generated jets as JetNet files: chunks, worker processes, resume, recipe, data card."""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lgae_pyg.checksums import read_signed, write_signed
from lgae_pyg.datasets.hdf5 import open_hdf5
from lgae_pyg.datasets.pythia.events import BATCH_EVENTS, Jets, generate_chunk, require_generator
from lgae_pyg.files import remove_partial, write_atomically
from lgae_pyg.generator.settings import GeneratorSettings, check_classes
from lgae_pyg.lock import locked
from lgae_pyg.processes import end_with_parent, holding_stops, ignore_stops

CHUNK_JETS = 500
"""Jets of one chunk: the piece of work of one process and the step in which an interrupted run is resumed."""

CHUNK_BYTES = 1 << 20
"""Bytes of a stretch of jets in a file that has a checksum of its own."""

SLOTS = {30: "", 150: "150", 200: "200"}
"""Most particles per jet of a file, and what its name ends with; the first two are JetNet's."""

MAX_PARTICLES = max(SLOTS)
RECIPE_FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the content of one file.

    Attributes:
        name: the class, one of those of the settings' preset.
        jets: number of jets.
        particles: particles kept per jet.
        seed: the user's seed.
        chunk_jets: jets per chunk; each chunk has random numbers of its own.
        settings: the generator settings.
    """

    name: str
    jets: int
    particles: int
    seed: int
    chunk_jets: int
    settings: GeneratorSettings

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, ready for JSON."""
        values = dataclasses.asdict(self) | {"settings": self.settings.to_dict()}
        return values | {"format": RECIPE_FORMAT, "batch_events": BATCH_EVENTS}

    def file(self, folder: Path) -> Path:
        """The file's name as JetNet has it: g.hdf5, or g150.hdf5 for more than 30 particles; beyond, g200.hdf5."""
        return folder / f"{self.name}{SLOTS[slots(self.particles)]}.hdf5"

    def chunks(self) -> list[tuple[int, int]]:
        """Number and jets of each chunk."""
        return [(number, min(self.chunk_jets, self.jets - start))
                for number, start in enumerate(range(0, self.jets, self.chunk_jets))]

    def make(self, number: int, jets: int) -> Jets:
        """The jets of one chunk."""
        return generate_chunk(self.name, number, jets, self.particles, self.seed, self.settings)

    def work_folder(self, folder: Path, versions: dict[str, str]) -> Path:
        """Hidden folder of the finished chunks; its name changes with all that changes a chunk."""
        content = json.dumps([self.to_dict() | {"jets": None}, versions], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return folder / f".{self.file(folder).stem}_{digest}.chunks"


def slots(particles: int) -> int:
    """The smallest number of :data:`SLOTS` that holds so many particles per jet."""
    return min(number for number in SLOTS if number >= particles)


def generate_files(
    folder: str | os.PathLike,
    classes: tuple[str, ...] | list[str] = ("g", "q"),
    jets: int = 10_000,
    particles: int = 30,
    seed: int = 0,
    workers: int | None = None,
    settings: GeneratorSettings | None = None,
    progress: bool = True,
    overwrite: bool = False,
    chunk_jets: int = CHUNK_JETS,
    check: Callable[[], Any] = lambda: None,
) -> list[Path]:
    """Makes the JetNet files of some classes with Pythia 8 and FastJet, unless they are there.

    The jets are a function of all arguments but ``workers`` and ``progress``: any number of processes gives
    the same file, and an interrupted run goes on where it stopped. Fewer jets of the same recipe are the
    first jets of the larger file, so a file of fewer jets is extended. Beside each file lies a card ``g.json``
    with the recipe, the versions and a summary.

    Args:
        folder: where the files go (``root/raw`` for the data sets of this package); made if missing.
        classes: some of the classes of the settings' preset, g, q, t, w, z by default.
        jets: jets per class.
        particles: leading particles kept per jet, at most 200; more than 30 are written as g150.hdf5 etc., more
            than 150 as g200.hdf5.
        seed: seed of all random numbers, 0 or larger.
        workers: processes; by default one per available core. 1 works in this process.
        settings: the recipe; the default imitates JetNet.
        progress: show a progress bar.
        overwrite: replace a file of another recipe.
        chunk_jets: jets per chunk (part of the recipe).
        check: called after each chunk; what it raises (:meth:`lgae_pyg.processes.GracefulStop.check`) ends the
            work, and the same call goes on later.

    Returns:
        The paths, in the order of the classes.

    Raises:
        ValueError: an unknown class, a number out of range, or a file in the way that is of another recipe, or
            that this installation cannot extend.
        ImportError: Pythia 8 or FastJet is missing.
    """
    settings = settings or GeneratorSettings()
    classes = check_classes(classes, settings)
    for value, label, low, high in ((jets, "jets", 1, None), (particles, "particles", 1, MAX_PARTICLES),
                                    (seed, "seed", 0, None), (chunk_jets, "chunk_jets", 1, None),
                                    (workers or 1, "workers", 1, None)):
        if value < low or (high is not None and value > high):
            limit = "" if high is None else f" to {high}"
            raise ValueError(f"{label} is {value}: give a number from {low}{limit}")
    folder = Path(folder)
    recipes = [Recipe(name, jets, particles, seed, chunk_jets, settings) for name in classes]
    missing = [recipe for recipe in recipes if overwrite or not is_complete(recipe.file(folder), recipe)]
    for recipe in recipes:
        if recipe not in missing:
            _end_what_was_killed(folder, recipe)
    if missing:
        versions = require_generator()
        folder.mkdir(parents=True, exist_ok=True)
        for recipe in missing:
            with locked(folder, "generation of these jets", recipe.file(folder).stem):
                if overwrite or not is_complete(recipe.file(folder), recipe):  # others may have made it meanwhile
                    _generate(folder, recipe, versions, workers, progress, overwrite, check)
    return [recipe.file(folder) for recipe in recipes]


def _end_what_was_killed(folder: Path, recipe: Recipe) -> None:
    """Does for a whole file what the process that made it could not: its card, and clearing up, alone."""
    path = recipe.file(folder)
    if not card_path(path).exists():
        _write_card(path, recipe)
    left = list(folder.glob(f".{path.stem}_*.chunks"))
    if not left and not (folder / f".{path.stem}.lock").exists():
        return
    with contextlib.suppress(OSError), locked(folder, "generation of these jets", path.stem):
        for work in left:
            remove_partial(work)
            for number, _ in recipe.chunks():
                (work / f"{number:06d}.npz").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # there are more, of a file that was being extended
                work.rmdir()
        remove_partial(folder, path.name)
        remove_partial(folder, card_path(path).name)


def is_complete(path: Path, recipe: Recipe) -> bool:
    """Whether the file is there with this recipe; one of fewer jets is not complete.

    Raises:
        ValueError: it is there with another recipe, or it was not made by this generator.
    """
    if not path.exists():
        return False
    found = read_recipe(path)
    if found is None:
        raise ValueError(f"{path} was not made by this generator: choose another folder or file name")
    wanted, found = flat(recipe.to_dict()), flat(found)
    if found.get("jets", 0) < recipe.jets:
        wanted |= {"jets": found.get("jets")}
    different = [f"{name}: {found.get(name, 'absent')} in the file, {wanted.get(name, 'absent')} asked for"
                 for name in sorted(wanted.keys() | found.keys()) if found.get(name) != wanted.get(name)]
    if different:
        raise ValueError(f"{path} was made with another recipe ({'; '.join(different)}): ask for the recipe "
                         "of the file, choose another folder, or overwrite it")
    return wanted["jets"] == recipe.jets


def read_recipe(path: str | os.PathLike) -> dict[str, Any] | None:
    """The recipe in a file's attributes, or None if the file has none.

    Raises:
        OSError: the system does not let the file be read.
        DataFileError: the file is no HDF5 file, or damaged.
    """
    with open_hdf5(path) as file:
        text = file.attrs.get("recipe")
    try:
        recipe = json.loads(text or "null")
    except (TypeError, ValueError):  # a recipe of somebody else's
        return None
    return recipe if isinstance(recipe, dict) else None


def card_path(path: Path) -> Path:
    """The data card beside a file of jets."""
    return path.with_suffix(".json")


def update_card(path: Path, **entries: Any) -> None:
    """Adds entries to the data card of a file of jets (atomically).

    Raises:
        ValueError: there is a card that is not JSON, or is damaged.
    """
    card = card_path(path)
    try:
        content = read_signed(card, needed=False) if card.exists() else {}
    except ValueError as error:
        raise ValueError(f"{card} is no data card ({error}): move it away") from error
    write_signed(card, content | entries)


def _generate(
    folder: Path, recipe: Recipe, versions: dict[str, str], workers: int | None, progress: bool, overwrite: bool,
    check: Callable[[], Any],
) -> None:
    path, work = recipe.file(folder), recipe.work_folder(folder, versions)
    old = _jets_to_extend(path, versions) if path.exists() and not overwrite else None
    kept = 0 if old is None else len(old.jet_features)
    work.mkdir(exist_ok=True)
    remove_partial(work)  # of a process that was killed
    remove_partial(folder, path.name)
    started = time.perf_counter()
    whole = kept // recipe.chunk_jets  # chunks that the old file has whole
    chunks = recipe.chunks()[whole:]
    todo = [chunk for chunk in chunks if _load_chunk(work, *chunk, recipe.particles) is None]
    made = sum(jets for _, jets in todo)
    count = min(workers or _cores(), len(todo))
    with _bar(recipe, recipe.jets - made, progress) as bar, _map(count) as run:
        for done in run(_make_chunk, [(recipe, work, *chunk) for chunk in todo]):
            bar.update(done)
            check()
    seconds = time.perf_counter() - started
    parts = [_load_chunk(work, *chunk, recipe.particles) for chunk in chunks]
    if any(part is None for part in parts):
        raise OSError(f"{work} lost chunks, perhaps because another process made {path}: run again")
    if old is not None:
        parts.insert(0, Jets(*(array[: whole * recipe.chunk_jets] for array in old)))
    jets = Jets(*(np.concatenate(arrays) for arrays in zip(*parts)))
    if old is not None and not all(np.array_equal(new[:kept], was) for new, was in zip(jets, old)):
        raise ValueError(f"{path} holds other jets than are made here: it cannot be extended, but overwritten")
    _write(path, jets, recipe, versions)
    _write_card(path, recipe, made={"jets": made, "seconds": round(seconds, 1), "processes": max(count, 1)})
    shutil.rmtree(work, ignore_errors=True)


def _write_card(path: Path, recipe: Recipe, **made: Any) -> None:
    """Writes the data card of a file of jets, as it lies there, in the place of an older one."""
    with open_hdf5(path) as file:
        versions = json.loads(file.attrs.get("versions", "{}"))
        jets = Jets(*(file[name][:] for name in Jets._fields))
    card_path(path).unlink(missing_ok=True)
    update_card(path, file=path.name, recipe=recipe.to_dict(), versions=versions, summary=summary(jets), **made)


def _jets_to_extend(path: Path, versions: dict[str, str]) -> Jets:
    """The jets of a file, if programs of the same versions made them."""
    with open_hdf5(path) as file:
        found = json.loads(file.attrs.get("versions", "{}"))
        jets = Jets(*(file[name][:] for name in Jets._fields))
    different = [f"{name} {found.get(name, 'unknown')}, here {here}"
                 for name, here in versions.items() if found.get(name) != here]
    if different:
        raise ValueError(f"{path} holds {len(jets.jet_features)} jets made with {'; '.join(different)}: it is not "
                         "extended with others; overwrite it, or install those versions")
    return jets


def summary(jets: Jets) -> dict[str, float]:
    """Medians and means of a set of jets, rounded, for its card."""
    pt, eta, mass, count = jets.jet_features.T
    return {
        "median_pt_gev": round(float(np.median(pt)), 1),
        "median_mass_gev": round(float(np.median(mass)), 1),
        "rms_eta": round(float(np.sqrt(np.mean(eta**2))), 3),
        "mean_particles": round(float(count.mean()), 2),
        "mean_leading_ptrel": round(float(jets.particle_features[:, 0, 2].mean()), 4),
    }


def _write(path: Path, jets: Jets, recipe: Recipe, versions: dict[str, str]) -> None:
    def fill(partial: Any) -> None:
        # fletcher32 guards the numbers, the newer format ("latest") what says where and what they are; of texts,
        # only those of fixed length
        with h5py.File(partial.name, "w", libver="latest") as file:
            for name, array in zip(jets._fields, jets):
                rows = max(1, min(len(array), CHUNK_BYTES // array[:1].nbytes))
                file.create_dataset(name, data=array, chunks=(rows, *array.shape[1:]), fletcher32=True)
            file.attrs["recipe"] = np.bytes_(json.dumps(recipe.to_dict(), sort_keys=True))
            file.attrs["versions"] = np.bytes_(json.dumps(versions, sort_keys=True))
            file.attrs["seed"] = recipe.seed

    write_atomically(path, fill)


def _make_chunk(task: tuple[Recipe, Path, int, int]) -> int:
    """Makes one chunk, writes it to the work folder and returns its number of jets."""
    recipe, work, number, jets = task
    chunk = recipe.make(number, jets)
    write_atomically(work / f"{number:06d}.npz", lambda file: np.savez(file, **chunk._asdict()))
    return jets


def _load_chunk(work: Path, number: int, jets: int, particles: int) -> Jets | None:
    """A finished chunk of at least so many jets, or None; one that is shown to be damaged is made again."""
    path = work / f"{number:06d}.npz"
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            chunk = Jets(*(stored[name][:jets] for name in Jets._fields))
    except Exception as error:  # NumPy and zipfile have many words for a file that is not what was written
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        return None
    numbers = all(array.dtype.kind == "f" and array.shape[:1] == (jets,) for array in chunk)
    shapes = [array.shape[1:] for array in chunk]
    return chunk if numbers and shapes == [(particles, 4), (4,)] else None


@contextlib.contextmanager
def _map(processes: int) -> Iterator[Any]:
    """A map function over this many fresh processes, or in this process if one is enough."""
    if processes <= 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker) as pool:
        try:
            yield functools.partial(_as_finished, pool, processes)
        except BaseException:  # an interrupt: chunks under way are finished and kept, others not begun
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker() -> None:
    ignore_stops()  # the parent stops, and keeps what was made
    end_with_parent()


def _as_finished(pool: ProcessPoolExecutor, processes: int, function: Callable, tasks: list) -> Iterator[Any]:
    """Results in the order in which they come; no task waits in the pool, where it could not be stopped."""
    waiting, running = list(reversed(tasks)), set()
    try:
        while waiting or running:
            with holding_stops():  # the first tasks start the processes
                while waiting and len(running) < processes:
                    running.add(pool.submit(function, waiting.pop()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool as error:
        raise OSError(
            "a generator process died: run again to go on from the finished chunks, with fewer workers if "
            "memory is short; a script must start processes under `if __name__ == '__main__':`"
        ) from error


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bar(recipe: Recipe, done: int, progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=recipe.jets, initial=done, desc=recipe.name, unit=" jets", disable=not progress)


def flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe with its settings beside the other entries."""
    settings = recipe.get("settings", {})
    return {name: value for name, value in recipe.items() if name != "settings"} | settings
