"""Published models: safetensors with a checksum and a card, loaded by folder or name, from nowhere else."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import lgae_pyg
from lgae_pyg import places
from lgae_pyg.applications.judge.files import judge_file
from lgae_pyg.applications.score_formats import read_scores
from lgae_pyg.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetData
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.datasets import JetFiles
from lgae_pyg.evaluation.anomaly.density import LatentDensity, Mahalanobis
from lgae_pyg.models import PFN, LinearAE

RECIPE = {"name": "JetFiles", "root": "/home/somebody/store", "path": "/home/somebody/jets", "unit": "TeV"}


@pytest.fixture
def model() -> PFN:
    torch.manual_seed(0)
    return PFN(particle_widths=(8, 8), jet_widths=(8,), friends="mass").eval()


@pytest.fixture
def published(model, tmp_path):
    save_checkpoint(tmp_path / "run.ckpt", model, data=RECIPE, unit="TeV", metrics={"val/auc": 0.97})
    return lgae_pyg.publish(tmp_path / "run.ckpt", tmp_path / "tops", about="Tops against QCD.")


def test_a_published_model_is_the_same(model, published):
    found = load_checkpoint(published)
    assert found.path.suffix == ".safetensors" and found.model.config == model.config and found.unit == "TeV"
    for name, one in model.state_dict().items():
        assert torch.equal(one, found.model.state_dict()[name])
    assert found.metrics == {"val/auc": 0.97}


def test_nothing_of_this_machine_is_published(published):
    card = (published / "README.md").read_text()
    assert "Tops against QCD." in card and "val/auc: 0.97" in card and "PFN + mass of friends" in card
    assert "somebody" not in card and b"somebody" not in (published / "model.safetensors").read_bytes()
    assert load_checkpoint(published).data["path"] == "jets"


def test_every_flipped_byte_is_an_error(published):
    file = published / "model.safetensors"
    sound = file.read_bytes()
    for place in [*range(0, 200, 7), *range(200, len(sound), 97)]:
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        with pytest.raises((CheckpointError, OSError)):
            load_checkpoint(published)
    file.write_bytes(sound[:-5])
    with pytest.raises(CheckpointError, match="cut short"):
        load_checkpoint(published)


def test_other_safetensors_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="no weights of lgae_pyg"):
        load_checkpoint(tmp_path)
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors", {"lgae_pyg": json.dumps({"format": 1})})
    with pytest.raises(CheckpointError, match=r"incomplete checkpoint, missing lgae_pyg\.model"):
        load_checkpoint(tmp_path)


def test_names_of_shipped_models_lead_nowhere_else(published, monkeypatch, tmp_path):
    monkeypatch.setattr(places, "SHIPPED", published.parent)
    monkeypatch.chdir(tmp_path.parent)
    assert isinstance(lgae_pyg.load_model("tops"), PFN)
    for name in ("../tops", "tops/", "./tops", "TOPS", ""):
        assert places.shipped_model(name) is None
    with pytest.raises(FileNotFoundError, match=r"no model that comes with the package \(tops\)"):
        lgae_pyg.load_model("top")


@pytest.mark.parametrize("name", sorted(places.shipped_models()))
def test_shipped_models_can_be_used(name):
    found = load_checkpoint(name)
    card = (found.path.parent / "README.md").read_text()
    assert card.startswith("---\nlicense:") and "lgae train" in card and "±" in card and "real" in card
    assert found.path.stat().st_size < 500_000 and not re.search(r"/(home|tmp|work|root)/", card)
    assert all(torch.isfinite(one).all() for one in found.model.state_dict().values())


@pytest.fixture
def run(tmp_path: Path, massless_jet, generator) -> Path:
    """An autoencoder that knows its training jets, 2,000 of eight particles of which 1,200 are for the test."""
    p4 = torch.cat([massless_jet(8, generator) for _ in range(2000)]) * 1000
    np.savez(tmp_path / "jets.npz", p4=p4.numpy(), ptr=np.arange(0, 16001, 8), label=np.arange(2000) % 2)
    options = {"card": "neutral", "num_particles": 8, "unit": "TeV", "fractions": [0.3, 0.1, 0.6]}
    jets = JetFiles(tmp_path / "jets.npz", root=tmp_path / "store", split="train", **options)
    model = LinearAE(2, 8).fit(jets.loader(100))
    return save_checkpoint(tmp_path / "run.ckpt", model, data=jets.recipe, unit="TeV")


def test_shipped_models_are_used_by_name(massless_jet, generator, tmp_path, capsys) -> None:
    """A tagger, an autoencoder and an anomaly detector; of jets like those of its training the detector says the
    shares that its card does (checked when it was made)."""
    tasks = {name: load_checkpoint(name) for name in places.shipped_models()}
    names = {"lorentz_net_tops", "shell_lgae_jets", "lgae_qcd_anomaly", "pfn_contrast", "lorentz_net_contrast"}
    assert names <= set(tasks)
    p4 = torch.cat([massless_jet(size, generator) for size in (30, 12, 3, 40)])
    jets = FlatJets(1000 * p4.numpy(), np.array([0, 30, 42, 45, 85]))
    for name, found in tasks.items():
        table = lgae_pyg.score(name, jets)
        main_score = table.meta.get("headline", "score")
        assert (table["status"] == "").all() and np.isfinite(table[main_score]).all()
        assert main_score == found.detector.get("score", main_score)
    rebuilt = lgae_pyg.load_model("shell_lgae_jets").double()(JetData(pos=p4[30:42], unit="TeV"))
    torch.testing.assert_close(rebuilt.p4, p4[30:42], rtol=1e-6, atol=1e-8)  # twelve particles fit into its code


def test_a_detector_brings_its_score_and_thresholds(run: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    words = ["publish", str(run), str(tmp_path / "models" / "odd"), "--score", "latent_mahalanobis", "--single"]
    assert main(words) == 0 and "0.01 of 1,200 ordinary jets" in capsys.readouterr().out
    monkeypatch.setattr(places, "SHIPPED", tmp_path / "models")
    (tmp_path / "jets.npz").rename(tmp_path / "elsewhere.npz")  # nothing of the training is needed
    table = lgae_pyg.score("odd", tmp_path / "elsewhere.npz", card="neutral")
    found = table.meta["detector"]
    assert table.meta["headline"] == found["score"] == "latent_mahalanobis" and found["jets"] == 1200
    again = lgae_pyg.score(run, tmp_path / "elsewhere.npz", card="neutral", reference=tmp_path / "elsewhere.npz")
    assert np.corrcoef(table["latent_mahalanobis"], again["latent_mahalanobis"])[0, 1] > 0.99
    for share, threshold in found["thresholds"].items():
        error = np.sqrt(float(share) / 1200)
        assert abs((table["latent_mahalanobis"] > threshold).mean() - float(share)) < 4 * error
    assert any(f"0.01 above {found['thresholds']['0.01']:.5g}" in note for note in table.meta["notes"])
    own = lgae_pyg.score("odd", tmp_path / "elsewhere.npz", card="neutral", reference=tmp_path / "elsewhere.npz")
    assert "detector" not in own.meta and "latent_forest" in own.columns  # those thresholds are of others
    card = (tmp_path / "models" / "odd" / "README.md").read_text()
    assert "anomaly-detection" in card and f"| {found['thresholds']['0.1']:.6g} |" in card
    assert load_checkpoint("odd").model.encoder.dtype == torch.float32


def test_thresholds_of_jets_that_are_given(run: Path, tmp_path: Path) -> None:
    options = {"score": "chamfer_cartesian", "ordinary": tmp_path / "jets.npz", "classes": ["1"]}
    folder = lgae_pyg.publish(run, tmp_path / "odd", **options)
    found = load_checkpoint(folder).detector
    table = lgae_pyg.score(run, tmp_path / "jets.npz")
    values = table["chamfer_cartesian"][table["y"] == 1]
    assert found["jets"] == 1000 and found["thresholds"]["0.1"] == pytest.approx(np.quantile(values, 0.9))
    assert not load_checkpoint(folder).density and found["ordinary"] == "jets of jets.npz: 1"
    with pytest.raises(ValueError, match="unknown column 'chamfer'"):
        lgae_pyg.publish(run, tmp_path / "odd", score="chamfer")
    with pytest.raises(ValueError, match="no ordinary jets of QCD: there are 0, 1"):
        lgae_pyg.publish(run, tmp_path / "odd", **{**options, "classes": ["QCD"]})
    few = FlatJets(np.ones((4, 4)) * [3.0, 1, 1, 1], np.arange(5))
    with pytest.raises(ValueError, match="need 1000 at least"):
        lgae_pyg.publish(run, tmp_path / "odd", score="chamfer_cartesian", ordinary=few)


def test_the_distance_of_codes_is_that_of_their_covariance() -> None:
    codes = np.random.default_rng(0).normal(size=(500, 3)) @ np.array([[2.0, 1, 0], [0, 1, 0], [0, 1, 3]])
    codes = np.concatenate([codes, np.full((500, 1), 7.0)], 1)  # one number tells nothing
    apart = codes[:, :3] - codes[:, :3].mean(0)
    wanted = np.sqrt(np.einsum("bi,ij,bj->b", apart, np.linalg.inv(apart.T @ apart / 500), apart))
    for found in (Mahalanobis.fit(codes), LatentDensity(codes)):
        np.testing.assert_allclose(found.scores(codes)["latent_mahalanobis"], wanted, rtol=1e-9)
    with pytest.raises(ValueError, match="all codes are alike"):
        Mahalanobis.fit(np.ones((5, 2)))


def test_the_score_of_a_detector_is_judged(run: Path, tmp_path: Path, capsys) -> None:
    folder = lgae_pyg.publish(run, tmp_path / "odd", score="latent_mahalanobis")
    out = tmp_path / "scores.npz"
    assert main(["score", str(folder), str(tmp_path / "jets.npz"), "--out", str(out), "--latents", "--quiet"]) == 0
    assert "The anomaly score is latent_mahalanobis" in capsys.readouterr().out
    verdict = judge_file(out, resamples=2)
    assert "latent_mahalanobis" in verdict.words and not any(one.startswith("latent_0") for one in verdict.words)
    assert verdict.about["model_sha256"] == read_scores(out).meta["model_sha256"]
