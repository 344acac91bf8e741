"""Decays: momentum and mass to the last digit, isotropy, the known spectrum of flat phase space, rotations."""

import math

import pytest
import torch

from lgae_pyg.lorentz.decays import (
    at_mass,
    boost_along,
    flat_phase_space,
    from_rest_frame,
    isotropic,
    turn,
    with_masses,
)
from lgae_pyg.lorentz.frames import rest_frame
from lgae_pyg.lorentz.kinematics import mass, minkowski_dot, minkowski_square


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("products", [2, 3, 5])
def test_products_are_massless_and_sum_to_a_mother_of_mass_one_at_rest(products):
    q = flat_phase_space(500, products, generator())
    close(q.sum(1), torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(500, 4))
    close(minkowski_square(q), torch.zeros(500, products, dtype=torch.float64), 1e-11)
    assert (q[..., 0] > 0).all()


@pytest.mark.parametrize("products", [2, 3, 4])
def test_flat_phase_space_has_its_energy_spectrum_and_no_direction(products):
    # dN/dx of x = 2E/M is x (1 - x)^(k - 3): of three products the mean of x is 2/3, of k it is 2/k, and
    # <x^2> = B(4, k - 2) / B(2, k - 2) = 6 / (k (k + 1))
    n = 40_000
    q = flat_phase_space(n, products, generator(1))
    x = 2 * q[:, 0, 0]
    assert float(x.mean()) == pytest.approx(2 / products, abs=5 / math.sqrt(n))
    square = 6 / (products * (products + 1)) if products > 2 else 1
    assert float(x.square().mean()) == pytest.approx(square, abs=0.02)
    u = q[:, 0, 1:] / q[:, 0, :1]
    close(u.T @ u / n, torch.eye(3, dtype=torch.float64) / 3, 0.015)
    close(u.mean(0), torch.zeros(3, dtype=torch.float64), 0.015)


def test_directions_are_uniform():
    u = isotropic(40_000, generator(2))
    close(u.square().sum(-1), torch.ones(len(u), dtype=torch.float64))
    close(u.mean(0), torch.zeros(3, dtype=torch.float64), 0.015)
    assert float(u[:, 2].pow(4).mean()) == pytest.approx(1 / 5, abs=0.01)


def test_two_massive_products_have_the_momentum_of_two_body_decays():
    q = flat_phase_space(50, 2, generator(3)) * 90
    m = torch.rand(50, 2, dtype=torch.float64, generator=generator(4)) * 40
    p = with_masses(q, m)
    M, a, b = 90.0, m[:, 0], m[:, 1]
    expected = ((M**2 - (a + b) ** 2) * (M**2 - (a - b) ** 2)).sqrt() / (2 * M)
    close(p[:, 0, 1:].norm(dim=-1), expected, 1e-10)
    close(mass(p), m, 1e-6)
    close(p.sum(1), torch.tensor([M, 0, 0, 0], dtype=torch.float64).expand(50, 4), 1e-9)


def test_products_that_are_too_heavy_are_refused():
    with pytest.raises(ValueError, match=r"decay 1: a mass of 1 is below 1\.2"):
        with_masses(flat_phase_space(2, 2, generator()), torch.tensor([[0.1, 0.2], [0.6, 0.6]]).double())


def test_a_boost_along_an_axis_is_a_lorentz_transformation():
    axis = isotropic(20, generator(5)).unsqueeze(1)
    p, q = (torch.rand(20, 6, 4, dtype=torch.float64, generator=generator(s)) for s in (6, 7))
    f = torch.full((20, 1), 3.0, dtype=torch.float64)
    bp, bq = (boost_along(one, axis, f) for one in (p, q))
    close(minkowski_dot(bp, bq), minkowski_dot(p, q), 1e-11)
    plus, before = (one[..., 0] + (one[..., 1:] * axis).sum(-1) for one in (bp, p))
    close(plus, 3 * before, 1e-11)
    across, was = (one[..., 1:] - (one[..., 1:] * axis).sum(-1, keepdim=True) * axis for one in (bp, p))
    close(across, was, 1e-11)


@pytest.mark.parametrize("opposite", [False, True])
def test_a_turn_maps_one_direction_to_the_other_and_is_a_rotation(opposite):
    u = isotropic(20, generator(8))
    v = -u if opposite else isotropic(20, generator(9))
    p = torch.rand(20, 5, 4, dtype=torch.float64, generator=generator(10))
    p[:, 0, 1:] = u
    angle = torch.linspace(0, 6, 20, dtype=torch.float64)
    t = turn(p, u, v, angle)
    close(t[:, 0, 1:], v)
    close(t[..., 0], p[..., 0])
    close(t[..., 1:] @ t[..., 1:].transpose(1, 2), p[..., 1:] @ p[..., 1:].transpose(1, 2))
    close(torch.linalg.det(t[:, 1:4, 1:]), torch.linalg.det(p[:, 1:4, 1:]))
    other = turn(p, u, v, angle + 0.5)
    assert float((other - t).abs().max()) > 0.1


def test_out_of_the_rest_frame_and_back():
    m = torch.full((20, 1), 0.3, dtype=torch.float64)
    total = at_mass(torch.rand(20, 1, 4, dtype=torch.float64, generator=generator(11)), m)
    close(mass(total), m, 1e-10)
    p = torch.rand(20, 5, 4, dtype=torch.float64, generator=generator(12))
    close(rest_frame(from_rest_frame(p, total), total), p, 1e-9)
    at_rest = torch.zeros(20, 1, 4, dtype=torch.float64)
    at_rest[..., 0] = 0.3
    close(from_rest_frame(at_rest, total), total, 1e-10)
