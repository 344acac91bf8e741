"""Training: a Lightning module for each task, exact resumption, Weights & Biases, Hydra configurations."""

from typing import Any

__all__ = ["ClassificationTask", "JetDataModule", "ReconstructionTask", "Task", "build_task", "train"]

_HOMES = {
    "AutoencoderModule": "tasks.reconstruction",
    "ClassificationTask": "tasks",
    "JetDataModule": "data",
    "ReconstructionTask": "tasks",
    "Task": "tasks",
    "build_task": "tasks",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    """Loads the public names on first use: ``lgae train --help`` needs no Lightning."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
