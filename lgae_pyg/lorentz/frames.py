r"""Body-fixed frames of a jet, and light-like vectors that carry one invariant more.

A massless particle is three numbers, a four-vector four. What the fourth can hold, and how further particles are
written in invariants, relative to axes that the jet itself provides.
"""

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square, safe_sqrt

#: Size, in roundings of its terms, below which an invariant counts as zero: no rest frame, no axis.
ROUNDINGS = 64


def attach_invariant(p: Tensor, total: Tensor, invariant: Tensor) -> Tensor:
    r"""Adds to light-like vectors a multiple of a time-like one, by which they carry an invariant each,

    .. math:: z = p + \sigma \frac{p \cdot P}{P^2} P .

    Where :math:`P` is light-like itself, nothing is added. :func:`detach_invariant` finds both again.

    Args:
        p: the light-like vectors :math:`p`.
        total: :math:`P`, future-directed.
        invariant: :math:`\sigma > -1`.

    Shapes:
        - p: :math:`(*, 4)`, total: :math:`(*, 4)`, invariant: :math:`(*)`
        - **output:** :math:`(*, 4)`
    """
    square = minkowski_square(total)
    timelike = square > rounding(total[..., 0].square())
    step = _ratio_where(timelike, invariant * minkowski_dot(p, total), square)
    return p + step.unsqueeze(-1) * total


