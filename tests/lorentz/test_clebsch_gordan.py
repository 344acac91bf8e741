"""Clebsch-Gordan coefficients: unitary, equivariant under the algebra and the group, with fixed phases."""

import itertools
import math
from functools import cache

import pytest
import torch

from lgae_pyg.lorentz import (
    Irrep,
    boost,
    clebsch_gordan,
    generators,
    minkowski_dot,
    random_lorentz,
    representation_matrix,
    rotation,
)
from lgae_pyg.lorentz.clebsch_gordan import spinor_from_cartesian, su2_coefficient_square
from lgae_pyg.lorentz.group import spinor_matrix

IRREPS = [Irrep(k / 2, n / 2) for k in range(4) for n in range(4)]
SCALAR, VECTOR = Irrep(0, 0), Irrep(0.5, 0.5)
every_factor = pytest.mark.parametrize("a", IRREPS, ids=str)


@cache
def _algebra(irrep):
    """The six generators, (6, dim, dim)."""
    return torch.cat(generators(irrep))


@cache
def _elements(irrep):
    """The matrices of three group elements."""
    source = torch.Generator().manual_seed(11)
    matrices = [representation_matrix(irrep, random_lorentz(0.7, source)) for _ in range(3)]
    return torch.stack(matrices).to(torch.complex128)


def _couplings(a, b):
    """All (c, matrix (dim_c, dim_a * dim_b)) of a product."""
    return [(c, clebsch_gordan(a, b, c).flatten(1)) for c in a * b]


def _su2_table(j1, j2, j):
    """The SU(2) coefficients (j + 1, (j1 + 1)(j2 + 1)) of doubled spins."""
    pairs = list(itertools.product(range(-j1, j1 + 1, 2), range(-j2, j2 + 1, 2)))
    squares = [[su2_coefficient_square(j1, x, j2, y, j, m) for x, y in pairs] for m in range(-j, j + 1, 2)]
    return torch.tensor(
        [[math.copysign(math.sqrt(abs(s)), s) for s in row] for row in squares], dtype=torch.float64
    )


@pytest.mark.parametrize(
    ("arguments", "value"),
    [((1, 1, 1, -1, 0, 0), math.sqrt(1 / 2)), ((1, -1, 1, 1, 0, 0), -math.sqrt(1 / 2)),
     ((2, 0, 2, 0, 2, 0), 0), ((2, 2, 2, -2, 4, 0), math.sqrt(1 / 6)), ((2, 0, 2, 0, 4, 0), math.sqrt(2 / 3)),
     ((2, 2, 1, -1, 3, 1), math.sqrt(1 / 3)), ((2, 0, 1, 1, 1, 1), -math.sqrt(1 / 3)),
     ((3, 1, 2, 0, 5, 1), math.sqrt(3 / 5)), ((1, 1, 1, 1, 2, 0), 0), ((2, 0, 2, 0, 6, 0), 0)],
)  # fmt: skip
def test_tabulated_su2_coefficients(arguments, value):
    """Values of the Review of Particle Physics' table of Clebsch-Gordan coefficients."""
    assert float(su2_coefficient_square(*arguments)) == pytest.approx(value * abs(value), rel=1e-15)


@pytest.mark.parametrize(("j1", "j2"), list(itertools.product(range(7), repeat=2)))
def test_su2_couplings_are_orthogonal_and_complete(j1, j2):
    table = torch.cat([_su2_table(j1, j2, j) for j in range(abs(j1 - j2), j1 + j2 + 1, 2)])
    identity = torch.eye((j1 + 1) * (j2 + 1), dtype=torch.float64)
    assert torch.allclose(table @ table.T, identity, atol=1e-14)
    assert torch.allclose(table.T @ table, identity, atol=1e-14)


@every_factor
def test_couplings_of_a_product_form_a_unitary_matrix(a):
    for b in IRREPS:
        matrix = torch.cat([coupling for _, coupling in _couplings(a, b)])
        assert matrix.shape == (a.dim * b.dim, a.dim * b.dim)
        assert torch.allclose(matrix @ matrix.mH, torch.eye(len(matrix), dtype=matrix.dtype), atol=1e-13)


@every_factor
def test_couplings_intertwine_the_generators(a):
    for b in IRREPS:
        left = torch.stack([torch.kron(x, torch.eye(b.dim, dtype=x.dtype)) for x in _algebra(a)])
        right = torch.stack([torch.kron(torch.eye(a.dim, dtype=x.dtype), x) for x in _algebra(b)])
        for c, coupling in _couplings(a, b):
            deviation = coupling @ (left + right) - _algebra(c) @ coupling
            assert float(deviation.abs().max()) < 1e-13


