"""Choosing by name, with errors that say what there is and what was probably meant."""

import contextlib
import difflib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Raises :class:`ValueError` if a value is none of the choices.

    Args:
        what: name of the argument, e.g. ``"readout"``.
        value: what was given.
        choices: what may be given.
    """
    names = list(choices)
    if value not in names:
        raise ValueError(f"unknown {what} '{value}': choose one of {', '.join(names)}{suggestion(value, names)}")


def choose(what: str, name: str, choices: Mapping[str, T]) -> T:
    """Returns the entry of that name.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    check_choice(what, name, choices)
    return choices[name]


def check_keys(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises :class:`ValueError` naming the keys of a configuration that nobody reads."""
    names = sorted(known)
    unknown = sorted(set(given) - set(names))
    if unknown:
        meant = suggestion(unknown[0], names) if len(unknown) == 1 else ""
        raise ValueError(f"{what} does not know {', '.join(unknown)}; it knows {', '.join(names)}{meant}")


def suggestion(word: object, names: Iterable[str]) -> str:
    """Returns ``" (did you mean X?)"`` if a name is close to the word, else nothing."""
    close = difflib.get_close_matches(str(word), list(names), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def near(path: str | os.PathLike[str]) -> str:
    """Returns what is there of a path that is not: its nearest folder, and the name in it that was probably meant;
    nothing if it is there."""
    whole = os.path.abspath(path)
    hint = meant(whole)
    return f"there is no {whole}{f' ({hint})' if hint.endswith('?') else f', {hint}'}" if hint else ""


def meant(path: str | os.PathLike[str]) -> str:
    """Returns a question after the path that was probably meant by one that is not there, else its nearest folder;
    nothing if it is there."""
    whole = Path(os.path.abspath(path))
    if whole.exists():
        return ""
    folder = next(one for one in whole.parents if one.is_dir())
    name, *rest = whole.relative_to(folder).parts
    with contextlib.suppress(OSError):
        close = difflib.get_close_matches(name, os.listdir(folder), 1)
        if close and Path(folder, close[0], *rest).exists():
            return f"did you mean {Path(folder, close[0], *rest)}?"
    return f"the nearest folder is {folder}"


def locate(what: str, target: str, base: type[T]) -> type[T]:
    """Imports a class by where it is defined, such as ``my_package.nets.MyNet``.

    Only classes that derive from ``base`` are returned, and modules of Python itself are never imported.

    Args:
        what: what it is, for the messages, e.g. ``"model"``.
        target: dotted name of the class.
        base: the class that it must derive from.

    Raises:
        ValueError: there is no such class, or it is of another kind.
    """
    module, _, name = target.rpartition(".")
    check_target(what, target)
    problem = f"{what} '{target}' cannot be imported"
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ValueError(f"{problem} ({error}): is its folder on Python's path?") from error
    except AttributeError as error:
        meant = suggestion(name, dir(sys.modules[module])) if module in sys.modules else ""
        raise ValueError(f"{problem} ({error}){meant}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{what} '{target}' does not derive from {base.__module__}.{base.__name__}")
    return found


def check_target(what: str, target: str) -> None:
    """Raises the errors of :func:`locate` that show without importing the module, which may take long."""
    module, _, name = target.rpartition(".")
    if not all(part.isidentifier() for part in target.split(".")) or not module:
        raise ValueError(f"{what} '{target}': give the class as my_package.my_module.MyClass")
    if module.split(".")[0] in sys.stdlib_module_names:
        raise ValueError(f"{what} '{target}': {module} is a module of Python itself")
    if module in sys.modules:
        return
    try:
        spec = importlib.util.find_spec(module)
        missing = f"No module named '{module}'"
    except ImportError as error:  # of a package around it
        spec, missing = None, str(error)
    if spec is None:
        raise ValueError(f"{what} '{target}' cannot be imported ({missing}): is its folder on Python's path?")
    source = Path(spec.origin or "")
    if source.suffix == ".py" and not re.search(rf"\b{name}\b|import \*|__getattr__", source.read_text("utf-8")):
        names = re.findall(r"^class (\w+)", source.read_text("utf-8"), re.MULTILINE)
        raise ValueError(f"{what} '{target}': {source} has no {name}{suggestion(name, names)}")
