"""Optimisers and learning-rate schedules by name, from plain configuration values."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from torch_geometric.nn.resolver import lr_scheduler_resolver, optimizer_resolver

from lgae_pyg.registry import check_keys, suggestion

#: Those whose fused form (one pass over all parameters) is as precise on every device.
FUSED = ("adam", "adamw", "sgd")

#: Schedules of this package, in epochs, with what they take; all others are those of PyTorch and PyG, in batches.
SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": ("warmup_epochs",),
    "cosine": ("warmup_epochs", "epochs", "final_factor"),
    "cosine_restarts": ("warmup_epochs", "epochs", "restarts"),
    "flat_decay": ("warmup_epochs", "flat", "final_factor"),
    "exponential": ("warmup_epochs", "decay"),
}


def build_optimizer(parameters: Iterable[nn.Parameter], config: Mapping[str, Any]) -> optim.Optimizer:
    """Makes an optimiser, through PyG's resolver.

    Args:
        parameters: what it changes.
        config: ``name`` of a class in :mod:`torch.optim` (``adam`` by default, ``adamw``, ``rmsprop``, ``radam``,
            ...) and its arguments (``lr``, 1e-3 by default, ``betas``, ...); ``None`` is as if left out.

    Raises:
        ValueError: an unknown name, or a value that it does not have.
    """
    arguments = {"lr": 1e-3, **{key: value for key, value in config.items() if value is not None}}
    name = arguments.pop("name", "adam")
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    fused = {"fused": True} if name in FUSED else {}
    given = list(parameters)
    return _resolved("optimizer", name, arguments, lambda: optimizer_resolver(name, given, **arguments, **fused))


def build_schedule(
    optimizer: optim.Optimizer, config: Mapping[str, Any], steps_per_epoch: int, max_epochs: int | None
) -> LRScheduler | ReduceLROnPlateau:
    r"""Makes a learning-rate schedule.

    With :math:`t` the number of epochs trained so far (fractions count), the learning rate is multiplied by
    :math:`\min(1, t / w)` during :math:`w` epochs of warm-up, and by

    * ``constant``: 1;
    * ``cosine``: :math:`f + (1 - f) (1 + \cos \pi t / T) / 2` with :math:`T` = ``epochs`` (the
      trainer's largest number of epochs when omitted) and :math:`f` = ``final_factor``;
    * ``cosine_restarts`` (LorentzNet's): steps by whole epochs :math:`e = 0, 1, \ldots`: :math:`(e + 1) / w`
      during the warm-up, then from epoch :math:`w - 1` on cycles of :math:`(1 + \cos \pi t / T) / 2`, the first of
      ``epochs`` (4), each of the ``restarts`` (2) that follow twice as long, then half of the last value each
      epoch;
    * ``flat_decay`` (weaver's): 1 during the share ``flat`` (0.7) of the training, then falling exponentially to
      ``final_factor`` (0.01);
    * ``exponential``: :math:`d^t` with :math:`d` = ``decay``;
    * ``plateau``: ``factor``, each time that the validation loss has not fallen for ``patience`` epochs.

    Any other name is that of a scheduler of PyTorch or PyG, which count batches (``one_cycle``, over the
    whole training unless told otherwise, ``cosine_with_warmup``, ...; ``warmup_epochs`` becomes the number of
    batches of the latter's warm-up).

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
    if name in SCHEDULES:
        check_keys(f"schedule {name}", arguments, SCHEDULES[name])
        return LambdaLR(optimizer, _factor(name, arguments, steps_per_epoch, max_epochs))
    query = {"plateau": "ReduceLROnPlateau", "one_cycle": "OneCycleLR"}.get(name, name)
    warmup = round(steps_per_epoch * arguments.pop("warmup_epochs", 0))
    steps = steps_per_epoch * (max_epochs or 1)
    if query == "OneCycleLR" and not {"total_steps", "epochs"} & arguments.keys():
        arguments["total_steps"] = steps
    return _resolved(
        "schedule", name, arguments, lambda: lr_scheduler_resolver(query, optimizer, warmup, steps, **arguments)
    )


def _factor(
    name: str, arguments: Mapping[str, Any], steps_per_epoch: int, max_epochs: int | None
) -> Callable[[int], float]:
    """What the learning rate is multiplied by after some steps."""
    warmup = arguments.get("warmup_epochs") or 0
    length = arguments.get("epochs") or max_epochs or 1
    final, decay = arguments.get("final_factor", 0.0), arguments.get("decay", 1.0)
    if name == "cosine_restarts":
        cycles = [int(arguments.get("epochs") or 4) * 2**turn for turn in range(1 + arguments.get("restarts", 2))]
        return lambda step: _restarting(step // max(steps_per_epoch, 1), max(1, int(warmup)), cycles)

    def factor(step: int) -> float:
        epochs = step / max(steps_per_epoch, 1)
        ramp = min(1.0, (step + 1) / (warmup * steps_per_epoch)) if warmup else 1.0
        if name == "cosine":
            return ramp * (final + (1 - final) * (1 + math.cos(math.pi * min(epochs / length, 1.0))) / 2)
        if name == "flat_decay":
            flat, total = arguments.get("flat", 0.7), max_epochs or 1
            falling = max(0.0, epochs / total - flat) / max(1 - flat, 1e-9)
            return ramp * arguments.get("final_factor", 0.01) ** min(falling, 1.0)
        return ramp * decay**epochs

    return factor


def _restarting(epoch: int, warmup: int, cycles: Sequence[int]) -> float:
    """The factor of ``cosine_restarts`` in an epoch."""
    if epoch < warmup:
        return (epoch + 1) / warmup
    epoch -= warmup - 1
    for cycle in cycles:
        if epoch < cycle:
            return (1 + math.cos(math.pi * epoch / cycle)) / 2
        epoch -= cycle
    return (1 + math.cos(math.pi * (cycles[-1] - 1) / cycles[-1])) / 2 / 2 ** (epoch + 1)


def _resolved(what: str, name: str, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """What a resolver of PyG makes, its errors in the words of the configuration."""
    try:
        return make()
    except ValueError as error:
        if "Could not resolve" not in str(error):
            raise ValueError(f"{what} {name}: {error}") from None
        classes = re.findall(r"'(\w+)'", str(error).partition("choices")[2])
        own = (*SCHEDULES, "plateau") if what == "schedule" else ()
        names = sorted({*own, *(one.removesuffix("LR").lower() for one in classes)})
        meant = suggestion(name, names)
        raise ValueError(f"{what}.name={name} is unknown; choose one of {', '.join(names)}{meant}") from None
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown:
            raise ValueError(f"{what} {name} does not know {unknown[1]}") from None
        raise ValueError(f"{what} {name} with {dict(arguments)}: {error}; its values must be numbers") from None
