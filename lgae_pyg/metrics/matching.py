"""Which reconstructed particle stands for which true one."""

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import spatial
from lgae_pyg.metrics.features import particle_features
from lgae_pyg.ops.assignment import assign
from lgae_pyg.ops.graphs import graph_sizes, node_to_graph, pointers
from lgae_pyg.ops.jets import check_jets

SPACES = ("slots", "cartesian", "relative")


def match_particles(
    p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor, space: str
) -> tuple[Tensor, Tensor]:
    """Pairs of reconstructed and true particles, jet by jet.

    A network that is invariant under permutations returns its particles in an order of its own; they are
    matched one to one so that the sum of Euclidean distances is smallest (Jonker-Volgenant), as in
    arXiv:2212.07347, section 4.2. A network with fixed slots is compared in slot order. Only true particles
    are in the lists, never padding. If the jets differ in size, the surplus stays without a partner.

    Args:
        p4: reconstructed momenta of all jets, one after another.
        ptr: where each reconstructed jet begins, and where the last one ends.
        target: true momenta.
        target_ptr: the same for the true jets.
        space: ``"slots"`` pairs the lists in order; ``"cartesian"`` matches by the three-momenta,
            ``"relative"`` by (pT, eta, phi) relative to the own jet.

    Shapes:
        - **p4**: :math:`(\\sum_i n_i, 4)`, **target**: :math:`(\\sum_i m_i, 4)`
        - **ptr**, **target_ptr**: :math:`(B + 1,)` long
        - **output**: rows of ``p4`` and rows of ``target``, both :math:`(\\sum_i \\min(n_i, m_i),)`

    Raises:
        ValueError: if the space is unknown, the numbers of jets differ, or a jet is empty.
    """
    if space == "slots":
        return _slot_order(p4, ptr, target, target_ptr)
    if space == "cartesian":
        return assign(spatial(p4), ptr, spatial(target), target_ptr)
    if space == "relative":
        return assign(particle_features(p4, ptr), ptr, particle_features(target, target_ptr), target_ptr)
    raise ValueError(f"unknown space {space!r} for the matching: choose one of {', '.join(SPACES)}")


def _slot_order(p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor) -> tuple[Tensor, Tensor]:
    check_jets(p4, ptr, target, target_ptr)
    common = pointers(graph_sizes(ptr).minimum(graph_sizes(target_ptr)))
    jet = node_to_graph(common)
    slot = torch.arange(jet.numel(), device=jet.device) - common[jet]
    return ptr[jet] + slot, target_ptr[jet] + slot
