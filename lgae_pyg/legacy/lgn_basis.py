r"""The bases of the original LGN codes: what their irreps and couplings are in terms of ours.

The original labels an irrep by doubled numbers :math:`(k, n)` and stores it in the basis :math:`(l, m)`,
:math:`l = |k - n|/2, \ldots, (k + n)/2` and :math:`m = -l, \ldots, l`, that SU(2) couplings make of the product of
two spins; four-vectors are :math:`(t, (x - iy)/\sqrt2, z, -(x + iy)/\sqrt2)`. Every irrep occurs once in a
product, so its couplings differ from ours by numbers, once a matrix :math:`T_c` for each irrep says how to
translate:

.. math::
    \mathrm{CG}'_{ab \to c}(T_a x \otimes T_b y)
    = \lambda_{ab \to c}\; T_c\, \mathrm{CG}_{ab \to c}(x \otimes y).

Both are found by evaluating the two sides on random vectors.
"""

from functools import cache
from math import sqrt

import torch
from torch import Tensor

from lgae_pyg.lorentz.clebsch_gordan import clebsch_gordan, su2_coefficient_square
from lgae_pyg.lorentz.irreps import Irrep
from lgae_pyg.ops.products import SCALAR, VECTOR

Label = tuple[int, int]
_TOLERANCE = 1e-10


def label_of(irrep: Irrep) -> Label:
    """The original's label of an irrep."""
    return irrep.doubled


def irrep_of(label: Label) -> Irrep:
    """The irrep of an original's label."""
    return Irrep(label[0] / 2, label[1] / 2)


def key_of(label: Label) -> str:
    """The label as it is written in the original's keys, such as ``"(0, 2)"``."""
    return f"({label[0]}, {label[1]})"


@cache
def original_coupling(a: Label, b: Label, c: Label) -> Tensor:
    r"""The original's coupling of two irreps to a third,
    :math:`z_\gamma = \sum H_{\gamma\alpha\beta} x_\alpha y_\beta`.

    Shapes:
        - **output:** :math:`(\dim c, \dim a, \dim b)`, float64
    """
    first, second = (_su2(a[part], b[part], c[part]) for part in (0, 1))
    return torch.einsum("abz,dex,ghy,dga,ehb->zxy", _spins(c), _spins(a), _spins(b), first, second)


@cache
def _su2(j1: int, j2: int, j: int) -> Tensor:
    """SU(2) coefficients of doubled spins, (j1 + 1, j2 + 1, j + 1), projections in rising order."""
    table = torch.zeros(j1 + 1, j2 + 1, j + 1, dtype=torch.float64)
    for m1 in range(-j1, j1 + 1, 2):
        for m2 in range(-j2, j2 + 1, 2):
            if abs(m1 + m2) <= j:
                square = float(su2_coefficient_square(j1, m1, j2, m2, j, m1 + m2))
                place = (j1 + m1) // 2, (j2 + m2) // 2, (j + m1 + m2) // 2
                table[place] = sqrt(abs(square)) * (1 if square >= 0 else -1)
    return table


@cache
def _spins(label: Label) -> Tensor:
    """The basis (l, m) of an irrep in terms of its two spins, (k + 1, n + 1, dim)."""
    k, n = label
    return torch.cat([_su2(k, n, spin) for spin in range(abs(k - n), k + n + 1, 2)], -1)