def detach_invariant(z: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    r"""The light-like vector and the invariant that :func:`attach_invariant` was given.

    Of :math:`(z - t P)^2 = 0` the smaller root is taken, in the form that does not cancel,

    .. math:: t = \frac{z^2}{z \cdot P + \sqrt{(z \cdot P)^2 - z^2 P^2}}, \qquad
        p = z - t P, \quad \sigma = \frac{t P^2}{p \cdot P} ;

    with :math:`z \cdot P = (1 + \sigma)\, p \cdot P` the root is :math:`p \cdot P`, so it is the right one for
    :math:`\sigma > -1`.

    Shapes:
        - z: :math:`(*, 4)`, total: :math:`(*, 4)`
        - **output:** :math:`(*, 4)` and :math:`(*)`; zero for :math:`z = 0`
    """
    square, product, total_square = minkowski_square(z), minkowski_dot(z, total), minkowski_square(total)
    root = safe_sqrt(product.square() - square * total_square)
    alive = product > rounding(z[..., 0] * total[..., 0])
    step = _ratio_where(alive, square, product + root)
    p = z - step.unsqueeze(-1) * total
    product = minkowski_dot(p, total)
    return p, _ratio_where(alive & (product > 0), step * total_square, product)


def body_frame(total: Tensor, momenta: Tensor) -> Tensor:
    r"""Four orthonormal vectors that turn and are boosted with a jet: :math:`e_a \cdot e_b = g_{ab}`.

    :math:`e_0 = P / M`; :math:`e_1` is the direction of the first momentum in the rest frame of :math:`P`,
    :math:`e_2` that of the momentum with the largest part perpendicular to it, that part, and
    :math:`e_3^\mu = \epsilon^{\mu\nu\rho\sigma} e_{0\nu} e_{1\rho} e_{2\sigma}`. They commute with Lorentz
    transformations (under a reflection :math:`e_3` changes its sign). What does not exist, because :math:`P` is
    light-like or all momenta are parallel in its rest frame, is zero. Momenta are in any unit, the vectors have
    none.

    Shapes:
        - total: :math:`(B, 4)`, momenta: :math:`(B, k, 4)`
        - **output:** :math:`(B, 4, 4)`, the vectors :math:`e_a` in rows
    """
    time = _unit(total, minkowski_square(total), total[:, 0].square())
    own = minkowski_dot(momenta, time.unsqueeze(1))
    space = momenta - own.unsqueeze(-1) * time.unsqueeze(1)
    first = _unit(space[:, 0], -minkowski_square(space[:, 0]), own[:, 0].square())
    across = space + minkowski_dot(space, first.unsqueeze(1)).unsqueeze(-1) * first.unsqueeze(1)
    lengths = -minkowski_square(across)
    widest = lengths.argmax(1, keepdim=True)
    chosen = across.gather(1, widest.unsqueeze(-1).expand(-1, -1, 4)).squeeze(1)
    second = _unit(chosen, lengths.gather(1, widest).squeeze(1), own.square().amax(1))
    return torch.stack([time, first, second, _orthogonal(time, first, second)], 1)


def frame_coordinates(p: Tensor, frame: Tensor) -> Tensor:
    r"""The spatial coordinates :math:`q_a = - p \cdot e_a`, :math:`a = 1, 2, 3`, of vectors in a frame.

    Shapes:
        - p: :math:`(B, k, 4)`, frame: :math:`(B, 4, 4)`
        - **output:** :math:`(B, k, 3)`
    """
    return -minkowski_dot(p.unsqueeze(2), frame[:, None, 1:])


def massless_from_coordinates(coordinates: Tensor, frame: Tensor) -> Tensor:
    r"""The light-like vectors of given coordinates, :math:`p = |q|\, e_0 + \sum_a q_a e_a`.

    Shapes:
        - coordinates: :math:`(B, k, 3)`, frame: :math:`(B, 4, 4)`
        - **output:** :math:`(B, k, 4)`
    """
    length = torch.linalg.vector_norm(coordinates, dim=-1, keepdim=True)
    return torch.cat([length, coordinates], -1) @ frame


def rest_frame(p: Tensor, total: Tensor) -> Tensor:
    r"""Vectors in the rest frame of :math:`P`, by a boost without rotation,

    .. math:: E' = \frac{p \cdot P}{M}, \qquad \vec p\,' = \vec p - \frac{E + E'}{P_0 + M} \vec P .

    Where :math:`P` is light-like, within rounding, vectors stay as they are.

    Args:
        p: the vectors.
        total: :math:`P`, future-directed.

    Shapes:
        - p, total: :math:`(*, 4)`, broadcast against each other
        - **output:** :math:`(*, 4)`
    """
    square = minkowski_square(total)
    timelike = (square > rounding(total[..., 0].square())).unsqueeze(-1)
    m = safe_sqrt(torch.where(timelike.squeeze(-1), square, torch.ones_like(square))).unsqueeze(-1)
    e = minkowski_dot(p, total).unsqueeze(-1) / m
    step = (p[..., :1] + e) / torch.where(timelike, total[..., :1] + m, torch.ones_like(m))
    return torch.where(timelike, torch.cat([e, p[..., 1:] - step * total[..., 1:]], -1), p)


def rounding(size: Tensor) -> Tensor:
    """What rounding may make of an invariant that is zero, given the size of the terms that cancel in it;
    of any shape."""
    return ROUNDINGS * torch.finfo(size.dtype).eps * size


def _unit(vector: Tensor, square: Tensor, size: Tensor) -> Tensor:
    """Vectors divided by their length, zero where it is nothing beside the size of their terms."""
    return vector * _ratio_where(square > rounding(size), torch.ones_like(square), safe_sqrt(square)).unsqueeze(-1)


def _ratio_where(there: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
    """The ratio where it is wanted, elsewhere 0 with gradient 0."""
    ratio = numerator / torch.where(there, denominator, torch.ones_like(denominator))
    return torch.where(there, ratio, torch.zeros_like(ratio))


def _orthogonal(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    r"""The vector :math:`\epsilon^{\mu\nu\rho\sigma} a_\nu b_\rho c_\sigma`, orthogonal to all three."""
    metric = a.new_tensor([1.0, -1.0, -1.0, -1.0])
    rows = metric * torch.stack([a, b, c], -2)
    columns = [[nu for nu in range(4) if nu != mu] for mu in range(4)]
    minors = []
    for mu, keep in enumerate(columns):
        first, second, third = rows[..., keep].unbind(-2)
        minors.append((-1) ** mu * (first * torch.linalg.cross(second, third)).sum(-1))
    return torch.stack(minors, -1)
