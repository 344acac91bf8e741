"""Observables of particles and jets that reconstructions are judged by."""

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import (
    azimuth,
    mass,
    massless,
    pseudorapidity,
    relative_coordinates,
    transverse_momentum,
    wrap_angle,
)
from lgae_pyg.ops.graphs import node_to_graph
from lgae_pyg.ops.jets import jet_sum

PARTICLE_FEATURES = ("pt_rel", "eta_rel", "phi_rel")
JET_FEATURES = ("mass", "pt", "eta", "phi")
ANGLES = ("phi", "phi_rel")


def particle_features(p4: Tensor, ptr: Tensor) -> Tensor:
    r"""Coordinates of each particle relative to its own jet, the sum of the jet's particles.

    .. math:: p_T / p_T^\text{jet}, \quad \eta - \eta^\text{jet}, \quad \phi - \phi^\text{jet} \in [-\pi, \pi)

    The order of the columns is :data:`PARTICLE_FEATURES`. See arXiv:2212.07347, section 4.2.

    Args:
        p4: momenta of all jets, one after another.
        ptr: where each jet begins, and where the last one ends.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`
        - **ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(\sum_i n_i, 3)`
    """
    return relative_coordinates(p4, jet_sum(p4, ptr)[node_to_graph(ptr)])


def jet_features(p4: Tensor, ptr: Tensor, massless_particles: bool = False) -> Tensor:
    r"""Mass, transverse momentum, pseudorapidity and azimuth of each jet, the sum of its particles.

    The mass is :math:`\operatorname{sign}(M^2) \sqrt{|M^2|}`. The order of the columns is
    :data:`JET_FEATURES`. A network returns energies that need not equal :math:`|\vec p|`, and the jet mass
    is the small difference of large numbers; so it matters whether the energies are used as they are or
    the particles are first put on their mass shell, which for jet constituents means :math:`E = |\vec p|`.

    Args:
        p4: momenta of all jets, one after another.
        ptr: where each jet begins, and where the last one ends.
        massless_particles: replace the energy of each particle by :math:`|\vec p|`.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`
        - **ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B, 4)`; mass and transverse momentum in the unit of ``p4``
    """
    total = jet_sum(massless(p4) if massless_particles else p4, ptr)
    columns = (mass(total), transverse_momentum(total), pseudorapidity(total), azimuth(total))
    return torch.stack(columns, dim=-1)


def relative_error(reconstructed: Tensor, target: Tensor, names: tuple[str, ...]) -> Tensor:
    r"""Relative errors :math:`\delta = (x_\text{reco} - x_\text{target}) / x_\text{target}`.

    The denominator is the true value. Differences of angles (:data:`ANGLES`) are wrapped to
    :math:`[-\pi, \pi)` first. Where the target is exactly zero the error is undefined and NaN (the relative
    angles of a jet with one particle, for instance); :func:`~lgae_pyg.metrics.summary` counts those.

    Args:
        reconstructed: features, one column per name.
        target: the true features.
        names: what the columns hold.

    Shapes:
        - **reconstructed**, **target**: :math:`(*, F)`
        - **output**: :math:`(*, F)`
    """
    difference = reconstructed - target
    periodic = torch.tensor([name in ANGLES for name in names], device=target.device)
    difference = torch.where(periodic, wrap_angle(difference), difference)
    return torch.where(target == 0, torch.nan, difference / target)