@every_factor
def test_couplings_intertwine_finite_transformations(a):
    for b in IRREPS:
        both = torch.stack([torch.kron(x, y) for x, y in zip(_elements(a), _elements(b))])
        for c, coupling in _couplings(a, b):
            deviation = coupling @ both - _elements(c) @ coupling
            assert float(deviation.abs().max()) < 1e-10


def test_two_vectors_couple_to_half_their_minkowski_product():
    coupling = clebsch_gordan(VECTOR, VECTOR, SCALAR)
    metric = torch.diag(torch.tensor([1, -1, -1, -1], dtype=torch.complex128))
    assert torch.equal(coupling, (metric / 2)[None])
    v, w = torch.randn(2, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(torch.einsum("cij,i,j->c", coupling, v, w)[0], minkowski_dot(v, w) / 2)


@every_factor
def test_scalars_couple_with_coefficient_one(a):
    identity = torch.eye(a.dim, dtype=torch.complex128)
    assert torch.equal(clebsch_gordan(SCALAR, a, a)[:, 0], identity)
    assert torch.equal(clebsch_gordan(a, SCALAR, a)[:, :, 0], identity)


def test_two_vectors_couple_to_the_symmetries_of_a_tensor():
    """(1,0) and (0,1) are the antisymmetric part, (1,1) the symmetric part without trace."""
    metric = torch.diag(torch.tensor([1, -1, -1, -1], dtype=torch.complex128))
    for c in ("(1,0)", "(0,1)"):
        coupling = clebsch_gordan(VECTOR, VECTOR, c)
        assert torch.allclose(coupling, -coupling.mT, atol=1e-15)
    coupling = clebsch_gordan(VECTOR, VECTOR, "(1,1)")
    assert torch.allclose(coupling, coupling.mT, atol=1e-15)
    assert float((coupling * metric).sum((-2, -1)).abs().max()) < 1e-15


@every_factor
def test_exchanging_the_factors_gives_a_known_sign(a):
    for b in IRREPS:
        for c in a * b:
            sign = (-1) ** round(a.m + b.m - c.m + a.n + b.n - c.n)
            assert torch.allclose(clebsch_gordan(a, b, c), sign * clebsch_gordan(b, a, c).mT, atol=1e-15)


def test_coefficients_are_real_where_promised():
    for a, b in itertools.product(IRREPS, repeat=2):
        for c in a * b:
            legs = {a, b, c}
            if VECTOR not in legs or legs <= {SCALAR, VECTOR}:
                assert bool((clebsch_gordan(a, b, c).imag == 0).all())
    assert bool((clebsch_gordan(VECTOR, VECTOR, "(1,0)").imag != 0).any())


def test_the_spinor_basis_of_vectors():
    change = spinor_from_cartesian()
    assert torch.allclose(change @ change.mH, torch.eye(4, dtype=torch.complex128), atol=1e-15)
    transform = random_lorentz(1.0, torch.Generator().manual_seed(3))
    right = spinor_matrix(transform)
    product = torch.kron(torch.linalg.inv(right.mH).contiguous(), right)
    assert torch.allclose(product @ change, change @ transform.to(torch.complex128))


def test_high_rapidity():
    """The (1,1) matrix at rapidity 10 is that of the tensor product of two four-vectors."""
    transform = rotation(2.0, (3, 1, 1)) @ boost(10.0, (1, 2, -2))
    coupling = clebsch_gordan(VECTOR, VECTOR, "(1,1)").flatten(1)
    tensor = torch.kron(transform, transform).to(torch.complex128)
    matrix = representation_matrix("(1,1)", transform)
    deviation = coupling @ tensor - matrix @ coupling
    assert float(deviation.abs().max()) < 1e-13 * float(matrix.abs().max())


def test_products_that_do_not_contain_an_irrep_are_refused():
    with pytest.raises(ValueError, match=r"does not contain \(1/2,1/2\); it contains \(0,0\)"):
        clebsch_gordan(VECTOR, VECTOR, VECTOR)
    with pytest.raises(ValueError, match="cannot read"):
        clebsch_gordan("vector", VECTOR, SCALAR)


def test_changing_the_result_does_not_change_the_cache():
    clebsch_gordan(VECTOR, VECTOR, SCALAR).zero_()
    assert clebsch_gordan(VECTOR, VECTOR, SCALAR).abs().sum() == 2
