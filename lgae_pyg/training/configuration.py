"""Whether two configurations mean the same training, and how one is written."""

import os
from collections.abc import Mapping
from typing import Any

from lgae_pyg.files import write_atomically

# What may change when a training is continued: limits, and where and how it is shown, not what is computed.
FREE = ("name", "runs", "resume", "overwrite", "logger")
FREE_OF_DATA = ("download", "generate", "workers")
FREE_OF_TRAINER = ("accelerator", "max_epochs", "max_minutes", "patience", "progress", "threads")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of a nested configuration under dotted names, e.g. ``{"model.name": "LGAE"}``."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def is_free(key: str) -> bool:
    """Returns whether a dotted key may change when a training is continued."""
    group, _, name = key.partition(".")
    free = {"trainer": FREE_OF_TRAINER, "data": FREE_OF_DATA}.get(group, ())
    return group in FREE or name in free


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns what makes two configurations different trainings, as lines ``"key: old -> new"``."""
    before, after = flatten(old), flatten(new)
    keys = sorted(key for key in before.keys() | after.keys() if not is_free(key))
    absent = "(absent)"
    pairs = {key: (before.get(key, absent), after.get(key, absent)) for key in keys}
    return [f"{key}: {first} -> {second}" for key, (first, second) in pairs.items() if first != second]


def save_config(path: str | os.PathLike, config: Mapping[str, Any]) -> None:
    """Writes a resolved configuration as YAML, atomically."""
    import yaml

    text = yaml.safe_dump(dict(config), sort_keys=False, default_flow_style=None)
    write_atomically(path, lambda file: file.write(text.encode()))
