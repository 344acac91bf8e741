"""Values of the configurations of other implementations, read one by one, errors naming the argument."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any


def get(config: Mapping[str, Any], *names: str) -> Any:
    """The value of the first of some names that is there, or ``None``."""
    return next((config[name] for name in names if config.get(name) is not None), None)


def required(config: Mapping[str, Any], *names: str) -> Any:
    """The same, which must be there.

    Raises:
        ValueError: if it is not; the message names it.
    """
    value = get(config, *names)
    if value is None:
        others = f" (or {', '.join(names[1:])})" if names[1:] else ""
        raise ValueError(f"the original's argument '{names[0]}'{others} is missing from the configuration")
    return value


def count(config: Mapping[str, Any], *names: str, default: int | None = None) -> int:
    """A whole number above 0.

    Raises:
        ValueError: if it is missing and has no default, or is something else; the message names it.
    """
    value = get(config, *names) if default is not None else required(config, *names)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"the original's argument '{names[0]}' must be a whole number above 0, not {value!r}")
    return int(value)


def flag(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false, also as text.

    Raises:
        ValueError: if it is neither; the message names it.
    """
    value = get(config, name)
    if value is None:
        return default
    known = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    found = known.get(str(value).lower())
    if found is None:
        raise ValueError(f"the original's argument '{name}' must be true or false, not {value!r}")
    return found


def number(config: Mapping[str, Any], name: str, default: float) -> float:
    """A real number; ``False`` is 0.

    Raises:
        ValueError: if it is none; the message names it.
    """
    value = get(config, name)
    if value is None:
        return default
    if not isinstance(value, Real):
        raise ValueError(f"the original's argument '{name}' must be a number, not {value!r}")
    return float(value)
