"""Stopping a training on request, and the exact state of the random number generators."""

import contextlib
import os
import random
import signal
from types import FrameType
from typing import Any

import numpy as np
import torch


class TrainingInterrupted(Exception):
    """The training was stopped on request and can be continued from the checkpoint it wrote."""


class GracefulStop:
    """Context in which signals ask for a stop instead of killing the process.

    They are SIGINT (Ctrl-C) and SIGTERM; SIGUSR1 and SIGUSR2, by which batch systems announce the end of a job;
    and SIGHUP, when a terminal is closed, unless it is ignored (``nohup``). The first sets :attr:`requested`; the
    training looks at it after each batch, and after a validation that is under way. A second SIGINT or SIGTERM
    ends the process at once, with the signal's usual effect. Outside of the main thread signals are left alone.
    """

    URGENT = (signal.SIGINT, signal.SIGTERM)
    NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP")
    SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))  # Windows has two of them

    def __init__(self) -> None:
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
        message = f"\n{self.requested.name}: finishing this batch, then saving; {again}\n"
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, message.encode())  # print() could be interrupted halfway through a line


def random_states() -> dict[str, Any]:
    """Returns the states of all global random number generators, as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, next_gauss = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, torch.tensor(words, dtype=torch.int64), next_gauss],
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Sets all global random number generators to what :func:`random_states` returned."""
    torch.set_rng_state(states["torch"].cpu())
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, words, next_gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), next_gauss))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
