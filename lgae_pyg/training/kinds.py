"""Values of configurations brought to the kind that their reader declares."""

import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}


def as_kind(name: str, value: Any, kind: Any) -> Any:
    """Returns a value as a type annotation asks for it.

    One value where a list is expected is a list of that one; a whole number may be written as ``1e4``, a text as
    a number. What is annotated as anything else than ``bool``, ``int``, ``float``, ``str``, ``None``, sequences of
    these, or a union of them, is returned as it is.

    Args:
        name: its dotted key, for the message.
        value: the value, plain.
        kind: the annotation.

    Raises:
        ValueError: the value is of another kind.
    """
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    if not all(map(_is_known, options)):
        return value
    for option in options:
        try:
            return _convert(value, option)
        except TypeError:
            continue
    raise ValueError(f"{name}={value} is not {' or '.join(map(_describe, options))}")


def argument_kinds(function: Callable) -> dict[str, Any]:
    """Returns the annotations of a class's or function's arguments; none if they cannot be read."""
    try:
        return typing.get_type_hints(function.__init__ if isinstance(function, type) else function)
    except (NameError, TypeError, AttributeError):
        return {}


def _members(kind: Any) -> tuple | None:
    """Kinds of the members of a sequence; ``None`` for what is no sequence."""
    is_list = typing.get_origin(kind) in (list, tuple, Sequence)
    return typing.get_args(kind) if is_list else None


def _is_known(kind: Any) -> bool:
    members = _members(kind)
    return kind in _NAMES if members is None else all(map(_is_known, (m for m in members if m is not ...)))


def _convert(value: Any, kind: Any) -> Any:
    members = _members(kind)
    if members is not None and value is not None:
        values = list(value) if isinstance(value, list | tuple) else [value]
        fixed = typing.get_origin(kind) is tuple and members[-1] is not ...
        if fixed and len(values) != len(members):
            raise TypeError
        kinds = members if fixed else members[:1] * len(values)
        return [_convert(one, member) for one, member in zip(values, kinds)]
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    allowed = (int, float) if kind is float else kind
    if members is not None or not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    return value


def _describe(kind: Any) -> str:
    members = _members(kind)
    if members is None:
        return _NAMES[kind]
    number = f"{len(members)} values" if typing.get_origin(kind) is tuple and members[-1] is not ... else "a list"
    return f"{number}, each {_NAMES[members[0]]}"
