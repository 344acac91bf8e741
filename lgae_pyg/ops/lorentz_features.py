r"""Features of pairs and of groups of particles that know about Lorentz symmetry (arXiv:2208.07814)."""

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import (
    delta_r,
    energy,
    minkowski_dot,
    minkowski_square,
    safe_sqrt,
    transverse_momentum,
)
from lgae_pyg.ops.neighbours import at_places, friends, padded_neighbours, products
from lgae_pyg.registry import check_choice

#: Features of pairs: invariant mass, angular distance, the latter times the sum of pT, sum of the energies.
PAIR_FEATURES = ("mass", "delta_r", "delta_r_pt", "energy")
#: Features of groups of particles.
GROUP_FEATURES = ("mass", "energy")
#: Smallest value whose logarithm is taken.
SMALLEST = 1e-8


def psi(x: Tensor) -> Tensor:
    r"""The odd signed logarithm :math:`\psi(x) = \mathrm{sgn}(x) \ln(1 + |x|)` (LorentzNet, arXiv:2201.08187)."""
    return torch.sign(x) * torch.log1p(x.abs())


def pair_feature(name: str, p: Tensor, q: Tensor) -> Tensor:
    r"""A feature of pairs of particles, symmetric in the two,

    - ``mass``: :math:`m_{ij} = \sqrt{\max(0, \langle p_i, p_j \rangle)}` (up to :math:`\sqrt 2` the invariant mass
      of two massless particles),
    - ``delta_r``: :math:`\Delta R_{ij}`,
    - ``delta_r_pt``: :math:`\Delta R_{ij} (p_{T,i} + p_{T,j})`,
    - ``energy``: :math:`E_i + E_j`.

    Args:
        name: which of them.
        p: four-momenta.
        q: four-momenta.

    Raises:
        ValueError: for an unknown name.

    Shapes:
        - p, q: :math:`(*, 4)`
        - **output:** :math:`(*)`, in the precision of the momenta
    """
    check_choice("pair feature", name, PAIR_FEATURES)
    if name == "mass":
        return safe_sqrt(minkowski_dot(p, q))
    if name == "energy":
        return energy(p) + energy(q)
    distance = delta_r(p, q)
    return distance if name == "delta_r" else distance * (transverse_momentum(p) + transverse_momentum(q))


def group_feature(name: str, p4: Tensor, ptr: Tensor, k: int = 16, include_self: bool = False) -> Tensor:
    r"""The mass or energy of the group :math:`G_i` of the :math:`k` friends of each particle,

    .. math:: m_{G_i} = \sqrt{\max\Big(0, \big(\textstyle\sum_{j \in G_i} p_j\big)^2\Big)}, \qquad
        E_{G_i} = \sum_{j \in G_i} E_j ,

    the others with the largest :math:`\langle p_i, p_j \rangle` (:func:`~lgae_pyg.ops.neighbours.friends`), all of
    them in a jet of up to :math:`k + 1` particles; 0 for the only particle of a jet.

    Args:
        name: ``"mass"`` or ``"energy"``.
        p4: four-momenta.
        ptr: offsets of the jets.
        k: number of friends.
        include_self: whether the particle itself is in its group, too.

    Raises:
        ValueError: for an unknown name, or ``k`` below 1.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n,)`, float64
    """
    check_choice("group feature", name, GROUP_FEATURES)
    p4 = p4.double()
    source, target = friends(p4, ptr, k)
    total = (p4 if include_self else torch.zeros_like(p4)).index_add(0, target, p4[source])
    return feature_of_sum(name, total)


def padded_group_feature(name: str, p4: Tensor, exists: Tensor, k: int, include_self: bool = False) -> Tensor:
    """The same of padded jets.

    Shapes:
        - p4: :math:`(B, N, 4)`, exists: :math:`(B, N)`
        - **output:** :math:`(B, N)`, float64
    """
    p4 = p4.double()
    places, found = padded_neighbours(products, p4, exists, k)
    total = torch.where(found.unsqueeze(-1), at_places(p4, places), 0.0).sum(2)
    return feature_of_sum(name, total + p4 if include_self else total)


def feature_of_sum(name: str, total: Tensor) -> Tensor:
    """The mass or energy of a sum of momenta, :math:`(*, 4)` to :math:`(*)`."""
    return energy(total) if name == "energy" else safe_sqrt(minkowski_square(total))


def log_feature(values: Tensor) -> Tensor:
    r"""The logarithm of a feature, :math:`\ln \max(q, 10^{-8})`."""
    return values.clamp(min=SMALLEST).log()
