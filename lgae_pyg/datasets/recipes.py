"""Data sets from recipes, the dictionaries in checkpoints and configurations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from lgae_pyg.datasets.base import JetDataset
from lgae_pyg.datasets.jet_files import JetFiles
from lgae_pyg.datasets.jetnet import JetNet
from lgae_pyg.datasets.public import JetClass, QuarkGluon, TopTagging
from lgae_pyg.datasets.pythia_jets import PythiaJets
from lgae_pyg.files import plain
from lgae_pyg.registry import check_keys, locate, suggestion

#: By the names in recipes.
DATASETS = {kind.__name__: kind for kind in (JetClass, JetFiles, JetNet, PythiaJets, QuarkGluon, TopTagging)}
#: Entries of every recipe; a class whose constructor does not take them fixes them itself.
_COMMON = ("root", "unit", "seed", "fractions")


def asked_classes(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the classes that a recipe asks for, in its order, each once; empty where only the files know them.
    Nothing is read or generated.

    Raises:
        ValueError: if there is no such data set.
    """
    names = recipe.get("classes") or _kind_of(recipe).usual_classes(recipe)
    named = isinstance(names, list | tuple) and all(isinstance(one, str) for one in names)
    return tuple(dict.fromkeys(names)) if named else ()


def _kind_of(recipe: Mapping[str, Any]) -> type[JetDataset]:
    target, name = recipe.get("_target_"), recipe.get("name")
    if not target and name not in DATASETS:
        known = ", ".join(DATASETS)
        raise ValueError(f"there is no data set named '{name}', only {known}{suggestion(name, DATASETS)}")
    return locate("data set", target, JetDataset) if target else DATASETS[name]


def build_dataset(recipe: Mapping[str, Any], split: str = "all", **changes: Any) -> JetDataset:
    """Rebuilds a data set from its recipe, for example the one in a checkpoint.

    Nothing is downloaded or generated unless ``download`` or ``generate`` says so.

    Args:
        recipe: ``dataset.recipe``: the name of the data set and its arguments. A data set of one's own is given as
            ``{"_target_": "my_package.MyJets", ...}``; it must derive from :class:`JetDataset`.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        changes: Arguments that replace those of the recipe (``root``) or are not part of it (``download``;
            ``generate``, which sets that are not generated ignore).

    Raises:
        ValueError: if there is no data set of that name, or it does not take these arguments.
    """
    kind = _kind_of(recipe)
    arguments = {key: value for key, value in {**recipe, **changes}.items() if key not in ("_target_", "name")}
    what, fixed, needed = f"the data set {kind.__name__}", {}, set()
    parameters = inspect.signature(kind).parameters
    permission = arguments.pop("generate", False)
    if "generate" in parameters:
        arguments["generate"] = permission
    if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        fixed = {key: arguments.pop(key) for key in _COMMON if key in arguments and key not in parameters}
        check_keys(what, arguments, set(parameters) - {"split"})
        needed = {key for key, one in parameters.items() if one.default is one.empty} - {"split", "args"}
    missing = sorted(needed - set(arguments))
    if missing:
        raise ValueError(f"{what} needs {', '.join(missing)}")
    dataset = kind(split=split, **arguments)
    for key, value in plain(fixed).items():
        if dataset.recipe.get(key, value) != value:
            raise ValueError(f"{what} has {key} = {dataset.recipe[key]} and no argument that makes it {value}")
    return dataset
