r"""What follows the neighbour sum in a level of message passing, for scalars and four-vectors: products of a
node's features with themselves, mixing, and the perceptron on the scalars.

These are the plain definitions; :mod:`lgae_pyg.ops.backends.compiled` has the whole level as one compiled kernel.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_square


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
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    slope: float,
    residual: bool,
    squash: bool,
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
