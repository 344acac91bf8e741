"""Files written whole or not at all, and plain values for what is written into them."""

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO


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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Writes a text file in UTF-8, atomically."""
    return write_atomically(path, lambda file: file.write(text.encode()))


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
