"""The evaluation of models whose outputs are pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.text import Text
from torch import nn

from lgae_pyg.data import JetStore
from lgae_pyg.evaluation import Results, draw_study, evaluate_model
from lgae_pyg.evaluation.reconstruction.figures import FIGURES
from lgae_pyg.evaluation.reconstruction.images import image_grid
from lgae_pyg.evaluation.reconstruction.pixels import example_jets
from lgae_pyg.evaluation.reconstruction.rebuilt import stored
from lgae_pyg.lorentz import from_pt_eta_phi_m
from lgae_pyg.losses import jet_sum
from lgae_pyg.models import CNNAE, Images, Latent
from lgae_pyg.ops.images import jet_images, pixel_momenta

PARTICLES, PIXELS, RADIUS = 8, 20, 0.8
OF_PARTICLES = ("particle_histograms", "particle_residuals")


class Pixelated(nn.Module):
    """Gives back the true image, changed."""

    latent_size, side_information, permutation_invariant = 13, 4, True
    label, output_kind = "Pixelated", "pixels"

    def __init__(self, change=lambda image: image):
        super().__init__()
        self.change = change

    def forward(self, batch):
        axis = jet_sum(batch.pos, batch.ptr)
        target = jet_images(batch.pos, batch.ptr, PIXELS, RADIUS, axis)
        images = Images(self.change(target), target, axis, RADIUS)
        ptr = PIXELS**2 * torch.arange(len(axis) + 1)
        latent = Latent(axis, axis.new_zeros(len(axis), 0, 4))
        p4 = pixel_momenta(images.output, axis, RADIUS).flatten(0, 1)
        return SimpleNamespace(p4=p4, ptr=ptr, latent=latent, images=images)


def make_dataset(jets, seed, split="test"):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(4, PARTICLES, (jets,), generator=generator)
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    jet = torch.repeat_interleave(sizes)
    pt, eta, phi = torch.rand(3, len(jet), generator=generator, dtype=torch.float64)
    axis = torch.randn(2, jets, generator=generator, dtype=torch.float64)[:, jet]
    p4 = from_pt_eta_phi_m(0.1 * pt + 0.01, axis[0] + 0.4 * eta, axis[1] + 0.4 * phi)
    labels = {"y": torch.zeros(jets, dtype=torch.long), "jet_id": torch.arange(jets)}
    recipe = {"name": "Toy", "classes": ["g"], "num_particles": PARTICLES}
    return SimpleNamespace(store=JetStore(ptr, {"pos": p4}, labels), unit="TeV", recipe=recipe, split=split)


def evaluated(model, jets=40, train=True, **options):
    train = make_dataset(60, 2, "train") if train else None
    return evaluate_model(model, make_dataset(jets, 1), train, progress=False, **{"batch_size": 16, **options})


def test_jets_are_compared_with_the_truth_and_with_its_image():
    results = evaluated(Pixelated(lambda image: 1.25 * image))
    records = results.tables["jet_reconstruction"].records()
    rows = {row["model"]: row for row in records if row["energies"] == "pixels"}
    assert list(rows) == ["Pixelated", "Pixelated, to truth in pixels", "truth in pixels"]
    image = rows["Pixelated, to truth in pixels"]
    assert image["mass_median"] == pytest.approx(0.25) and image["pt_median"] == pytest.approx(0.25)
    assert image["mass_iqr"] == pytest.approx(0, abs=1e-12)
    assert image["eta_iqr"] == pytest.approx(0, abs=1e-12) and image["phi_iqr"] == pytest.approx(0, abs=1e-12)
    coarse = rows["truth in pixels"]
    assert 1e-3 < coarse["mass_iqr"] < 0.2 and 1e-4 < coarse["eta_iqr"]
    assert rows["Pixelated"]["pt_median"] == pytest.approx(1.25 * (1 + coarse["pt_median"]) - 1)
    assert "Truth in pixels: the true jet's own image" in results.tables["jet_reconstruction"].caption


def test_what_pixels_have_not_is_left_out_and_said():
    results = evaluated(Pixelated())
    particles = results.tables["particle_reconstruction"]
    assert particles.column("model") == ["LinearAE τ=2", "LinearAE τ=2, P conserved"]
    assert "Pixelated is left out: its output is pixels, not particles." in particles.caption
    assert "equivariance" not in results.tables
    assert "not scanned for Lorentz equivariance" in results.tables["jet_reconstruction"].caption
    code = results.tables["compression"].records()[0]
    assert (code["num_particles"], code["code"], code["told"]) == (PARTICLES, 13, 4)
    alone = evaluated(Pixelated(), train=False, scan_jets=0)
    assert set(alone.tables) == {"jet_reconstruction", "jet_statistics", "compression"}
    assert "not scanned" not in alone.tables["jet_reconstruction"].caption


def test_memory_does_not_grow_with_the_pixels(tmp_path):
    results = evaluated(Pixelated(), jets=60)
    target, (one, *_) = stored(results)
    assert one.jets.p4.shape == one.pixels.truth.shape == (60, 4)
    assert one.pixels.examples.shape == (5, PIXELS, PIXELS) and one.pixels.mean.shape == (PIXELS, PIXELS)
    axis = jet_sum(target.p4, target.ptr)
    true = jet_images(target.p4, target.ptr, PIXELS, RADIUS, axis)
    torch.testing.assert_close(one.pixels.mean, true.mean(0))
    torch.testing.assert_close(one.pixels.examples, true[example_jets(60)])
    torch.testing.assert_close(one.pixels.truth, pixel_momenta(true, axis, RADIUS).sum(1))
    torch.testing.assert_close(one.jets.p4, one.pixels.truth)


def test_results_are_read_back_and_drawn(tmp_path):
    results = evaluated(CNNAE(13, PIXELS, channels=2))
    results.save(tmp_path)
    again = Results.load(tmp_path)
    rebuilt = stored(again)[1]
    first, second = stored(results)[1][0].pixels.to_arrays(), rebuilt[0].pixels.to_arrays()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert rebuilt[1].pixels is None and dict(again.tables) == dict(results.tables)
    assert image_grid(rebuilt) == (PIXELS, RADIUS)
    for name in set(FIGURES) - {"equivariance", "equivariance_precision"}:
        figure = FIGURES[name](again)
        words = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
        assert "Toy, test split, g, 40 jets" in words and "LinearAE τ=2" in words, name
        legend = [text.get_text() for one in figure.legends for text in one.get_texts()]
        assert ("CNNAE L=13" in legend) is (name in ("jet_histograms", "jet_residuals")), name
        assert ("CNNAE L=13 is left out" in words) is (name in OF_PARTICLES), name
        plt.close(figure)


def test_particles_have_no_figures_if_there_are_none(tmp_path, monkeypatch):
    for name in set(FIGURES) - {"jet_images", *OF_PARTICLES}:
        monkeypatch.delitem(FIGURES, name)
    paths = draw_study(evaluated(Pixelated(), train=False), tmp_path, progress=False)
    assert [path.name for path in paths] == ["jet_images.png", "jet_images.pdf"]
