r"""The edge network of LorentzNet on complete graphs, as plain tensors.

Its first layer is linear in what it sees of both particles, :math:`z_{ij} = a_i + b_j + D d_{ij}` with the two
invariants :math:`d_{ij} = d_{ji}`. Mean and variance of :math:`z` over all pairs :math:`j \ne i` therefore follow
from sums over particles, :func:`split_moments`, and a batch normalisation behind it costs nothing per pair.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.graphs import graph_sizes, node_to_graph
from lgae_pyg.ops.pairs import SplitLinear


class LorentzEdges(NamedTuple):
    r"""What follows the node terms in the edge network of :class:`~lgae_pyg.nn.LorentzNetConv`.

    Attributes:
        pair: weights of the invariants in the first layer, batch normalisation included, shape :math:`(H, D)`.
        message: weight and bias of the second layer.
        gate: weight and bias of the gate.
        mover: weight and bias of the first and weight of the second layer of what moves the coordinates; nothing
            where they stay.
        clamp: limit of each component of the steps of the coordinates.
    """

    pair: Tensor
    message: tuple[Tensor, Tensor]
    gate: tuple[Tensor, Tensor]
    mover: tuple[Tensor, Tensor, Tensor] | None = None
    clamp: float | None = None


def split_moments(first: SplitLinear, sums: Tensor | None, ptr: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and variance (without Bessel's correction) over all pairs :math:`j \ne i` of the jets of
    :math:`z_{ij} = a_i + b_j + D d_{ij}` with two features :math:`d_{ij} = d_{ji}`, or none.

    With all terms taken relative to their means over the pairs, degrees :math:`c_i`, :math:`u_i = \sum_j d_{ij}`
    and jets :math:`J`,

    .. math:: N \sigma^2 = \sum_i c_i (a_i^2 + b_i^2) + 2 \sum_J \Big(\sum_{i \in J} a_i \sum_{i \in J} b_i
        - \sum_{i \in J} a_i b_i\Big) + 2 \sum_i (a_i + b_i) D u_i + D \Big(\sum_{ij} d_{ij} d_{ij}^T\Big) D^T ,

    formed in float64. Zero when there are no pairs.

    Args:
        first: the split layer.
        sums: sums over :math:`j` of :math:`d_1, d_2, d_1^2, d_1 d_2, d_2^2`; none without features.
        ptr: offsets of the jets.

    Shapes:
        - sums: :math:`(n, 5)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(\text{out},)` twice, in the precision of the layer
    """
    sizes, graph = graph_sizes(ptr), node_to_graph(ptr, len(first.target))
    degree = (sizes - 1)[graph].double()
    share = degree / degree.sum().clamp(min=1)
    terms = torch.cat([first.target, first.source], -1).double()
    means = share @ terms
    terms = terms - means
    a, b = terms.chunk(2, -1)
    whole = terms.new_zeros(len(sizes), terms.shape[1]).index_add(0, graph, terms)
    pairs = degree.sum().clamp(min=1)
    variance = (share @ terms.square()).view(2, -1).sum(0)
    cross = whole.chunk(2, -1)
    variance = variance + 2 / pairs * ((cross[0] * cross[1]).sum(0) - (a * b).sum(0))
    mean = means.view(2, -1).sum(0)
    if sums is not None:
        weight, average = first.pair.double(), sums.sum(0) / pairs
        centre, (square, mixed, other) = average[:2], average[2:]
        spread = torch.stack([square, mixed, mixed, other]).view(2, 2) - centre.outer(centre)
        alone = sums[:, :2] - degree.unsqueeze(-1) * centre
        variance = variance + 2 / pairs * ((a + b).T @ alone * weight).sum(-1)
        variance = variance + (weight @ spread * weight).sum(-1)
        mean = mean + weight @ centre
    dtype = first.target.dtype
    return mean.to(dtype), variance.clamp(min=0).to(dtype)
