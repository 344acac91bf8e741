r"""Cores of jets: what a parton radiates below a scale."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lgae_pyg.lorentz.kinematics import spatial

#: Steps of the iteration between the particles of a core and its axis.
STEPS = 4


def jet_core(p4: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    r"""The particles within a cone about the hardest part of a jet, whose opening is such that nothing in it was
    radiated at a transverse momentum above a scale :math:`Q`, about. With light-cone components along the axis,
    :math:`p^\pm = E \pm \vec p \cdot \vec u`, particle :math:`i` is in the core :math:`C` if

    .. math:: P_C^+ \sqrt{p_i^- / p_i^+} < 2 Q, \qquad P_C^+ = \sum_{j \in C} p_j^+ .

    Boosts along the axis do not change that. In the frame where :math:`P_C^+ = 2 Q` the core is the half space in
    front; for a narrow cone the condition is :math:`E_C\, \theta_i / 2 < Q`. The axis is that of the core, found
    in a few steps that begin with the particle of the largest energy and the energy of all.

    Args:
        p4: jets, padded with zeros.
        scale: :math:`Q > 0` of each, in the same unit.

    Returns:
        Whether each particle is in the core, and the direction of the core.

    Shapes:
        - p4: :math:`(n, N, 4)`, scale: :math:`(n,)`
        - **output:** :math:`(n, N)` and :math:`(n, 3)`
    """
    exists = p4[..., 0] > 0
    first = torch.nn.functional.one_hot(p4[..., 0].argmax(-1), p4.shape[1]).bool()
    axis = normalize(spatial(p4)[first], dim=-1)
    size = 2 * p4[..., 0].sum(-1)
    for _ in range(STEPS):
        along = (spatial(p4) * axis.unsqueeze(1)).sum(-1)
        plus, minus = p4[..., 0] + along, (p4[..., 0] - along).clamp(min=0)
        inside = exists & (minus * size.unsqueeze(-1).square() < plus * (2 * scale).unsqueeze(-1).square())
        inside |= first & ~inside.any(-1, keepdim=True)
        total = (p4 * inside.unsqueeze(-1)).sum(1)
        axis = normalize(spatial(total), dim=-1)
        size = total[:, 0] + torch.linalg.vector_norm(spatial(total), dim=-1)
    return inside, axis
