"""One writer at a time: of a run's folder, of a study, of a file of generated jets."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lgae_pyg.files import remove_partial, write_text
from lgae_pyg.processes import leads

#: Seconds between two signs of life, and without one until a process on another machine is taken for dead.
SIGN, DEAD = 10, 120


@contextlib.contextmanager
def locked(folder: Path, what: str = "training", name: str = "") -> Iterator[None]:
    """Context in which nobody else can begin the same in a folder; leaves no empty folder behind.

    The file ``.lock`` (of a part of the folder, ``.NAME.lock``) is locked by the operating system, so the lock of
    a process that was killed does not count. Beside it, ``.lock.json`` names machine, process and time; its time
    stamp is renewed, which is what another machine sees on file systems whose locks do not reach across machines,
    or that have none.

    Processes that train together share the lock of the first.

    Args:
        folder: the folder, made if missing.
        what: what is going on there, for the message.
        name: the part of the folder that is locked; all of it when empty.

    Raises:
        FileExistsError: it is locked; the message says by whom.
    """
    if not leads():
        yield
        return
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    file = folder / (f".{name}.lock" if name else ".lock")
    holder = file.with_name(f"{file.name}.json")
    lock, stopped = FileLock(file), threading.Event()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(lock, holder, what)
        threading.Thread(target=_show_life, args=(holder, stopped), daemon=True).start()
        try:
            yield
        finally:
            stopped.set()
            for one in (holder, file):  # before it is opened to others, so that nobody takes a deleted file
                one.unlink(missing_ok=True)
            lock.release()
    finally:
        for one in missing:
            with contextlib.suppress(OSError):  # not empty
                one.rmdir()


@contextlib.contextmanager
def writing(out: str | os.PathLike[str], what: str, folder: bool = False) -> Iterator[None]:
    """Context in which nobody else writes a file, or a folder; what a killed process left of it is removed.

    Args:
        out: what is written.
        what: what it comes from, for the message.
        folder: whether it is a folder.

    Raises:
        FileExistsError: somebody else is at it; the message says who.
    """
    out = Path(os.path.abspath(out))
    place, name = (out, "") if folder else (out.parent, out.name)
    with locked(place, what, name):
        remove_partial(place, name or "*")
        yield


@contextlib.contextmanager
def in_turn(folder: Path, name: str) -> Iterator[None]:
    """Context in a folder that processes enter one after another; where the file system has no locks, all at once.

    Args:
        folder: the folder; one that is made for this and stays empty is removed.
        name: of the file that is locked.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    lock = FileLock(folder / name)
    with contextlib.suppress(OSError, NotImplementedError):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        if lock.is_locked:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        for one in missing:
            with contextlib.suppress(OSError):  # not empty
                one.rmdir()


def _take(lock: FileLock, path: Path, what: str) -> None:
    """Locks, unless the holder is alive, and writes who has the lock now."""
    works = True
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _refusal(path, _read(path), what) from None
    except (OSError, NotImplementedError):  # the file system has no locks
        works = False
    holder = _read(path)
    left_here = works and holder.get("host") == socket.gethostname()
    if holder and not left_here and time.time() - path.stat().st_mtime <= DEAD:
        lock.release()
        raise _refusal(path, holder, what)
    remove_partial(path.parent, path.name)
    now = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    write_text(path, json.dumps(now))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _refusal(path: Path, holder: dict[str, Any], what: str) -> FileExistsError:
    who = ", ".join(f"{key} {holder[key]}" for key in ("host", "pid", "since") if key in holder) or "unknown"
    return FileExistsError(
        f"another {what} is going on in {path.parent} ({who}): choose another "
        f"{'name=...' if what == 'training' else 'place'}, or wait for its end. If that process is gone, this "
        f"one can begin {DEAD} s after its last sign of life, or when {path} is deleted"
    )


def _show_life(path: Path, stopped: threading.Event) -> None:
    while not stopped.wait(SIGN):
        with contextlib.suppress(OSError):
            os.utime(path)
