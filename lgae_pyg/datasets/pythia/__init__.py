"""Jets from Pythia 8 and FastJet with a CMS-like detector, in JetNet's file format."""

from lgae_pyg.datasets.pythia.files import generate_files, read_recipe
from lgae_pyg.datasets.pythia.settings import CLASSES, GeneratorSettings

__all__ = ["CLASSES", "GeneratorSettings", "generate_files", "read_recipe"]
