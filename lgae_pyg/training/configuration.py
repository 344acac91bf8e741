"""Whether two configurations mean the same training, what kinds of values they hold, and how one is written."""

import os
from collections.abc import Mapping
from typing import Any

from lgae_pyg.checksums import signed_text
from lgae_pyg.files import plain, write_text
from lgae_pyg.models import MODELS
from lgae_pyg.registry import check_keys, locate
from lgae_pyg.training.kinds import argument_kinds, as_kind

# What may change when a training is continued: limits, where and how it is shown, where its jets are and how they
# are brought there; but not what is computed.
FREE = {"name", "runs", "resume", "overwrite", "logger", "model.backend", "loader.eval_batch_size"}
FREE |= {f"data.{key}" for key in ("root", "download", "generate", "workers", "force_reload")}
FREE |= {f"trainer.{key}" for key in ("accelerator", "max_epochs", "max_minutes", "patience")}
FREE |= {f"trainer.{key}" for key in ("devices", "num_nodes", "strategy", "progress", "threads")}

#: Keys of a configuration and of its groups, and the kinds of their values. Those of models and data sets are in
#: their constructors; optimisers and schedules may have others.
KINDS: dict[str, dict[str, Any]] = {
    "": {
        **{"seed": int, "name": str, "runs": str, "warm_start": str | None},
        **dict.fromkeys(("resume", "overwrite"), bool | None),
        **dict.fromkeys(("model", "data", "loader", "loss", "optimizer", "schedule", "trainer", "logger"), Any),
    },
    "loader": {
        **dict.fromkeys(("batch_size", "eval_batch_size"), int),
        **dict.fromkeys(("train_jets", "val_jets", "epoch_jets"), int | None),
    },
    "loss": {
        **{"names": list[str], "weights": list[float] | None, "space": str},
        **{"label_smoothing": float | None, "event_weights": str | None},
        "class_weights": list[float] | list[str] | None,
    },
    "optimizer": {
        **{"name": str, "betas": tuple[float, float] | None, "nesterov": bool | None},
        **dict.fromkeys(("lr", "weight_decay", "eps", "alpha", "momentum"), float | None),
    },
    "schedule": {
        "name": str,
        **dict.fromkeys(("patience", "restarts"), int | None),
        **dict.fromkeys(("warmup_epochs", "epochs", "final_factor", "flat", "decay"), float | None),
        **dict.fromkeys(("factor", "threshold", "min_lr"), float | None),
    },
    "trainer": {
        **{"accelerator": str, "precision": str, "strategy": str | None, "devices": Any, "num_nodes": int | None},
        **{"ema": float | None, "monitor": str | None},
        **dict.fromkeys(("max_epochs", "patience", "threads"), int | None),
        **dict.fromkeys(("max_minutes", "gradient_clip"), float | None),
        **dict.fromkeys(("deterministic", "progress"), bool | None),
    },
    "logger": {
        **{"wandb": bool, "tags": list[str] | None, "panels_every": int | None},
        **dict.fromkeys(("project", "entity", "group", "job_type"), str | None),
    },
}
#: Groups whose keys are all in the table.
CLOSED = ("", "loader", "loss", "trainer", "logger")


def read_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration in plain values, each of its kind: one value for a list is made a list of it.

    Raises:
        ValueError: a key is unknown, or a value of a wrong kind; the message names it.
        TypeError: something in it is no plain value.
    """
    config = plain(config, "config")
    if isinstance(config.get("model"), dict) and config["model"].get("num_classes", 0) is None:
        del config["model"]["num_classes"]  # left to the data
    for group, kinds in {**KINDS, "model": _kinds_of("model", config), "data": _kinds_of("data", config)}.items():
        values = config.get(group) if group else config
        if not isinstance(values, dict):
            if values is not None:
                raise ValueError(f"{group}={values}: {group} is a group of keys, set one of them")
            continue
        if group in CLOSED:
            check_keys(group or "configuration", values, kinds)
        if group == "model" and kinds.get("num_particles") is int and values.get("num_particles", 0) is None:
            raise ValueError(
                "this model has a place for each particle, and the data do not say how many: set "
                "data.num_particles=30, say, and the leading ones of each jet are kept"
            )
        for key in values.keys() & kinds.keys():
            values[key] = as_kind(f"{group}.{key}".lstrip("."), values[key], kinds[key])
    return config


def _kinds_of(group: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Kinds of the arguments of the model, or of the data set; none if that is unknown, which others say."""
    from lgae_pyg.datasets.recipes import DATASETS

    values = config.get(group)
    if not isinstance(values, Mapping):
        return {}
    if target := values.get("_target_"):
        return argument_kinds(locate(group, str(target), object))
    known: Mapping[str, Any] = MODELS if group == "model" else DATASETS
    found = known.get(str(values.get("name")))
    return argument_kinds(found) if isinstance(found, type) else {}


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
    return key in FREE or key.partition(".")[0] in FREE


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns what makes two configurations different trainings, as lines ``"key: old -> new"``.

    A key that is absent is as one that is null; a number of classes that is left to the data is the former one.
    """
    before, after = flatten(old), flatten(new)
    after = {"model.num_classes": before.get("model.num_classes"), **after}
    keys = sorted(key for key in before.keys() | after.keys() if not is_free(key))
    pairs = {key: [before.get(key), after.get(key)] for key in keys}
    shown = {key: " -> ".join("null" if one is None else str(one) for one in pair) for key, pair in pairs.items()}
    return [f"{key}: {shown[key]}" for key, (first, second) in pairs.items() if first != second]


def save_config(path: str | os.PathLike, config: Mapping[str, Any]) -> None:
    """Writes a resolved configuration as YAML with its checksum, atomically."""
    import yaml

    text = yaml.safe_dump(dict(config), sort_keys=False, default_flow_style=None)
    write_text(path, signed_text(text))
