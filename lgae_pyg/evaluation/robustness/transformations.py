r"""Lorentz transformations of whole jets: those of the invariance test, and those of jets on the x axis.

Matrices are applied as :math:`p' = \Lambda p`; those that depend on the jet are one matrix for each.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz import boost, rotation
from lgae_pyg.lorentz.kinematics import energy, spatial

AXES = ("x", "y", "z")
#: Lorentz factors of the boosts of the invariance test, angles of its rotations in units of pi,
#: and random axes for each angle.
GAMMAS, ANGLES, RANDOM_AXES = (1.1, 2.0, 10.0, 100.0, 1000.0), (0.25, 0.5, 0.75, 1.0), 2
#: Strengths of the transformations of jets on the x axis: angles in units of pi, and Lorentz factors.
TURNS, STRENGTHS = (0.0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1.0), (1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0)
ON_AXIS = ("y-z rotation", "x boost", "z tilt", "y tilt")


class Frames(NamedTuple):
    """Transformations of one kind and strength.

    Attributes:
        kind: ``boost`` or ``rotation``.
        axis: ``x``, ``y``, ``z`` or ``random``.
        parameter: the Lorentz factor, or the angle in units of pi.
        matrices: :math:`(m, 4, 4)`, float64.
    """

    kind: str
    axis: str
    parameter: float
    matrices: Tensor


def frames(seed: int = 0) -> Iterator[Frames]:
    """The transformations of the invariance test; random axes are the same for the same seed."""
    for axis in AXES:
        for gamma in GAMMAS:
            yield Frames("boost", axis, gamma, boost(math.acosh(gamma), axis).unsqueeze(0))
    generator = torch.Generator().manual_seed(seed)
    for angle in ANGLES:
        axes = torch.randn(RANDOM_AXES, 3, generator=generator, dtype=torch.float64)
        yield Frames("rotation", "random", angle, torch.stack([rotation(angle * math.pi, one) for one in axes]))


def to_x_axis(total: Tensor) -> Tensor:
    r"""Brings each jet to :math:`(\eta, \phi) = (0, 0)`: a boost along z after which :math:`p_z = 0`, and a
    rotation about z after which the jet flies along +x.

    Shapes:
        - **total**: momenta of the jets, :math:`(B, 4)`
        - **output**: :math:`(B, 4, 4)`
    """
    e, pz = energy(total), spatial(total)[:, 2]
    transverse = ((e - pz) * (e + pz)).sqrt()
    boosts = torch.eye(4, dtype=total.dtype).repeat(len(total), 1, 1)
    boosts[:, 0, 0] = boosts[:, 3, 3] = e / transverse
    boosts[:, 0, 3] = boosts[:, 3, 0] = -pz / transverse
    return back_on_x(total, "y") @ boosts  # the boost leaves px and py


def back_on_x(total: Tensor, axis: str) -> Tensor:
    """The rotations in the plane of x and another axis after which a jet in that plane flies along +x.

    Shapes:
        - **total**: :math:`(B, 4)`
        - **output**: :math:`(B, 4, 4)`
    """
    other = 1 + AXES.index(axis)
    x, y = total[:, 1], total[:, other]
    length = torch.hypot(x, y)
    turns = torch.eye(4, dtype=total.dtype).repeat(len(total), 1, 1)
    turns[:, 1, 1] = turns[:, other, other] = x / length
    turns[:, 1, other], turns[:, other, 1] = y / length, -y / length
    return turns


def on_axis(name: str, strength: float, total: Tensor) -> Tensor:
    r"""A transformation of jets on the x axis that leaves them there (C. Li et al., arXiv:2208.07814).

    * ``y-z rotation``: by ``strength`` times :math:`\pi` about the jet;
    * ``x boost``: along the jet, with the Lorentz factor ``strength``;
    * ``z tilt``, ``y tilt``: a boost along z or y with the Lorentz factor ``strength``, then the rotation that
      brings the jet back on the x axis.

    Args:
        name: one of :data:`ON_AXIS`.
        strength: the angle in units of pi, or the Lorentz factor.
        total: momenta of the jets, along +x.

    Shapes:
        - **total**: :math:`(B, 4)`
        - **output**: :math:`(B, 4, 4)`
    """
    if name == "y-z rotation":
        return rotation(strength * math.pi, "x").expand(len(total), 4, 4)
    first = boost(math.acosh(strength), name[0])
    if name == "x boost":
        return first.expand(len(total), 4, 4)
    return back_on_x(total @ first.T, name[0]) @ first
