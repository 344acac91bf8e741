"""Models by name, for configurations and checkpoints."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from lgae_pyg.models.cnnae import CNNAE
from lgae_pyg.models.gnnae import GNNAE
from lgae_pyg.models.lgae import LGAE
from lgae_pyg.models.linear_ae import LinearAE
from lgae_pyg.models.shell_lgae import ShellLGAE

MODELS: dict[str, type[nn.Module]] = {
    "CNNAE": CNNAE,
    "GNNAE": GNNAE,
    "LGAE": LGAE,
    "LinearAE": LinearAE,
    "ShellLGAE": ShellLGAE,
}


def build_model(config: Mapping[str, Any]) -> nn.Module:
    """Builds a model from its plain configuration, ``{"name": ..., argument: value, ...}``.

    The inverse of a model's ``config`` attribute: ``build_model(model.config)`` has the same layers.

    Raises:
        ValueError: for an unknown model or argument, naming those there are.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if name not in MODELS:
        raise ValueError(f"unknown model '{name}': choose one of {', '.join(MODELS)}")
    known = list(inspect.signature(MODELS[name]).parameters)
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ValueError(f"{name} has no argument {', '.join(unknown)}: it takes {', '.join(known)}")
    return MODELS[name](**arguments)
