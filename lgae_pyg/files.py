"""Files written whole or not at all, and plain values for what is written into them."""

import contextlib
import errno
import glob
import os
import re
import shutil
import sys
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

#: Errors of a disk that is full, of a quota, and of the largest size of a file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: Values that aliases in a YAML file may stand for.
MOST_NODES = 100_000


def write_atomically(path: str | os.PathLike, write: Callable[[BinaryIO], Any]) -> Path:
    """Writes a file so that at every moment either the old content or the new one is there, never a part.

    The bytes go to a hidden file of a name of its own in the same folder, which then takes the name of the old
    one; two processes that write the same file do not meet.

    Args:
        path: the file; its folder is made if missing.
        write: called with the open binary file.

    Returns:
        The path.
    """
    with new_file(path) as partial, open(partial, "wb") as file:
        write(file)
    return Path(path)


@contextlib.contextmanager
def new_file(path: str | os.PathLike, suffix: str = "") -> Iterator[Path]:
    """Context that gives the name of a file to be written, which takes its place at the end, or leaves nothing.

    Args:
        path: the file; its folder is made if missing.
        suffix: the end of the name in the meantime, for those who look at it.

    Raises:
        OSError: a disk that is full is said with the name of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial{suffix}")
    with _said_once():
        try:
            yield partial
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            if (number := _errno(error)) in FULL:
                traceback.clear_frames(error.__traceback__)  # closes what cannot be written
                raise OSError(number, f"{os.strerror(number)}, nothing is written", os.fspath(path)) from None
            raise


def _errno(error: BaseException) -> int:
    """The system's number of an error, also where HDF5 only says it; 0 if there is none."""
    said = re.search(r"file write failed.*errno = (\d+)", str(error), re.S)
    return getattr(error, "errno", None) or (int(said[1]) if said else 0)


@contextlib.contextmanager
def _said_once() -> Iterator[None]:
    """Context in which HDF5 says nothing of closing what it could not write: those errors nobody can catch."""
    former = sys.unraisablehook, sys.excepthook

    def unraisable(what: Any) -> None:
        None if "file write failed" in str(what.exc_value) else former[0](what)

    def uncaught(kind: Any, error: Any, place: Any) -> None:
        None if "file write failed" in str(error) else former[1](kind, error, place)

    sys.unraisablehook, sys.excepthook = unraisable, uncaught
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = former


def remove_partial(folder: Path, name: str = "*") -> None:
    """Removes what processes that were killed left of a file of that name, or of all in a folder; nobody else may
    be writing them."""
    known = name if name == "*" else glob.escape(name)
    for left in (*folder.glob(f".{known}.*.partial*"), *folder.glob(f"..{known}.*.partial*")):
        left.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Writes a text file in UTF-8, atomically."""
    return write_atomically(path, lambda file: file.write(text.encode()))


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of a file of that name in a folder, or in one of its folders.

    Raises:
        ValueError: the name, which came out of a file, leads out of the folder.
    """
    path = Path(folder, name)
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"'{name}' leads out of {folder}")
    return path


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike[str], own: Callable[[Path], Iterable[str]]) -> Iterator[Path]:
    """Context in which a folder is written anew: it takes the place of the old one at the end, or not at all.

    A process that is killed leaves the old folder, or the new one; in the moment between, neither stands under
    that name, and the next call puts the old one back.

    Args:
        folder: the folder.
        own: names of what goes with the old folder, which is given; other things in it are kept.
    """
    folder = Path(folder)
    new, old = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
    _settle(folder, old, own)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    _settle(folder, old, own)


def _settle(folder: Path, old: Path, own: Callable[[Path], Iterable[str]]) -> None:
    """Ends what a killed process began: what is kept of the old folder comes into the new one, if there is one."""
    if not old.exists():
        return
    if not folder.exists():
        os.rename(old, folder)
        return
    for kept in set(old.iterdir()) - {old / name for name in own(old)}:
        if not (folder / kept.name).exists():
            os.rename(kept, folder / kept.name)
    shutil.rmtree(old, ignore_errors=True)


def read_yaml(text: str, where: str) -> Any:
    """Reads YAML that somebody else may have written: plain values, and not many more than are written out.

    Raises:
        ValueError: it is no YAML, or its aliases (a list of lists of lists of the same) stand for too much.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _expanded(node, {}) > MOST_NODES + len(text):
            raise ValueError(f"{where} stands for more than {MOST_NODES:,} values through its aliases: not read")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{where} is no YAML: {' '.join(str(error).split())[:300]}") from error


def _expanded(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for once all aliases are written out."""
    if id(node) not in known:
        known[id(node)] = 1  # of a node within itself
        children = node.value if isinstance(node.value, list) else []
        parts = (one for child in children for one in (child if isinstance(child, tuple) else (child,)))
        known[id(node)] = 1 + sum(_expanded(part, known) for part in parts)
    return known[id(node)]


def plain(value: Any, where: str = "value") -> Any:
    """Turns nested mappings, sequences, paths and scalars into ``dict``, ``list``, ``str`` and numbers.

    Args:
        value: what is to be written into a header.
        where: its name in the error message.

    Raises:
        TypeError: something in it is no plain value.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    for kind in (int, float, str):  # subclasses, such as NumPy's float64, are no plain values for torch.load
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        entries = sorted(value) if isinstance(value, set | frozenset) else value
        return [plain(entry, f"{where}[{i}]") for i, entry in enumerate(entries)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{where} is a {type(value).__name__}, not a plain value (number, text, list, dict)")


def first_line(error: BaseException | str) -> str:
    """Returns the first line of an error's text, or of a text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
