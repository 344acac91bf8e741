"""Chamfer loss: each particle against its nearest one in the other jet."""

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_square
from lgae_pyg.ops.jets import check_jets, check_momenta, pad_jets


def _euclidean_square(difference: Tensor) -> Tensor:
    return difference.square().sum(-1)


def _minkowski_distance(difference: Tensor) -> Tensor:
    return minkowski_square(difference).abs()


METRICS = {"euclidean": _euclidean_square, "minkowski": _minkowski_distance}


def _pair_distances(p: Tensor, q: Tensor, metric: str) -> Tensor:
    if metric == "euclidean":
        return torch.cdist(p, q, compute_mode="donot_use_mm_for_euclid_dist")
    return _minkowski_distance(p.unsqueeze(-2) - q.unsqueeze(-3))


def _distance_to(p: Tensor, q: Tensor, nearest: Tensor, mask: Tensor, metric: str) -> Tensor:
    partner = q.gather(1, nearest.unsqueeze(-1).expand(-1, -1, q.shape[-1]))
    return METRICS[metric](p - partner).masked_fill(~mask, 0.0).sum(-1)


def chamfer(p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor, metric: str = "euclidean") -> Tensor:
    r"""Chamfer loss, with squared distances, per jet.

    .. math:: L = \sum_i \min_j d(p_i, q_j) + \sum_j \min_i d(p_i, q_j)

    with :math:`d(p, q) = \sum_\mu (p^\mu - q^\mu)^2` (``"euclidean"``; the loss of arXiv:2212.07347 for
    LGAE-Min-Max) or :math:`d(p, q) = |(p - q)^2|` with the Minkowski square (``"minkowski"``).

    The Minkowski square itself would be unbounded from below: two jets could lower the loss for ever by
    moving apart in a space-like direction. Its absolute value cannot, and is Lorentz invariant, but it is
    not a distance: it vanishes for any light-like separation, for instance between collinear massless
    particles, so a zero does not mean that the jets are equal.

    The nearest partners are searched without gradients; the value and its gradient come from the chosen
    pairs alone, which is the exact gradient wherever the partner is unique. Jets of all sizes are treated
    at once, and the padding never takes part.

    Args:
        p4: reconstructed momenta :math:`p` of all jets, one after another.
        ptr: where each reconstructed jet begins, and where the last one ends.
        target: true momenta :math:`q`.
        target_ptr: the same for the true jets.
        metric: ``"euclidean"`` or ``"minkowski"``.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`, **target**: :math:`(\sum_i m_i, 4)`
        - **ptr**, **target_ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B,)`, in the square of the unit of the momenta

    Raises:
        ValueError: if the metric is unknown, the Minkowski square is asked for of other than four-momenta,
            the two lists hold different numbers of jets, or a jet is empty.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
    if metric == "minkowski":
        check_momenta(p4, target)
    check_jets(p4, ptr, target, target_ptr)
    p, p_mask = pad_jets(p4, ptr)
    q, q_mask = pad_jets(target, target_ptr)
    with torch.no_grad():
        distances = _pair_distances(p, q, metric)
        if p.shape[:2].numel() > len(p4) or q.shape[:2].numel() > len(target):
            distances.masked_fill_(~(p_mask.unsqueeze(-1) & q_mask.unsqueeze(-2)), torch.inf)
        nearest_q, nearest_p = distances.min(-1).indices, distances.min(-2).indices
    return _distance_to(p, q, nearest_q, p_mask, metric) + _distance_to(q, p, nearest_p, q_mask, metric)
