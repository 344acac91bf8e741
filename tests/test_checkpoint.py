"""Checkpoints describe themselves, open safely, and say clearly why they cannot be used."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import lgae_pyg
from lgae_pyg.checkpoint import (
    FORMAT,
    HEADER,
    CheckpointError,
    find_checkpoint,
    load_checkpoint,
    load_model,
    read_checkpoint,
    save_checkpoint,
)
from lgae_pyg.data import JetData, JetStore
from lgae_pyg.files import write_atomically
from lgae_pyg.models import LGAE, LinearAE, registry


class Affine(nn.Module):
    """A model with weights and a fitted buffer."""

    def __init__(self, size=3):
        super().__init__()
        self.config = {"name": "Affine", "size": size}
        self.linear = nn.Linear(size, size)
        self.register_buffer("spread", torch.ones(size))


@pytest.fixture
def affine(monkeypatch):
    monkeypatch.setitem(registry.MODELS, "Affine", Affine)
    model = Affine().double()
    model.spread.copy_(torch.tensor([1.0, 2.0, 4.0]))
    return model


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    momenta = torch.randn(3, 8, 3, generator=generator, dtype=torch.float64)
    jets = [JetData(pos=torch.cat([p.norm(dim=-1, keepdim=True), p], -1)) for p in momenta]
    return JetStore.from_jets(jets).batch(range(3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_model_comes_back_with_weights_buffers_and_precision(affine, tmp_path, dtype):
    path = save_checkpoint(tmp_path / "new" / "a.ckpt", affine.to(dtype))
    model = load_model(path)
    assert not model.training
    for name, tensor in affine.state_dict().items():
        assert model.state_dict()[name].dtype == dtype
        assert torch.equal(model.state_dict()[name], tensor)


@pytest.mark.parametrize("kind", ["mix", "min&max", "linear"])
def test_autoencoders_of_the_package_reconstruct_the_same(kind, batch, tmp_path):
    if kind == "linear":
        model = LinearAE(latent_vectors=2, num_particles=8).fit([batch])
    else:
        channels = {"encoder_channels": (2, 2), "decoder_channels": (2, 2)}
        model = LGAE(kind, num_particles=8, latent_vectors=2, num_bells=3, **channels).double()
    save_checkpoint(tmp_path / "model.ckpt", model)
    again = lgae_pyg.load_model(tmp_path / "model.ckpt")
    assert again.config == model.config
    with torch.no_grad():
        assert torch.equal(again(batch).p4, model.eval()(batch).p4)


def test_description_comes_back(affine, tmp_path):
    description = {
        "data": {"name": "JetNet", "classes": ("g", "q"), "seed": np.int64(3)},
        "unit": "PeV",
        "config": {"optimizer": {"lr": 1e-3, "betas": (0.9, 0.999)}, "root": tmp_path},
        "epoch": 7,
        "metrics": {"val/loss": np.float64(0.25)},
    }
    loaded = load_checkpoint(save_checkpoint(tmp_path / "a.ckpt", affine, **description))
    assert loaded.data == {"name": "JetNet", "classes": ["g", "q"], "seed": 3}
    assert loaded.config["optimizer"]["betas"] == [0.9, 0.999]
    assert loaded.config["root"] == str(tmp_path)
    assert (loaded.unit, loaded.epoch, loaded.metrics) == ("PeV", 7, {"val/loss": 0.25})
    assert loaded.versions["lgae_pyg"] == lgae_pyg.__version__
    assert loaded.format == FORMAT and loaded.path == tmp_path / "a.ckpt"
    with pytest.raises(TypeError, match="not a plain value"):
        save_checkpoint(tmp_path / "b.ckpt", affine, config={"model": affine})


def test_file_opens_with_weights_only_and_never_runs_code(affine, tmp_path):
    path = save_checkpoint(tmp_path / "a.ckpt", affine)
    content = torch.load(path, weights_only=True)
    assert set(content) == {HEADER, "state_dict"}
    assert all(name.startswith("model.") for name in content["state_dict"])

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({HEADER: Bomb()}, tmp_path / "bomb.ckpt")
    with pytest.raises(CheckpointError, match=r"bomb\.ckpt: not a checkpoint of lgae_pyg.*could run code"):
        load_model(tmp_path / "bomb.ckpt")
    assert not (tmp_path / "exploded").exists()


def test_run_folder_means_its_best_model_or_else_its_last(affine, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    with pytest.raises(FileNotFoundError, match="no run folder"):
        find_checkpoint(tmp_path)
    save_checkpoint(folder / "last.ckpt", affine, epoch=2)
    with pytest.warns(UserWarning, match=r"no best\.ckpt"):
        assert load_checkpoint(tmp_path).epoch == 2
    save_checkpoint(folder / "best.ckpt", affine, epoch=1)
    assert load_checkpoint(tmp_path).epoch == 1
    assert load_checkpoint(folder).epoch == 1
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"^nothing.ckpt: no such checkpoint.*no {tmp_path}/nothing.ckpt"):
        load_model("nothing.ckpt")


def test_truncated_file_is_called_damaged(affine, tmp_path):
    whole = save_checkpoint(tmp_path / "a.ckpt", affine).read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        (tmp_path / "part.ckpt").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"part\.ckpt"):
            load_model(tmp_path / "part.ckpt")


def test_errors_of_the_reader_name_the_file(affine, tmp_path, monkeypatch):
    """Of some truncated files, torch says no more than 'Invalid argument'."""
    save_checkpoint(tmp_path / "a.ckpt", affine)

    def invalid(*_, **__):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(torch, "load", invalid)
    with pytest.raises(CheckpointError, match=r"a\.ckpt: damaged"):
        load_model(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop(HEADER), "entry 'lgae_pyg' is missing"),
        (lambda c: c[HEADER].pop("format"), "format number is missing"),
        (lambda c: c[HEADER].update(format=FORMAT + 1), "reads formats up to .*update lgae-pyg"),
        (lambda c: c[HEADER].pop("model"), "missing lgae_pyg.model"),
        (lambda c: c.pop("state_dict"), "missing state_dict"),
        (lambda c: c[HEADER]["model"].update(name="Nothing"), "unknown model 'Nothing'"),
        (lambda c: c[HEADER]["model"].update(colour=1), "no argument colour"),
        (lambda c: c[HEADER]["model"].update(size=4), "do not fit the model"),
        (lambda c: c["state_dict"].pop("model.spread"), "missing: spread"),
        (lambda c: c["state_dict"].update({"model.more": torch.ones(1)}), "not known to the model: more"),
    ],
)
def test_what_is_wrong_is_said(affine, tmp_path, change, message):
    path = save_checkpoint(tmp_path / "a.ckpt", affine)
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(path)
    assert "a.ckpt" in str(error.value)


def test_other_files_are_not_ours(tmp_path):
    (tmp_path / "text.ckpt").write_text("weights")
    torch.save(torch.ones(3), tmp_path / "tensor.ckpt")
    for name in ("text.ckpt", "tensor.ckpt"):
        with pytest.raises(CheckpointError, match=name):
            read_checkpoint(tmp_path / name)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_atomically(tmp_path / "a", lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_opening_a_checkpoint_leaves_no_constants_without_memory(tmp_path) -> None:
    """In a fresh process: the tables of a model must not come from the sketch that measures its size."""
    lines = """
from lgae_pyg.checkpoint import check_size
from lgae_pyg.lorentz import clebsch_gordan
from lgae_pyg.models import LGAE
import pathlib, sys
file = pathlib.Path(sys.argv[1])
file.write_bytes(bytes(10_000_000))
check_size(file, {"name": "LGAE", "num_particles": 4, "aggregation": "mean"})
assert clebsch_gordan("(1/2,1/2)", "(1/2,1/2)", "(0,0)").device.type == "cpu"
LGAE(num_particles=4, aggregation="mean")
"""
    subprocess.run([sys.executable, "-c", lines, str(tmp_path / "model.ckpt")], check=True)
