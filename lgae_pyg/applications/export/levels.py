r"""Lorentz message passing on padded jets, in real numbers: the layers of the LGAE and of the LGN tagger.

The weights are those of the modules. A level is written once, for any irreps, as its defining sum over pairs,

.. math:: \sum_j f^l_{ij}\, C\, [Z_l(p_{ij}) \otimes F_j], \qquad p_{ij} = p_i - p_j,

and all features are pairs of real numbers (:class:`~lgae_pyg.applications.export.pairs.Pair`).
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.applications.export.pairs import Pair, join
from lgae_pyg.lorentz.clebsch_gordan import clebsch_gordan
from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.nn import LMPConv, MixReps
from lgae_pyg.ops.bells import Bells, evaluate_bells
from lgae_pyg.ops.products import SCALAR

Features = dict[Irrep, Pair]


def split(packed: Pair, irreps: Irreps) -> Features:
    """Packed features by irrep, :math:`(*, \\text{irreps.dim})` to :math:`(*, \\tau, \\dim)` each."""
    parts = zip(irreps.split(packed.real), irreps.split(packed.imag))
    return {irrep: Pair(*pair) for (_, irrep), pair in zip(irreps, parts)}


def packed(features: Features, irreps: Irreps) -> Pair:
    """The inverse of :func:`split`."""
    return join([features[irrep].map(lambda part: part.flatten(-2)) for _, irrep in irreps], -1)


def mixed(layer: MixReps, x: Pair) -> Pair:
    """:class:`~lgae_pyg.nn.MixReps` on packed features."""
    parts, found = split(x, layer.irreps_in), {}
    for _, irrep in layer.irreps_out:
        weight = layer.weights[str(irrep)].to(x.real.dtype)
        found[irrep] = Pair(weight[..., 0], weight[..., 1]).times(parts[irrep], torch.matmul)
    return packed(found, layer.irreps_out)


def coupled(x: Pair, y: Pair, a: Irrep, b: Irrep, c: Irrep) -> Pair:
    """The part of the product in irrep :math:`c`, as :func:`~lgae_pyg.ops.products.couple`."""
    channels = min(x.real.shape[-2], y.real.shape[-2])
    x, y = (one.map(lambda part: part[..., :channels, :]) for one in (x, y))
    if SCALAR in (a, b):
        return x.times(y)
    return x.times(applied(table(a, b, c, y.real.dtype), y), _contract)


def table(a: Irrep, b: Irrep, c: Irrep, dtype: torch.dtype) -> Pair:
    """Clebsch-Gordan coefficients, :math:`(\\dim c, \\dim a, \\dim b)`."""
    return Pair.of(clebsch_gordan(a, b, c)).map(lambda part: part.to(dtype).contiguous())


def applied(matrix: Pair, y: Pair) -> Pair:
    """A table on the second factor of a product, :math:`(*, \\dim b)` to :math:`(*, \\dim c, \\dim a)`."""
    rows, columns = matrix.real.shape[:2]
    flat = matrix.map(lambda part: part.flatten(0, 1).T)
    found = y.times(flat, torch.matmul)
    return found.map(lambda part: part.unflatten(-1, (rows, columns)))


def _contract(x: Tensor, y: Tensor) -> Tensor:
    return (x.unsqueeze(-2) * y).sum(-1)


def factors_of(conv: LMPConv, invariant: Pair | Tensor) -> Pair:
    """The radial factors of pairs, :math:`(*)` to :math:`(*, L, \\tau)`."""
    real = invariant if isinstance(invariant, Tensor) else invariant.real
    bells: Bells = conv._bells(real.dtype)
    low = bells.weight.dtype
    if bells.complex_argument:
        found = Pair.of(invariant).map(lambda part: evaluate_bells(part.abs().to(low), bells).to(real.dtype))
    else:
        values = evaluate_bells(real.abs().to(low), bells).to(real.dtype)
        found = Pair(values[..., 0], values[..., 1])
    if not conv.masked_origin:
        return found
    masked = bells.masked.to(real.dtype)
    origin = Pair(masked, masked) if bells.complex_argument else Pair(masked[..., 0], masked[..., 1])
    somewhere = (real != 0)[..., None, None]
    return Pair(*(torch.where(somewhere, part, at) for part, at in zip(found, origin)))


def padded_level(conv: LMPConv, x: Pair, pos: Pair | Tensor, exists: Tensor) -> Pair:
    """One level of message passing, :class:`~lgae_pyg.nn.LMPConv`, on complete graphs of the places that exist.

    Shapes:
        - x: :math:`(B, N, \\text{irreps\\_in.dim})`, pos: :math:`(B, N, 4)`, exists: :math:`(B, N)`
        - **output:** :math:`(B, N, \\text{irreps\\_out.dim})`
    """
    momenta = pos.real if isinstance(pos, Pair) else pos
    dtype = torch.promote_types(x.real.dtype, momenta.dtype)
    x, pos = x.map(lambda part: part.to(dtype)), _to(pos, dtype)
    features = _rescaled(split(x, conv.irreps_in), conv.scale)
    pos = pos.times(conv.scale) if isinstance(pos, Pair) else conv.scale * pos
    if isinstance(pos, Pair):
        difference: Pair | Tensor = pos.map(lambda part: part.unsqueeze(2) - part.unsqueeze(1))
        real, imag = difference
        square = minkowski_square(real) - minkowski_square(imag)
        invariant: Pair | Tensor = Pair(square, 2 * minkowski_dot(real, imag))
    else:
        difference = pos.unsqueeze(2) - pos.unsqueeze(1)
        invariant = minkowski_square(difference)
    edges = exists.unsqueeze(1) & exists.unsqueeze(2)
    if not conv.self_loops:
        edges = edges & ~torch.eye(x.real.shape[1], dtype=torch.bool, device=edges.device)
    factors = factors_of(conv, invariant).map(lambda part: torch.where(edges[..., None, None], part, 0.0))
    blocks: dict[Irrep, list[Pair]] = defaultdict(list)
    for edge, irrep, out, channels in conv.message_couplings:
        factor = Pair(*(part[..., edge.weight, :channels].permute(0, 3, 1, 2) for part in factors))
        message = _message(conv, factor, difference, features[irrep], edge, irrep, out)
        blocks[out].append(message.times(1 / conv.neighbours))
    for _, irrep in conv.irreps_in:
        blocks[irrep].append(features[irrep])
    for a, b, out, _ in conv.self_couplings:
        blocks[out].append(coupled(features[a], features[b], a, b, out))
    together = packed({irrep: join(one, -2) for irrep, one in blocks.items()}, conv.irreps_cat)
    parts = split(mixed(conv.mix, together), conv.irreps_out)
    if conv.mlp is not None:
        parts[SCALAR] = _perceptron(conv.mlp, parts[SCALAR])
    return packed(_rescaled(parts, 1 / conv.scale), conv.irreps_out)


def _message(
    conv: LMPConv, factor: Pair, difference: Pair | Tensor, there: Pair, edge: Irrep, irrep: Irrep, out: Irrep
) -> Pair:
    """The sum over neighbours of a coupling, :math:`(B, N, \\tau, \\dim)`; factors: :math:`(B, \\tau, N, N)`."""
    there = there.map(lambda part: part.transpose(1, 2))  # (B, c, N, dim)
    if edge == SCALAR:
        found = factor.times(conv.scalar_edge).times(there, torch.matmul)
        return found.map(lambda part: part.transpose(1, 2))
    if irrep == SCALAR:
        terms = factor.times(there.map(lambda part: part.squeeze(-1).unsqueeze(2)))  # (B, c, i, j)
        return terms.times(difference, lambda f, z: torch.einsum("bcij,bija->bica", f, z))
    moved = applied(table(edge, irrep, out, there.real.dtype), there)  # (B, c, j, dim, 4)
    inner = moved.times(difference, lambda g, z: torch.einsum("bcjga,bija->bcijg", g, z))
    found = inner.times(factor, lambda g, f: (f.unsqueeze(-1) * g).sum(3))
    return found.map(lambda part: part.transpose(1, 2))


def _perceptron(mlp: Any, scalars: Pair) -> Pair:
    flat = torch.stack([part.squeeze(-1) for part in scalars], -1).flatten(-2)
    out = mlp.on_parts(flat).unflatten(-1, (-1, 2))
    return Pair(out[..., 0].unsqueeze(-1), out[..., 1].unsqueeze(-1))


def _to(x: Pair | Tensor, dtype: torch.dtype) -> Pair | Tensor:
    return x.to(dtype) if isinstance(x, Tensor) else x.map(lambda part: part.to(dtype))


def _rescaled(features: Features, scale: float) -> Features:
    if scale == 1:
        return features
    return {irrep: part.times(scale**irrep.weight) for irrep, part in features.items()}
