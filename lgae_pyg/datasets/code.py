"""A fingerprint of the code that makes a data set, so that a change of it is noticed."""

import hashlib
import inspect
import json
import sys
from types import CodeType, FunctionType
from typing import Any

PACKAGE = "lgae_pyg."


def code_fingerprint(kind: type, base: type) -> str:
    """Returns a hash of the functions of a class, and of what they use of their own package.

    Taken are the methods, properties and plain attributes that ``kind`` has beyond ``base``, and the functions and
    plain values that they name or enclose, as compiled: comments and layout do not count, and a source file that
    was edited after its import cannot mislead. Functions of this package are left out, since their changes are
    told by ``version`` (:class:`~lgae_pyg.datasets.JetDataset`); so are those of other packages.

    Args:
        kind: the class.
        base: its base; what is found there and above does not count.

    Returns:
        The version of Python and the hash; nothing if there is no such function.
    """
    classes = kind.__mro__[: kind.__mro__.index(base)]
    waiting = [value for one in classes for value in vars(one).values()]
    own = [one for one in classes if not one.__module__.startswith(PACKAGE)]
    parts = [_plain({k: v for one in own for k, v in vars(one).items() if not k.startswith("__")})]
    seen: list[Any] = []
    for value in waiting:  # grows on the way
        value = getattr(value, "fget", getattr(value, "__func__", value))  # properties, class and static methods
        value = inspect.unwrap(value) if callable(value) else value
        if not isinstance(value, FunctionType) or value in seen or value.__module__.startswith(PACKAGE):
            continue
        seen.append(value)
        code, top = value.__code__, value.__module__.split(".")[0]
        used = {name: value.__globals__.get(name) for name in _names(code)}
        used |= {name: cell.cell_contents for name, cell in zip(code.co_freevars, value.__closure__ or ())}
        waiting += [one for one in used.values() if str(getattr(one, "__module__", "")).split(".")[0] == top]
        defaults = dict(enumerate(value.__defaults__ or ())) | (value.__kwdefaults__ or {})
        parts.append(f"{value.__qualname__} {_text(code)} {_plain(used)} {_plain(defaults)}")
    if not seen:
        return ""
    return "{}.{} ".format(*sys.version_info) + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _plain(values: dict[Any, Any]) -> str:
    """Those of the values that can be written down."""
    found = []
    for name, value in values.items():
        try:
            found.append(f"{name}={json.dumps(value, sort_keys=True)}")
        except (TypeError, ValueError):
            pass
    return str(sorted(found))


def _names(code: CodeType) -> set[str]:
    """Names that a function, and those written inside it, look up."""
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if isinstance(one, CodeType)))


def _text(value: Any) -> str:
    """Compiled code without line numbers and file names; the order in sets is not kept from run to run."""
    if isinstance(value, CodeType):
        constants = [_text(one) for one in value.co_consts]
        return f"{value.co_code.hex()} {value.co_names} {value.co_varnames} {constants}"
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
