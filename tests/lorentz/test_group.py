"""The Lorentz group: its algebra, its elements, and its representations, with one set of conventions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.lorentz import (
    Irrep,
    Irreps,
    boost,
    generators,
    minkowski_dot,
    random_lorentz,
    representation_matrix,
    rotation,
)
from lgae_pyg.lorentz.group import spinor_matrix

IRREPS = [Irrep(k / 2, n / 2) for k in range(4) for n in range(4)]
METRIC = torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=torch.float64))
quick = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**31)
every_irrep = pytest.mark.parametrize("irrep", IRREPS, ids=str)


def _random(seed, max_rapidity=1.0):
    return random_lorentz(max_rapidity, torch.Generator().manual_seed(seed))


def _exponential(irrep, angles, rapidities):
    """exp(-i theta.J - i alpha.K) in an irrep."""
    rotations, boosts = generators(irrep)
    algebra = torch.tensordot(angles.to(rotations.dtype), rotations, 1)
    algebra = algebra + torch.tensordot(rapidities.to(boosts.dtype), boosts, 1)
    return torch.linalg.matrix_exp(-1j * algebra)


def _commutators(x, y):
    """[x_i, y_j] for all i and j."""
    products = torch.einsum("iab,jbc->ijac", x, y)
    return products - torch.einsum("jab,ibc->ijac", y, x)


@every_irrep
def test_generators_obey_the_lorentz_algebra(irrep):
    rotations, boosts = generators(irrep)
    assert rotations.shape == boosts.shape == (3, irrep.dim, irrep.dim)
    epsilon = torch.zeros(3, 3, 3, dtype=torch.complex128)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        epsilon[i, j, k], epsilon[j, i, k] = 1, -1
    with_rotations = 1j * torch.einsum("ijk,kab->ijab", epsilon, rotations)
    with_boosts = 1j * torch.einsum("ijk,kab->ijab", epsilon, boosts)
    assert torch.allclose(_commutators(rotations, rotations), with_rotations, atol=1e-14)
    assert torch.allclose(_commutators(rotations, boosts), with_boosts, atol=1e-14)
    assert torch.allclose(_commutators(boosts, boosts), -with_rotations, atol=1e-14)
    assert torch.allclose(rotations, rotations.mH, atol=0)
    assert torch.allclose(boosts, -boosts.mH, atol=0)


@every_irrep
def test_casimirs_are_those_of_the_labels(irrep):
    rotations, boosts = generators(irrep)
    for spin, label in ((rotations + 1j * boosts, irrep.m), (rotations - 1j * boosts, irrep.n)):
        square = torch.einsum("kab,kbc->ac", spin / 2, spin / 2)
        expected = label * (label + 1) * torch.eye(irrep.dim, dtype=square.dtype)
        assert torch.allclose(square, expected, atol=1e-14)


@every_irrep
def test_the_derivative_at_the_identity_is_the_generator(irrep):
    step = 1e-5
    for kind, element in zip(generators(irrep), (rotation, boost)):
        for generator, axis in zip(kind, "xyz"):
            plus, minus = (representation_matrix(irrep, element(s * step, axis)) for s in (1, -1))
            derivative = (plus - minus).to(torch.complex128) / (2 * step)
            assert torch.allclose(derivative, -1j * generator, atol=1e-8)


@every_irrep
def test_finite_elements_are_exponentials_of_the_generators(irrep):
    draws = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for angles, rapidities in draws:
        angles = angles / max(1.0, float(angles.norm()) / 3)  # less than half a turn, where the sign is clear
        transform = _exponential(Irrep(0.5, 0.5), angles, rapidities).real
        found = representation_matrix(irrep, transform).to(torch.complex128)
        expected = _exponential(irrep, angles, rapidities)
        sign = 1 if (irrep.m + irrep.n).is_integer() or (found - expected).norm() < expected.norm() else -1
        assert (sign * found - expected).abs().max() < 1e-12 * expected.abs().max()


@quick
@given(seeds, st.floats(0, 4))
def test_elements_keep_the_metric_and_the_arrow_of_time(seed, max_rapidity):
    transform = _random(seed, max_rapidity)
    largest = float(transform.abs().max()) ** 2
    assert torch.allclose(transform.T @ METRIC @ transform, METRIC, atol=1e-14 * largest)
    assert torch.linalg.det(transform) == pytest.approx(1, abs=1e-13 * largest)
    assert 1 - 1e-12 <= float(transform[0, 0]) <= math.cosh(max_rapidity) * (1 + 1e-12)


def test_boosts_and_rotations_are_active():
    at_rest = torch.tensor([2.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    moving = boost(1.5, "z") @ at_rest
    assert moving.tolist() == [2 * math.cosh(1.5), 0, 0, 2 * math.sinh(1.5)]
    for axis, start, end in (("x", 2, 3), ("y", 3, 1), ("z", 1, 2)):
        turned = rotation(math.pi / 2, axis)
        assert turned[end, start] == pytest.approx(1, abs=1e-15)
        assert turned[start, end] == pytest.approx(-1, abs=1e-15)


@quick
@given(st.floats(-3, 3), st.floats(-3, 3), st.tuples(*[st.floats(-1, 1)] * 3).filter(any))
def test_one_parameter_subgroups_add_their_parameters(first, second, axis):
    for element in (boost, rotation):
        combined = element(first, axis) @ element(second, axis)
        assert torch.allclose(combined, element(first + second, axis), rtol=0, atol=1e-12)


def test_the_length_of_the_axis_does_not_matter():
    for letter, vector in (("x", [3.0, 0, 0]), ("y", (0, 1e-200, 0)), ("z", torch.tensor([0, 0, 7]))):
        assert torch.equal(boost(0.7, letter), boost(0.7, vector))
        assert torch.equal(rotation(0.7, letter), rotation(0.7, vector))


def test_a_rotation_by_a_tiny_angle_does_not_cancel():
    assert 1 - float(rotation(1e-5, "z")[1, 1]) == pytest.approx(0.5e-10, rel=1e-5)
    assert float(boost(1e-5, "z")[3, 3]) - 1 == pytest.approx(0.5e-10, rel=1e-5)


@pytest.mark.parametrize("axis", ["w", (0, 0, 0), (1, 0), (math.nan, 0, 1), torch.zeros(3)], ids=str)
def test_axes_that_are_no_directions_are_refused(axis):
    for element in (boost, rotation):
        with pytest.raises(ValueError, match="axis"):
            element(1.0, axis)


def test_parameters_must_be_finite():
    with pytest.raises(ValueError, match="rapidity must be finite"):
        boost(math.inf)
    with pytest.raises(ValueError, match="angle must be finite"):
        rotation(math.nan)
    with pytest.raises(ValueError, match="must not be negative"):
        random_lorentz(-1.0)


def test_random_elements_follow_their_generator():
    assert torch.equal(_random(4), _random(4))
    assert not torch.allclose(_random(4), _random(5))
    only_rotations = _random(6, max_rapidity=0.0)
    assert only_rotations[0].tolist() == [1, 0, 0, 0]
    assert random_lorentz(dtype=torch.float32).dtype == torch.float32


@every_irrep
def test_representations_compose(irrep):
    for seed in range(6):
        first, second = _random(2 * seed, 1.5), _random(2 * seed + 1, 1.5)
        product = representation_matrix(irrep, first) @ representation_matrix(irrep, second)
        direct = representation_matrix(irrep, first @ second)
        signs = (1,) if (irrep.m + irrep.n).is_integer() else (1, -1)
        deviation = min(float((product - sign * direct).abs().max()) for sign in signs)
        assert deviation < 1e-11 * float(direct.abs().max())


def test_the_sign_of_spinors_is_needed():
    """Two rotations by three eighths of a turn pass half a turn: the product of the spinor matrices is minus
    the spinor matrix of their product. No choice of signs avoids this everywhere."""
    three_eighths = rotation(0.75 * math.pi)
    spinor = representation_matrix("(1/2,0)", three_eighths)
    assert torch.allclose(spinor @ spinor, -representation_matrix("(1/2,0)", three_eighths @ three_eighths))


@pytest.mark.parametrize("alpha", [-10.0, 2.0, 10.0])
@pytest.mark.parametrize("irrep", [irrep for irrep in IRREPS if irrep != Irrep(0.5, 0.5)], ids=str)
def test_boosts_along_z_are_diagonal_and_accurate_at_high_rapidity(irrep, alpha):
    a = torch.arange(irrep.doubled[0], -irrep.doubled[0] - 1, -2, dtype=torch.float64) / 2
    b = torch.arange(irrep.doubled[1], -irrep.doubled[1] - 1, -2, dtype=torch.float64) / 2
    expected = torch.exp(alpha * (b - a[:, None])).flatten()
    matrix = representation_matrix(irrep, boost(alpha)).to(torch.complex128)
    # Both signs are the same element; the sign of the trace of A is positive here.
    assert (matrix.diagonal() - expected).abs().max() < 1e-11 * expected.max()
    assert (matrix - torch.diag(matrix.diagonal())).abs().max() < 1e-11 * expected.max()


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -2, 0.5)], ids=str)
def test_half_turns_have_spinor_matrices(axis):
    """tr A vanishes here, so that the formula for A must be used around another element."""
    direction = torch.tensor(axis, dtype=torch.float64)
    angles = math.pi * direction / direction.norm()
    expected = _exponential(Irrep(0, 0.5), angles, torch.zeros(3, dtype=torch.float64))
    found = spinor_matrix(rotation(math.pi, axis))
    assert min(float((found - sign * expected).abs().max()) for sign in (1, -1)) < 1e-14


@quick
@given(seeds, st.floats(0, 10))
def test_spinor_matrices_have_determinant_one_and_give_the_transformation(seed, max_rapidity):
    transform = _random(seed, max_rapidity)
    spinor = spinor_matrix(transform)
    gamma = float(transform[0, 0])
    assert torch.linalg.det(spinor) == pytest.approx(1, abs=1e-14 * gamma)
    momentum = torch.tensor([3.0, 0.5, -1.0, 2.0], dtype=torch.float64)
    moved = transform @ momentum

    def matrix(p):
        e, x, y, z = p.tolist()
        return torch.tensor([[e + z, x - 1j * y], [x + 1j * y, e - z]], dtype=torch.complex128)

    difference = spinor @ matrix(momentum) @ spinor.mH - matrix(moved)
    assert float(difference.abs().max()) < 1e-14 * gamma * 10


def test_matrices_of_scalars_and_vectors_are_real_and_plain():
    transform = _random(8)
    matrix = representation_matrix("2x(0,0)+2x(1/2,1/2)", transform)
    assert matrix.dtype == torch.float64
    assert torch.equal(matrix, torch.block_diag(torch.eye(2, dtype=torch.float64), transform, transform))
    assert torch.equal(representation_matrix(Irrep(0.5, 0.5), transform), transform)


def test_matrices_of_direct_sums_act_block_by_block():
    irreps = Irreps("1x(1,0)+2x(0,0)+2x(1,1)")
    transform = _random(9)
    x = torch.randn(3, irreps.dim, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    together = irreps.split(x @ representation_matrix(irreps, transform).T)
    for (_, irrep), part, found in zip(irreps, irreps.split(x), together):
        expected = part @ representation_matrix(irrep, transform).to(x.dtype).T
        assert torch.allclose(found, expected)
    assert representation_matrix("", transform).shape == (0, 0)
    assert generators(irreps)[0].shape == (3, irreps.dim, irreps.dim)


@pytest.mark.parametrize(
    "matrix",
    [METRIC, -METRIC, -torch.eye(4), torch.zeros(4, 4), torch.ones(4, 4), torch.full((4, 4), math.nan),
     torch.full((4, 4), math.inf), torch.diag(torch.tensor([1.0, 1, 1, -1])), 1.001 * boost(10.0),
     boost(10.0) + torch.diag(torch.tensor([0.0, 0.01, 0, 0])), torch.eye(3), torch.eye(4, dtype=torch.long),
     torch.eye(4).expand(2, 4, 4)],
)  # fmt: skip
def test_other_matrices_are_refused(matrix):
    for irrep in ("(1/2,1/2)", "(1,0)"):
        with pytest.raises(ValueError, match="Lorentz transformation"):
            representation_matrix(irrep, matrix)


@pytest.mark.parametrize("rapidity", [0.0, 1.0, 10.0])
def test_single_precision_transformations_are_accepted(rapidity):
    double = rotation(1.0, (1, 2, 3)) @ boost(rapidity, (1, -1, 0.3))
    found, expected = (representation_matrix("(1,1)", matrix) for matrix in (double.float(), double))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_four_momenta_keep_their_product_at_high_rapidity():
    transform = boost(10.0, (1, 1, 1))
    p, q = torch.rand(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gamma = float(transform[0, 0])
    moved = minkowski_dot(transform @ p, transform @ q)
    assert float(moved) == pytest.approx(float(minkowski_dot(p, q)), abs=1e-15 * gamma**2)
