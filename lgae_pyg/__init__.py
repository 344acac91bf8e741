"""Lorentz-group-equivariant autoencoders and taggers for jets, on PyTorch Geometric."""

from typing import Any

from lgae_pyg.version import __version__

__all__ = ["__version__", "compress", "decompress", "load_model"]


def __getattr__(name: str) -> Any:
    """Loads the public functions on first use, so that ``import lgae_pyg`` is quick."""
    if name == "load_model":
        from lgae_pyg.checkpoint import load_model

        return load_model
    if name in ("compress", "decompress"):
        from lgae_pyg.applications import compression

        return getattr(compression, name)
    raise AttributeError(f"module 'lgae_pyg' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
