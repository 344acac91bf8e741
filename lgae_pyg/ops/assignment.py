"""Which particles of two jets belong together: the assignment problem, jet by jet."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lgae_pyg.ops.jets import check_jets, pad_jets
from lgae_pyg.ops.threads import solve_jets


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
