"""Jets as graphs, and many jets as flat tensors."""

from lgae_pyg.data.check import check_batch
from lgae_pyg.data.errors import DataFileError
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
