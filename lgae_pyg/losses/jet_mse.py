"""Squared error of the jets' four-momenta."""

from torch import Tensor

from lgae_pyg.ops.jets import check_jets, check_momenta, jet_sum


def jet_mse(p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor) -> Tensor:
    r"""Mean squared error of the four-momentum of each jet, the sum of its particles, in the unit of the momenta
    squared.

    .. math:: L = \frac14 \sum_\mu \Big( \sum_i p_i^\mu - \sum_j q_j^\mu \Big)^2

    Added to :func:`~lgae_pyg.losses.chamfer` (``loss.names=[chamfer,jet_mse]``) it is the option of the code of
    arXiv:2212.07347 to include jet features. That code sums half the Chamfer loss over the batch, but
    averages this term: for a batch of :math:`B` jets its ratio is that of the weights :math:`[B / 2, 1]`.

    Args and shapes are those of :func:`~lgae_pyg.losses.mse`.

    Raises:
        ValueError: if these are no four-momenta, the numbers of jets differ, or a jet is empty.
    """
    check_momenta(p4, target)
    check_jets(p4, ptr, target, target_ptr)
    return (jet_sum(p4, ptr) - jet_sum(target, target_ptr)).square().mean(-1)
