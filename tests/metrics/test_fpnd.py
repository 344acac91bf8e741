"""Frechet ParticleNet distance: the formula on Gaussians, the shipped network, its errors."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lgae_pyg.cli import main
from lgae_pyg.metrics import fpnd as judge

needs_jetnet = pytest.mark.skipif(
    judge.importlib.util.find_spec("jetnet") is None, reason="jetnet's network is not installed"
)


def jets(number: int, particles: int = 30, seed: int = 0) -> np.ndarray:
    """Random relative coordinates, falling pT, with a few padded rows."""
    rng = np.random.default_rng(seed)
    features = np.stack([rng.normal(0, 0.1, (number, particles)), rng.normal(0, 0.1, (number, particles)),
                         np.sort(rng.exponential(0.03, (number, particles)), axis=1)[:, ::-1]], axis=-1)
    features[:, particles - 4 :] = 0
    return features.astype(np.float32)


def random_gaussian(size: int, seed: int, rank: int | None = None):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, rank or size))
    return rng.normal(size=size), root @ root.T


def test_distance_of_diagonal_gaussians_is_exact():
    mean, other = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 0.5])
    sigma, other_sigma = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 4.0])
    expected = ((mean - other) ** 2).sum() + ((sigma - other_sigma) ** 2).sum()
    found = judge.frechet_distance(mean, np.diag(sigma**2), other, np.diag(other_sigma**2))
    assert found == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 2**31), size=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_distance_laws(seed, size):
    first, second = random_gaussian(size, seed), random_gaussian(size, seed + 1, rank=max(1, size // 2))
    distance = judge.frechet_distance(*first, *second)
    scale = 1 + np.trace(first[1]) + np.trace(second[1])
    assert judge.frechet_distance(*first, *first) == pytest.approx(0, abs=1e-7 * scale)
    assert distance >= -1e-7 * scale
    assert judge.frechet_distance(*second, *first) == pytest.approx(distance, abs=1e-6 * scale)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    turned = [(rotation @ mean, rotation @ sigma @ rotation.T) for mean, sigma in (first, second)]
    assert judge.frechet_distance(*turned[0], *turned[1]) == pytest.approx(distance, abs=1e-6 * scale)


def test_shifted_sample_is_at_the_squared_shift():
    sample = np.random.default_rng(0).normal(size=(400, 5))
    moved = judge.frechet_distance(*judge.gaussian(sample), *judge.gaussian(sample + 2.0))
    assert moved == pytest.approx(5 * 4.0, rel=1e-9)


@needs_jetnet
@pytest.mark.parametrize("name", judge.FPND_CLASSES)
def test_reference_is_at_distance_zero_of_itself(name):
    mean, covariance = judge.reference_statistics(name)
    assert mean.shape == (256,) and covariance.shape == (256, 256)
    assert judge.frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-4)


class EdgeNet(nn.Module):
    """One EdgeConv block as published, with its batch normalisations: the plain reading of the weights."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (2 * size, width, width):
            layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU()]
        self.model = nn.Sequential(*layers)


@needs_jetnet
def test_folded_network_is_the_shipped_one():
    state = torch.load(judge.resources() / "pnet_state_dict.pt", map_location="cpu", weights_only=True)
    nets, size = [], 3
    for block, width in enumerate((64, 128, 256)):
        net = EdgeNet(size, width).double().eval()
        prefix = f"edge_nets.{block}."
        net.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        nets.append(net)
        size += width
    features = jets(3)
    shift, scale = torch.tensor(judge.FEATURE_SHIFTS), torch.tensor(judge.FEATURE_MAXES)
    for jet, found in zip(torch.as_tensor(features), judge.activations(features)):
        x = (jet / scale + shift).double()
        for block, net in enumerate(nets):
            space = x[:, :2] if block == 0 else x
            rows = []
            for i in range(len(x)):
                order = (space - space[i]).norm(dim=1).argsort(stable=True)
                near = order[order != i][: judge.NEIGHBOURS]
                rows.append(net.model(torch.cat([x[i].expand(len(near), -1), x[near] - x[i]], 1)).mean(0))
            x = torch.cat([torch.stack(rows), x], 1)
        expected = x.mean(0) @ state["fc1.0.weight"].double().T + state["fc1.0.bias"].double()
        assert np.allclose(found, expected.detach().numpy(), atol=2e-4)


@needs_jetnet
def test_order_of_particles_and_batching_do_not_matter():
    features = jets(5)
    shuffled = features[:, np.random.default_rng(1).permutation(30)]
    assert np.allclose(judge.activations(features), judge.activations(shuffled, batch_size=2), atol=1e-4)
    fractions = judge.class_fractions(judge.activations(features))
    assert fractions.shape == (5,) and fractions.sum() == pytest.approx(1)


@needs_jetnet
def test_numbers_come_from_the_first_three_features():
    features = jets(4)
    with_mask = np.concatenate([features, np.ones((4, 30, 1), np.float32)], -1)
    assert judge.fpnd(features, "g") == judge.fpnd(torch.as_tensor(with_mask), "g")
    assert judge.fpnd(features, "g") != judge.fpnd(features, "t")


@needs_jetnet
@pytest.mark.parametrize(
    ("features", "name", "message"),
    [
        (jets(3, particles=20), "g", "30 leading particles"),
        (jets(0), "g", "30 leading particles"),
        (jets(1), "g", "at least 2 jets"),
        (jets(3), "w", "only for g, q, t"),
        (np.full((2, 30, 3), np.nan), "g", "jet 0 are not all finite"),
    ],
)
def test_bad_input_is_named(features, name, message):
    with pytest.raises(ValueError, match=message):
        judge.fpnd(features, name)


def test_missing_jetnet_names_the_extra(monkeypatch):
    monkeypatch.setattr(judge.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "jetnet", raising=False)
    with pytest.raises(ImportError, match=r"lgae-pyg\[jetnet\]"):
        judge.resources()


def test_judging_without_jetnet_is_refused_before_anything_is_generated(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(judge.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("lgae_pyg.datasets.pythia.generate_files", lambda *_, **__: pytest.fail("generated"))
    assert main(["generate", "--classes", "g", "--out", str(tmp_path), "--judge"]) == 1
    assert "pip install 'lgae-pyg[jetnet]'" in capsys.readouterr().err
