"""Weights & Biases: offline without a login, one run over interruptions, never needed."""

import builtins
import csv
import os
import signal
import sys

import pytest

from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.training import ReconstructionTask, train
from lgae_pyg.training.keep import RUN_STATE
from lgae_pyg.training.loggers import has_wandb_key, wandb_mode
from lgae_pyg.training.run import DONE, INTERRUPTED


@pytest.fixture
def no_login(monkeypatch, tmp_path):
    """A user who has never logged in to W&B."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path


def test_mode_follows_login_and_environment(no_login, monkeypatch):
    assert wandb_mode() == "offline"
    (no_login / "netrc").write_text("machine api.wandb.ai login user password " + "0" * 40)
    assert has_wandb_key() and wandb_mode() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_wandb_key()
    monkeypatch.setenv("WANDB_MODE", "online")
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode() == "online"
    for mode in ("offline", "disabled"):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert wandb_mode() == mode


def test_offline_run_keeps_its_id_over_an_interruption(config, no_login, monkeypatch):
    folder = no_login / "run"
    config["logger"] = {"wandb": True, "project": "test", "panels_every": 2}
    step = ReconstructionTask.training_step

    def training_step(module, batch, batch_idx):
        if module.trainer.global_step == 8 and not (folder / "stopped").exists():
            (folder / "stopped").touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return step(module, batch, batch_idx)

    monkeypatch.setattr(ReconstructionTask, "training_step", training_step)
    assert train(config, folder) == INTERRUPTED
    first = read_checkpoint(folder / "checkpoints" / "last.ckpt")[RUN_STATE]["wandb_id"]
    assert train(config, folder) == DONE
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")[RUN_STATE]["wandb_id"] == first
    runs = [path.name for path in (folder / "wandb").iterdir() if path.name.startswith("offline-run-")]
    # offline-run-TIME-ID, and a number behind it where both began in the same second
    assert len(runs) == 2 and {name.split("-")[3] for name in runs} == {first}
    pictures = (folder / "wandb").glob("offline-run-*/files/media/images/jets/*")
    assert {path.name.split("_")[0] for path in pictures} == {"images", "residuals"}


def test_without_wandb_the_csv_file_is_enough(config, no_login, monkeypatch):
    real = builtins.__import__

    def without_wandb(name, *arguments, **more):
        if name == "wandb":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_wandb)
    config["logger"] = {"wandb": True}
    with pytest.warns(UserWarning, match=r"pip install 'lgae-pyg\[wandb\]'"):
        assert train(config, no_login / "run") == DONE
    with open(no_login / "run" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 4
