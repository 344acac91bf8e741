"""N-subjettiness: how well the particles of a jet fit into N narrow subjets."""

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import azimuth, rapidity, transverse_momentum, wrap_angle
from lgae_pyg.ops.graphs import dense_layout, graph_sizes

#: Jet radius of JetNet, which normalises.
RADIUS = 0.8
#: Rapidity of a particle along the beam, where it is infinite.
BEAM = 1e3
#: Jets that are clustered at once; bounds the memory.
CHUNK = 2000


def nsubjettiness(p4: Tensor, ptr: Tensor, largest: int = 3, radius: float = RADIUS) -> Tensor:
    r"""N-subjettiness with :math:`\beta = 1`,

    .. math:: \tau_N = \frac{\sum_i p_{T,i} \min_{k \le N} \Delta R_{i,k}}{R_0 \sum_i p_{T,i}}

    (Thaler and Van Tilburg, arXiv:1011.2268, eq. 2.1), with :math:`\Delta R^2 = \Delta y^2 + \Delta\phi^2`. The
    axes are those of the exclusive :math:`k_T` algorithm with winner-takes-all recombination (arXiv:1401.2158),
    ``WTA_KT_Axes`` of FastJet's contrib: pairs of smallest
    :math:`\min(p_{T,i}^2, p_{T,j}^2)\, \Delta R_{ij}^2` are merged until :math:`N` are left, and the harder of two
    gives its direction to both. A jet of at most :math:`N` particles has :math:`\tau_N = 0`.

    It does not change under rotations about the beam, boosts along it, or a common factor.

    Args:
        p4: momenta of all jets, one after another, of positive energy.
        ptr: where each jet begins, and where the last one ends.
        largest: the largest :math:`N`.
        radius: the jet radius :math:`R_0`.

    Raises:
        ValueError: if ``largest`` or the radius is not positive, a momentum is not finite, or a jet has no
            transverse momentum.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`
        - **ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B, N)`, the columns :math:`\tau_1` to :math:`\tau_N`
    """
    if largest < 1 or radius <= 0:
        raise ValueError(f"N and the jet radius must be positive, not {largest} and {radius}")
    if not torch.isfinite(p4).all():
        raise ValueError("N-subjettiness needs finite momenta, but some are NaN or infinite")
    found = [
        _tau(p4[part[0] : part[-1]], part - part[0], largest) / radius
        for part in (ptr[first : first + CHUNK + 1] for first in range(0, len(ptr) - 1, CHUNK))
    ]
    return torch.cat(found) if found else p4.new_zeros(0, largest)


def _tau(p4: Tensor, ptr: Tensor, largest: int) -> Tensor:
    """The sums for a few jets at once, in units of the jet radius."""
    layout = dense_layout(ptr)
    pt = layout.scatter(transverse_momentum(p4))
    total = pt.sum(-1)
    if (total <= 0).any():
        raise ValueError(f"jet {int((total <= 0).nonzero()[0, 0])} has no transverse momentum: leave it out")
    y, phi = layout.scatter(rapidity(p4).clamp(-BEAM, BEAM)), layout.scatter(azimuth(p4))
    distance = torch.hypot(y.unsqueeze(-1) - y.unsqueeze(-2), wrap_angle(phi.unsqueeze(-1) - phi.unsqueeze(-2)))
    heaps, left = pt.clone(), graph_sizes(ptr).clone()
    alive = torch.arange(pt.shape[-1], device=ptr.device) < left.unsqueeze(-1)
    tau = pt.new_zeros(len(pt), largest)
    for number in range(max(int(left.max()), largest), 0, -1):
        _merge(heaps, alive, distance, left > number)
        left = left.clamp(max=number)
        if number <= largest:
            nearest = distance.masked_fill(~alive.unsqueeze(-2), torch.inf).amin(-1)
            tau[:, number - 1] = (pt * nearest.masked_fill(pt == 0, 0.0)).sum(-1) / total
    return tau


def _merge(heaps: Tensor, alive: Tensor, distance: Tensor, wanted: Tensor) -> None:
    """One step of the algorithm for the jets that are wanted; changes pT and what is left in place.

    With winner takes all a merged pair keeps the direction of one of the two, so distances never change.
    """
    jets = wanted.nonzero().squeeze(-1)
    if not len(jets):
        return
    pt, there, slots = heaps[jets], alive[jets], heaps.shape[-1]
    smaller = torch.minimum(pt.unsqueeze(-1), pt.unsqueeze(-2)) * distance[jets]
    pairs = torch.ones(slots, slots, dtype=torch.bool, device=pt.device).triu(1)
    usable = there.unsqueeze(-1) & there.unsqueeze(-2) & pairs
    place = smaller.masked_fill(~usable, torch.inf).flatten(1).argmin(-1)
    first, second = place // slots, place % slots
    row = torch.arange(len(jets), device=pt.device)
    first_wins = pt[row, first] >= pt[row, second]
    winner, loser = torch.where(first_wins, first, second), torch.where(first_wins, second, first)
    heaps[jets, winner] += heaps[jets, loser]
    alive[jets, loser] = False
