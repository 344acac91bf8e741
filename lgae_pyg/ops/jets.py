"""Totals of jets: sums of their particles, the jet as one more particle, particles shifted to a given total."""

import torch
from torch import Tensor

from lgae_pyg.ops.graphs import graph_sizes, node_to_graph


def jet_totals(p4: Tensor, ptr: Tensor) -> Tensor:
    r"""The four-momentum of each jet, :math:`P_b = \sum_{i \in b} p_i`.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(B, 4)`
    """
    return p4.new_zeros(len(ptr) - 1, p4.shape[-1]).index_add(0, node_to_graph(ptr, len(p4)), p4)


def append_totals(p4: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    r"""Jets with one particle more, their total :math:`P`, as the last one.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n + B, 4)` and the offsets of the longer jets
    """
    longer = ptr + torch.arange(len(ptr), device=ptr.device)
    graph = node_to_graph(ptr, len(p4))
    places = torch.cat([torch.arange(len(p4), device=ptr.device) + graph, longer[1:] - 1])
    together = torch.cat([p4, jet_totals(p4, ptr)])
    return torch.zeros_like(together).index_copy(0, places, together), longer


def restore_total(p4: Tensor, total: Tensor, ptr: Tensor) -> Tensor:
    r"""Shifts the particles of each jet by equal parts, so that they sum to the total,

    .. math:: p'_i = p_i + \tfrac{1}{n} \Big( P - \sum_j p_j \Big) ,

    the smallest change (in least squares) that conserves the four-momentum; it is Lorentz equivariant.

    Shapes:
        - p4: :math:`(n, 4)`, total: :math:`(B, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, 4)`
    """
    share = (total - jet_totals(p4, ptr)) / graph_sizes(ptr).clamp(min=1).unsqueeze(-1)
    return p4 + share[node_to_graph(ptr, len(p4))]
