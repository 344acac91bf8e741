"""Lorentz-group-equivariant autoencoders and taggers for jets, on PyTorch Geometric."""

import importlib
from typing import Any

from lgae_pyg.version import __version__

__all__ = ["__version__", "compress", "decompress", "judge", "load_model", "publish", "score"]

#: Where the public functions are.
_PLACES = {
    "compress": "lgae_pyg.applications.compression",
    "decompress": "lgae_pyg.applications.compression",
    "judge": "lgae_pyg.applications.judge",
    "load_model": "lgae_pyg.checkpoint",
    "publish": "lgae_pyg.publishing",
    "score": "lgae_pyg.applications.score",
}


def __getattr__(name: str) -> Any:
    """Loads the public functions on first use, so that ``import lgae_pyg`` is quick."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'lgae_pyg' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
