"""Training: one LightningModule, exact resumption, Weights & Biases, Hydra configurations."""

from typing import Any

__all__ = ["AutoencoderModule", "JetDataModule", "train"]

_HOMES = {
    "AutoencoderModule": "module",
    "JetDataModule": "data",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    """Loads the public names on first use: ``lgae train --help`` needs no Lightning."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
