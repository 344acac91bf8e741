"""Sets of jets: files on disk become graphs in a flat store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lgae_pyg.datasets.base import JetDataset, stratified_choice, stratified_split
from lgae_pyg.datasets.jetnet import JetNet
from lgae_pyg.datasets.pythia_jets import PythiaJets

__all__ = ["JetDataset", "JetNet", "PythiaJets", "build_dataset", "stratified_choice", "stratified_split"]

_DATASETS = {"JetNet": JetNet, "PythiaJets": PythiaJets}


def build_dataset(recipe: Mapping[str, Any], split: str = "all", **changes: Any) -> JetDataset:
    """Rebuilds a data set from its recipe, for example the one in a checkpoint.

    Args:
        recipe: ``dataset.recipe``: the name of the data set and its arguments.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        changes: Arguments that replace those of the recipe (``root``) or are not part of it (``download``).

    Raises:
        ValueError: if there is no data set of that name.
    """
    arguments = {**recipe, **changes}
    name = arguments.pop("name", None)
    if name not in _DATASETS:
        raise ValueError(f"There is no data set named '{name}', only {', '.join(_DATASETS)}.")
    return _DATASETS[name](split=split, **arguments)
