"""Two processes train as one: the same losses for the same global batch, one run, exact resumption, one stop.

The processes are forked, each with the variables that torchrun, srun or Lightning would have set; the real
programs are called in the slow half.
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
from together import lightning, signalled, srun, together, torchrun

from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.config import config_directory
from lgae_pyg.processes import leads
from lgae_pyg.training import ReconstructionTask, train
from lgae_pyg.training.cluster import cluster_environment, devices_and_nodes
from lgae_pyg.training.run import DONE, INTERRUPTED, NOT_FINITE

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")

CLOCK = ("jets_per_second", "seconds", "crc32")


def rows(folder):
    """The numbers of metrics.csv, without what the clock decides."""
    with open(folder / "metrics.csv") as file:
        found = csv.DictReader(file)
        return [{key: float(text or "nan") for key, text in row.items() if key not in CLOCK} for row in found]


def largest_difference(folder, reference):
    """The largest relative difference of two files of metrics with the same rows."""
    mine, other = rows(folder), rows(reference)
    assert [sorted(row) for row in mine] == [sorted(row) for row in other]
    pairs = [(one[key], two[key]) for one, two in zip(mine, other, strict=True) for key in one]
    assert all(math.isnan(a) == math.isnan(b) for a, b in pairs)
    return max(0.0 if a == b else abs(a - b) / abs(b) for a, b in pairs if not math.isnan(a))


def weights(folder, name="last"):
    return read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


@pytest.fixture
def shared(config):
    """Batches of seven in each of two processes, and an odd number of jets to validate."""
    config["model"]["dropout"] = 0.0
    config["loader"] = {"batch_size": 7, "eval_batch_size": 3, "val_jets": 19}
    return config


def alone(config):
    """The configuration of one process with the same global batch."""
    return config | {"loader": config["loader"] | {"batch_size": 2 * config["loader"]["batch_size"]}}


MORE = ((torchrun, 2), (srun, 1), (lightning, 1))
SLOW = [pytest.param(start, nodes, marks=pytest.mark.slow) for start, nodes in MORE]


@pytest.mark.parametrize(("start", "nodes"), [(torchrun, 1), (srun, 2), (lightning, 2), *SLOW])
def test_two_processes_give_the_losses_of_one(shared, tmp_path, start, nodes):
    """With 59 jets, so that the last step has four jets in one process and three in the other."""
    shared["loader"]["train_jets"] = 59
    assert train(alone(shared), tmp_path / "one") == DONE
    if start is lightning:
        shared["trainer"] |= {"devices": 2 // nodes, "num_nodes": nodes}
    found = together(lambda rank: train(shared, tmp_path / "two"), [start(rank, nodes) for rank in range(2)])
    assert found == [DONE, DONE]
    difference = largest_difference(tmp_path / "two", tmp_path / "one")
    print(f"{start.__name__}, {nodes} nodes: largest relative difference {difference:.1e}")
    assert difference < 1e-12
    for key, tensor in weights(tmp_path / "one").items():
        assert torch.allclose(weights(tmp_path / "two")[key], tensor, rtol=1e-12)


def test_a_stop_of_one_process_stops_both_and_they_go_on_exactly(shared, tmp_path, capfd):
    """With dropout on particles: the random numbers of the processes are not the same."""
    shared["model"]["dropout"] = 0.3
    variables = [torchrun(rank) for rank in range(2)]
    assert together(lambda rank: train(shared, tmp_path / "whole"), variables) == [DONE, DONE]
    said = capfd.readouterr().out
    assert said.count("epoch    3") == 1 and "2 processes, each with batches of 7" in said  # the first speaks
    for at, who in ((2, 0), (8, 1)):
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
    state = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["lgae_pyg_run"]
    assert state["finished"].endswith("minutes are over")


@pytest.mark.parametrize("stage", ["training", "validation"])
def test_a_loss_that_is_not_finite_in_one_process_stops_both_and_names_its_jets(shared, tmp_path, capfd, stage):
    losses = ReconstructionTask.jet_losses

    def bad(self, batch, result):
        found = losses(self, batch, result)
        if self.trainer.global_step == 3 and self.trainer.training == (stage == "training"):
            found = found * torch.where(torch.arange(len(found)) == 1, math.nan, 1.0)
        return found

    def poisoned(rank):
        if rank == 1:
            ReconstructionTask.jet_losses = bad
        return train(shared | {"trainer": shared["trainer"] | {"max_epochs": 2}}, tmp_path / "run")

    shared["loader"]["train_jets"] = 28  # two steps an epoch
    if stage == "validation":
        shared["loader"]["train_jets"] = 42  # three
    assert together(poisoned, [torchrun(rank) for rank in range(2)]) == [NOT_FINITE, NOT_FINITE]
    said = capfd.readouterr().err
    assert said.count("for 1 of the batch's") == 1 and said.count("for jets of another process") == 1
    assert (tmp_path / "run" / "nonfinite.safetensors").exists()


@pytest.mark.slow
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


@pytest.mark.slow
def test_every_model_trains_in_two_processes(jet_files, tmp_path):
    """No parameter is left without a gradient, and the losses are those of one process."""
    from test_main import composed

    files = (config_directory() / "model").glob("*.yaml")
    names = sorted({path.stem for path in files} - {"own", "linear"})
    words = [f"data.root={jet_files}", "logger=csv", "loader.train_jets=16", "loader.val_jets=8", "data=jetnet"]
    words += ["trainer.max_epochs=2", "trainer.progress=false", "data.num_particles=17", "trainer.threads=1"]
    words += ["trainer.precision=float64"]  # Adam makes steps of gradients that are zero but for rounding

    def config(name, size):
        found = composed(f"model={name}", *words, f"loader.batch_size={size}")
        found["model"] |= {"dropout": 0.0} if "dropout" in found["model"] else {}
        return found

    def both(rank):
        return max(train(config(name, 4), tmp_path / name / "two") for name in names)

    for name in names:
        assert train(config(name, 8), tmp_path / name / "one") == DONE
    assert together(both, [torchrun(rank) for rank in range(2)], 1200) == [DONE, DONE]
    for name in names:
        difference = largest_difference(tmp_path / name / "two", tmp_path / name / "one")
        print(f"{name}: largest relative difference {difference:.1e}")
        assert difference < 1e-7


@pytest.mark.parametrize("start", [torchrun, srun, lightning])
def test_one_process_leads_on_however_many_machines(monkeypatch, start):
    """It alone writes files, speaks, and starts a run of W&B."""
    for nodes in (1, 2, 4):
        found = []
        for rank in range(4):
            with monkeypatch.context() as patch:
                for key, value in start(rank, nodes, 4).items():
                    patch.setenv(key, str(value))
                found.append(leads())
        assert found == [True, False, False, False]
    monkeypatch.setenv("SLURM_PROCID", "1")  # of a job array, or a step of one task
    assert leads()


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


@pytest.mark.slow
def test_the_other_processes_are_started_end_with_the_first_and_say_how_they_failed(jet_files, tmp_path):
    """The program itself: two processes give the losses of one; then one of them is killed."""
    program = [sys.executable, "-c", "import sys; from lgae_pyg.cli import main; sys.exit(main())", "train"]
    words = ["model=gnnae_jl", "data=jetnet", "data.num_particles=6", f"data.root={jet_files}", "logger=csv"]
    words += [f"runs={tmp_path}", "trainer.threads=1", "trainer.progress=false", "loader.val_jets=8"]
    sizes = {"one": (["loader.batch_size=20"], 2), "two": (["loader.batch_size=10", "trainer.devices=2"], 2)}
    sizes["dies"] = (sizes["two"][0], 100_000)
    started = {}
    for name, (more, epochs) in sizes.items():
        line = [*program, *words, *more, f"trainer.max_epochs={epochs}", f"name={name}"]
        started[name] = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for name in ("one", "two"):
        said = started[name].communicate()[0]
        assert started[name].returncode == DONE, said
    difference = largest_difference(tmp_path / "two", tmp_path / "one")
    print(f"trainer.devices=2: largest relative difference {difference:.1e}")
    assert difference < 1e-9
    first, metrics = started["dies"], tmp_path / "dies" / "metrics.csv"
    while not metrics.exists() or len(rows(tmp_path / "dies")) < 2:
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    others = [int(one) for one in children if b"accompany" in Path(f"/proc/{one}/cmdline").read_bytes()]
    assert len(others) == 1
    os.kill(others[0], signal.SIGKILL)
    said = first.communicate()[0]
    assert first.returncode == 1 and "process 1 of the training ended with status -9" in said
    assert not (tmp_path / "dies" / ".lock").exists()
