"""Kills a piece of work at one file operation after another; done again, it must do what it does undisturbed.

The work runs in forked processes, so nothing is imported again. Python tells of what is opened for writing,
renamed, removed and made (:func:`sys.addaudithook`), whoever asks for it; files that libraries write in C are
opened there without a word, but get their names by Python.
"""

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.models import PFN

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Work = Callable[[Path], Any]


def operations(folder: Path, at: Callable[[int], None]) -> None:
    """Calls ``at`` with 1, 2, 3, ... before each file operation of this process in a folder, from now on."""
    root, done = os.path.realpath(folder), 0

    def count() -> None:
        nonlocal done
        done += 1
        at(done)

    def hook(event: str, arguments: tuple) -> None:
        wanted = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES)
        path = arguments[0] if arguments and wanted else None
        if isinstance(path, str | bytes | os.PathLike):
            if os.path.abspath(os.fsdecode(path)).startswith(root):
                count()

    sync = os.fsync

    def fsync(file: Any) -> None:
        count()
        sync(file)

    os.fsync = fsync
    sys.addaudithook(hook)


def forked(work: Callable[[], Any], log: Path) -> int:
    """Runs work in a forked process, whose words go to a file; its exit status, negative after a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(started(work, log), 0)[1])


def started(work: Callable[[], Any], log: Path) -> int:
    """The number of a forked process that does some work."""
    child = os.fork()
    if child == 0:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        status = 99
        try:
            status = work() or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0)
    return child


def number_of_operations(work: Work, folder: Path) -> int:
    """How many file operations a piece of work makes; it is done."""
    tally = folder.with_name(f"{folder.name}.tally")
    reached = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def counted() -> Any:
        operations(folder, lambda number: os.pwrite(reached, f"{number:9d}".encode(), 0))
        return work(folder)

    log = folder.with_name(f"{folder.name}.log")
    assert forked(counted, log) == 0, log.read_text()
    os.close(reached)
    return int(tally.read_text() or 0)


def killed_everywhere(
    work: Work,
    folder: Path,
    content: Callable[[Path], Any],
    prepare: Work = lambda folder: None,
    final: str = "",
    every: int = 1,
) -> int:
    """Kills a piece of work at each file operation and lets it be done again.

    Args:
        work: called with a folder; gives an exit status or nothing.
        folder: where it works, made anew for each kill.
        content: what came of it, to be compared.
        prepare: puts what the work needs into the folder.
        final: a file that is there whole, or not at all.
        every: only each so many-th operation, beginning with the first; the last one always.

    Returns:
        How many kills there were.
    """
    log, before = folder.with_name(f"{folder.name}.log"), os.times()
    _anew(folder, prepare)
    assert not work(folder)  # here, so that what it imports is there for all that follow
    _anew(folder, prepare)
    total = number_of_operations(work, folder)
    assert total > 0
    wanted, whole = content(folder), (folder / final).read_bytes() if final else b""
    chosen = sorted({*range(1, total + 1, every), total})
    for number in chosen:
        _anew(folder, prepare)
        assert forked(lambda number=number: _dying(work, folder, number), log) == -signal.SIGKILL, log.read_text()
        if final and (folder / final).exists():
            assert (folder / final).read_bytes() == whole, f"half a file after operation {number} of {total}"
        assert forked(lambda: work(folder), log) == 0, f"operation {number} of {total}: {log.read_text()}"
        assert content(folder) == wanted, f"killed at operation {number} of {total}"
        assert not left_over(folder), f"killed at operation {number} of {total}: {left_over(folder)}"
    seconds = sum(os.times()[:4]) - sum(before[:4])
    print(f"{len(chosen)} kills at {total} file operations, {seconds:.1f} s of CPU")
    return len(chosen)


def _dying(work: Work, folder: Path, at: int) -> Any:
    def kill(number: int) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    operations(folder, kill)
    return work(folder)


def _anew(folder: Path, prepare: Work) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prepare(folder)


def left_over(folder: Path) -> list[str]:
    """Names of temporary things. The empty file by which processes take turns to prepare a store of jets may stay
    where one is killed."""
    ends: Iterable[str] = (".partial", ".parts", ".new", ".old", ".lock", ".lock.json", ".former", ".chunks")
    found = (path for path in folder.rglob("*") if not path.name.endswith(".safetensors.lock"))
    return [str(path.relative_to(folder)) for path in found if path.name.endswith(tuple(ends))]


def jets_and_tagger(folder: Path, jets: int) -> Path:
    """Writes jets of massive particles in the neutral layout, ``jets.npz``, and ``tagger.ckpt``; the folder."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, jets)
    momenta = rng.normal(loc=(100, 0, 0), size=(sizes.sum(), 3))
    p4 = np.concatenate([np.linalg.norm(momenta, axis=1, keepdims=True) * 1.001, momenta], 1).astype("float32")
    ptr, label = np.concatenate([[0], np.cumsum(sizes)]), np.arange(jets) % 2
    np.savez(folder / "jets.npz", p4=p4, ptr=ptr, label=label, class_names=np.array(["QCD", "top"]))
    torch.manual_seed(3)
    model = PFN(2, particle_widths=[8, 8], jet_widths=[8])
    save_checkpoint(folder / "tagger.ckpt", model, unit="TeV", class_names=["QCD", "top"])
    return folder
