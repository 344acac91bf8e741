"""The autoencoder of images: its size, what it may depend on, and the jets that its pixels are."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz import boost, from_pt_eta_phi_m, rotation
from lgae_pyg.lorentz.kinematics import azimuth, from_relative_coordinates, pseudorapidity, transverse_momentum
from lgae_pyg.losses import get_loss, jet_sum
from lgae_pyg.metrics import jet_features
from lgae_pyg.models import CNNAE, build_model
from lgae_pyg.ops.images import jet_images, pixel_centers, pixel_momenta


@pytest.fixture
def model() -> CNNAE:
    return CNNAE(latent_size=7, pixels=16, channels=6).double()


def moved(batch: Batch, transform: Tensor) -> Batch:
    other = copy.copy(batch)
    other.pos = batch.pos @ transform.T
    return other


def test_the_published_size() -> None:
    model = CNNAE()
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_718_456
    assert model.latent_size == 55 and model.side_information == 4
    rates = model.compression()
    assert rates["massless"] == pytest.approx(100 * 55 / 90)
    assert rates["massless_with_side"] == pytest.approx(100 * 59 / 90)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("pixels", [4, 12, 20])
def test_other_sizes(pixels: int, jets: Batch) -> None:
    model = CNNAE(3, pixels, channels=2)
    result = model(jets)
    assert result.native.output.shape == result.native.target.shape == (12, pixels**2)
    assert result.images.output.shape == (12, pixels, pixels)
    assert result.p4.shape == (12 * pixels**2, 4) and result.ptr.tolist() == [pixels**2 * k for k in range(13)]
    assert result.latent.scalars.shape == (12, 3) and result.latent.vectors.shape == (12, 0, 4)
    again = build_model(model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(jets).p4, result.p4)


def test_bad_sizes_are_explained() -> None:
    with pytest.raises(ValueError, match=r"divisible by 4.*but are 30"):
        CNNAE(pixels=30)
    with pytest.raises(ValueError, match="latent_size must be positive, not 0"):
        CNNAE(latent_size=0)


def test_images_sum_to_one_and_then_to_the_true_sum(model: CNNAE, jets: Batch) -> None:
    result = model(jets)
    ones = torch.ones(12, dtype=torch.float64)
    torch.testing.assert_close(result.native.output.sum(1), ones)
    torch.testing.assert_close(result.native.target.sum(1), ones)
    torch.testing.assert_close(result.images.output.sum((1, 2)), result.images.target.sum((1, 2)))
    assert (result.native.output > 0).all()


def test_parts_are_the_whole(model: CNNAE, jets: Batch) -> None:
    result, latent = model(jets), model.encode(jets)
    assert torch.equal(latent.scalars, result.latent.scalars)
    assert torch.equal(model.decode(latent).flatten(1), result.native.output)
    own = jet_images(jets.pos, jets.ptr, 16, 0.8)
    torch.testing.assert_close(result.images.target, own)


def test_the_native_loss_is_the_mean_over_the_pixels(model: CNNAE, jets: Batch) -> None:
    native = model(jets).native
    expected = (native.output - native.target).square().mean(1)
    torch.testing.assert_close(get_loss("mse")(*native), expected)


def test_the_order_of_the_particles_does_not_matter(
    model: CNNAE, jets: Batch, generator: torch.Generator
) -> None:
    shuffled = [
        JetData(pos=jet.pos[torch.randperm(len(jet.pos), generator=generator)]) for jet in jets.to_data_list()
    ]
    result, other = model(jets), model(Batch.from_data_list(shuffled))
    torch.testing.assert_close(other.latent.scalars, result.latent.scalars, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(other.p4, result.p4, rtol=1e-10, atol=1e-15)


def test_jets_do_not_depend_on_their_batch(model: CNNAE, jets: Batch) -> None:
    result = model(jets)
    for number, jet in enumerate(jets.to_data_list()):
        alone = model(Batch.from_data_list([jet]))
        torch.testing.assert_close(alone.native.output[0], result.native.output[number], rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(alone.p4, result.p4[256 * number : 256 * (number + 1)], rtol=1e-10, atol=1e-15)


def test_rotations_about_the_beam_turn_the_pixels_and_leave_the_image(model: CNNAE, jets: Batch) -> None:
    turn = rotation(2.3, "z")
    result, other = model(jets), model(moved(jets, turn))
    torch.testing.assert_close(other.native.target, result.native.target, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(other.native.output, result.native.output, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(other.p4, result.p4 @ turn.T, rtol=1e-10, atol=1e-14)


def test_other_transformations_are_seen(model: CNNAE, jets: Batch) -> None:
    """The negative control: the model is not Lorentz equivariant."""
    target = model(jets).native.target
    for transform in (boost(0.5, "x"), rotation(0.5, "y")):
        assert (model(moved(jets, transform)).native.target - target).norm() > 0.1


def test_jets_of_particles_in_the_middle_of_pixels_are_exact(generator: torch.Generator) -> None:
    """Particles at pixel centres of an axis that is known to the model survive the image to rounding."""
    axis = from_pt_eta_phi_m(*torch.tensor([[1.3], [-1.1], [3.0], [0.2]], dtype=torch.float64))
    centers = pixel_centers(40, 0.8)
    cells = torch.randperm(1600, generator=generator)[:25]
    pt = torch.rand(25, generator=generator, dtype=torch.float64) + 0.01
    relative = torch.stack([pt / pt.sum(), centers[cells % 40], centers[cells // 40]], -1)
    p4 = from_relative_coordinates(relative, axis)
    ptr = torch.tensor([0, 25])
    images = jet_images(p4, ptr, 40, 0.8, axis)
    assert images.count_nonzero() == 25
    pixels = pixel_momenta(images, axis, 0.8).flatten(0, 1)
    features = jet_features(pixels, torch.tensor([0, 1600]))
    torch.testing.assert_close(features, jet_features(p4, ptr), rtol=1e-12, atol=1e-12)
    filled = pixels[transverse_momentum(pixels) > 0]
    torch.testing.assert_close(filled, p4[cells.argsort()], rtol=1e-12, atol=1e-12)


def test_pixels_are_massless_and_have_the_momentum_that_was_kept(model: CNNAE, jets: Batch) -> None:
    result = model(jets)
    assert (result.p4[:, 0] - result.p4[:, 1:].norm(dim=1)).abs().max() < 1e-14
    jet_pt = transverse_momentum(jet_sum(jets.pos, jets.ptr))
    kept = result.images.target.sum((1, 2)) * jet_pt
    torch.testing.assert_close(jet_sum(transverse_momentum(result.p4), result.ptr), kept)
    central = result.p4.view(12, 256, 4)[:, 8 * 16 + 8]
    axis = jet_sum(jets.pos, jets.ptr)
    torch.testing.assert_close(pseudorapidity(central), pseudorapidity(axis) + 0.05)
    turned = torch.remainder(azimuth(central) - azimuth(axis), 2 * math.pi)
    torch.testing.assert_close(turned, torch.full_like(turned, 0.05))


def test_an_empty_image_stays_finite(model: CNNAE) -> None:
    """Two particles far on both sides of their sum: nothing is inside the window."""
    values = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.2, -1.2]], dtype=torch.float64)
    batch = Batch.from_data_list([JetData(pos=from_pt_eta_phi_m(*values))])
    result = model(batch)
    assert result.images.target.sum() == 0 and result.native.output.isfinite().all()
    assert (result.p4 == 0).all()


def test_gradients_reach_all_parameters_and_are_right(model: CNNAE, jets: Batch) -> None:
    native = model(jets).native
    get_loss("mse")(*native).sum().backward()
    for name, parameter in model.named_parameters():
        # A common shift of all logits does not change a softmax.
        assert bool(parameter.grad.abs().max() > 1e-12) is (name != "expand.2.bias"), name
    code = torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: model.decode(model.encode(jets)._replace(scalars=z)), (code,))


def test_float32_keeps_the_momenta_in_their_own_precision(jets: Batch) -> None:
    model = CNNAE(7, 16, channels=6)
    result = model(jets)
    assert result.native.output.dtype == torch.float32 and result.latent.scalars.dtype == torch.float32
    assert result.p4.dtype == result.images.output.dtype == torch.float64
    double = copy.deepcopy(model).double()(jets)
    torch.testing.assert_close(result.native.output.double(), double.native.output, rtol=1e-4, atol=1e-7)
