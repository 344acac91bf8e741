r"""Elements of the Lorentz group, its Lie algebra, and their matrices in any representation.

Conventions. Transformations are active, and written in terms of the hermitian rotation generators
:math:`J_k` and the boost generators :math:`K_k`,

.. math::
    \rho(\Lambda) = \exp(-i\, \vec\theta \cdot \vec J - i\, \vec\alpha \cdot \vec K), \qquad
    [J_i, J_j] = i \epsilon_{ijk} J_k, \quad [J_i, K_j] = i \epsilon_{ijk} K_k, \quad
    [K_i, K_j] = -i \epsilon_{ijk} J_k ,

so that a boost of rapidity :math:`\alpha` along +z maps :math:`(m, 0, 0, 0)` to :math:`(m \cosh\alpha, 0, 0,
m \sinh\alpha)`, and a rotation by :math:`\theta` about z turns x towards y. In the irrep :math:`(m, n)`,
:math:`\vec A = (\vec J + i \vec K) / 2` acts as spin :math:`m` and :math:`\vec B = (\vec J - i \vec K) / 2`
as spin :math:`n`: (1/2,0) is the left-handed, (0,1/2) the right-handed Weyl spinor.

Bases. (1/2,1/2) is Cartesian, :math:`(E, p_x, p_y, p_z)`, and its matrix is :math:`\Lambda` itself. Every
other irrep :math:`(m, n)` has the product basis :math:`|m, a\rangle |n, b\rangle` of the two spins, with
:math:`a = m, \ldots, -m` slow and :math:`b = n, \ldots, -n` fast, and the phases of Condon and Shortley.

All matrices live on the CPU in double precision; cast and move the result where it is used.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lgae_pyg.lorentz.irreps import Irrep, Irreps

Axis = str | Sequence[float] | Tensor

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
_SCALAR, _VECTOR = Irrep(0, 0), Irrep(0.5, 0.5)
# The matrices (1, sigma_x, sigma_y, sigma_z), and the diagonals of the four-dimensional matrices of the
# identity and of half a turn about x, y and z, to which they belong.
_SIGMA = (((1, 0), (0, 1)), ((0, 1), (1, 0)), ((0, -1j), (1j, 0)), ((1, 0), (0, -1)))
_HALF_TURNS = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))


def boost(rapidity: float, axis: Axis = "z") -> Tensor:
    r"""The active boost of rapidity :math:`\alpha` along the unit vector :math:`\vec u`,

    .. math::
        \Lambda = \begin{pmatrix} \cosh\alpha & \vec u^T \sinh\alpha \\
        \vec u \sinh\alpha & 1 + (\cosh\alpha - 1)\, \vec u \vec u^T \end{pmatrix} .

    Args:
        rapidity: The rapidity :math:`\alpha`; the Lorentz factor is :math:`\gamma = \cosh\alpha`.
        axis: ``"x"``, ``"y"``, ``"z"`` or a vector of three numbers (its length does not matter).

    Shapes:
        - **output:** :math:`(4, 4)`, float64

    Raises:
        ValueError: If the rapidity is not finite or the axis is not a direction.
    """
    alpha, unit = _finite(rapidity, "rapidity"), _unit_vector(axis)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[0, 0] = math.cosh(alpha)
    matrix[0, 1:] = matrix[1:, 0] = math.sinh(alpha) * unit
    # cosh(a) - 1 = 2 sinh(a / 2)^2 without cancellation.
    matrix[1:, 1:] += 2 * math.sinh(alpha / 2) ** 2 * torch.outer(unit, unit)
    return matrix


def rotation(angle: float, axis: Axis = "z") -> Tensor:
    r"""The active rotation by the angle :math:`\theta` about the unit vector :math:`\vec u` (Rodrigues),
    :math:`R = 1 + \sin\theta\, [\vec u]_\times + (1 - \cos\theta)\, [\vec u]_\times^2`, on the spatial
    components.

    Args:
        angle: The angle in radians.
        axis: ``"x"``, ``"y"``, ``"z"`` or a vector of three numbers (its length does not matter).

    Shapes:
        - **output:** :math:`(4, 4)`, float64

    Raises:
        ValueError: If the angle is not finite or the axis is not a direction.
    """
    theta, unit = _finite(angle, "angle"), _unit_vector(axis)
    # The columns of the matrix of v -> u x v are the images of the basis vectors.
    cross = torch.linalg.cross(unit.expand(3, 3), torch.eye(3, dtype=torch.float64)).T
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[1:, 1:] += math.sin(theta) * cross + 2 * math.sin(theta / 2) ** 2 * (cross @ cross)
    return matrix


def random_lorentz(
    max_rapidity: float = 1.0, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64
) -> Tensor:
    r"""A random proper orthochronous transformation :math:`\Lambda = R_1 B R_2`.

    :math:`R_1` and :math:`R_2` are rotations by uniform angles about uniform random axes; :math:`B` is a
    boost along a uniform random axis with a rapidity uniform in [0, ``max_rapidity``].

    Args:
        max_rapidity: The largest rapidity; 0 gives rotations only.
        generator: Source of randomness; the global one if ``None``.
        dtype: Type of the result, which is computed in float64.

    Shapes:
        - **output:** :math:`(4, 4)`

    Raises:
        ValueError: If ``max_rapidity`` is negative or not finite.
    """
    if _finite(max_rapidity, "max_rapidity") < 0:
        raise ValueError(f"max_rapidity must not be negative, got {max_rapidity}")
    axes = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    first, second, fraction = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    boosted = boost(fraction * max_rapidity, axes[0]) @ rotation(2 * math.pi * first, axes[1])
    return (rotation(2 * math.pi * second, axes[2]) @ boosted).to(dtype)


def generators(irreps: Irreps | Irrep | str) -> tuple[Tensor, Tensor]:
    r"""The matrices of the rotation generators :math:`J_k` and the boost generators :math:`K_k`, with
    :math:`\rho(\Lambda) = \exp(-i\, \vec\theta \cdot \vec J - i\, \vec\alpha \cdot \vec K)`.

    :math:`J_k = A_k + B_k` and :math:`K_k = -i (A_k - B_k)` with the spins :math:`\vec A` and :math:`\vec B`
    of the irrep; for (1/2,1/2) they are purely imaginary, in the Cartesian basis.

    Args:
        irreps: An irrep, or a direct sum (then the matrices are block-diagonal).

    Shapes:
        - **output:** :math:`J` and :math:`K`, :math:`(3, dim, dim)` each, complex128
    """
    blocks = [_irrep_generators(irrep) for mul, irrep in Irreps(irreps) for _ in range(mul)]
    rotations, boosts = (
        torch.stack([_block_diagonal([block[kind][k] for block in blocks]) for k in range(3)]) for kind in (0, 1)
    )
    return rotations, boosts


def representation_matrix(irreps: Irreps | Irrep | str, transform: Tensor) -> Tensor:
    r"""The matrix of a Lorentz transformation in a representation.

    It is computed exactly (no matrix logarithm), through the matrix :math:`A \in SL(2, \mathbb{C})` of
    :math:`\Lambda` (see :func:`spinor_matrix`) and its symmetric tensor powers:
    :math:`\rho_{(m,n)}(\Lambda) = D^m(A^{\dagger -1}) \otimes D^n(A)`. So it is accurate at any rapidity, up
    to the rounding of :math:`\Lambda`'s own entries, which leaves an error of the order of
    :math:`10^{-16} \gamma` in the phase of :math:`A` (felt by irreps with :math:`m \ne n` only).

    The sign of :math:`A` is a choice (:math:`\mathrm{Re}\, \mathrm{tr} A \ge 0`). Irreps with integer
    :math:`m + n` do not feel it; with half-integer :math:`m + n`,
    :math:`\rho(\Lambda_1) \rho(\Lambda_2) = \pm \rho(\Lambda_1 \Lambda_2)`, as it must be for spinors.

    Args:
        irreps: An irrep or a direct sum, also as text.
        transform: A proper orthochronous Lorentz transformation :math:`\Lambda`.

    Shapes:
        - **input:** transform :math:`(4, 4)`
        - **output:** :math:`(dim, dim)`; float64 if only (0,0) and (1/2,1/2) occur, otherwise complex128

    Raises:
        ValueError: If ``transform`` is not a proper orthochronous Lorentz transformation.
    """
    spinor = spinor_matrix(transform)
    vector = transform.detach().to("cpu", torch.float64)
    blocks = []
    for mul, irrep in Irreps(irreps):
        matrix = vector if irrep == _VECTOR else _irrep_matrix(irrep, spinor)
        blocks.extend([matrix] * mul)
    return _block_diagonal(blocks)


def spinor_matrix(transform: Tensor) -> Tensor:
    r"""The matrix :math:`A \in SL(2, \mathbb{C})` of a Lorentz transformation, defined up to its sign by
    :math:`\sum_\mu (\Lambda p)^\mu \sigma_\mu = A\, \big(\sum_\mu p^\mu \sigma_\mu\big)\, A^\dagger` with
    :math:`\sigma = (1, \sigma_x, \sigma_y, \sigma_z)`.

    A boost is :math:`A = \exp(\vec\alpha \cdot \vec\sigma / 2)`, a rotation
    :math:`A = \exp(-i\, \vec\theta \cdot \vec\sigma / 2)`. It follows from the identity :math:`\sum_{\mu\nu}
    \Lambda^\mu{}_\nu\, \sigma_\mu \sigma_\nu = 2\, \overline{\mathrm{tr} A}\, A`, with
    :math:`|\mathrm{tr} A|^2 = \mathrm{tr} \Lambda`. Where this trace is small, :math:`\Lambda` is first
    multiplied by half a turn about x, y or z; one of the four traces is always at least 1.
    The sign is such that :math:`\mathrm{Re}\, \mathrm{tr} A \ge 0` (if that is 0 up to rounding, as for
    rotations by half a turn, rounding decides).

    Args:
        transform: A proper orthochronous Lorentz transformation.

    Shapes:
        - **input:** transform :math:`(4, 4)`
        - **output:** :math:`(2, 2)`, complex128

    Raises:
        ValueError: If ``transform`` is not a proper orthochronous Lorentz transformation. The deviation
            allowed is the square root of the rounding error, relative to the largest entry (which is of the
            order of the Lorentz factor).
    """
    if transform.shape != (4, 4) or not transform.dtype.is_floating_point:
        shape, dtype = tuple(transform.shape), transform.dtype
        raise ValueError(f"a Lorentz transformation is a real (4, 4) matrix, not {shape} of {dtype}")
    matrix = transform.detach().to("cpu", torch.float64)
    sigma = torch.tensor(_SIGMA, dtype=torch.complex128)
    half_turns = torch.tensor(_HALF_TURNS, dtype=torch.float64)
    traces = half_turns @ matrix.diagonal()
    choice = int(traces.nan_to_num(-1.0).argmax())
    turned = (matrix * half_turns[choice]).to(sigma.dtype) / (2 * traces[choice].sqrt())
    spinor = torch.einsum("mn,mab,nbc->ac", turned, sigma, sigma) @ sigma[choice]
    determinant = torch.linalg.det(spinor)
    spinor = spinor / torch.sqrt(determinant / determinant.abs())
    rebuilt = torch.einsum("mab,bc,ncd,ad->mn", sigma, spinor, sigma, spinor.conj()).real / 2
    deviation = torch.maximum((rebuilt - matrix).abs().max(), (determinant.abs() - 1).abs())
    # Comparisons with NaN are false, so that matrices which are not finite are refused here, too.
    if not bool(deviation <= math.sqrt(torch.finfo(transform.dtype).eps) * matrix.abs().max()):
        raise ValueError("the matrix is not a proper orthochronous Lorentz transformation")
    return -spinor if spinor.trace().real < 0 else spinor


def _irrep_matrix(irrep: Irrep, spinor: Tensor) -> Tensor:
    """The matrix of an irrep, from the spinor matrix A; not for (1/2,1/2), whose basis is Cartesian."""
    if irrep == _SCALAR:
        return torch.ones(1, 1, dtype=torch.float64)
    (a, b), (c, d) = spinor.tolist()
    left = [[d.conjugate(), -c.conjugate()], [-b.conjugate(), a.conjugate()]]
    m, n = irrep.doubled
    return torch.kron(_symmetric_power(m, left), _symmetric_power(n, [[a, b], [c, d]]))


def _symmetric_power(doubled: int, matrix: list[list[complex]]) -> Tensor:
    r"""The spin-j matrix :math:`D^j(A)`, j = doubled / 2, in the basis m = j, ..., -j.

    It acts on the monomials :math:`u^{j+m} v^{j-m} / \sqrt{(j+m)!\, (j-m)!}`, where A maps u to
    :math:`a u + c v` and v to :math:`b u + d v`.
    """
    (a, b), (c, d) = matrix
    power = torch.zeros(doubled + 1, doubled + 1, dtype=torch.complex128)
    for column in range(doubled + 1):
        ups, downs = doubled - column, column
        for row in range(doubled + 1):
            kept = doubled - row
            terms = [
                math.comb(ups, k) * a**k * c ** (ups - k)
                * math.comb(downs, kept - k) * b ** (kept - k) * d ** (downs - kept + k)
                for k in range(max(0, kept - downs), min(ups, kept) + 1)
            ]  # fmt: skip
            norm = math.sqrt(math.comb(doubled, column) / math.comb(doubled, row))
            power[row, column] = torch.tensor(norm * sum(terms), dtype=power.dtype)
    return power


def _irrep_generators(irrep: Irrep) -> tuple[Tensor, Tensor]:
    """The generators (J, K) of an irrep, (3, dim, dim) each."""
    if irrep == _VECTOR:
        rotations = torch.zeros(3, 4, 4, dtype=torch.complex128)
        boosts, unit = torch.zeros_like(rotations), torch.tensor(1j, dtype=rotations.dtype)
        for k in range(3):
            i, j = (k + 1) % 3 + 1, (k + 2) % 3 + 1
            rotations[k, i, j], rotations[k, j, i] = -unit, unit
            boosts[k, 0, k + 1] = boosts[k, k + 1, 0] = unit
        return rotations, boosts
    m, n = irrep.doubled
    identity_m, identity_n = (torch.eye(k + 1, dtype=torch.complex128) for k in (m, n))
    spin_a = torch.stack([torch.kron(spin, identity_n) for spin in _spin_matrices(m)])
    spin_b = torch.stack([torch.kron(identity_m, spin) for spin in _spin_matrices(n)])
    return spin_a + spin_b, -1j * (spin_a - spin_b)


def _spin_matrices(doubled: int) -> Tensor:
    """The matrices (Jx, Jy, Jz) of spin doubled / 2 in the basis m = j, ..., -j."""
    m = torch.arange(doubled, -doubled - 1, -2, dtype=torch.float64) / 2
    j = doubled / 2
    raising = torch.diag(torch.sqrt(j * (j + 1) - m[1:] * (m[1:] + 1)), 1).to(torch.complex128)
    lowering = raising.mH
    jz = torch.diag(m).to(torch.complex128)
    return torch.stack([(raising + lowering) / 2, (raising - lowering) / 2j, jz])


def _block_diagonal(blocks: list[Tensor]) -> Tensor:
    """The block-diagonal matrix; (0, 0) for no blocks."""
    return torch.block_diag(*blocks) if blocks else torch.zeros(0, 0, dtype=torch.float64)


def _finite(value: float, name: str) -> float:
    """The value as a float, checked to be finite."""
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"the {name} must be finite, got {value}")
    return value


def _unit_vector(axis: Axis) -> Tensor:
    """The direction of an axis, (3,) in float64."""
    if isinstance(axis, str):
        if axis not in _AXES:
            raise ValueError(f"the axis {axis!r} is not 'x', 'y', 'z' or a vector of three numbers")
        axis = _AXES[axis]
    vector = torch.as_tensor(axis, dtype=torch.float64).detach().cpu()
    if vector.shape != (3,) or not bool(torch.isfinite(vector).all()) or not bool(vector.any()):
        raise ValueError(f"the axis must be a finite, non-zero vector of three numbers, got {axis!r}")
    vector = vector / vector.abs().max()
    return vector / torch.linalg.vector_norm(vector)
