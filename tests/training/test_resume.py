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
from lgae_pyg.training import ReconstructionTask, train
from lgae_pyg.training.run import DONE, INTERRUPTED
from lgae_pyg.training.signals import GracefulStop

TIMINGS = ("jets_per_second", "seconds", "crc32")


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
    step = ReconstructionTask.training_step

    def training_step(module, batch, batch_idx):
        outputs = step(module, batch, batch_idx)
        losses.append(outputs["loss"].item())
        if len(losses) == losses_and_signal["at"]:
            numbers = losses_and_signal["number"]
            for number in numbers if isinstance(numbers, list) else [numbers]:
                os.kill(os.getpid(), number)
        return outputs

    monkeypatch.setattr(ReconstructionTask, "training_step", training_step)
    return losses_and_signal


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_stop_at_any_batch(config, tmp_path, batch_losses, schedule):
    if schedule == "plateau":
        config["schedule"] = {"name": "plateau", "patience": 0, "threshold": 0.5}
    assert train(config, tmp_path / "whole") == DONE
    whole = list(batch_losses["losses"])
    assert len(whole) == 18
    assert len(rows(tmp_path / "whole")) == 4
    assert min(whole[-6:]) < 0.9 * min(whole[:6])  # it does learn
    steps = (1, 5, 6, 7, 11, 18) if schedule == "cosine" else (6, 7, 14)
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


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGHUP"])
def test_a_notice_of_the_batch_system_stops_like_a_request(config, tmp_path, batch_losses, name, request):
    """Sent once, twice, and followed by the SIGTERM of the end of the time."""
    number = getattr(signal, name)
    former = signal.signal(number, signal.SIG_DFL)  # pytest itself may have been started by nohup
    request.addfinalizer(lambda: signal.signal(number, former))
    for notices in ([number], [number, number], [number, signal.SIGTERM]):
        batch_losses["losses"].clear()
        batch_losses.update(at=8, number=notices)
        folder = tmp_path / f"run {len(notices)} {sum(notices)}"
        assert train(config, folder) == INTERRUPTED
        assert len(batch_losses["losses"]) == 8
        assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 8


def test_who_listened_before_hears_of_the_stop_when_all_is_saved():
    """Launchers such as submitit submit the job again then."""
    heard = []
    former = signal.signal(signal.SIGUSR2, lambda *_: heard.append(True))
    try:
        with GracefulStop() as stop:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert stop.name == "SIGUSR2" and not heard
        stop.pass_on()
        assert heard == [True]
        with GracefulStop() as stop:
            pass
        stop.pass_on()
        assert heard == [True]
    finally:
        signal.signal(signal.SIGUSR2, former)


def test_a_terminal_that_is_closed_does_not_stop_what_ignores_it():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with GracefulStop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.requested is None and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


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


MODEL = ["model.latent_vectors=2", "model.num_bells=4", "model.encoder_channels=[2,2]"]
MODEL += ["model.decoder_channels=[2,2]", "data=jetnet", "data.num_particles=6", "loader.batch_size=20"]


def start(jet_files, folder):
    """Starts `lgae train` as a process of its own, with more epochs than anyone would wait for."""
    command = [sys.executable, "-m", "lgae_pyg.training", *MODEL, f"data.root={jet_files}", "logger=csv"]
    command += [f"runs={folder.parent}", f"name={folder.name}", "trainer.threads=1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def send_after_two_rows(processes, folders):
    """Sends each process the signal it is filed under as soon as it has written two rows."""
    waiting, deadline = dict(processes), time.monotonic() + 200
    while waiting:
        for number, process in list(waiting.items()):
            file = folders[number] / "metrics.csv"
            if file.exists() and len(rows(folders[number])) >= 2:
                process.send_signal(number)
                del waiting[number]
            elif process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(process.communicate()[0])
        time.sleep(0.01)


def test_signals_to_real_processes(jet_files, tmp_path):
    """SIGINT and SIGTERM stop after the batch, SIGKILL at once; all three go on as if nothing had been."""
    folders = {number: tmp_path / number.name for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)}
    processes = {number: start(jet_files, folder) for number, folder in folders.items()}
    send_after_two_rows(processes, folders)
    for number, process in processes.items():
        output = process.communicate(timeout=100)[0]
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == INTERRUPTED, output
            assert f"Stopped by {number.name}" in output and "resume=true" in output
    config = yaml.safe_load((folders[signal.SIGINT] / "config.yaml").read_text())
    config["trainer"]["max_epochs"] = 1 + max(len(rows(folder)) for folder in folders.values())
    assert train(config, tmp_path / "whole") == DONE
    for folder in folders.values():
        assert train(config, folder) == DONE
        assert_same_run(folder, tmp_path / "whole")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")
def test_second_signal_ends_at_once_and_leaves_the_last_checkpoint(config, tmp_path, monkeypatch):
    """The process is replaced by a child, which sends itself two signals within one batch."""
    folder = tmp_path / "aborted"
    child = os.fork()
    if child == 0:
        step = ReconstructionTask.training_step

        def training_step(module, batch, batch_idx):
            if module.trainer.global_step == 8:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            return step(module, batch, batch_idx)

        monkeypatch.setattr(ReconstructionTask, "training_step", training_step)
        os._exit(train(config, folder))
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 6
    assert train(config, folder) == DONE
    assert train(config, tmp_path / "whole") == DONE
    assert_same_run(folder, tmp_path / "whole")
