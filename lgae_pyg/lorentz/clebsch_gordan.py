r"""Clebsch-Gordan coefficients of the Lorentz group.

The irrep :math:`(m, n)` is a product of two spins, so its couplings are products of two SU(2) couplings,

.. math::
    C^{(m,n)\,(a b)}_{(m_1,n_1)\,(a_1 b_1),\;(m_2,n_2)\,(a_2 b_2)} =
    \langle m_1 a_1;\, m_2 a_2 | m\, a \rangle \; \langle n_1 b_1;\, n_2 b_2 | n\, b \rangle .

Four-vectors are Cartesian in this package; legs (1/2,1/2) are converted by the unitary matrix of
:func:`spinor_from_cartesian`. Source: Bogatskiy et al., arXiv:2006.04780, and Hao et al., Eur. Phys. J. C 83
(2023) 485, with the basis and the phases given here.
"""

from fractions import Fraction
from functools import cache
from math import factorial

import torch
from torch import Tensor

from lgae_pyg.lorentz.irreps import Irrep

_VECTOR = Irrep(0.5, 0.5)
# The spinor components (++, +-, -+, --) of a four-vector (E, px, py, pz), times the square root of two.
_SPINOR_FROM_CARTESIAN = ((0, 1, -1j, 0), (1, 0, 0, -1), (-1, 0, 0, -1), (0, -1, -1j, 0))


def clebsch_gordan(a: Irrep | str, b: Irrep | str, c: Irrep | str) -> Tensor:
    r"""The coefficients that couple irreps a and b to the irrep c,
    :math:`z_k = \sum_{ij} C_{kij}\, x_i\, y_j`.

    If x transforms with :math:`\rho_a(\Lambda)` and y with :math:`\rho_b(\Lambda)`, then z transforms with
    :math:`\rho_c(\Lambda)`, in the bases of :mod:`lgae_pyg.lorentz.group`. The matrices :math:`C_{k,(ij)}` of
    all c in the product, stacked, are unitary. In particular

    - (0,0) with any irrep r gives r with coefficient 1;
    - (1/2,1/2) with (1/2,1/2) to (0,0) is :math:`\tfrac12 \langle v, w \rangle`, the Minkowski product;
    - exchanging a and b gives the sign :math:`(-1)^{m_a + m_b - m_c + n_a + n_b - n_c}`.

    The coefficients are real (their imaginary parts are exactly 0) if none of a, b, c is (1/2,1/2), or if all
    three are (0,0) or (1/2,1/2). With other Cartesian legs they are complex.

    Args:
        a: First factor, an :class:`Irrep` or text such as ``"(1/2,1/2)"``.
        b: Second factor.
        c: An irrep of their product.

    Shapes:
        - **output:** :math:`(dim_c, dim_a, dim_b)`, complex128 (a copy of the cached table)

    Raises:
        ValueError: If the product of a and b does not contain c.
    """
    return _coupling(Irrep.parse(a), Irrep.parse(b), Irrep.parse(c)).clone()


def spinor_from_cartesian() -> Tensor:
    r"""The unitary matrix U that takes the Cartesian components of a four-vector to the product basis
    :math:`|\tfrac12, \pm\tfrac12\rangle |\tfrac12, \pm\tfrac12\rangle` of (1/2,1/2),

    .. math::
        U v = \tfrac{1}{\sqrt2} \left( p_x - i p_y,\; E - p_z,\; -E - p_z,\; -p_x - i p_y \right) .

    It intertwines: :math:`D^{1/2}(A^{\dagger -1}) \otimes D^{1/2}(A)\; U = U \Lambda`.

    Shapes:
        - **output:** :math:`(4, 4)`, complex128
    """
    return torch.tensor(_SPINOR_FROM_CARTESIAN, dtype=torch.complex128) * 0.5**0.5


def su2_coefficient_square(j1: int, m1: int, j2: int, m2: int, j: int, m: int) -> Fraction:
    r"""The SU(2) Clebsch-Gordan coefficient :math:`\langle j_1 m_1; j_2 m_2 | j m \rangle`, times its
    absolute value, as an exact fraction (Racah's formula; phases of Condon and Shortley).

    Args:
        j1: **Doubled** spin of the first factor; so are all arguments.
        m1: Its doubled projection.
        j2: Doubled spin of the second factor.
        m2: Its doubled projection.
        j: Doubled spin of the result.
        m: Its doubled projection.
    """
    if m1 + m2 != m or not abs(j1 - j2) <= j <= j1 + j2 or (j1 + j2 - j) % 2:
        return Fraction(0)
    common, first, second = (j1 + j2 - j) // 2, (j1 - m1) // 2, (j2 + m2) // 2
    shift_first, shift_second = (j - j2 + m1) // 2, (j - j1 - m2) // 2
    total = Fraction(0)
    for k in range(max(0, -shift_first, -shift_second), min(common, first, second) + 1):
        arguments = (k, common - k, first - k, second - k, shift_first + k, shift_second + k)
        total += Fraction((-1) ** k, _factorials(*arguments))
    sides = _factorials(common, (j + j1 - j2) // 2, (j - j1 + j2) // 2)
    triangle = Fraction((j + 1) * sides, factorial((j1 + j2 + j) // 2 + 1))
    projections = _factorials(
        (j + m) // 2, (j - m) // 2, (j1 + m1) // 2, (j1 - m1) // 2, (j2 + m2) // 2, (j2 - m2) // 2
    )
    return triangle * projections * total * abs(total)


def _factorials(*numbers: int) -> int:
    """The product of the factorials."""
    product = 1
    for number in numbers:
        product *= factorial(number)
    return product


@cache
def _su2_squares(j1: int, j2: int, j: int) -> Tensor:
    """Signed squares of the SU(2) coefficients, (j + 1, j1 + 1, j2 + 1), projections in falling order."""
    table = [
        [[float(su2_coefficient_square(j1, m1, j2, m2, j, m)) for m2 in range(j2, -j2 - 1, -2)]
         for m1 in range(j1, -j1 - 1, -2)]
        for m in range(j, -j - 1, -2)
    ]  # fmt: skip
    return torch.tensor(table, dtype=torch.float64, device="cpu")  # whatever the default is when it is first made


@cache
def _coupling(a: Irrep, b: Irrep, c: Irrep) -> Tensor:
    """The table behind :func:`clebsch_gordan`."""
    if c not in a * b:
        contained = ", ".join(str(irrep) for irrep in a * b)
        raise ValueError(f"the product of {a} and {b} does not contain {c}; it contains {contained}")
    (m1, n1), (m2, n2), (m, n) = a.doubled, b.doubled, c.doubled
    # The root of the product of the squares, so that rational coefficients (the 1/2 of the Minkowski product)
    # come out exactly.
    squares = torch.einsum("cab,zxy->czaxby", _su2_squares(m1, m2, m), _su2_squares(n1, n2, n))
    squares = squares.reshape(c.dim, a.dim, b.dim)
    coupling = (squares.sign() * squares.abs().sqrt()).to(torch.complex128)
    cartesian = torch.tensor(_SPINOR_FROM_CARTESIAN, dtype=torch.complex128, device="cpu")
    if a == _VECTOR:
        coupling = torch.einsum("cij,ia->caj", coupling, cartesian)
    if b == _VECTOR:
        coupling = torch.einsum("cij,jb->cib", coupling, cartesian)
    if c == _VECTOR:
        coupling = torch.einsum("kij,kc->cij", coupling, cartesian.conj())
    return coupling * 0.5 ** ((a, b, c).count(_VECTOR) / 2)
