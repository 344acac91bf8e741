"""Files of jets whose particles are moved by no more than a bound."""

from lgae_pyg.applications.compression.quantise import Bounds
from lgae_pyg.applications.compression.reading import CompressedJets, decompress
from lgae_pyg.applications.compression.writing import Account, compress

__all__ = ["Account", "Bounds", "CompressedJets", "compress", "decompress"]
