"""Lorentz-group-equivariant autoencoders and taggers for jets, on PyTorch Geometric."""

from lgae_pyg.lazy import loaded_on_use
from lgae_pyg.version import __version__

__all__ = ["__version__", "compress", "decompress", "judge", "load_model", "publish", "score"]

__getattr__, __dir__ = loaded_on_use(
    __name__,
    {
        "compress": "lgae_pyg.applications.compression",
        "decompress": "lgae_pyg.applications.compression",
        "judge": "lgae_pyg.applications.judge",
        "load_model": "lgae_pyg.checkpoint",
        "publish": "lgae_pyg.publishing",
        "score": "lgae_pyg.applications.score",
    },
)
