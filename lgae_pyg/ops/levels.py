r"""What follows the neighbour sum in a level of message passing, for scalars and four-vectors: products of a
node's features with themselves, mixing, and the perceptron on the scalars.

These are the plain definitions; :func:`whole_level` is the whole level as one compiled kernel.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_square
from lgae_pyg.ops.backends.choice import choose_backend

#: Blocks of columns that are mixed to scalars and to vectors.
SCALAR_BLOCKS, VECTOR_BLOCKS = 5, 4


class Perceptron(NamedTuple):
    """The perceptron of a level; see :func:`scalar_perceptron`."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    slope: float
    residual: bool
    squash: bool


class Level(NamedTuple):
    r"""The parameters of a level.

    Attributes:
        radial: offsets :math:`a`, amplitudes :math:`b` and inverse widths :math:`c` of the bells,
            :math:`(K,)` each, their mixture :math:`W`, :math:`(2, \tau, 2, K)` or, for complex momenta,
            :math:`(2, \tau, K)`, and its bias; see :class:`~lgae_pyg.nn.radial.LorentzianBell`.
        scalar_weight: mixing of the scalars, :math:`(\tau', 5\tau, 2)`; see
            :func:`mix_products`.
        vector_weight: mixing of the vectors, :math:`(\tau', 4\tau, 2)`.
        scalar_scales: constants by which the five blocks of :math:`\tau` scalar columns are multiplied.
        vector_scales: the same of the four blocks of vector columns.
        perceptron: the perceptron on the scalars, if there is one.
    """

    radial: Sequence[Tensor]
    scalar_weight: Tensor
    vector_weight: Tensor
    scalar_scales: Sequence[float] = (1.0,) * SCALAR_BLOCKS
    vector_scales: Sequence[float] = (1.0,) * VECTOR_BLOCKS
    perceptron: Perceptron | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Multiplicity of the output, and width and number of the hidden layers of the perceptron."""
        if self.perceptron is None:
            return len(self.scalar_weight), 0, 0
        biases = self.perceptron.biases
        return len(self.scalar_weight), len(biases[0]), len(biases) - 1


def whole_level(
    features: Tensor, momenta: Tensor, level: Level, ptr: Tensor, backend: str = "auto", single: bool = False
) -> Tensor | None:
    r"""A level of message passing as one kernel where the back-end has that; none where it is to be made of its
    parts, :func:`~lgae_pyg.ops.messages.neighbour_sum`, products and mixing.

    Args:
        features: packed scalars and vectors of each node.
        momenta: real or complex.
        level: the parameters.
        ptr: offsets of the jets.
        backend: one of :data:`~lgae_pyg.ops.backends.choice.BACKENDS`.
        single: evaluate radial functions and perceptron in float32.

    Raises:
        ValueError: for an unknown back-end, or tensors that do not fit each other.

    Shapes:
        - features: :math:`(n, 5\tau)`, complex, momenta: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, 5\tau')`, complex
    """
    precision = features.real.dtype
    kind = (precision, torch.float32 if single else precision, momenta.is_complex())
    channels = level.scalar_weight.shape[1] // SCALAR_BLOCKS
    if choose_backend(backend, "level", features.device.type, *kind, channels, *level.sizes) != "compiled":
        return None
    from lgae_pyg.ops.backends.compiled_level import compiled_level

    return compiled_level(features, momenta, level, ptr, single)


def mix_products(x: Tensor, sums: Tensor, scalar_weight: Tensor, vector_weight: Tensor) -> Tensor:
    r"""Joins sums over neighbours, features and their products, and mixes the channels,

    .. math::
        s'_c = W^S_c \cdot (m^{ss}, m^{sv}, s, s^2, \langle v, v \rangle), \qquad
        v'_c = W^V_c \cdot (m^{vv}, m^{vs}, v, s\,v),

    the products channel by channel (LGAE, arXiv:2212.07347, Eq. (2)). Clebsch-Gordan coefficients and constants
    belong into the weights.

    Args:
        x: packed scalars and vectors.
        sums: packed neighbour sums: :math:`m^{ss}, m^{sv}` (scalars), :math:`m^{vv}, m^{vs}` (vectors).
        scalar_weight: complex matrix as real pairs.
        vector_weight: complex matrix as real pairs.

    Shapes:
        - x: :math:`(n, 5\tau)`, sums: :math:`(n, 10\tau)`, complex
        - scalar_weight: :math:`(\tau', 5\tau, 2)`, vector_weight: :math:`(\tau', 4\tau, 2)`
        - **output:** :math:`(n, 5\tau')`, complex
    """
    channels = x.shape[-1] // 5
    scalars, vectors = x[:, :channels], x[:, channels:].unflatten(-1, (channels, 4))
    scalar_sums, vector_sums = sums[:, : 2 * channels], sums[:, 2 * channels :].unflatten(-1, (2 * channels, 4))
    scalar_columns = torch.cat([scalar_sums, scalars, scalars.square(), minkowski_square(vectors)], -1)
    vector_columns = torch.cat([vector_sums, vectors, scalars.unsqueeze(-1) * vectors], -2)
    mixed_scalars = scalar_columns @ torch.view_as_complex(scalar_weight).mT
    mixed_vectors = torch.view_as_complex(vector_weight) @ vector_columns
    return torch.cat([mixed_scalars, mixed_vectors.flatten(-2)], -1)


def scalar_perceptron(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], slope: float, residual: bool, squash: bool
) -> Tensor:
    r"""A perceptron with leaky ReLU on the scalars of packed features; the vectors are passed on.

    .. math:: u = \mathrm{asinh}(\mathrm{Re}\,s_1, \mathrm{Im}\,s_1, \ldots), \qquad s' = u + \mathrm{MLP}(u)

    Args:
        x: packed scalars and vectors, :math:`\tau` each.
        weights: matrices of the layers, the first with :math:`2\tau` inputs, the last with as many outputs. Their
            precision is that of the layers and may be lower than that of ``x``.
        biases: biases of the layers.
        slope: of the leaky ReLU.
        residual: whether :math:`u` is added to the output.
        squash: whether asinh is applied to the input.

    Shapes:
        - x: :math:`(n, 5\tau)`, complex
        - **output:** :math:`(n, 5\tau)`, complex
    """
    channels = x.shape[-1] // 5
    flat = torch.view_as_real(x[:, :channels]).flatten(-2)
    if squash:
        flat = torch.asinh(flat)
    hidden = flat.to(weights[0].dtype)
    for layer, (weight, bias) in enumerate(zip(weights, biases)):
        if layer:
            hidden = torch.nn.functional.leaky_relu(hidden, slope)
        hidden = torch.nn.functional.linear(hidden, weight, bias)
    out = hidden.to(flat.dtype)
    if residual:
        out = out + flat
    scalars = torch.view_as_complex(out.unflatten(-1, (channels, 2)))
    return torch.cat([scalars, x[:, channels:]], -1)
