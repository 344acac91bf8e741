"""Optimisers and learning-rate schedules by name, from plain configuration values."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from lgae_pyg.registry import check_keys

OPTIMIZERS: dict[str, tuple[type[optim.Optimizer], tuple[str, ...]]] = {
    "adam": (optim.Adam, ("lr", "betas", "eps", "weight_decay")),
    "adamw": (optim.AdamW, ("lr", "betas", "eps", "weight_decay")),
    "rmsprop": (optim.RMSprop, ("lr", "alpha", "eps", "weight_decay", "momentum")),
    "sgd": (optim.SGD, ("lr", "momentum", "weight_decay", "nesterov")),
}
#: Those whose fused form is as precise on every device.
FUSED = ("adam", "adamw", "sgd")

SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": ("warmup_epochs",),
    "cosine": ("warmup_epochs", "epochs", "final_factor"),
    "exponential": ("warmup_epochs", "decay"),
    "plateau": ("factor", "patience", "threshold", "min_lr"),
}


def build_optimizer(parameters: Iterable[nn.Parameter], config: Mapping[str, Any]) -> optim.Optimizer:
    """Makes an optimiser.

    Args:
        parameters: what it changes.
        config: ``name`` (``adam``, the default, ``adamw``, ``rmsprop``, ``sgd``) and the arguments of the
            class in :mod:`torch.optim` (``lr``, 1e-3 by default, ``betas``, ...); ``None`` is as if left out.

    Raises:
        ValueError: an unknown name, or a value that it does not have.
    """
    arguments = {"lr": 1e-3, **{key: value for key, value in config.items() if value is not None}}
    name = arguments.pop("name", "adam")
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer.name={name} is unknown; choose one of {', '.join(OPTIMIZERS)}")
    kind, known = OPTIMIZERS[name]
    check_keys(f"optimizer {name}", arguments, known)
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    if name in FUSED:
        arguments["fused"] = True  # one pass over all parameters
    try:
        return kind(list(parameters), **arguments)
    except TypeError as error:
        raise ValueError(f"optimizer {name} with {arguments}: {error}; its values must be numbers") from None


def build_schedule(
    optimizer: optim.Optimizer, config: Mapping[str, Any], steps_per_epoch: int, max_epochs: int | None
) -> LambdaLR | ReduceLROnPlateau:
    r"""Makes a learning-rate schedule.

    With :math:`t` the number of epochs trained so far (fractions count), the learning rate is multiplied by
    :math:`\min(1, t / w)` during :math:`w` epochs of warm-up, and by

    * ``constant``: 1;
    * ``cosine``: :math:`f + (1 - f) (1 + \cos \pi t / T) / 2` with :math:`T` = ``epochs`` (the
      trainer's largest number of epochs when omitted) and :math:`f` = ``final_factor``;
    * ``exponential``: :math:`d^t` with :math:`d` = ``decay``;
    * ``plateau``: ``factor``, each time that the validation loss has not fallen for ``patience`` epochs.

    Args:
        optimizer: whose learning rates are changed.
        config: ``name`` and the values named above, and ``warmup_epochs`` (not for ``plateau``); ``None`` is as
            if left out.
        steps_per_epoch: number of batches of an epoch.
        max_epochs: largest number of epochs of the training.

    Raises:
        ValueError: an unknown name, or a value that it does not have.
    """
    arguments = {key: value for key, value in config.items() if value is not None}
    name = arguments.pop("name", "constant")
    if name not in SCHEDULES:
        raise ValueError(f"schedule.name={name} is unknown; choose one of {', '.join(SCHEDULES)}")
    check_keys(f"schedule {name}", arguments, SCHEDULES[name])
    if name == "plateau":
        return ReduceLROnPlateau(optimizer, **arguments)
    warmup = arguments.get("warmup_epochs") or 0
    length = arguments.get("epochs") or max_epochs or 1
    final, decay = arguments.get("final_factor", 0.0), arguments.get("decay", 1.0)

    def factor(step: int) -> float:
        epochs = step / max(steps_per_epoch, 1)
        ramp = min(1.0, (step + 1) / (warmup * steps_per_epoch)) if warmup else 1.0
        if name == "cosine":
            return ramp * (final + (1 - final) * (1 + math.cos(math.pi * min(epochs / length, 1.0))) / 2)
        return ramp * decay**epochs

    return LambdaLR(optimizer, factor)
