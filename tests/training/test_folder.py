"""The run folder: one training at a time, nothing left of one that never began, the same jets when resumed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from lgae_pyg import lock
from lgae_pyg.checkpoint import HEADER, read_checkpoint
from lgae_pyg.lock import locked
from lgae_pyg.training import train
from lgae_pyg.training.run import DONE

HOLD = "import sys, time; from pathlib import Path; from lgae_pyg.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


def without_locks(monkeypatch):
    """File systems on which nothing can be locked."""

    def fail(*arguments, **more):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.FileLock, "acquire", fail)


@pytest.fixture
def other_process(tmp_path):
    """Another process that holds the folder ``run``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    holding = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holding.stdout.readline() == "held\n"
    yield holding
    holding.kill()
    holding.wait()


def test_a_second_training_is_refused_until_the_first_is_gone(config, tmp_path, other_process):
    folder = tmp_path / "run"
    with pytest.raises(FileExistsError, match=f"pid {other_process.pid}, since 20"):
        train(config, folder)
    assert {path.name for path in folder.iterdir()} == {".lock", ".lock.json"}
    other_process.kill()  # which leaves its lock file
    other_process.wait()
    assert train(config, folder) == DONE
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "metrics.csv", "checkpoints"}


@pytest.mark.parametrize("flock", [True, False])
def test_locks_of_other_machines_count_as_long_as_they_show_life(tmp_path, monkeypatch, flock):
    if not flock:
        without_locks(monkeypatch)
    file = tmp_path / ".lock.json"
    file.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "2026-01-01 00:00:00"}))
    with pytest.raises(FileExistsError, match="host elsewhere, pid 1, since 2026-01-01 00"), locked(tmp_path):
        pass
    long_ago = time.time() - 2 * lock.DEAD
    os.utime(file, (long_ago, long_ago))
    with locked(tmp_path):
        assert json.loads(file.read_text())["host"] == socket.gethostname()
        with pytest.raises(FileExistsError, match="another training"), locked(tmp_path):
            raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_killed_process_left_here_does_not_count(tmp_path):
    holder = {"host": socket.gethostname(), "pid": 1, "since": "now"}
    (tmp_path / ".lock.json").write_text(json.dumps(holder))
    with locked(tmp_path):
        assert json.loads((tmp_path / ".lock.json").read_text())["pid"] == os.getpid()


def test_a_lock_shows_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "SIGN", 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / ".lock.json", (0, 0))
        deadline = time.monotonic() + 30
        while (tmp_path / ".lock.json").stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("mistake", [{"data": {"root": "/nowhere"}}, {"loss": {"names": ["nothing"]}}])
def test_a_training_that_does_not_begin_leaves_nothing(config, tmp_path, mistake):
    for group, values in mistake.items():
        config[group] |= values
    with pytest.raises((OSError, ValueError)):
        train(config, tmp_path / "runs" / "deep" / "name")
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_does_not_begin_deletes_nothing(config, tmp_path):
    assert train(config, tmp_path / "run") == DONE
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(FileNotFoundError):
        train(config | {"overwrite": True, "data": config["data"] | {"root": "/nowhere"}}, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before
    assert train(config | {"overwrite": True, "seed": 5}, tmp_path / "run") == DONE
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() != before


class Died(BaseException):
    """As a process that ends."""


@pytest.mark.parametrize("death", [RuntimeError, Died])
def test_what_is_overwritten_stays_until_there_is_something_else(config, tmp_path, monkeypatch, death):
    """A training that dies before its first checkpoint, and one whose process was killed there."""
    run = tmp_path / "run"
    assert train(config, run) == DONE
    (run / "evaluation").mkdir()
    (run / "evaluation" / "table.csv").write_text("hours of work")
    before = {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def fail(*_):
        (run / "metrics.csv").write_text("of the new one")
        raise death

    with monkeypatch.context() as patch, pytest.raises(death):
        patch.setattr("lgae_pyg.training.run.fit", fail)
        if death is Died:  # nothing is tidied up
            patch.setattr("lgae_pyg.training.run.settle", lambda path: None)
        train(config | {"overwrite": True, "seed": 5}, run)
    if death is Died:
        assert (run / ".former").is_dir()
        assert train(config, run) == DONE  # which finds the former training done
    assert {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert train(config | {"overwrite": True, "seed": 5}, run) == DONE
    assert {path.name for path in run.iterdir()} == {"config.yaml", "metrics.csv", "checkpoints"}


@pytest.mark.parametrize("epochs", [0, -3])
def test_no_epochs_are_refused(config, tmp_path, epochs):
    config["trainer"]["max_epochs"] = epochs
    with pytest.raises(ValueError, match=f"max_epochs={epochs} trains nothing"):
        train(config, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_moved_jets_are_found_at_their_new_place(config, jet_files, tmp_path, monkeypatch):
    shutil.copytree(jet_files / "raw", tmp_path / "job1" / "raw")
    config["data"]["root"] = str(tmp_path / "job1")
    assert train(config, tmp_path / "run") == DONE
    shutil.move(tmp_path / "job1", tmp_path / "job2")
    monkeypatch.chdir(tmp_path)
    config["data"]["root"] = "job2"
    config["trainer"]["max_epochs"] = 4
    assert train(config | {"resume": True}, tmp_path / "run") == DONE
    header = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")[HEADER]
    assert Path(header["data"]["root"]).resolve() == tmp_path / "job2" and header["epoch"] == 4


def test_other_jets_under_the_same_name_are_refused(config, jet_files, tmp_path):
    shutil.copytree(jet_files / "raw", tmp_path / "jets" / "raw")
    config["data"]["root"] = str(tmp_path / "jets")
    assert train(config, tmp_path / "run") == DONE
    with h5py.File(tmp_path / "jets" / "raw" / "q.hdf5", "r+") as file:
        file["particle_features"][7, 0, 2] *= 1.01  # one particle of one jet of a hundred
        file["particle_features"][8:] = file["particle_features"][8:][::-1]
    config["trainer"]["max_epochs"] = 4
    with pytest.raises(ValueError, match="are not those that the training in"):
        train(config, tmp_path / "run")


def test_the_advice_is_another_name_and_says_what_would_be_deleted(config, tmp_path):
    assert train(config, tmp_path / "run") == DONE
    for change in ({"seed": 9}, {"resume": False}):
        with pytest.raises(FileExistsError) as refusal:
            train(config | change, tmp_path / "run")
        text = str(refusal.value)
        assert text.index("another name=") < text.index("overwrite=true")
        assert "delete what is there (checkpoints, config.yaml, metrics.csv)" in text
