r"""Edge networks on complete graphs: perceptrons on pairs of particles, summed over the neighbours.

With node features :math:`x_i`, a perceptron :math:`\phi` whose every linear layer is followed by a leaky ReLU, and
a distance, :math:`d_{ij} = |x_j - x_i|^2` or :math:`|x_j - x_i|`,

.. math:: m_i = \sum_{j} \phi([x_i, x_j, d_{ij}]), \qquad j = i \text{ included},

within each jet. :func:`edge_messages` is the plain definition on given pairs, :func:`edge_network_sum` the sum on
complete graphs in bounded memory, by a back-end.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, leaky_relu_, linear

from lgae_pyg.ops.backends.choice import choose_backend
from lgae_pyg.ops.graphs import check_offsets, complete_graph
from lgae_pyg.ops.pair_chunks import MAX_PAIRS, all_pairs
from lgae_pyg.ops.pairs import pair_sum, split_linear
from lgae_pyg.ops.precision import without_autocast

#: Added to squared distances before the root is taken.
SMALLEST = 1e-12


class EdgeNetwork(NamedTuple):
    r"""A perceptron on :math:`[x_i, x_j, d_{ij}]`, with a leaky ReLU after every layer, the last one included.

    Attributes:
        weights: matrices of the linear layers, the first with :math:`2F + 1` columns.
        biases: their biases.
        slope: slope of the leaky ReLU for negative numbers.
        norm: whether :math:`d_{ij}` is the distance itself instead of its square.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    slope: float
    norm: bool = False


def distance(x_i: Tensor, x_j: Tensor, norm: bool) -> Tensor:
    r"""The squared Euclidean distances :math:`|x_j - x_i|^2`, or the distances
    :math:`\sqrt{|x_j - x_i|^2 + \epsilon}` with :math:`\epsilon = 10^{-12}` for finite gradients, as a column.

    Shapes:
        - x_i, x_j: :math:`(e, F)`
        - **output:** :math:`(e, 1)`
    """
    square = (x_j - x_i).square().sum(-1, keepdim=True)
    return (square + SMALLEST).sqrt() if norm else square


def edge_messages(x_i: Tensor, x_j: Tensor, network: EdgeNetwork) -> Tensor:
    r"""The messages :math:`\phi([x_i, x_j, d_{ij}])` of given pairs.

    Shapes:
        - x_i, x_j: :math:`(e, F)`
        - **output:** :math:`(e, \text{out})`
    """
    hidden = torch.cat([x_i, x_j, distance(x_i, x_j, network.norm)], -1)
    for weight, bias in zip(network.weights, network.biases):
        hidden = leaky_relu(linear(hidden, weight, bias), network.slope)
    return hidden


@without_autocast
def edge_network_sum(
    x: Tensor, network: EdgeNetwork, ptr: Tensor, max_pairs: int | None = MAX_PAIRS, backend: str = "dense"
) -> Tensor:
    r"""The sums :math:`m_i` of all particles.

    ``dense`` is plain PyTorch on any device: the first layer is split into terms of single nodes, and the pairs
    are walked in chunks (:mod:`lgae_pyg.ops.pairs`). ``fused`` is a compiled kernel for the CPU, ``edge_list`` the
    plain definition with all messages stored, and ``auto`` the first of ``fused`` and ``dense`` that can run.

    Args:
        x: node features.
        network: the perceptron.
        ptr: offsets of the jets.
        max_pairs: largest number of pairs handled at once by ``dense``.
        backend: one of :data:`~lgae_pyg.ops.backends.choice.BACKENDS`.

    Raises:
        ValueError: for an unknown back-end, or tensors that do not fit each other.
        BackendError: if the fused back-end was asked for and cannot run.

    Shapes:
        - x: :math:`(n, F)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, \text{out})`
    """
    widths = tuple(len(bias) for bias in network.biases)
    choice = choose_backend(backend, "edge network", x.device.type, x.dtype, x.shape[-1], widths)
    if choice == "compiled":
        from lgae_pyg.ops.backends.compiled_edges import compiled_edge_sum

        return compiled_edge_sum(x, network, ptr)
    ptr = check_offsets(ptr, len(x), x.device)
    if choice == "edge_list":
        source, target = complete_graph(ptr, self_loops=True)
        return x.new_zeros(len(x), widths[-1]).index_add(0, target, edge_messages(x[target], x[source], network))
    first = split_linear(x, network.weights[0], network.biases[0])
    rest = list(zip(network.weights[1:], network.biases[1:]))

    def messages(target: Tensor, x_i: Tensor, source: Tensor, x_j: Tensor) -> Tensor:
        hidden = leaky_relu_(first.join(target, source, distance(x_i, x_j, network.norm)), network.slope)
        for weight, bias in rest:
            hidden = leaky_relu_(linear(hidden, weight, bias), network.slope)
        return hidden

    pairs = all_pairs(ptr, self_loops=True, max_pairs=max_pairs)
    total = pair_sum(messages, pairs, (first.target, x), (first.source, x))
    assert isinstance(total, Tensor)  # of one output
    return total
