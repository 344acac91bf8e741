"""Momentum conservation: shifting particles so that they sum to a given total."""

from torch import Tensor

from lgae_pyg.ops.graphs import graph_sizes, node_to_graph


def restore_total(p4: Tensor, total: Tensor, ptr: Tensor) -> Tensor:
    r"""Shifts the particles of each jet by equal parts, so that they sum to the total,

    .. math:: p'_i = p_i + \tfrac{1}{n} \Big( P - \sum_j p_j \Big) ,

    the smallest change (in least squares) that conserves the four-momentum; it is Lorentz equivariant.

    Shapes:
        - p4: :math:`(n, 4)`, total: :math:`(B, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, 4)`
    """
    graph = node_to_graph(ptr, len(p4))
    sums = p4.new_zeros(len(ptr) - 1, 4).index_add(0, graph, p4)
    share = (total - sums) / graph_sizes(ptr).clamp(min=1).unsqueeze(-1)
    return p4 + share[graph]
