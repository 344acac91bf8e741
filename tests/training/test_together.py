"""Two processes train as one: the same losses for the same global batch, one run, exact resumption, one stop.

The processes are forked, each with the variables that torchrun, srun or Lightning would have set; the real programs,
with their minute of imports, are in the slow half.
"""

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from together import free_port, lightning, signalled, srun, together, torchrun

from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.training import ReconstructionTask, train
from lgae_pyg.training.cluster import cluster_environment, devices_and_nodes
from lgae_pyg.training.run import DONE, INTERRUPTED, NOT_FINITE

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")

CLOCK = ("jets_per_second", "seconds", "crc32")


def rows(folder):
    """The numbers of metrics.csv, without what the clock decides."""
    with open(folder / "metrics.csv") as file:
        return [
            {key: float(text or "nan") for key, text in row.items() if key not in CLOCK}
            for row in csv.DictReader(file)
        ]


def largest_difference(folder, reference):
    """The largest relative difference of two files of metrics with the same rows."""
    mine, other = rows(folder), rows(reference)
    assert [sorted(row) for row in mine] == [sorted(row) for row in other]
    pairs = [(one[key], two[key]) for one, two in zip(mine, other, strict=True) for key in one]
    assert all(math.isnan(a) == math.isnan(b) for a, b in pairs)
    return max(abs(a - b) / max(abs(b), 1e-300) for a, b in pairs if not math.isnan(a) and a != b) if any(
        a != b and not math.isnan(a) for a, b in pairs
    ) else 0.0


def weights(folder, name="last"):
    return read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


@pytest.fixture
def shared(config):
    """Batches of seven in each of two processes, the last of 4 (60 jets); validation of 20 jets in an odd number."""
    config["model"]["dropout"] = 0.0
    config["loader"] = {"batch_size": 7, "eval_batch_size": 3, "val_jets": 19}
    return config


def alone(config):
    """The configuration of one process with the same global batch."""
    return config | {"loader": config["loader"] | {"batch_size": 2 * config["loader"]["batch_size"]}}


