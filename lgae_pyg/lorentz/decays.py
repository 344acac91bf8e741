r"""Isotropic decays: flat phase space, massive decay products, boosts along an axis and out of a rest frame."""

import math

import torch
from torch import Tensor

from lgae_pyg.lorentz.frames import rest_frame
from lgae_pyg.lorentz.kinematics import minkowski_square, safe_sqrt, spatial

#: Halvings of the bracket of :func:`with_masses`; enough for float64.
HALVINGS = 60


def isotropic(number: int, generator: torch.Generator) -> Tensor:
    r"""Directions that are uniform on the sphere.

    Shapes:
        - **output:** :math:`(n, 3)`, float64
    """
    u = torch.rand(number, 2, dtype=torch.float64, generator=generator)
    cosine, angle = 2 * u[:, 0] - 1, 2 * math.pi * u[:, 1]
    sine = (1 - cosine.square()).clamp(min=0).sqrt()
    return torch.stack([sine * angle.cos(), sine * angle.sin(), cosine], -1)


def flat_phase_space(number: int, products: int, generator: torch.Generator) -> Tensor:
    r"""Massless momenta :math:`q_i` of the decay products of a mother of mass 1 at rest, drawn from

    .. math:: \prod_i \frac{d^3 q_i}{E_i}\, \delta^4\Big(\sum_i q_i - (1, \vec 0)\Big)

    by the algorithm RAMBO (Kleiss, Stirling and Ellis, 1986): independent massless momenta with the energy
    spectrum :math:`E\, e^{-E}` are boosted to the rest frame of their sum and divided by its mass.

    Args:
        number: :math:`n` decays.
        products: :math:`k`, two or more.
        generator: source of the random numbers.

    Raises:
        ValueError: for fewer than two products.

    Shapes:
        - **output:** :math:`(n, k, 4)`, float64
    """
    if products < 2:
        raise ValueError(f"a decay has two products or more, not {products}")
    direction = isotropic(number * products, generator)
    u = torch.rand(len(direction), 2, dtype=torch.float64, generator=generator)
    energy = -(1 - u).log().sum(-1, keepdim=True)
    momenta = torch.cat([energy, energy * direction], -1).reshape(number, products, 4)
    total = momenta.sum(1, keepdim=True)
    return rest_frame(momenta, total) / minkowski_square(total).sqrt().unsqueeze(-1)


def with_masses(momenta: Tensor, masses: Tensor) -> Tensor:
    r"""Gives massless decay products at rest masses :math:`m_i` at the same directions and total energy :math:`M`,

    .. math:: \vec p_i = \xi \vec q_i, \qquad \sum_i \sqrt{m_i^2 + \xi^2 \vec q_i^{\,2}} = M = \sum_i |\vec q_i|,

    so the total momentum stays zero. :math:`\xi` is found by halving an interval.

    Args:
        momenta: :math:`q_i`, massless.
        masses: :math:`m_i`.

    Raises:
        ValueError: a mother is lighter than its products.

    Shapes:
        - momenta: :math:`(n, k, 4)`, masses: :math:`(n, k)`
        - **output:** :math:`(n, k, 4)`
    """
    size, total = torch.linalg.vector_norm(spatial(momenta), dim=-1), momenta[..., 0].sum(-1)
    light = masses.sum(-1) > total
    if light.any():
        worst = int(light.nonzero()[0])
        mass, sum_of_masses = float(total[worst]), float(masses[worst].sum())
        raise ValueError(f"decay {worst}: a mass of {mass:g} is below {sum_of_masses:g}, that of its products")
    low, high = torch.zeros_like(total), torch.ones_like(total)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = (masses.square() + (middle.unsqueeze(-1) * size).square()).sqrt().sum(-1) > total
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    p = low[:, None, None] * spatial(momenta)
    energy = (masses.square() + p.square().sum(-1)).sqrt()
    return torch.cat([energy.unsqueeze(-1), p], -1)


def boost_along(p: Tensor, axis: Tensor, factor: Tensor) -> Tensor:
    r"""Boosts along a direction :math:`\vec u`: :math:`E + \vec p \cdot \vec u` times :math:`f`,
    :math:`E - \vec p \cdot \vec u` divided by it, the rest as it is.

    Args:
        p: four-momenta.
        axis: :math:`\vec u`, of length 1.
        factor: :math:`f = e^\alpha` of the rapidity :math:`\alpha`.

    Shapes:
        - p: :math:`(*, 4)`, axis: :math:`(*, 3)`, factor: :math:`(*)`, broadcast against each other
        - **output:** :math:`(*, 4)`
    """
    along = (spatial(p) * axis).sum(-1)
    plus, minus = (p[..., 0] + along) * factor, (p[..., 0] - along) / factor
    step = ((plus - minus) / 2 - along).unsqueeze(-1) * axis
    return torch.cat([((plus + minus) / 2).unsqueeze(-1), spatial(p) + step], -1)


def turn(p: Tensor, old: Tensor, new: Tensor, angle: Tensor) -> Tensor:
    r"""Rotates the direction :math:`\vec u` to :math:`\vec v`, by half a turn about the direction halfway between
    them, and then by an angle about :math:`\vec v`.

    Directions that are exactly opposite are turned about an axis perpendicular to both.

    Shapes:
        - p: :math:`(n, N, 4)`, old, new: :math:`(n, 3)`, angle: :math:`(n,)`
        - **output:** :math:`(n, N, 4)`
    """
    middle = old + new
    opposite = torch.linalg.vector_norm(middle, dim=-1, keepdim=True) < 1e-9
    across = torch.linalg.cross(old, torch.eye(3, dtype=old.dtype)[old.abs().argmin(-1)], dim=-1)
    middle = torch.where(opposite, across, middle)
    middle = (middle / torch.linalg.vector_norm(middle, dim=-1, keepdim=True)).unsqueeze(1)
    axis = new.unsqueeze(1)
    v = 2 * (spatial(p) * middle).sum(-1, keepdim=True) * middle - spatial(p)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along = (v * axis).sum(-1, keepdim=True) * axis
    v = along + cosine * (v - along) + sine * torch.linalg.cross(axis.expand_as(v), v, dim=-1)
    return torch.cat([p[..., :1], v], -1)


def from_rest_frame(p: Tensor, total: Tensor) -> Tensor:
    r"""The inverse of :func:`~lgae_pyg.lorentz.frames.rest_frame`: vectors of the rest frame of :math:`P` in the
    frame in which it has these components.

    Shapes:
        - p, total: :math:`(*, 4)`, broadcast against each other
        - **output:** :math:`(*, 4)`
    """
    return rest_frame(p, total * total.new_tensor([1.0, -1.0, -1.0, -1.0]))


def at_mass(total: Tensor, mass: Tensor) -> Tensor:
    r"""The momentum with another mass: :math:`(\sqrt{M^2 + \vec P^2}, \vec P)`.

    Shapes:
        - total: :math:`(*, 4)`, mass: :math:`(*)`
        - **output:** :math:`(*, 4)`
    """
    energy = safe_sqrt(mass.square() + spatial(total).square().sum(-1))
    return torch.cat([energy.unsqueeze(-1), spatial(total)], -1)
