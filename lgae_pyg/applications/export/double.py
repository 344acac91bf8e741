r"""Operations in float64 that ONNX Runtime computes in float32 only, or not at all, by others that it has.

Momenta are float64 until they are features, as on graphs. Of what that takes, ONNX Runtime has no float64 inverse
tangent and no inverse hyperbolic sine, and ONNX neither distances of all pairs nor copied signs nor a sort; and
numbers such as :math:`2 \pi` are written as float32, so they are split into two. Each function here takes and
returns what the operation of PyTorch of the same name does; where nothing has to be done, it returns
``NotImplemented``, and the operation stays.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def atan2(y: Tensor, x: Tensor) -> Tensor:
    r"""The angle of :math:`(x, y)`: the float32 one :math:`a`, and what is left of it,

    .. math:: \theta - a \approx \sin(\theta - a) = \frac{y \cos a - x \sin a}{\sqrt{x^2 + y^2}},

    which is off by the cube of the rounding, :math:`10^{-22}`. Of numbers that are both zero it is 0.
    """
    if y.dtype != torch.float64:
        return NotImplemented
    length = torch.maximum(x.abs(), y.abs())
    length = torch.where(length > 0, length, 1.0)
    x, y = x / length, y / length
    near = torch.atan2(y.float(), x.float()).double()
    radius = (x * x + y * y).sqrt()
    return near + (y * near.cos() - x * near.sin()) / torch.where(radius > 0, radius, 1.0)


def asinh(x: Tensor) -> Tensor:
    r""":math:`\mathrm{sgn}(x) \ln\big(|x| + \sqrt{x^2 + 1}\big)`, good to :math:`10^{-16}` absolutely."""
    if x.dtype != torch.float64:
        return NotImplemented
    return x.sign() * (x.abs() + (x * x + 1).sqrt()).log()


def atanh(x: Tensor) -> Tensor:
    r""":math:`\tfrac12 \ln \frac{1 + x}{1 - x}`, good to :math:`10^{-16}` absolutely."""
    return NotImplemented if x.dtype != torch.float64 else 0.5 * ((1 + x) / (1 - x)).log()


def cosh(x: Tensor) -> Tensor:
    r""":math:`\tfrac12 (e^x + e^{-x})`."""
    return NotImplemented if x.dtype != torch.float64 else 0.5 * (x.exp() + (-x).exp())


def sinh(x: Tensor) -> Tensor:
    r""":math:`\tfrac12 (e^x - e^{-x})`, good to :math:`10^{-16}` absolutely."""
    return NotImplemented if x.dtype != torch.float64 else 0.5 * (x.exp() - (-x).exp())


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """The leaky ReLU."""
    return NotImplemented if x.dtype != torch.float64 else torch.where(x > 0, x, negative_slope * x)


def cdist(x: Tensor, y: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """Euclidean distances of all pairs, from differences."""
    if p != 2:
        return NotImplemented
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()


def copysign(x: Tensor, y: Tensor) -> Tensor:
    """The size of one number with the sign of another, that of zero taken for positive."""
    return torch.where(y < 0, -x.abs(), x.abs())


def argsort(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:
    """Places of the sorted values: ONNX's k largest come in the order of their places where they are equal."""
    return x.topk(x.shape[dim], dim, largest=descending, sorted=True).indices


def split(x: Any, y: Any) -> tuple[float, float] | None:
    """A number that float32 does not hold, as a sum of two that it does; for float64 tensors beside a number."""
    if not isinstance(x, Tensor) or x.dtype != torch.float64 or not isinstance(y, float):
        return None
    high = float(np.float32(y))
    return (high, float(np.float32(y - high))) if np.isfinite(high) and high != y else None


def sub(x: Tensor, y: Any, *, alpha: float = 1) -> Tensor:
    """A difference."""
    parts = split(x, y)
    return NotImplemented if parts is None or alpha != 1 else x - parts[0] - parts[1]


def mul(x: Tensor, y: Any) -> Tensor:
    """A product."""
    parts = split(x, y)
    return NotImplemented if parts is None else x * parts[0] + x * parts[1]


def remainder(x: Tensor, y: float) -> Tensor:
    """What is left of whole multiples, of which it may be one more or less where hardly anything is left."""
    parts = split(x, y)
    return NotImplemented if parts is None else x - (x / parts[0]).floor() * y


aten = torch.ops.aten
#: By operation of PyTorch, for :meth:`torch.export.ExportedProgram.run_decompositions`.
DECOMPOSITIONS = {
    aten.atan2.default: atan2,
    aten.asinh.default: asinh,
    aten.atanh.default: atanh,
    aten.cosh.default: cosh,
    aten.sinh.default: sinh,
    aten.leaky_relu.default: leaky_relu,
    aten.cdist.default: cdist,
    aten.copysign.Tensor: copysign,
    aten.argsort.stable: argsort,
    aten.sub.Tensor: sub,
    aten.mul.Tensor: mul,
    aten.remainder.Scalar: remainder,
}
