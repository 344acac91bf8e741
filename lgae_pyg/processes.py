"""Processes: stopped on request, ended with the one that started them, and which of several leads."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

#: Exit status of what was stopped on request and can be called again.
INTERRUPTED = 75


class Interrupted(Exception):
    """Work was stopped on request; the name of the signal."""


class GracefulStop:
    """Context in which signals ask for a stop instead of killing the process.

    They are SIGINT (Ctrl-C) and SIGTERM; SIGUSR1 and SIGUSR2, by which batch systems announce the end of a job;
    and SIGHUP, when a terminal is closed, unless it is ignored (``nohup``). The first sets :attr:`requested`; the
    work looks at it (:meth:`check`; a training after each batch, and after a validation that is under way). A
    second SIGINT or SIGTERM ends the process at once, with the signal's usual effect. Outside of the main thread
    signals are left alone.

    Args:
        then: what is done after the first, for the message.
    """

    URGENT = (signal.SIGINT, signal.SIGTERM)
    NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP")
    SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))  # Windows has two of them

    def __init__(self, then: str = "finishing this batch, then saving") -> None:
        self.then = then
        self.requested: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "GracefulStop":
        former = {number: signal.getsignal(number) for number in self.SIGNALS}
        ignored = {number for number, handler in former.items() if handler is signal.SIG_IGN} - set(self.URGENT)
        try:
            self._former = {number: former[number] for number in former if number not in ignored}
            self.install()
        except ValueError:  # not the main thread
            self._former = {}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    @property
    def name(self) -> str:
        """The signal that asks for a stop; where another process of the training was asked, that."""
        return "another process" if self.requested is None else self.requested.name

    def check(self) -> None:
        """Raises :class:`Interrupted` if a stop is requested."""
        if self.requested is not None:
            raise Interrupted(self.requested.name)

    def pass_on(self) -> None:
        """Gives the signal to those who listened to it before: launchers that submit a job again do. To be called
        outside of the context, when all is saved."""
        if self.requested is None:
            return
        former = signal.getsignal(self.requested)
        if callable(former) and former is not signal.default_int_handler:
            os.kill(os.getpid(), self.requested)

    def install(self) -> None:
        """Makes this the handler (again: Lightning puts its own in place when a training starts)."""
        for number in self._former:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None and number not in self.URGENT:
            return  # announced twice: to the job and to its steps
        if self.requested in self.URGENT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.requested = signal.Signals(number)
        again = "once more to stop at once" if number in self.URGENT else "SIGTERM twice to stop at once"
        message = f"\n{self.requested.name}: {self.then}; {again}\n"
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, message.encode())  # print() could be interrupted halfway through a line


@contextlib.contextmanager
def holding_stops() -> Iterator[None]:
    """Context in which processes are started that no signal stops, not even before their first line.

    Batch systems and terminals send signals to all processes at once. Those that are started here inherit that
    signals wait; in this one they arrive when the context ends, or before, through another thread.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, GracefulStop.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def ignore_stops() -> None:
    """Leaves it to the process that started this one (:func:`holding_stops`) to stop."""
    for number in GracefulStop.SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone, also where that was killed and could not say so.

    The ``initializer`` of a pool of processes: without it, workers wait for ever for the next task of a dead
    parent, with all their memory and its open pipes.
    """
    parent = multiprocessing.parent_process()

    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def leads() -> bool:
    """Whether this is the first of the processes that train together, on whatever machines they are.

    It writes the files and talks to W&B. What starts the processes says which they are: ``torchrun`` and Lightning
    by ``RANK``, ``LOCAL_RANK`` and ``NODE_RANK``, ``srun`` by ``SLURM_PROCID`` in steps of several tasks.
    """
    ranks = [os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK")]
    if is_srun_task():
        ranks.append(os.environ.get("SLURM_PROCID", "0"))
    return set(ranks) == {"0"}


def is_srun_task() -> bool:
    """Whether this process is one of several that one ``srun`` has started; not a job of one task, nor a shell."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
