r"""Kinematics of four-momenta: products, masses, angles and coordinates relative to a jet axis.

A four-momentum is the last axis of a tensor, :math:`p = (E, p_x, p_y, p_z)`; the metric is
:math:`g = \mathrm{diag}(+1, -1, -1, -1)`. Columns are reached by the functions of this module and nowhere
else. All functions broadcast over the leading axes, keep the dtype and the device, take any unit (results
carry the unit of the input), and have finite gradients for rows of zeros.

A row of zeros (padding) has pseudorapidity, rapidity and azimuth 0. A non-zero momentum along the beam has
infinite pseudorapidity, and the functions say so.
"""

import math

import torch
from torch import Tensor


def energy(p: Tensor) -> Tensor:
    """The energy E of four-momenta.

    Args:
        p: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*)`
    """
    return p.unbind(-1)[0]


def spatial(p: Tensor) -> Tensor:
    r"""The three-momentum :math:`\vec p = (p_x, p_y, p_z)` of four-momenta.

    Args:
        p: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*, 3)`
    """
    return p[..., 1:]


def minkowski_dot(p: Tensor, q: Tensor) -> Tensor:
    r"""The Minkowski product
    :math:`\langle p, q \rangle = E_p E_q - \vec p \cdot \vec q`.

    It is bilinear also for complex vectors (no complex conjugation), so that it is invariant under the
    Lorentz group acting on both.

    Args:
        p: Four-vectors, real or complex.
        q: Four-vectors, real or complex.

    Shapes:
        - **input:** p :math:`(*, 4)`, q :math:`(*, 4)`, broadcast against each other
        - **output:** :math:`(*)`
    """
    return energy(p) * energy(q) - (spatial(p) * spatial(q)).sum(-1)


def minkowski_square(p: Tensor) -> Tensor:
    r"""The Minkowski square :math:`p^2 = \langle p, p \rangle = E^2 - |\vec p|^2` (the squared mass).

    Args:
        p: Four-vectors, real or complex.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*)`
    """
    return minkowski_dot(p, p)


def mass(p: Tensor) -> Tensor:
    r"""The signed invariant mass :math:`m = \mathrm{sign}(p^2) \sqrt{|p^2|}`.

    Space-like vectors have a negative mass. The gradient on the light cone, where it diverges, is set to 0.

    Args:
        p: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*)`
    """
    square = minkowski_square(p)
    return torch.sign(square) * safe_sqrt(square.abs())


def transverse_momentum(p: Tensor) -> Tensor:
    r"""The transverse momentum :math:`p_T = \sqrt{p_x^2 + p_y^2}`.

    Args:
        p: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*)`
    """
    return torch.linalg.vector_norm(p[..., 1:3], dim=-1)


def pseudorapidity(p: Tensor) -> Tensor:
    r"""The pseudorapidity :math:`\eta = \mathrm{asinh}(p_z / p_T)`.

    Rows with :math:`p_T = 0` have :math:`\eta = 0` if also :math:`p_z = 0`, otherwise :math:`\pm\infty`.

    Args:
        p: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*)`
    """
    _, _, _, pz = p.unbind(-1)
    return torch.asinh(_ratio(pz, transverse_momentum(p)))


def rapidity(p: Tensor) -> Tensor:
    r"""The rapidity along the beam,
    :math:`y = \tfrac12 \ln\frac{E + p_z}{E - p_z} = \mathrm{asinh}(p_z / m_T)` with
    :math:`m_T^2 = (E - p_z)(E + p_z)`.

    The second form does not cancel. Under a boost of rapidity :math:`\alpha` along z, :math:`y` becomes
    :math:`y + \alpha`. Where :math:`E \le |p_z|` the rapidity is 0 if :math:`p_z = 0`, otherwise
    :math:`\pm\infty` (the value on the light cone).

    Args:
        p: Four-momenta of positive energy.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*)`
    """
    e, _, _, pz = p.unbind(-1)
    return torch.asinh(_ratio(pz, safe_sqrt((e - pz) * (e + pz))))


def azimuth(p: Tensor) -> Tensor:
    r"""The azimuth :math:`\phi = \mathrm{atan2}(p_y, p_x)` in :math:`[-\pi, \pi]`, 0 where :math:`p_T = 0`.

    Args:
        p: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*)`
    """
    _, px, py, _ = p.unbind(-1)
    at_origin = (px == 0) & (py == 0)
    return torch.atan2(py, px.masked_fill(at_origin, 1.0)).masked_fill(at_origin, 0.0)


def wrap_angle(phi: Tensor) -> Tensor:
    r"""The angle in :math:`[-\pi, \pi)` that differs from :math:`\phi` by whole turns.

    Angles that already lie in the interval are returned unchanged, to the last bit.

    Args:
        phi: Angles in radians.

    Shapes:
        - **input:** phi :math:`(*)`
        - **output:** :math:`(*)`
    """
    turned = torch.remainder(phi, 2 * math.pi)
    turned = torch.where(turned >= math.pi, turned - 2 * math.pi, turned)
    return torch.where((phi >= -math.pi) & (phi < math.pi), phi, turned)


