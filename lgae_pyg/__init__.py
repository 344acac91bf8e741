"""Lorentz-group-equivariant autoencoders and taggers for jets, on PyTorch Geometric."""

from typing import TYPE_CHECKING

from lgae_pyg.lazy import loaded_on_use
from lgae_pyg.version import __version__

if TYPE_CHECKING:
    from lgae_pyg.applications.compression import compress, decompress
    from lgae_pyg.applications.judge import judge
    from lgae_pyg.applications.score import score
    from lgae_pyg.checkpoint import load_model
    from lgae_pyg.publishing import publish

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
