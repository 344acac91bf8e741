"""State dicts of other implementations, checked key by key before anything is translated."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

#: What ``torch.nn.DataParallel`` puts before every key.
PARALLEL = "module."


def checked_state(
    state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], network: str, ignored: Collection[str] = ()
) -> dict[str, Tensor]:
    """The weights of a state dict as float64 tensors on the CPU, complete, of the right shapes and finite.

    Args:
        state: names and tensors (or arrays), of any precision and on any devices; each name may begin with
            ``module.``, as :class:`torch.nn.DataParallel` writes it.
        shapes: the names that must be there, and their shapes. Leading axes of length 1 do not matter.
        network: what to call it in messages, such as ``"encoder"``.
        ignored: regular expressions of names that may be there as well (buffers that hold constants).

    Raises:
        ValueError: for a missing or unknown key, a shape that differs, a value that is no array of numbers, or
            one that is not finite; the message names the key.
    """
    if not isinstance(state, Mapping):
        kind = type(state).__name__
        raise ValueError(f"the original {network} state dict is a {kind}, not a mapping of names to tensors")
    state = without_prefix(state)
    missing = [key for key in shapes if key not in state]
    if missing:
        raise ValueError(f"the original {network} state dict has no key {_listed(missing)}")
    unknown = [key for key in state if key not in shapes and not _matches(key, ignored)]
    if unknown:
        raise ValueError(
            f"the original {network} state dict has {_listed(unknown)}, for which the configuration has no place: "
            "do the two belong together?"
        )
    return {key: _weight(state[key], key, shape, network) for key, shape in shapes.items()}


def without_prefix(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same without ``module.`` in front of the names, if all of them begin with it."""
    keys = [str(key) for key in state]
    cut = len(PARALLEL) if keys and all(key.startswith(PARALLEL) for key in keys) else 0
    return {key[cut:]: value for key, value in zip(keys, state.values())}


def _matches(key: str, patterns: Collection[str]) -> bool:
    return any(re.fullmatch(pattern, key) for pattern in patterns)


def _listed(keys: list[str], most: int = 3) -> str:
    shown = ", ".join(f"'{key}'" for key in keys[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"


def _weight(value: Any, key: str, shape: tuple[int, ...], network: str) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"'{key}' of the original {network} is a {type(value).__name__}, not a tensor") from None
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"'{key}' of the original {network} holds {tensor.dtype}, not real numbers")
    found = tuple(tensor.shape)
    if _core(found) != _core(shape):
        raise ValueError(
            f"'{key}' of the original {network} has shape {found}, but the configuration asks for {tuple(shape)}: "
            "do the state dicts and the configuration belong together?"
        )
    tensor = tensor.detach().to("cpu", torch.float64).reshape(shape)
    if not torch.isfinite(tensor).all():
        raise ValueError(f"'{key}' of the original {network} holds values that are not finite (NaN or infinite)")
    return tensor


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its leading axes of length 1."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return tuple(shape)
