"""What surrounds a command: a terminal of any encoding, a reader that has gone, a module in the working folder."""

import codecs
import contextlib
import os
import select
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CLOSED = 141  # what shells call the end by SIGPIPE
ERRORS = "lgae_pyg.spell_out"
SIGNS = {"±": "+-", "×": "x", "−": "-", "–": "-", "—": "-", "√": "sqrt", "→": "->", "≤": "<=", "≥": ">="}


def run_command(work: Callable[[], int]) -> int:
    """Runs a command so that where its words go cannot end it.

    * Characters that the terminal's encoding lacks are spelled out: ``eta`` for η, ``+-`` for ±.
    * If the reader of a pipe has gone (``| head``), the command ends without a traceback.
    * Modules in the working folder are found, after all others.
    * Warnings of this package are one line; that PyTorch gives when PyG is imported, which nobody here can act on,
      is left out.

    Returns:
        The exit status of the command; 141 if it was ended by the closed pipe.
    """
    codecs.register_error(ERRORS, _spell_out)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)
    with contextlib.suppress(OSError):
        if not {"", os.getcwd()} & set(sys.path):
            sys.path.append(os.getcwd())
    with _short_warnings():
        try:
            status = work()
        except BrokenPipeError:
            if not _is_closed():
                raise
            status = CLOSED
        if _is_closed():
            discard_output()
        return status


def discard_output() -> None:
    """Lets standard output go nowhere from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # it is not a file
        sys.stdout = open(os.devnull, "w")
    finally:
        os.close(null)


def _is_closed() -> bool:
    """Whether nobody reads standard output any more."""
    try:
        sys.stdout.flush()
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors are reported anyway
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except BrokenPipeError:
        return True
    except (OSError, ValueError, AttributeError):  # it is no file, or there is no poll
        return False


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: the characters that cannot be written, in ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(character: str) -> str:
    if character in SIGNS:
        return SIGNS[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK"):
        word = name.split(" WITH ")[0].split()[-1].lower()
        return word.capitalize() if "CAPITAL" in name else word
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    usual, package = warnings.formatwarning, str(Path(__file__).parent)

    def shorter(message: Any, category: type[Warning], filename: str, *where: Any, **more: Any) -> str:
        own = str(filename).startswith(package)
        return f"Warning: {message}\n" if own else usual(message, category, filename, *where, **more)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated")
        warnings.formatwarning = shorter
        try:
            yield
        finally:
            warnings.formatwarning = usual
