"""Jets as graphs, and many jets as flat tensors."""

from typing import TYPE_CHECKING

from lgae_pyg.data.errors import DataFileError
from lgae_pyg.lazy import loaded_on_use

if TYPE_CHECKING:
    from lgae_pyg.data.check import check_batch
    from lgae_pyg.data.jet import JetData, jet_name, transform_jets, unit_of
    from lgae_pyg.data.loader import JetLoader
    from lgae_pyg.data.store import JetStore
    from lgae_pyg.data.writer import JetStoreWriter

__all__ = [
    "DataFileError",
    "JetData",
    "JetLoader",
    "JetStore",
    "JetStoreWriter",
    "check_batch",
    "jet_name",
    "transform_jets",
    "unit_of",
]

# files are looked into without PyTorch Geometric, which takes seconds to import
__getattr__, __dir__ = loaded_on_use(
    __name__,
    {
        "check_batch": "lgae_pyg.data.check",
        "JetData": "lgae_pyg.data.jet",
        "jet_name": "lgae_pyg.data.jet",
        "transform_jets": "lgae_pyg.data.jet",
        "unit_of": "lgae_pyg.data.jet",
        "JetLoader": "lgae_pyg.data.loader",
        "JetStore": "lgae_pyg.data.store",
        "JetStoreWriter": "lgae_pyg.data.writer",
    },
)
