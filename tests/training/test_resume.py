"""A training that is stopped and continued gives bit for bit what an uninterrupted one gives."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.training import AutoencoderModule, train
from lgae_pyg.training.run import DONE, INTERRUPTED

TIMINGS = ("jets_per_second", "seconds")


def rows(folder):
    """The rows of metrics.csv as text, without what the clock decides."""
    with open(folder / "metrics.csv") as file:
        return [{key: v for key, v in row.items() if key not in TIMINGS} for row in csv.DictReader(file)]


def weights(folder, name="last"):
    return read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


def assert_same_run(folder, reference):
    assert rows(folder) == rows(reference)
    for name in ("last", "best"):
        for key, tensor in weights(reference, name).items():
            assert torch.equal(weights(folder, name)[key], tensor), (name, key)


@pytest.fixture
def batch_losses(monkeypatch):
    """Collects the losses of all training batches; sends a signal to this process at a chosen one."""
    losses = []
    losses_and_signal = {"losses": losses, "at": None, "number": signal.SIGTERM}
    step = AutoencoderModule.training_step

    def training_step(module, batch, batch_idx):
        outputs = step(module, batch, batch_idx)
        losses.append(outputs["loss"].item())
        if len(losses) == losses_and_signal["at"]:
            os.kill(os.getpid(), losses_and_signal["number"])
        return outputs

    monkeypatch.setattr(AutoencoderModule, "training_step", training_step)
    return losses_and_signal


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_stop_at_any_batch(config, tmp_path, batch_losses, schedule):
    if schedule == "plateau":
        config["schedule"] = {"name": "plateau", "patience": 0, "threshold": 0.5}
    assert train(config, tmp_path / "whole") == DONE
    whole = list(batch_losses["losses"])
    assert len(whole) == 18
    assert len(rows(tmp_path / "whole")) == 4
    steps = range(1, 19) if schedule == "cosine" else (3, 6, 7, 12, 14)
    for at in steps:
        batch_losses["losses"].clear()
        batch_losses["at"] = at
        batch_losses["number"] = signal.SIGINT if at % 2 else signal.SIGTERM
        folder = tmp_path / f"stopped at {at}"
        status = train(config, folder)
        if at == 18:  # the last batch of all: nothing is left to stop
            assert status == DONE
        else:
            assert status == INTERRUPTED
            assert len(batch_losses["losses"]) == at
            torch.rand(3)  # whatever the process drew meanwhile does not matter
            assert train(config, folder) == DONE
        assert batch_losses["losses"] == whole
        assert_same_run(folder, tmp_path / "whole")


def test_stopped_twice_and_killed(config, tmp_path, batch_losses, monkeypatch):
    train(config, tmp_path / "whole")
    whole = list(batch_losses["losses"])
    folder = tmp_path / "stopped"
    batch_losses["losses"].clear()
    for at in (4, 8, 9):
        batch_losses["at"] = at
        assert train(config, folder) == INTERRUPTED
    state = (folder / "metrics.csv").read_text()
    with open(folder / "metrics.csv", "a") as file:  # what a process killed after its last checkpoint leaves
        file.write("2,12,0.1,0.1\n3,18,0.")
    assert train(config, folder) == DONE
    assert state in (folder / "metrics.csv").read_text()
    assert batch_losses["losses"] == whole
    assert_same_run(folder, tmp_path / "whole")


def test_two_runs_give_the_same_curve_and_another_seed_another(config, tmp_path):
    for name in ("a", "b"):
        train(config, tmp_path / name)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    train(config | {"seed": 2}, tmp_path / "c")
    assert rows(tmp_path / "c") != rows(tmp_path / "a")


def test_raised_limit_goes_on_and_gives_the_longer_run(config, tmp_path):
    train(config, tmp_path / "long")
    config["trainer"]["max_epochs"] = 2
    train(config, tmp_path / "short")
    config["trainer"]["max_epochs"] = 3
    assert train(config, tmp_path / "short") == DONE
    assert_same_run(tmp_path / "short", tmp_path / "long")


PROCESS = ["data.num_particles=6", "model.latent_vectors=2", "model.num_bells=4", "loader.batch_size=6"]
PROCESS += ["model.encoder_channels=[2,2]", "model.decoder_channels=[2,2]", "trainer.max_epochs=6"]


def start(jet_files, folder, *words):
    """Starts `lgae train` as a process of its own."""
    command = [sys.executable, "-m", "lgae_pyg.training", *PROCESS, "data=jetnet", "logger=csv", f"data.root={jet_files}"]
    command += [f"runs={folder.parent}", f"name={folder.name}", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def wait_for_rows(process, folder, number):
    """Waits until the process has written that many epochs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "metrics.csv").exists() and len(rows(folder)) >= number:
            return
        time.sleep(0.005)
    raise AssertionError(process.communicate()[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_a_real_process(jet_files, tmp_path, number):
    interrupted, whole = tmp_path / "interrupted", tmp_path / "whole"
    process = start(jet_files, interrupted)
    wait_for_rows(process, interrupted, 2)
    process.send_signal(number)
    output = process.communicate()[0]
    assert process.returncode == INTERRUPTED, output
    assert "resume=true" in output
    assert len(rows(interrupted)) < 7
    config = yaml.safe_load((interrupted / "config.yaml").read_text())
    assert train(config | {"resume": True}, interrupted) == DONE
    assert train(config, whole) == DONE
    assert_same_run(interrupted, whole)


def test_killed_process_leaves_a_checkpoint_to_go_on_from(jet_files, tmp_path):
    folder = tmp_path / "killed"
    process = start(jet_files, folder)
    wait_for_rows(process, folder, 3)
    process.kill()
    process.communicate()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert train(config, folder) == DONE
    assert train(config, tmp_path / "whole") == DONE
    assert_same_run(folder, tmp_path / "whole")
