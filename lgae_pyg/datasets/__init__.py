"""Sets of jets: files on disk become graphs in a flat store."""

from typing import TYPE_CHECKING

from lgae_pyg.lazy import loaded_on_use

if TYPE_CHECKING:
    from lgae_pyg.datasets.base import JetDataset, stratified_choice, stratified_split
    from lgae_pyg.datasets.in_memory import JetsInMemory, from_arrays, from_awkward, from_numpy
    from lgae_pyg.datasets.jet_files import JetFiles
    from lgae_pyg.datasets.jetnet import JetNet
    from lgae_pyg.datasets.public import JetClass, QuarkGluon, TopTagging
    from lgae_pyg.datasets.pythia_jets import PythiaJets
    from lgae_pyg.datasets.recipes import asked_classes, build_dataset

__all__ = [
    "JetClass",
    "JetDataset",
    "JetFiles",
    "JetNet",
    "JetsInMemory",
    "PythiaJets",
    "QuarkGluon",
    "TopTagging",
    "asked_classes",
    "build_dataset",
    "from_arrays",
    "from_awkward",
    "from_numpy",
    "stratified_choice",
    "stratified_split",
]

__getattr__, __dir__ = loaded_on_use(
    __name__,
    {
        "JetDataset": "lgae_pyg.datasets.base",
        "stratified_choice": "lgae_pyg.datasets.base",
        "stratified_split": "lgae_pyg.datasets.base",
        "asked_classes": "lgae_pyg.datasets.recipes",
        "build_dataset": "lgae_pyg.datasets.recipes",
        "JetsInMemory": "lgae_pyg.datasets.in_memory",
        "from_arrays": "lgae_pyg.datasets.in_memory",
        "from_awkward": "lgae_pyg.datasets.in_memory",
        "from_numpy": "lgae_pyg.datasets.in_memory",
        "JetFiles": "lgae_pyg.datasets.jet_files",
        "JetNet": "lgae_pyg.datasets.jetnet",
        "JetClass": "lgae_pyg.datasets.public",
        "QuarkGluon": "lgae_pyg.datasets.public",
        "TopTagging": "lgae_pyg.datasets.public",
        "PythiaJets": "lgae_pyg.datasets.pythia_jets",
    },
)
