"""Hungarian loss: particles compared after an optimal one-to-one assignment."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lgae_pyg.losses.padding import check_jets, jet_sum, pad_jets
from lgae_pyg.losses.parallel import solve_jets
from lgae_pyg.ops.graphs import graph_sizes, node_to_graph


@torch.no_grad()
def assign(points: Tensor, ptr: Tensor, targets: Tensor, target_ptr: Tensor) -> tuple[Tensor, Tensor]:
    """The one-to-one assignment with the smallest sum of Euclidean distances, jet by jet.

    If a jet and its target differ in size, the smaller one is assigned completely and the rest of the
    larger one stays alone. A jet with a value that is not finite keeps the order of its list, so that the
    failure shows in what is computed from it. The distances leave a GPU in one piece, and many jets are
    spread over as many threads as PyTorch uses: SciPy's solver lets others run meanwhile.

    Args:
        points: coordinates of the particles of all jets, one after another.
        ptr: where each jet begins, and where the last one ends.
        targets: coordinates of the particles of the target jets.
        target_ptr: the same for the target jets.

    Shapes:
        - **points**: :math:`(\\sum_i n_i, F)`, **targets**: :math:`(\\sum_i m_i, F)`
        - **ptr**, **target_ptr**: :math:`(B + 1,)` long
        - **output**: two index lists :math:`(\\sum_i \\min(n_i, m_i),)`: rows of ``points``, and the rows of
          ``targets`` that they are assigned to; in the order of the targets within each jet

    Raises:
        ValueError: if the two lists hold different numbers of jets, or a jet is empty.
    """
    check_jets(points, ptr, targets, target_ptr)
    padded, _ = pad_jets(points.detach(), ptr)
    padded_targets, _ = pad_jets(targets.detach(), target_ptr)
    distance = torch.cdist(padded_targets, padded, compute_mode="donot_use_mm_for_euclid_dist").cpu()
    finite = distance.isfinite().all(-1).all(-1).tolist()
    cost = distance.numpy()
    starts, target_starts = ptr.cpu().numpy(), target_ptr.cpu().numpy()
    sizes, target_sizes = np.diff(starts), np.diff(target_starts)

    def solve(jet: int) -> tuple[NDArray, NDArray]:
        size, target_size = sizes[jet], target_sizes[jet]
        if finite[jet]:
            return linear_sum_assignment(cost[jet, :target_size, :size])
        return 2 * (np.arange(min(size, target_size)),)

    chosen_targets, chosen = map(np.concatenate, zip(*solve_jets(solve, len(cost))))
    pairs = np.minimum(sizes, target_sizes)
    rows = torch.from_numpy(chosen + starts[:-1].repeat(pairs))
    target_rows = torch.from_numpy(chosen_targets + target_starts[:-1].repeat(pairs))
    return rows.to(ptr.device), target_rows.to(ptr.device)


def hungarian(
    p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor, unmatched: str = "zero"
) -> Tensor:
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
