r"""Reference vectors, which break the Lorentz symmetry on purpose: the beams and the direction of time."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import energy, minkowski_dot, minkowski_square, safe_sqrt
from lgae_pyg.ops.graphs import node_slots
from lgae_pyg.ops.jets import PaddedJets, RaggedJets

BEAMS = ((math.sqrt(2), 0.0, 0.0, 1.0), (math.sqrt(2), 0.0, 0.0, -1.0))
TIME = ((1.0, 0.0, 0.0, 0.0),)
#: Smallest p^2 / E^2 in the rest frame of the jet that is told from rounding. A pion has a mass up to an energy of
#: 4 TeV there in float64, and of 14 GeV in float32.
RESOLUTION = {torch.float32: 1e-4, torch.float64: 1e-9}
#: Rounding of p^2 / E^2 in the frame in which the momenta are given.
ROUNDING = {torch.float32: 4e-7, torch.float64: 1e-15}


class Referenced(NamedTuple):
    """Jets with reference vectors as their first particles.

    Attributes:
        p4: four-momenta, :math:`(n + r B, 4)`.
        ptr: offsets of the longer jets, :math:`(B+1,)`.
        is_reference: which rows are reference vectors, :math:`(n + r B,)`.
    """

    p4: Tensor
    ptr: Tensor
    is_reference: Tensor


def with_references(p4: Tensor, ptr: Tensor, vectors: Tensor) -> Referenced:
    r"""Puts the same :math:`r` vectors in front of the particles of every jet.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`, vectors: :math:`(r, 4)`
        - **output:** see :class:`Referenced`
    """
    count, jets = len(vectors), len(ptr) - 1
    if not count:
        return Referenced(p4, ptr, torch.zeros(len(p4), dtype=torch.bool, device=p4.device))
    longer = ptr + count * torch.arange(len(ptr), device=ptr.device)
    nodes = len(p4) + count * jets
    is_reference = node_slots(longer, nodes) < count
    together = p4.new_empty(nodes, 4)
    together[is_reference] = vectors.to(p4).repeat(jets, 1)
    together[~is_reference] = p4
    return Referenced(together, longer, is_reference)


def reference_vectors(beams: bool, time_direction: bool, length: float = 1.0) -> Tensor:
    r"""The two beams :math:`(\sqrt 2, 0, 0, \pm 1)` and the direction of time :math:`(1, 0, 0, 0)`, as wanted.

    Args:
        beams: whether the beams are there.
        time_direction: whether the direction of time is.
        length: what they are multiplied by.

    Shapes:
        - **output:** :math:`(r, 4)`, float64
    """
    rows = (BEAMS if beams else ()) + (TIME if time_direction else ())
    return length * torch.tensor(rows, dtype=torch.float64).view(-1, 4)


def root_masses(
    p4: Tensor,
    ptr: Tensor | PaddedJets,
    resolved: bool = True,
    given: torch.dtype | None = None,
    frame: Tensor | None = None,
) -> Tensor:
    r"""Masses :math:`m_i = \sqrt{|p_i^2|}` as inputs of networks.

    The root of a rounding error is large: :math:`10^{-16}` of :math:`E^2` is :math:`10^{-8}` of :math:`E`, and
    another number in every frame. A mass that is not resolved is 0 here, unless the originals are followed. What
    is resolved is judged by the energy in the rest frame of the jet, :math:`E^*_i = p_i \cdot P / \sqrt{P^2}`, and
    by that in the frame in which the momenta were given, :math:`p_i \cdot u`, both the same for every observer:
    the mass that float32 momenta have by their rounding stays when they are boosted.

    Args:
        p4: four-momenta.
        ptr: offsets of the jets; or the jets themselves, such as padded ones.
        resolved: 0 where :math:`p^2` is not above :data:`RESOLUTION` of :math:`E^{*2}` and :data:`ROUNDING` of
            the square of the energy, here and where the momenta were given, :math:`p_i \cdot u`; ``False`` takes
            the absolute value whatever it is, as LorentzNet and LGN were trained.
        given: the precision that the momenta were given in; that of ``p4`` when omitted.
        frame: four-velocity :math:`u` of the frame in which they were; :math:`(1, 0, 0, 0)` when omitted.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`; or p4: :math:`(B, N, 4)` of padded jets; frame: :math:`(B, 4)`
        - **output:** :math:`(n,)`, or :math:`(B, N)`
    """
    square = minkowski_square(p4)
    if not resolved:
        return safe_sqrt(square.abs())
    given, p4 = given or p4.dtype, p4.detach()
    jets = RaggedJets.of(ptr, len(p4)) if isinstance(ptr, Tensor) else ptr
    total = jets.sum(p4)
    mass2 = minkowski_square(total)
    heavy = mass2 > _rounding(total, given, frame)
    lightness = jets.spread(torch.where(heavy, 1 / mass2, 0.0))
    rest2 = minkowski_dot(p4, jets.spread(total)).square() * lightness
    floor = _rounding(p4, given, None if frame is None else jets.spread(frame.to(p4)))
    noise = torch.maximum(RESOLUTION.get(given, 1e-1) * rest2, floor)
    return safe_sqrt(torch.where(square > noise, square, torch.zeros_like(square)))


def _rounding(p4: Tensor, given: torch.dtype, frame: Tensor | None) -> Tensor:
    """What of the square of a momentum may be rounding, where the momenta were given and here."""
    here = energy(p4).square()
    there = here if frame is None else minkowski_dot(p4, frame.to(p4)).square()
    return torch.maximum(ROUNDING.get(given, 1e-2) * there, ROUNDING.get(p4.dtype, 1e-2) * here)


def check_scale(scale: float) -> float:
    """A factor of momenta as a number.

    Raises:
        ValueError: if it is not positive and finite.
    """
    if not 0 < float(scale) < math.inf:
        raise ValueError(f"scale must be a positive number, not {scale}")
    return float(scale)