def delta_r(p: Tensor, q: Tensor) -> Tensor:
    r"""The angular distance :math:`\Delta R = \sqrt{(\eta_p - \eta_q)^2 + (\phi_p - \phi_q)^2}`, the
    difference of the azimuths wrapped to :math:`[-\pi, \pi)`.

    Args:
        p: Four-momenta.
        q: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`, q :math:`(*, 4)`, broadcast against each other
        - **output:** :math:`(*)`
    """
    eta_p, eta_q = torch.broadcast_tensors(pseudorapidity(p), pseudorapidity(q))
    # Two momenta along the same beam are at distance 0, although the difference of the infinities is not.
    delta_eta = torch.where(eta_p == eta_q, torch.zeros_like(eta_p), eta_p - eta_q)
    delta_phi = wrap_angle(azimuth(p) - azimuth(q))
    return torch.linalg.vector_norm(torch.stack([delta_eta, delta_phi], dim=-1), dim=-1)


def from_pt_eta_phi_m(pt: Tensor, eta: Tensor, phi: Tensor, m: Tensor | float | None = None) -> Tensor:
    r"""Four-momenta from transverse momentum, pseudorapidity, azimuth and mass,

    .. math::
        \vec p = p_T (\cos\phi, \sin\phi, \sinh\eta), \qquad
        E = \sqrt{p_T^2 \cosh^2\eta + m |m|} .

    Args:
        pt: Transverse momenta.
        eta: Pseudorapidities.
        phi: Azimuths in radians.
        m: Signed masses as :func:`mass` gives them; ``None`` means massless.

    Shapes:
        - **input:** pt, eta, phi, m :math:`(*)`, broadcast against each other
        - **output:** :math:`(*, 4)`
    """
    e = pt.abs() * torch.cosh(eta)
    if m is not None:
        m = torch.as_tensor(m, dtype=e.dtype, device=e.device)
        e = safe_sqrt(e * e + m * m.abs())
    components = (e, pt * torch.cos(phi), pt * torch.sin(phi), pt * torch.sinh(eta))
    return torch.stack(torch.broadcast_tensors(*components), dim=-1)


def massless(p: Tensor) -> Tensor:
    r"""The momenta with the energy replaced by :math:`|\vec p|`.

    Args:
        p: Four-momenta.

    Shapes:
        - **input:** p :math:`(*, 4)`
        - **output:** :math:`(*, 4)`
    """
    e = torch.linalg.vector_norm(spatial(p), dim=-1, keepdim=True)
    return torch.cat([e, spatial(p)], dim=-1)


def relative_coordinates(p4: Tensor, axis: Tensor) -> Tensor:
    r"""Coordinates of particles relative to the axis of their jet,

    .. math::
        p_T^\mathrm{rel} = p_T / p_T^\mathrm{jet}, \qquad
        \eta^\mathrm{rel} = \eta - \eta^\mathrm{jet}, \qquad
        \phi^\mathrm{rel} = \mathrm{wrap}(\phi - \phi^\mathrm{jet}) \in [-\pi, \pi) .

    Source: Hao et al., Eur. Phys. J. C 83 (2023) 485, Sec. 4.1 (JetNet's particle features).

    Args:
        p4: Four-momenta of the particles.
        axis: Four-momenta of the jets, one for each particle or broadcast over them.

    Shapes:
        - **input:** p4 :math:`(*, 4)`, axis :math:`(*, 4)`, broadcast against each other
        - **output:** :math:`(*, 3)`, the columns pt, eta, phi
    """
    pt = _ratio(transverse_momentum(p4), transverse_momentum(axis))
    eta = pseudorapidity(p4) - pseudorapidity(axis)
    phi = wrap_angle(azimuth(p4) - azimuth(axis))
    return torch.stack([pt, eta, phi], dim=-1)


def from_relative_coordinates(relative: Tensor, axis: Tensor) -> Tensor:
    r"""Massless four-momenta from coordinates relative to a jet axis, the inverse of
    :func:`relative_coordinates`.

    Args:
        relative: The columns pt, eta, phi relative to the axis.
        axis: Four-momenta of the jets, one for each particle or broadcast over them.

    Shapes:
        - **input:** relative :math:`(*, 3)`, axis :math:`(*, 4)`, broadcast against each other
        - **output:** :math:`(*, 4)`
    """
    pt, eta, phi = relative.unbind(-1)
    return from_pt_eta_phi_m(
        pt * transverse_momentum(axis), eta + pseudorapidity(axis), wrap_angle(phi + azimuth(axis))
    )


def safe_sqrt(x: Tensor) -> Tensor:
    """The square root where x > 0, otherwise 0 with gradient 0; of any shape."""
    positive = x > 0
    return torch.where(positive, x, torch.ones_like(x)).sqrt() * positive


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator for denominators >= 0, where 0 / 0 is 0 and x / 0 is infinite with x's sign."""
    numerator, denominator = torch.broadcast_tensors(numerator, denominator)
    positive = denominator > 0
    quotient = numerator / torch.where(positive, denominator, torch.ones_like(denominator))
    infinite = torch.copysign(torch.full_like(numerator, math.inf), numerator.detach())
    limit = torch.where(numerator == 0, torch.zeros_like(numerator), infinite)
    return torch.where(positive, quotient, limit)
