"""Kinematics: hand-computed values, round trips, and behaviour under the Lorentz group."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.lorentz import (
    azimuth,
    boost,
    delta_r,
    energy,
    from_pt_eta_phi_m,
    from_relative_coordinates,
    mass,
    massless,
    minkowski_dot,
    minkowski_square,
    pseudorapidity,
    random_lorentz,
    rapidity,
    relative_coordinates,
    rotation,
    spatial,
    transverse_momentum,
    wrap_angle,
)

SCALARS = (mass, energy, transverse_momentum, pseudorapidity, rapidity, azimuth)
quick = settings(deadline=None, max_examples=60)
angles = st.floats(-math.pi, math.pi, exclude_max=True)


def _number(x):
    return torch.tensor(x, dtype=torch.float64)


@st.composite
def momenta(draw, max_mass=200.0):
    """A four-momentum as a tensor, of non-negative mass."""
    pt, eta, phi = draw(st.floats(1e-3, 1e3)), draw(st.floats(-4, 4)), draw(angles)
    return from_pt_eta_phi_m(_number(pt), _number(eta), _number(phi), draw(st.floats(0, max_mass)))


def test_hand_computed_values():
    p = torch.tensor([13.0, 3.0, 4.0, 12.0], dtype=torch.float64)
    q = torch.tensor([2.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    assert minkowski_dot(p, q) == 26 - 3 - 12
    assert minkowski_square(p) == 0
    assert minkowski_square(q) == 2
    assert mass(q) == pytest.approx(math.sqrt(2), rel=1e-15)
    assert energy(p) == 13
    assert spatial(p).tolist() == [3, 4, 12]
    assert transverse_momentum(p) == 5
    assert pseudorapidity(p) == pytest.approx(math.asinh(12 / 5), rel=1e-15)
    assert rapidity(q) == pytest.approx(0.5 * math.log(3), rel=1e-15)
    assert azimuth(p) == pytest.approx(math.atan2(4, 3), rel=1e-15)
    assert massless(q).tolist() == [math.sqrt(2), 1, 0, 1]


def test_mass_of_a_space_like_vector_is_negative():
    assert mass(torch.tensor([3.0, 0.0, 5.0, 0.0], dtype=torch.float64)) == -4


def test_minkowski_product_is_bilinear_over_the_complex_numbers():
    generator = torch.Generator().manual_seed(1)
    p, q = torch.randn(2, 5, 4, generator=generator, dtype=torch.complex128)
    assert torch.allclose(minkowski_dot(1j * p, q), 1j * minkowski_dot(p, q))
    assert torch.allclose(minkowski_dot(p, 1j * q), 1j * minkowski_dot(p, q))


@quick
@given(st.floats(1e-3, 1e3), st.floats(-4, 4), angles, st.floats(-100, 100))
def test_cylindrical_coordinates_round_trip(pt, eta, phi, m):
    p = from_pt_eta_phi_m(_number(pt), _number(eta), _number(phi), m)
    assert transverse_momentum(p) == pytest.approx(pt, rel=1e-12)
    assert pseudorapidity(p) == pytest.approx(eta, rel=1e-12, abs=1e-12)
    assert wrap_angle(azimuth(p) - phi) == pytest.approx(0, abs=1e-12)
    momentum_square = (pt * math.cosh(eta)) ** 2
    square = max(m * abs(m), -momentum_square)  # the energy of a too heavy tachyon is set to 0
    assert minkowski_square(p) == pytest.approx(square, abs=1e-14 * (momentum_square + m * m))


def test_masses_of_none_and_zero_are_the_same():
    pt, eta, phi = _number([1.0, 3.0]), _number([0.2, -1.0]), _number([3.0, -2.0])
    light = from_pt_eta_phi_m(pt, eta, phi)
    assert torch.allclose(light, from_pt_eta_phi_m(pt, eta, phi, 0.0), rtol=1e-15)
    assert torch.allclose(light, massless(light), rtol=1e-15)


@quick
@given(momenta(), momenta(), st.integers(0, 2**31))
def test_minkowski_product_is_invariant(p, q, seed):
    transform = random_lorentz(2.0, torch.Generator().manual_seed(seed))
    p_moved, q_moved = transform @ p, transform @ q
    scale = float(energy(p_moved) * energy(q_moved) + energy(p) * energy(q))
    assert minkowski_dot(p_moved, q_moved) == pytest.approx(float(minkowski_dot(p, q)), abs=1e-13 * scale)


@quick
@given(momenta(), st.floats(-3, 3))
def test_a_boost_along_the_beam_adds_to_the_rapidity(p, alpha):
    moved = boost(alpha, "z") @ p
    assert rapidity(moved) == pytest.approx(float(rapidity(p)) + alpha, abs=1e-7)
    assert transverse_momentum(moved) == transverse_momentum(p)


@quick
@given(momenta(), st.floats(-3, 3))
def test_a_rotation_about_the_beam_adds_to_the_azimuth(p, theta):
    moved = rotation(theta, "z") @ p
    assert wrap_angle(azimuth(moved) - azimuth(p) - theta) == pytest.approx(0, abs=1e-12)
    assert pseudorapidity(moved) == pytest.approx(float(pseudorapidity(p)), abs=1e-12)


@quick
@given(momenta(max_mass=0.0))
def test_rapidity_of_massless_particles_is_their_pseudorapidity(p):
    assert rapidity(p) == pytest.approx(float(pseudorapidity(p)), abs=1e-9)


@quick
@given(st.floats(-1e4, 1e4), st.sampled_from([torch.float32, torch.float64]))
def test_wrapped_angles_lie_in_range_and_differ_by_whole_turns(angle, dtype):
    phi = torch.tensor(angle, dtype=dtype)
    wrapped = wrap_angle(phi)
    pi = torch.tensor(math.pi, dtype=dtype)
    assert wrapped.dtype == dtype
    assert -pi <= wrapped < pi
    turns = float(phi.double() - wrapped.double()) / (2 * math.pi)
    assert turns == pytest.approx(round(turns), abs=1e-3 if dtype == torch.float32 else 1e-11)
    assert wrap_angle(wrapped) == wrapped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_interval_of_angles_is_half_open(dtype):
    pi = torch.tensor(math.pi, dtype=dtype)
    assert wrap_angle(pi) == -pi
    assert wrap_angle(-pi) == -pi
    below = torch.nextafter(pi, torch.zeros_like(pi))
    assert wrap_angle(below) == below
    beyond = torch.nextafter(-pi, -2 * pi)
    assert -pi <= wrap_angle(beyond) < pi


@quick
@given(momenta(), momenta(), st.floats(-3, 3))
def test_delta_r_is_a_symmetric_distance_kept_by_rotations_about_the_beam(p, q, theta):
    distance = delta_r(p, q)
    assert distance == delta_r(q, p)
    assert delta_r(p, p) == 0
    turn = rotation(theta, "z")
    assert delta_r(turn @ p, turn @ q) == pytest.approx(float(distance), abs=1e-11)
    largest = math.hypot(float(pseudorapidity(p) - pseudorapidity(q)), math.pi)
    assert 0 <= distance <= largest * (1 + 1e-12)


def test_delta_r_takes_the_short_way_round():
    p = from_pt_eta_phi_m(_number(1.0), _number(0.0), _number(3.1))
    q = from_pt_eta_phi_m(_number(1.0), _number(0.0), _number(-3.1))
    assert delta_r(p, q) == pytest.approx(2 * math.pi - 6.2, rel=1e-12)


@quick
@given(momenta(max_mass=0.0), momenta())
def test_relative_coordinates_round_trip(p, axis):
    relative = relative_coordinates(p, axis)
    assert torch.allclose(from_relative_coordinates(relative, axis), p, rtol=1e-11, atol=1e-11)


def test_relative_coordinates_broadcast_over_the_particles_of_a_jet():
    eta, phi = torch.rand(2, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    particles = from_pt_eta_phi_m(torch.ones(3, 7, dtype=torch.float64), eta, phi + 2.5)
    jets = particles.sum(1, keepdim=True)
    relative = relative_coordinates(particles, jets)
    assert relative.shape == (3, 7, 3)
    pt, _, angle = relative.unbind(-1)
    assert torch.allclose(pt, 1 / transverse_momentum(jets).expand(3, 7))
    assert angle.abs().max() < 1


def test_rows_of_zeros_have_zero_coordinates_and_finite_gradients():
    zeros = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    values = [function(zeros) for function in SCALARS]
    values += [massless(zeros), relative_coordinates(zeros, zeros), delta_r(zeros, zeros)]
    assert all(bool((value == 0).all()) for value in values)
    (gradient,) = torch.autograd.grad(sum(value.sum() for value in values), zeros)
    assert bool(gradient.isfinite().all())


def test_negative_zeros_count_as_zeros():
    assert azimuth(torch.tensor([0.0, -0.0, 0.0, 0.0])) == 0


def test_momenta_along_the_beam_have_infinite_pseudorapidity():
    beams = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, -1.0]])
    assert pseudorapidity(beams).tolist() == [math.inf, -math.inf]
    assert rapidity(beams).tolist() == [math.inf, -math.inf]
    assert delta_r(beams[0], beams[0]) == 0


def test_gradients_are_the_derivatives():
    generator = torch.Generator().manual_seed(3)
    p = from_pt_eta_phi_m(*torch.rand(3, 4, generator=generator, dtype=torch.float64) + 0.1, m=0.5)
    for function in (*SCALARS, massless, lambda x: relative_coordinates(x, p.detach().sum(0))):
        assert torch.autograd.gradcheck(function, p.clone().requires_grad_())


def test_types_are_kept():
    p = torch.rand(5, 4, dtype=torch.float32) + 0.1
    for function in (*SCALARS, minkowski_square, spatial, massless):
        assert function(p).dtype == torch.float32
    assert from_relative_coordinates(relative_coordinates(p, p.sum(0)), p.sum(0)).dtype == torch.float32
