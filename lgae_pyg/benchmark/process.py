"""An object in a process of its own, so that its memory is its own and its failures are answers."""

import multiprocessing
import re
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

#: What every process needs, imported once by the server that they are forked from, which computes nothing.
PRELOADED = ("lgae_pyg.benchmark.worker",)
LONGEST_REASON = 160


class ProcessError(RuntimeError):
    """What was asked for could not be done; the message is one line, without paths."""


class Remote:
    """An object that lives in a fresh process.

    Args:
        make: a function of a module, which makes the object.
        arguments: its arguments, plain values.

    Raises:
        ProcessError: if the object cannot be made, with the reason.
    """

    def __init__(self, make: Callable[..., object], *arguments: Any) -> None:
        context = _context()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._answer()
        except ProcessError:
            self.close()
            raise

    def call(self, name: str, *arguments: Any) -> Any:
        """The result of a method of the object.

        Raises:
            ProcessError: if the method raised an error, or the process has ended.
        """
        try:
            self._connection.send((name, arguments))
        except OSError:
            pass  # the process has ended; so says the answer
        return self._answer()

    def close(self) -> None:
        """Ends the process; once more is harmless."""
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        try:
            fine, result = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            killed = " (killed, perhaps for want of memory)" if code == -signal.SIGKILL else ""
            raise ProcessError(f"the process ended with status {code}{killed}") from None
        if not fine:
            raise ProcessError(result)
        return result


def one_line(error: BaseException) -> str:
    """The first line of an error's message, without paths, and its kind where it says nothing."""
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    first = re.sub(r"(?<![\w/])/(?:[^\s/'\"]+/)*([^\s/'\"]+)", r"\1", first).rstrip(":;, ")
    return first if len(first) <= LONGEST_REASON else first[: LONGEST_REASON - 3] + "..."


def _context() -> Any:
    """Processes forked from a clean server where there are such; new ones beside a GPU, whose driver does not
    survive a fork."""
    if torch.cuda.is_available() or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _serve(connection: Connection, make: Callable[..., object], arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    try:
        served = make(*arguments)
    except Exception as error:
        connection.send((False, one_line(error)))
        return
    connection.send((True, None))
    while True:
        try:
            name, words = connection.recv()
        except EOFError:
            return
        try:
            answer = True, getattr(served, name)(*words)
        except Exception as error:
            answer = False, one_line(error)
        connection.send(answer)
