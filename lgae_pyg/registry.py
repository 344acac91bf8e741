"""Choosing by name, with errors that say what there is and what was probably meant."""

import difflib
from collections.abc import Iterable, Mapping
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
