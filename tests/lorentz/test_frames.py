"""Body-fixed frames and invariants carried by light-like vectors: hand-computed values, inverses, equivariance."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.lorentz import minkowski_dot, minkowski_square, random_lorentz
from lgae_pyg.lorentz.frames import (
    attach_invariant,
    body_frame,
    detach_invariant,
    frame_coordinates,
    massless_from_coordinates,
    rest_frame,
)

METRIC = torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=torch.float64))


def cloud(seed: int, particles: int = 8, jets: int = 5) -> tuple[Tensor, Tensor]:
    """Massless particles and their totals."""
    generator = torch.Generator().manual_seed(seed)
    space = torch.randn(jets, particles, 3, generator=generator, dtype=torch.float64)
    momenta = torch.cat([space.norm(dim=-1, keepdim=True), space], -1)
    return momenta, momenta.sum(1)


def test_invariant_by_hand() -> None:
    """p = (1, 0, 0, 1) and P = (2, 0, 0, 0): p.P = 2, P^2 = 4, so sigma = 1/2 adds P / 4."""
    p = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    total = torch.tensor([2.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    z = attach_invariant(p, total, torch.tensor(0.5, dtype=torch.float64))
    assert torch.equal(z, torch.tensor([1.5, 0.0, 0.0, 1.0], dtype=torch.float64))
    back, sigma = detach_invariant(z, total)
    assert torch.allclose(back, p, atol=1e-15) and abs(float(sigma) - 0.5) < 1e-15


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), low=st.floats(-0.9, 0.0), high=st.floats(0.0, 5.0), rapidity=st.floats(0, 3))
def test_what_is_attached_is_found_again(seed: int, low: float, high: float, rapidity: float) -> None:
    momenta, total = cloud(seed)
    generator = torch.Generator().manual_seed(seed)
    transform = random_lorentz(rapidity, generator)
    momenta, total = momenta @ transform.T, (total @ transform.T).unsqueeze(1)
    sigma = low + (high - low) * torch.rand(momenta.shape[:2], generator=generator, dtype=torch.float64)
    found, invariant = detach_invariant(attach_invariant(momenta, total, sigma), total)
    assert (found - momenta).abs().max() <= 1e-9 * momenta.abs().max()
    assert (invariant - sigma).abs().max() <= 1e-6


def test_nothing_is_found_in_nothing() -> None:
    """Empty slots, and jets of one particle, whose total is light-like: finite, and without an invariant."""
    momenta, _ = cloud(1, particles=1)
    total = momenta[:, 0]
    z = attach_invariant(momenta, total.unsqueeze(1), torch.full((5, 1), 0.3, dtype=torch.float64))
    found, sigma = detach_invariant(z, total.unsqueeze(1))
    assert torch.allclose(found, momenta, rtol=0, atol=1e-14) and not sigma.any()
    empty, sigma = detach_invariant(torch.zeros(1, 4, dtype=torch.float64), total[:1])
    assert not empty.any() and not sigma.any()


def test_gradients_of_empty_slots_are_finite() -> None:
    z = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    p, sigma = detach_invariant(z, torch.tensor([2.0, 0.0, 0.0, 1.0], dtype=torch.float64))
    (p.sum() + sigma.sum()).backward()
    assert z.grad.isfinite().all()


def test_gradients() -> None:
    momenta, total = cloud(4, particles=3, jets=2)
    sigma = torch.rand(2, 3, dtype=torch.float64) - 0.5

    def there_and_back(sigma: Tensor, momenta: Tensor) -> tuple[Tensor, Tensor]:
        return detach_invariant(attach_invariant(momenta, total.unsqueeze(1), sigma), total.unsqueeze(1))

    inputs = (sigma.requires_grad_(), momenta.requires_grad_())
    assert torch.autograd.gradcheck(there_and_back, inputs)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31))
def test_frame_is_orthonormal_and_turns_with_the_jet(seed: int) -> None:
    momenta, total = cloud(seed)
    frame = body_frame(total, momenta)
    products = minkowski_dot(frame.unsqueeze(2), frame.unsqueeze(1))
    assert torch.allclose(products, METRIC.expand_as(products), atol=1e-10)
    transform = random_lorentz(1.0, torch.Generator().manual_seed(seed))
    turned = body_frame(total @ transform.T, momenta @ transform.T)
    assert torch.allclose(turned, frame @ transform.T, atol=1e-8)


def test_coordinates_of_massless_particles() -> None:
    momenta, total = cloud(2)
    frame = body_frame(total, momenta)
    coordinates = frame_coordinates(momenta, frame)
    assert torch.allclose(massless_from_coordinates(coordinates, frame), momenta, atol=1e-12)
    mass = minkowski_square(total).sqrt().view(-1, 1, 1)
    assert (coordinates.abs() <= mass / 2).all()  # as much as a massless decay product can have


def test_the_third_axis_of_a_reflected_jet_is_reversed() -> None:
    momenta, total = cloud(3)
    coordinates = frame_coordinates(momenta, body_frame(total, momenta))
    mirror = torch.tensor([1.0, 1.0, 1.0, -1.0], dtype=torch.float64)
    mirrored = frame_coordinates(momenta * mirror, body_frame(total * mirror, momenta * mirror))
    assert torch.allclose(mirrored, coordinates * torch.tensor([1.0, 1.0, -1.0]).double(), atol=1e-12)


def test_parallel_momenta_have_no_frame() -> None:
    """Two particles back to back in the rest frame: one axis, the others zero; no particle: no axis."""
    pair = torch.tensor([[[1.0, 0, 0, 1.0], [1.0, 0, 0, -1.0]]], dtype=torch.float64)
    frame = body_frame(pair.sum(1), pair)[0]
    expected = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)
    assert torch.allclose(frame, expected, atol=1e-14)
    assert not body_frame(torch.zeros(1, 4).double(), torch.zeros(1, 2, 4).double()).any()


def test_the_total_rests_in_its_rest_frame(generator: torch.Generator) -> None:
    p = torch.randn(7, 5, 3, generator=generator, dtype=torch.float64)
    p = torch.cat([p.norm(dim=-1, keepdim=True), p], -1)
    total = p.sum(1, keepdim=True)
    moved = rest_frame(p, total)
    assert moved.sum(1)[:, 1:].abs().max() < 1e-12
    products = minkowski_dot(p.unsqueeze(1), p.unsqueeze(2))
    assert torch.allclose(minkowski_dot(moved.unsqueeze(1), moved.unsqueeze(2)), products, rtol=0, atol=1e-12)
    assert torch.equal(rest_frame(p, p), p)  # light-like: there is no rest frame
