"""The classes of a tagger's training: their names, their numbers, and how many logits that makes."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from lgae_pyg.datasets import asked_classes
from lgae_pyg.models import Tagger
from lgae_pyg.models.registry import model_class


def is_tagger(config: Mapping[str, Any]) -> bool:
    """Whether the model of a configuration is a tagger."""
    return issubclass(model_class(config["model"]), Tagger)


def with_classes(config: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    """A configuration whose tagger has a logit for each class; others are left as they are.

    The chosen classes are numbered 0, 1, ... in the order in which ``data.classes`` names them.

    Args:
        config: ``model.num_classes``, an argument of most taggers, may be absent: it is then the number of names.
        names: names of the classes; those that the recipe of the data asks for when omitted. Where there are none,
            only the files know the classes, and nothing is changed.

    Raises:
        ValueError: there is one class, or another number of logits, or of weights, than classes.
    """
    if not is_tagger(config):
        return dict(config)
    names = asked_classes(config["data"]) if names is None else names
    if not names:
        return dict(config)
    listed = f"{len(names)} classes of jets, {', '.join(names)}"
    if len(names) < 2:
        raise ValueError(f"a tagger needs two classes at least, not {names[0]} alone: set data.classes=[...]")
    weights = config.get("loss", {}).get("class_weights")
    if weights and not isinstance(weights[0], str) and len(weights) != len(names):
        raise ValueError(f"loss.class_weights={weights}, but there are {listed}: give one for each")
    model = dict(config["model"])
    if "num_classes" not in inspect.signature(model_class(model)).parameters:
        return dict(config)
    if model.setdefault("num_classes", len(names)) != len(names):
        raise ValueError(
            f"model.num_classes={model['num_classes']}, but there are {listed}: leave it out (null), or choose "
            "classes with data.classes=[...]"
        )
    return {**config, "model": model}
