"""Jet images: where a particle lands, and that nothing is lost."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m, from_relative_coordinates
from lgae_pyg.metrics import particle_features
from lgae_pyg.ops.images import jet_images, pixel_edges

AXIS = from_pt_eta_phi_m(*torch.tensor([[800.0], [0.7], [3.1]], dtype=torch.float64))


def particle(pt_rel, eta_rel, phi_rel):
    relative = torch.tensor([[pt_rel, eta_rel, phi_rel]], dtype=torch.float64)
    return from_relative_coordinates(relative, AXIS)


def image_of(*particles, **options):
    p4 = torch.cat(particles)
    return jet_images(p4, torch.tensor([0, len(p4)]), axis=AXIS, **options)[0]


def test_rows_are_phi_and_columns_are_eta():
    image = image_of(particle(0.25, 0.31, -0.12))
    assert image.shape == (40, 40)
    # pixels of 0.025: (0.31 + 0.5) / 0.025 = 32.4, (-0.12 + 0.5) / 0.025 = 15.2
    assert image.nonzero().tolist() == [[15, 32]]
    assert math.isclose(image[15, 32], 0.25)


def test_particles_in_one_pixel_add_up():
    image = image_of(particle(0.25, 0.31, -0.12), particle(0.5, 0.312, -0.115), particle(0.1, 0.0, 0.0))
    assert math.isclose(image[15, 32], 0.75) and math.isclose(image.sum(), 0.85)


def test_pixels_are_half_open():
    p4 = torch.tensor([[math.sqrt(2), 1.0, 0.0, 1.0]], dtype=torch.float64)
    eta = math.asinh(1.0)
    forward = torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    ptr = torch.tensor([0, 1])
    # exactly on the upper edge of the window: outside; moved by a little: inside; on an inner edge: above it
    assert jet_images(p4, ptr, 2, eta, axis=forward).sum() == 0
    assert jet_images(p4, ptr, 2, eta * (1 + 1e-12), axis=forward)[0].nonzero().tolist() == [[1, 1]]
    # the lower edge belongs to the window
    p4 = p4 * torch.tensor([1.0, 1.0, 1.0, -1.0])
    assert jet_images(p4, ptr, 2, eta, axis=forward)[0].nonzero().tolist() == [[1, 0]]


def test_what_lies_outside_is_dropped():
    far = [particle(0.1, 0.6, 0.0), particle(0.1, 0.0, -0.6), particle(0.1, -0.6, 2.0)]
    assert image_of(*far).sum() == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 50), st.floats(0.05, 2.0))
def test_the_sum_of_an_image_is_the_momentum_in_its_window(seed, pixels, radius):
    generator = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, 5, 6, 18])
    pt, eta, phi = torch.rand(3, 18, generator=generator, dtype=torch.float64)
    p4 = from_pt_eta_phi_m(pt + 0.01, 2 * eta - 1, 2.5 + phi)
    images = jet_images(p4, ptr, pixels, radius)
    weight, eta_rel, phi_rel = particle_features(p4, ptr).unbind(-1)
    inside = (eta_rel >= -radius) & (eta_rel < radius) & (phi_rel >= -radius) & (phi_rel < radius)
    expected = [(weight * inside)[ptr[jet] : ptr[jet + 1]].sum() for jet in range(3)]
    torch.testing.assert_close(images.sum((1, 2)), torch.stack(expected))


def test_images_do_not_depend_on_the_batch():
    generator = torch.Generator().manual_seed(1)
    pt, eta, phi = torch.rand(3, 9, generator=generator, dtype=torch.float64)
    p4 = from_pt_eta_phi_m(pt, eta, phi)
    together = jet_images(p4, torch.tensor([0, 4, 9]))
    assert torch.equal(together[1], jet_images(p4[4:], torch.tensor([0, 5]))[0])


def test_edges_are_symmetric():
    edges = pixel_edges(40, 0.5)
    assert len(edges) == 41 and edges[20] == 0
    torch.testing.assert_close(edges, -edges.flip(0))
