"""A perceptron on the Lorentz scalars, the only features on which a nonlinearity may act freely."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from lgae_pyg.nn.unchanged import as_kind, is_exactly
from lgae_pyg.ops.levels import Perceptron
from lgae_pyg.ops.precision import check_precision, without_autocast

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leakyrelu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid,
    "atan": lambda: _Arctangent(),
    "bell": lambda: _Bell(),
}


class _Arctangent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.atan(x)


class _Bell(nn.Module):
    """The Lorentzian bell 1 / (1 + x^2); the linear layers around it are its learned widths and amplitudes."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 / (1 + x.square())


class ScalarMLP(nn.Module):
    r"""Perceptron on complex scalars, real and imaginary parts together,

    .. math:: (\mathrm{Re}\,s'_c, \mathrm{Im}\,s'_c) = \mathrm{MLP}(\mathrm{Re}\,s_1, \mathrm{Im}\,s_1, \ldots) .

    A real Lorentz transformation leaves both parts of a scalar unchanged, so this is equivariant. Sizes:
    :math:`2\tau \to W \to \ldots \to W \to 2\tau`, :math:`W = \text{width} \cdot 2\tau`, ``depth`` hidden
    layers (LGAE, arXiv:2212.07347, Sec. 3.2). Scalars made of momenta should be of order one, which they are with
    momenta in units of 100 GeV.

    Args:
        channels: number of complex scalars :math:`\tau`.
        depth: number of hidden layers.
        width: width of the hidden layers in units of :math:`2\tau`.
        activation: one of leakyrelu, relu, elu, silu, sigmoid, logsigmoid, atan, bell (:math:`1 / (1 + x^2)`).
        residual: whether the input is added to the output.
        squash: apply :math:`\mathrm{asinh}` to the input. Products of features at every level make scalars
            polynomials of high degree in the momenta, whose tails (heavy, energetic jets) no training survives;
            :math:`\mathrm{asinh}` is the identity near zero and a signed logarithm far from it.

    Raises:
        ValueError: for an unknown activation.

    The attribute ``precision`` (none by default) is a dtype in which the layers are applied, whatever that of
    input and parameters. Layers that were changed (adapted, pruned, given hooks) are called as the modules that
    they are, in the precision of their parameters.

    Shapes:
        - **input:** :math:`(*, \tau)`, complex
        - **output:** :math:`(*, \tau)`, complex
    """

    def __init__(
        self,
        channels: int,
        depth: int = 6,
        width: int = 6,
        activation: str = "leakyrelu",
        residual: bool = True,
        squash: bool = True,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation '{activation}': choose one of {', '.join(ACTIVATIONS)}")
        sizes = [2 * channels] + depth * [2 * channels * width] + [2 * channels]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])
        self.residual, self.squash = residual, squash
        self.precision: torch.dtype | None = None

    def reset_parameters(self) -> None:
        """PyTorch's default initialisation of the linear layers."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()

    @property
    def slope(self) -> float | None:
        """The slope of the activations below zero, if all are (leaky) ReLU with the same one."""
        slopes = {_slope(layer) for layer in list(self.layers)[1::2]}
        return slopes.pop() if len(slopes) == 1 else None

    @slope.setter
    def slope(self, value: float) -> None:
        for layer in self.layers:
            if isinstance(layer, nn.LeakyReLU):
                layer.negative_slope = value

    def as_plain(self) -> Perceptron | None:
        """The perceptron as plain tensors; none if a kernel would not do with them what its modules do."""
        if not (is_exactly(self, ScalarMLP) and is_exactly(self.layers, nn.Sequential)):
            return None
        layers, slope = list(self.layers), self.slope
        linear = as_kind(nn.Linear, layers[::2])
        plain = all(is_exactly(layer, nn.Linear) and layer.bias is not None for layer in linear)
        if not plain or slope is None or len(layers) % 2 == 0:
            return None
        weights, biases = [layer.weight for layer in linear], [layer.bias for layer in linear]
        if len({len(bias) for bias in biases[:-1]}) != 1:
            return None
        return Perceptron(weights, biases, slope, self.residual, self.squash)

    @without_autocast
    def forward(self, scalars: Tensor) -> Tensor:
        out = self.on_parts(torch.view_as_real(scalars).flatten(-2))
        return torch.view_as_complex(out.unflatten(-1, (-1, 2)))

    def on_parts(self, flat: Tensor) -> Tensor:
        """The same on real and imaginary parts in turn, :math:`(*, 2\\tau)`."""
        if self.squash:
            flat = torch.asinh(flat)
        out = flat.to(self.precision or flat.dtype)
        for layer in self.layers if is_exactly(self.layers, nn.Sequential) else [self.layers]:
            if is_exactly(layer, nn.Linear) and layer.bias is not None:
                check_precision(layer.weight, type(self).__name__)
                out = nn.functional.linear(out, layer.weight.to(out.dtype), layer.bias.to(out.dtype))
            else:
                own = next(layer.parameters(), out)
                out = layer(out.to(own.dtype)).to(out.dtype)
        out = out.to(flat.dtype)
        return out + flat if self.residual else out


def _slope(activation: nn.Module) -> float | None:
    """The slope of a (leaky) ReLU below zero; none for other modules, and where it turns the sign."""
    if is_exactly(activation, nn.LeakyReLU) and activation.negative_slope >= 0:
        return float(activation.negative_slope)
    return 0.0 if is_exactly(activation, nn.ReLU) else None
