"""Mean squared error in slot order."""

from torch import Tensor

from lgae_pyg.ops.graphs import graph_sizes
from lgae_pyg.ops.jets import check_jets, jet_sum, pad_jets


def mse(p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor) -> Tensor:
    r"""Mean squared error of the four-momenta, particle by particle in the order of the lists.

    .. math:: L = \frac{1}{4 S} \sum_{i=1}^{S} \sum_\mu (p_i^\mu - q_i^\mu)^2, \qquad S = \max(n, m)

    Where one of the two jets is shorter (a decoder with a fixed number of slots, say), it is filled with
    zero momenta, so that superfluous particles are pulled to zero. The choice of loss is that of
    arXiv:2212.07347, section 4.2, for LGAE-Mix.

    Args:
        p4: reconstructed momenta :math:`p` of all jets, one after another.
        ptr: where each reconstructed jet begins, and where the last one ends.
        target: true momenta :math:`q`.
        target_ptr: the same for the true jets.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`, **target**: :math:`(\sum_i m_i, 4)`
        - **ptr**, **target_ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B,)`, in the square of the unit of the momenta

    Raises:
        ValueError: if the two lists hold different numbers of jets, or a jet is empty.
    """
    if ptr is target_ptr and p4.shape == target.shape:
        check_jets(p4, ptr, target, target_ptr)
        errors = jet_sum((p4 - target).square().sum(-1), ptr)
        return errors / (p4.shape[-1] * graph_sizes(ptr))
    check_jets(p4, ptr, target, target_ptr)
    slots = graph_sizes(ptr).maximum(graph_sizes(target_ptr))
    width = int(slots.max())
    reconstructed, _ = pad_jets(p4, ptr, width)
    true, _ = pad_jets(target, target_ptr, width)
    return (reconstructed - true).square().sum((-2, -1)) / (p4.shape[-1] * slots)