@pytest.mark.parametrize(
    ("start", "nodes"), [(torchrun, 1), (torchrun, 2), (srun, 1), (srun, 2), (lightning, 1), (lightning, 2)]
)
def test_two_processes_give_the_losses_of_one(shared, tmp_path, start, nodes, capfd):
    """With 59 jets, so that the last step has four jets in one process and three in the other."""
    shared["loader"]["train_jets"] = 59
    assert train(alone(shared), tmp_path / "one") == DONE
    capfd.readouterr()
    if start is lightning:
        shared["trainer"] |= {"devices": 2 // nodes, "num_nodes": nodes}
    found = together(lambda rank: train(shared, tmp_path / "two"), [start(rank, nodes) for rank in range(2)])
    assert found == [DONE, DONE]
    difference = largest_difference(tmp_path / "two", tmp_path / "one")
    print(f"{start.__name__}, {nodes} nodes: largest relative difference {difference:.1e}")
    assert difference < 1e-12
    for key, tensor in weights(tmp_path / "one").items():
        assert torch.allclose(weights(tmp_path / "two")[key], tensor, rtol=1e-12)
    said = capfd.readouterr().out
    assert said.count("epoch    3") == 1 and "2 processes, each with batches of 7" in said  # the first speaks


def test_a_stop_of_one_process_stops_both_and_they_go_on_exactly(shared, tmp_path):
    """With dropout on particles: the random numbers of the processes are not the same."""
    shared["model"]["dropout"] = 0.3
    variables = [torchrun(rank) for rank in range(2)]
    assert together(lambda rank: train(shared, tmp_path / "whole"), variables) == [DONE, DONE]
    for at, who in ((2, 1), (5, 0), (8, 1)):
        folder = tmp_path / f"stopped at {at}"

        def stopped(rank, folder=folder, at=at, who=who):
            with signalled(at if rank == who else -1, signal.SIGTERM, ReconstructionTask):
                return train(shared, folder)

        assert together(stopped, variables) == [INTERRUPTED, INTERRUPTED]
        assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == at
        assert together(lambda rank, folder=folder: train(shared, folder), variables) == [DONE, DONE]
        assert rows(folder)[1:] == rows(tmp_path / "whole")[1:]
        assert all(torch.equal(weights(folder)[key], w) for key, w in weights(tmp_path / "whole").items())


def test_the_time_is_up_for_all_at_once(shared, tmp_path):
    """Each has its own clock; without an agreement one waits for the other for ever."""
    shared["trainer"] |= {"max_minutes": 0.4 / 60, "max_epochs": 100_000}

    def timed(rank):
        time.sleep(0.2 * rank)
        return train(shared, tmp_path / "run")

    assert together(timed, [torchrun(rank) for rank in range(2)]) == [DONE, DONE]
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["lgae_pyg_run"]["finished"].endswith("over")


@pytest.mark.parametrize("step", ["training_step", "validation_step"])
def test_a_loss_that_is_not_finite_in_one_process_stops_both_and_names_its_jets(shared, tmp_path, capfd, step):
    losses = ReconstructionTask.jet_losses

    def bad(self, batch, result):
        found = losses(self, batch, result)
        if self.trainer.global_step == 3 and torch.is_grad_enabled() == (step == "training_step"):
            found = found * torch.where(torch.arange(len(found)) == 1, math.nan, 1.0)
        return found

    def poisoned(rank):
        if rank == 1:
            ReconstructionTask.jet_losses = bad
        return train(shared | {"trainer": shared["trainer"] | {"max_epochs": 2}}, tmp_path / "run")

    shared["loader"]["train_jets"] = 28  # two steps an epoch
    if step == "validation_step":
        shared["loader"]["train_jets"] = 42  # three
    assert together(poisoned, [torchrun(rank) for rank in range(2)]) == [NOT_FINITE, NOT_FINITE]
    said = capfd.readouterr().err
    assert said.count("for 1 of the batch's") == 1 and said.count("for jets of another process") == 1
    assert (tmp_path / "run" / "nonfinite.safetensors").exists()


def test_one_run_of_weights_and_biases(shared, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    shared["logger"] = {"wandb": True}
    shared["trainer"]["max_epochs"] = 1
    for nodes in (1, 2):
        folder = tmp_path / str(nodes)
        found = together(lambda rank, f=folder: train(shared, f), [torchrun(rank, nodes) for rank in range(2)])
        assert found == [DONE, DONE]
        assert len(list((folder / "wandb").glob("offline-run-*"))) == 1


def test_processes_that_start_together_prepare_the_jets_once(shared, tmp_path):
    """Both find no store of the jets: one makes it, the other waits for it."""
    root = tmp_path / "jets"
    shutil.copytree(Path(shared["data"]["root"]) / "raw", root / "raw")
    shared["data"]["root"] = str(root)
    shared["trainer"]["max_epochs"] = 1
    assert together(lambda rank: train(shared, tmp_path / "run"), [torchrun(rank) for rank in range(2)]) == [0, 0]
    assert [path.suffix for path in (root / "processed").iterdir()] == [".safetensors"]


def test_what_launchers_say_is_understood(monkeypatch):
    for start in (torchrun, srun):
        with monkeypatch.context() as patch:
            for key, value in start(3, 2, 4).items():
                patch.setenv(key, str(value))
            environment = cluster_environment()
            assert devices_and_nodes({"devices": "auto"}) == (2, 2)
            assert (environment.global_rank(), environment.local_rank(), environment.node_rank()) == (3, 1, 1)
            assert environment.world_size() == 4 and environment.creates_processes_externally
    for key in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID"):  # in a batch script, without srun
        monkeypatch.setenv(key, "2")
    assert devices_and_nodes({}) == ("auto", 1) and not cluster_environment().creates_processes_externally
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(ValueError, match="ntasks-per-node"):
        cluster_environment()
