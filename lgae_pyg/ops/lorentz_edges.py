r"""The edge network of LorentzNet on complete graphs, as plain tensors.

Its first layer is linear in what it sees of both particles, :math:`z_{ij} = a_i + b_j + D d_{ij}` with the two
invariants :math:`d_{ij} = d_{ji}`. Mean and variance of :math:`z` over all pairs :math:`j \ne i` therefore follow
from sums over particles, and a batch normalisation behind it costs next to nothing per pair: with all terms taken
relative to their means over the :math:`N` pairs, degrees :math:`c_i`, :math:`u_i = \sum_j d_{ij}` and jets
:math:`J`,

.. math:: N \sigma^2 = \sum_i c_i (a_i^2 + b_i^2) + 2 \sum_J \Big(\sum_{i \in J} a_i \sum_{i \in J} b_i
    - \sum_{i \in J} a_i b_i\Big) + 2 \sum_i (a_i + b_i) D u_i + D \Big(\sum_{ij} d_{ij} d_{ij}^T\Big) D^T .
"""

from typing import NamedTuple

from torch import Tensor


class LorentzEdges(NamedTuple):
    r"""The edge network of :class:`~lgae_pyg.nn.LorentzNetConv`.

    Attributes:
        first: weight of the first layer, on both particles and on the :math:`D` invariants, :math:`(H, 2H + D)`.
        norm: weight and bias of the batch normalisation, :math:`(H,)`.
        message: weight and bias of the second layer.
        gate: weight and bias of the gate.
        mover: weight and bias of the first and weight of the second layer of what moves the coordinates; nothing
            where they stay.
        statistics: mean and variance by which the first layer is normalised; those of all pairs where omitted.
        eps: what the normalisation adds to the variance.
        clamp: limit of each component of the steps of the coordinates.
    """

    first: Tensor
    norm: tuple[Tensor, Tensor]
    message: tuple[Tensor, Tensor]
    gate: tuple[Tensor, Tensor]
    mover: tuple[Tensor, Tensor, Tensor] | tuple[()] = ()
    statistics: tuple[Tensor, Tensor] | None = None
    eps: float = 1e-5
    clamp: float | None = None
