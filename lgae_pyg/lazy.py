"""Packages whose public names are loaded on first use, so that commands which need few of them begin quickly."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any


def loaded_on_use(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns ``__getattr__`` and ``__dir__`` of a package (PEP 562): its public names, and its modules.

    Args:
        package: its ``__name__``.
        homes: its public names, each with the module that defines it. No module of the package may have one of
            these names: once imported, it would be found in the place of what it defines.
    """

    def modules() -> set[str]:
        return {one.name for one in pkgutil.iter_modules(sys.modules[package].__path__)}

    def load(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        if name in modules():
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    def names() -> list[str]:
        own = vars(sys.modules[package])
        return sorted({*(name for name in own if name.startswith("__")), *own["__all__"], *homes, *modules()})

    return load, names
