"""Jets from Pythia 8 and FastJet with a fast detector, in JetNet's file format."""

from lgae_pyg.datasets.pythia.files import generate_files, read_recipe
from lgae_pyg.generator.presets import PRESETS
from lgae_pyg.generator.settings import CLASSES, GeneratorSettings

__all__ = ["CLASSES", "PRESETS", "GeneratorSettings", "generate_files", "read_recipe"]
