"""Hungarian loss: particles compared after an optimal one-to-one assignment."""

import torch
from torch import Tensor

from lgae_pyg.ops.assignment import assign
from lgae_pyg.ops.graphs import graph_sizes, node_to_graph
from lgae_pyg.ops.jets import jet_sum


def hungarian(p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor, unmatched: str = "zero") -> Tensor:
    r"""Mean squared error after the assignment with the smallest sum of Euclidean distances.

    .. math::

        L = \frac{1}{4 S} \sum_j \sum_\mu (p_{\sigma(j)}^\mu - q_j^\mu)^2, \qquad
        \sigma = \operatorname{argmin}_\sigma \sum_j \lVert p_{\sigma(j)} - q_j \rVert

    It is :func:`~lgae_pyg.losses.mse` made independent of the order of the particles. Gradients flow
    through the matched differences; the assignment itself is piecewise constant.

    Args:
        p4: reconstructed momenta :math:`p` of all jets, one after another.
        ptr: where each reconstructed jet begins, and where the last one ends.
        target: true momenta :math:`q`.
        target_ptr: the same for the true jets.
        unmatched: what becomes of the particles without a partner if the jets differ in size: ``"zero"``
            compares them with zero momentum, :math:`S = \max(n, m)`, as :func:`~lgae_pyg.losses.mse` does;
            ``"ignore"`` leaves them out, :math:`S = \min(n, m)`.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`, **target**: :math:`(\sum_i m_i, 4)`
        - **ptr**, **target_ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B,)`, in the square of the unit of the momenta

    Raises:
        ValueError: if ``unmatched`` is unknown, the numbers of jets differ, or a jet is empty.
    """
    if unmatched not in ("zero", "ignore"):
        raise ValueError(f"unknown treatment of unmatched particles {unmatched!r}: choose zero or ignore")
    rows, target_rows = assign(p4, ptr, target, target_ptr)
    matched = (p4[rows] - target[target_rows]).square().sum(-1)
    total = p4.new_zeros(ptr.numel() - 1).index_add(0, node_to_graph(target_ptr)[target_rows], matched)
    sizes, target_sizes = graph_sizes(ptr), graph_sizes(target_ptr)
    if unmatched == "ignore":
        return total / (p4.shape[-1] * sizes.minimum(target_sizes))
    total = total + _left_over(p4, ptr, rows) + _left_over(target, target_ptr, target_rows)
    return total / (p4.shape[-1] * sizes.maximum(target_sizes))


def _left_over(p4: Tensor, ptr: Tensor, matched: Tensor) -> Tensor:
    alone = torch.ones(p4.shape[0], dtype=torch.bool, device=p4.device)
    alone[matched] = False
    return jet_sum(p4.square().sum(-1).masked_fill(~alone, 0.0), ptr)
