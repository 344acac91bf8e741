"""One training at a time in a run folder."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"

#: Seconds between two signs of life, and without one until a training on another machine is taken for dead.
SIGN, DEAD = 10, 120


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Context in which no other training can begin in a folder; leaves no empty folder behind.

    The file ``.lock`` names machine, process and time. It is locked by the operating system where that is
    possible, so the lock of a process that was killed does not count; and its time stamp is renewed, which is what
    another machine sees of it on file systems whose locks do not reach across machines.

    A process that Lightning has started for another device shares the lock of the first.

    Raises:
        FileExistsError: another training is going on in the folder; the message says where.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _take(path)
        stopped = threading.Event()
        threading.Thread(target=_show_signs, args=(path, stopped), daemon=True).start()
        try:
            yield
        finally:
            stopped.set()
            path.unlink(missing_ok=True)  # before it is opened to others, so that nobody takes a deleted file
            os.close(descriptor)
    finally:
        for one in missing:
            with contextlib.suppress(OSError):  # not empty
                one.rmdir()


def _take(path: Path) -> int:
    """Opens and locks the file and writes who has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            works = _lock(path, descriptor)
            if os.fstat(descriptor).st_ino != os.stat(path).st_ino:
                raise FileNotFoundError
            holder = _read(descriptor)
            if holder and not _is_dead(path, holder, works):
                raise _refusal(path, holder)
        except FileNotFoundError:  # its former holder has just deleted it
            os.close(descriptor)
            continue
        except BaseException:
            os.close(descriptor)
            raise
        now = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(now).encode(), 0)
        return descriptor


def _lock(path: Path, descriptor: int) -> bool:
    """Locks the file; whether the file system can do that at all."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _refusal(path, _read(descriptor)) from None
    except OSError:
        return False
    return True


def _read(descriptor: int) -> dict[str, Any]:
    try:
        return dict(json.loads(os.pread(descriptor, 1000, 0)))
    except (ValueError, TypeError):
        return {}


def _is_dead(path: Path, holder: dict[str, Any], works: bool) -> bool:
    """Whether the process that wrote a lock file, and does not hold its lock, is gone."""
    if holder.get("host") == socket.gethostname():
        if works or holder.get("pid") == os.getpid():
            return True
        try:
            os.kill(int(holder["pid"]), 0)
        except ProcessLookupError:
            return True
        except (PermissionError, ValueError, KeyError):
            pass
    return time.time() - path.stat().st_mtime > DEAD


def _refusal(path: Path, holder: dict[str, Any]) -> FileExistsError:
    who = ", ".join(f"{key} {holder[key]}" for key in ("host", "pid", "since") if key in holder) or "unknown"
    return FileExistsError(
        f"another training is going on in {path.parent} ({who}): choose another name=..., or wait for its end. If "
        f"that process is gone, this one can begin {DEAD} s after its last sign of life, or when {path} is deleted"
    )


def _show_signs(path: Path, stopped: threading.Event) -> None:
    while not stopped.wait(SIGN):
        with contextlib.suppress(OSError):
            os.utime(path)