@cache
def translation(irrep: Irrep) -> Tensor:
    r"""The matrix :math:`T` that takes our components of an irrep to the original's; for irreps other than scalars
    and four-vectors its factor is fixed by the coupling that it is first made with.

    Raises:
        ValueError: for irreps that products of four-vectors do not contain.

    Shapes:
        - **output:** :math:`(\dim, \dim)`, complex128
    """
    if irrep == SCALAR:
        return torch.ones(1, 1, dtype=torch.complex128)
    if irrep == VECTOR:
        root = sqrt(0.5)
        rows = [[1, 0, 0, 0], [0, root, -1j * root, 0], [0, 0, 0, 1], [0, -root, -1j * root, 0]]
        return torch.tensor(rows, dtype=torch.complex128)
    parent = _parent(irrep)
    x, y = _random(parent.dim, 1), _random(VECTOR.dim, 2)
    ours = torch.einsum("zxy,nx,ny->nz", clebsch_gordan(parent, VECTOR, irrep), x, y)
    theirs = _theirs(x, y, parent, VECTOR, irrep)
    matrix = torch.linalg.lstsq(ours, theirs).solution.T
    if (ours @ matrix.T - theirs).abs().max() > _TOLERANCE:
        raise ValueError(f"{irrep} of ours is not {label_of(irrep)} of the original")
    return matrix


def _parent(irrep: Irrep) -> Irrep:
    """An irrep nearer to the scalars whose product with a four-vector contains the irrep."""
    m, n = irrep.doubled
    if (m + n) % 2:
        raise ValueError(f"{irrep} is not contained in products of four-vectors")
    if m and n:
        return Irrep((m - 1) / 2, (n - 1) / 2)
    return Irrep((m - 1) / 2, 0.5) if m else Irrep(0.5, (n - 1) / 2)


@cache
def factor(a: Irrep, b: Irrep, c: Irrep, swapped: bool = False) -> complex:
    r"""The number :math:`\lambda_{ab \to c}`; ``swapped`` compares with our coupling of b and a.

    Raises:
        ValueError: if the two couplings differ by more than a number.
    """
    x, y = _random(a.dim, 1), _random(b.dim, 2)
    table = clebsch_gordan(b, a, c).mT if swapped else clebsch_gordan(a, b, c)
    ours = torch.einsum("zxy,nx,ny->nz", table, x, y) @ translation(c).T
    theirs = _theirs(x, y, a, b, c)
    ratio = (ours.conj() * theirs).sum() / ours.abs().square().sum()
    if (ratio * ours - theirs).abs().max() > _TOLERANCE * 10:
        raise ValueError(f"the coupling {a} x {b} -> {c} is none of the original's")
    return complex(ratio)


@cache
def square_factor(irrep: Irrep) -> complex:
    r"""The number by which the original's invariant square, :math:`\sum (-1)^{l + m} v_{lm} v_{l,-m}`, is larger
    than our coupling of :math:`v` with itself to a scalar."""
    v = _random(irrep.dim, 1)
    ours = torch.einsum("zxy,nx,ny->nz", clebsch_gordan(irrep, irrep, SCALAR), v, v)[:, 0]
    k, n = label_of(irrep)
    translated, theirs, place = v @ translation(irrep).T, torch.zeros(64, dtype=torch.complex128), 0
    for spin in range(abs(k - n), k + n + 1, 2):
        block = translated[:, place : place + spin + 1]
        signs = torch.tensor([(-1.0) ** number for number in range(spin + 1)], dtype=torch.complex128)
        theirs += (signs * block * block.flip(-1)).sum(-1)
        place += spin + 1
    ratio = (ours.conj() * theirs).sum() / ours.abs().square().sum()
    if (ratio * ours - theirs).abs().max() > _TOLERANCE * 10:
        raise ValueError(f"the invariant square of {irrep} is not the original's")
    return complex(ratio)


def _theirs(x: Tensor, y: Tensor, a: Irrep, b: Irrep, c: Irrep) -> Tensor:
    table = original_coupling(label_of(a), label_of(b), label_of(c)).to(torch.complex128)
    return torch.einsum("zxy,nx,ny->nz", table, x @ translation(a).T, y @ translation(b).T)


def _random(dim: int, seed: int) -> Tensor:
    """Random vectors, the same each time, (64, dim)."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(2, 64, dim, generator=generator, dtype=torch.float64)
    return torch.complex(*parts)
