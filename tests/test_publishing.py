"""Published models: safetensors with a checksum and a card, loaded by folder or name, from nowhere else."""

import json

import pytest
import torch

import lgae_pyg
from lgae_pyg import weights
from lgae_pyg.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from lgae_pyg.models import PFN

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
    monkeypatch.setattr(weights, "SHIPPED", published.parent)
    monkeypatch.chdir(tmp_path.parent)
    assert isinstance(lgae_pyg.load_model("tops"), PFN)
    for name in ("../tops", "tops/", "./tops", "TOPS", ""):
        assert weights.shipped_model(name) is None
    with pytest.raises(FileNotFoundError, match=r"no model that comes with the package \(tops\)"):
        lgae_pyg.load_model("top")


@pytest.mark.parametrize("name", sorted(weights.shipped_models()))
def test_shipped_models_can_be_used(name):
    found = load_checkpoint(name)
    assert (found.path.parent / "README.md").read_text().startswith("---\nlicense:")
    assert all(torch.isfinite(one).all() for one in found.model.state_dict().values())
