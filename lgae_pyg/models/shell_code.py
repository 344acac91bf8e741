r"""The mass-shell code: how many light-like particles fit into how few four-vectors."""

from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.frames import (
    attach_invariant,
    body_frame,
    detach_invariant,
    frame_coordinates,
    massless_from_coordinates,
    rounding,
)
from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square, safe_sqrt

#: Largest number whose inverse hyperbolic tangent is taken.
LARGEST = 1 - 1e-12


class ShellSizes(NamedTuple):
    r"""What :math:`2\tau` real vectors and some real scalars have room for.

    Attributes:
        vectors: particles that have a vector of the code each, :math:`K = 2\tau - 1`; the first vector is the
            total momentum.
        invariants: particles written in three invariants each.
        learned: invariants that are left for a network.
    """

    vectors: int
    invariants: int
    learned: int

    @classmethod
    def of(cls, latent_vectors: int, latent_scalars: int, num_particles: int) -> "ShellSizes":
        r"""The division for :math:`\tau` complex vectors and :math:`\tau_S` complex scalars."""
        vectors = min(2 * latent_vectors - 1, num_particles)
        room = vectors + 2 * latent_scalars
        invariants = max(0, min(room // 3, num_particles - vectors))
        return cls(vectors, invariants, room - 3 * invariants)

    @property
    def known(self) -> int:
        """Particles that are rebuilt exactly."""
        return self.vectors + self.invariants


def pack(slots: Tensor, total: Tensor, learned: Tensor, sizes: ShellSizes) -> tuple[Tensor, Tensor]:
    r"""The code of jets of ordered light-like particles: vectors and leftover scalars.

    The first vector is :math:`P`. Vector :math:`k` is :math:`p_k + \sigma_k (p_k \cdot P / M^2) P`, and the
    :math:`\sigma_k`, then the scalars, hold one after another: for each further particle its three coordinates
    :math:`q_a / M` in the body frame of the jet (less than 1/2 in size, so :math:`\sigma_k > -1`), and the learned
    invariants, squeezed to less than 1/2 where they are in a vector.

    Args:
        slots: the particles, zero where there is none.
        total: the total momentum :math:`P` of all particles of the jet.
        learned: the learned invariants.
        sizes: the division of the code.

    Shapes:
        - slots: :math:`(B, N, 4)`, total: :math:`(B, 4)`, learned: :math:`(B, \text{learned})`
        - **output:** vectors :math:`(B, K + 1, 4)` and real scalars :math:`(B, 2 \tau_S)`
    """
    own = slots[:, : sizes.vectors]
    others = slots[:, sizes.vectors : sizes.known]
    coordinates = frame_coordinates(others, body_frame(total, own)) * _inverse_mass(total).view(-1, 1, 1)
    numbers = torch.cat([coordinates.flatten(1), learned], 1)
    inside = numbers[:, : sizes.vectors]
    bounded = torch.cat([inside[:, : 3 * sizes.invariants], inside[:, 3 * sizes.invariants :].tanh() / 2], 1)
    vectors = attach_invariant(own, total.unsqueeze(1), bounded)
    return torch.cat([total.unsqueeze(1), vectors], 1), numbers[:, sizes.vectors :]


def unpack(vectors: Tensor, scalars: Tensor, sizes: ShellSizes) -> tuple[Tensor, Tensor]:
    r"""The particles and the learned invariants that :func:`pack` was given.

    Shapes:
        - vectors: :math:`(B, K + 1, 4)`, scalars: :math:`(B, 2 \tau_S)`
        - **output:** particles :math:`(B, \text{known}, 4)` and invariants :math:`(B, \text{learned})`
    """
    total = vectors[:, 0]
    own, inside = detach_invariant(vectors[:, 1:], total.unsqueeze(1))
    count = 3 * sizes.invariants
    hidden = torch.atanh((2 * inside[:, count:]).clamp(-LARGEST, LARGEST))
    numbers = torch.cat([inside[:, :count], hidden, scalars], 1)
    mass = safe_sqrt(minkowski_square(total))
    coordinates = numbers[:, :count].unflatten(1, (-1, 3)) * mass.view(-1, 1, 1)
    others = massless_from_coordinates(coordinates, body_frame(total, own))
    return torch.cat([own, others], 1), numbers[:, count:]


def rest_energy_order(slots: Tensor, total: Tensor) -> Tensor:
    r"""The order of falling energy in the rest frame of the jet, :math:`p_i \cdot P`: invariant, unlike pT.

    Shapes:
        - slots: :math:`(B, N, 4)`, zero where there is no particle, total: :math:`(B, 4)`
        - **output:** :math:`(B, N)`, particles before empty slots
    """
    absent = slots[..., 0] == 0
    key = minkowski_dot(slots, total.unsqueeze(1)).masked_fill(absent, -torch.inf)
    return key.argsort(dim=1, descending=True, stable=True)


def _inverse_mass(total: Tensor) -> Tensor:
    square = minkowski_square(total)
    alive = square > rounding(total[:, 0].square())
    return torch.where(alive, torch.where(alive, square, torch.ones_like(square)).rsqrt(), 0.0)
