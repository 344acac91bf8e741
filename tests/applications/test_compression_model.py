"""Compression with a model: the same jets come out as without one, and another model is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_jets import some_jets

import lgae_pyg
from lgae_pyg.applications.compression import rebuilt
from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.data import DataFileError, JetLoader, JetStore
from lgae_pyg.models import GNNAE, LGAE, LinearAE, ShellLGAE

pytest.importorskip("constriction")


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """A linear autoencoder of jets of up to 12 particles, in TeV."""
    model = LinearAE(4, 12)
    jets = some_jets(100, (12, 12), seed=1, dtype=np.float64)
    model.fit(JetLoader(jets.in_unit("TeV"), batch_size=50))
    return save_checkpoint(tmp_path / "linear.ckpt", model, unit="TeV")


def test_the_same_jets_come_out(linear: Path, tmp_path: Path) -> None:
    store = some_jets(60, (1, 20))  # more particles than the model has slots, and fewer
    store.particle_fields["pos"][::7, 1:3] = 0  # some particles are kept as they are
    plain = lgae_pyg.compress(store, tmp_path / "plain")
    account = lgae_pyg.compress(store, tmp_path / "model", model=linear, coder="model")
    a, b = lgae_pyg.decompress(tmp_path / "plain"), lgae_pyg.decompress(tmp_path / "model", model=linear)
    assert torch.equal(a.particle_fields["pos"], b.particle_fields["pos"]) and torch.equal(a.ptr, b.ptr)
    assert account.worst == pytest.approx(plain.worst, rel=1e-9) and account.coder == "model"


def test_the_shorter_is_taken_and_said(linear: Path, tmp_path: Path) -> None:
    account = lgae_pyg.compress(some_jets(60, (1, 20)), tmp_path / "a", model=linear)
    assert set(account.compared) == {"plain", "model"} and account.coder == min(
        account.compared, key=account.compared.get
    )
    assert f"used: {account.coder}" in "\n".join(account.lines())


def test_a_model_that_rebuilds_well_saves_bits(tmp_path: Path) -> None:
    """Jets whose particles are mixtures of two vectors with shares that are the same in all jets."""
    rng, n = np.random.default_rng(0), 16
    pt, eta, phi = rng.uniform(300, 900, (2, 400)), rng.normal(0, 0.3, (2, 400)), rng.normal(0, 0.3, (2, 400))
    prongs = pt * np.stack([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)])  # (4, 2, jets)
    shares = 0.7 ** np.arange(n)[:, None] * (1 + 0.2 * rng.uniform(-1, 1, (n, 2)))
    jets = np.einsum("ik,mkj->jim", shares, prongs)
    store = JetStore(torch.arange(0, 400 * n + 1, n), {"pos": torch.from_numpy(jets.reshape(-1, 4))})
    store.meta["unit"] = "GeV"
    model = LinearAE(1, n).fit(JetLoader(store, batch_size=100))
    path = save_checkpoint(tmp_path / "m.ckpt", model, unit="GeV")
    account = lgae_pyg.compress(store, tmp_path / "a", pt=1e-3, angle=0.1, model=path)
    assert account.coder == "model" and account.compared["model"] < 0.9 * account.compared["plain"]
    assert len(lgae_pyg.decompress(tmp_path / "a", model=path)) == 400


def test_another_model_is_refused(linear: Path, tmp_path: Path) -> None:
    lgae_pyg.compress(some_jets(20, (5, 12)), tmp_path / "a", model=linear, coder="model")
    with pytest.raises(ValueError, match="written with the model LinearAE"):
        lgae_pyg.decompress(tmp_path / "a")
    other = LinearAE(4, 12)
    other.fit(JetLoader(some_jets(100, (12, 12), seed=2, dtype=np.float64).in_unit("TeV"), batch_size=50))
    path = save_checkpoint(tmp_path / "other.ckpt", other, unit="TeV")
    with pytest.raises(ValueError, match="is not the model that the file was written with"):
        lgae_pyg.decompress(tmp_path / "a", model=path)


def test_other_numbers_of_the_decoder_are_noticed(
    linear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differences of rounding do not matter; larger ones are an error, never other jets."""
    store = some_jets(60, (1, 20))
    lgae_pyg.compress(store, tmp_path / "a", model=linear, coder="model")
    want, right = lgae_pyg.decompress(tmp_path / "a", model=linear), rebuilt.Rebuilder.decode
    monkeypatch.setattr(rebuilt.Rebuilder, "decode", lambda *given: right(*given) * (1 + 1e-13))
    found = lgae_pyg.decompress(tmp_path / "a", model=linear)
    assert torch.equal(found.particle_fields["pos"], want.particle_fields["pos"])
    monkeypatch.setattr(rebuilt.Rebuilder, "decode", lambda *given: right(*given) * (1 + 1e-4))
    with pytest.raises(DataFileError, match="other momenta come out"):
        lgae_pyg.decompress(tmp_path / "a", model=linear)


@pytest.mark.parametrize("model", [LGAE(num_particles=8), ShellLGAE(num_particles=8, latent_vectors=2)])
def test_learned_models_can_be_used(model: torch.nn.Module, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "m.ckpt", model, unit="GeV")
    store = some_jets(12, (1, 10))
    lgae_pyg.compress(store, tmp_path / "plain")
    lgae_pyg.compress(store, tmp_path / "a", model=path, coder="model")
    back = lgae_pyg.decompress(tmp_path / "a", model=path).particle_fields["pos"]
    assert torch.equal(back, lgae_pyg.decompress(tmp_path / "plain").particle_fields["pos"])


def test_models_that_are_told_more_are_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "m.ckpt", GNNAE(num_particles=8), unit="GeV")
    with pytest.raises(ValueError, match=r"GNNAE.* cannot be used: needed is an autoencoder"):
        lgae_pyg.compress(some_jets(5), tmp_path / "a", model=path)
