"""The precision in which operations compute: that of their parameters, float32 or float64."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

#: Kinds of devices whose autocast is switched off.
DEVICES = ("cpu", "cuda")
LOW = (torch.float16, torch.bfloat16, torch.complex32)


def without_autocast(function: Callable) -> Callable:
    """Switches autocast off inside a function.

    Invariants are differences of large numbers, of which the eight bits of bfloat16 leave nothing, and kernels
    read memory as one type: our operations keep the precision of what they are given, also under autocast.
    """

    @wraps(function)
    def call(*args, **kwargs):
        for device in DEVICES:
            if torch.is_autocast_enabled(device):
                with torch.autocast(device, enabled=False):
                    return call(*args, **kwargs)
        return function(*args, **kwargs)

    return call


def check_precision(parameter: Tensor, who: str) -> None:
    """Refuses parameters in half precision.

    Raises:
        TypeError: if they are neither float32 nor float64 (complex64 nor complex128).
    """
    if parameter.dtype in LOW:
        raise TypeError(
            f"{who} computes in float32 or float64, but its parameters are {parameter.dtype}: call .float() or "
            ".double() on the model; mixed_precision=True is the fast way to train in float64"
        )
