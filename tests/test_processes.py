"""Signals to a group of processes: the one that leads decides, whenever they come."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from lgae_pyg.processes import GracefulStop, Interrupted, holding_stops, ignore_stops


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_just_starting_is_not_stopped_by_a_signal_to_the_group(number):
    with ProcessPoolExecutor(1, get_context("spawn"), ignore_stops) as pool:
        with holding_stops():
            future = pool.submit(os.getpid)
        worker = next(iter(pool._processes))
        for _ in range(5):  # before its interpreter is up, and during its imports
            os.kill(worker, number)
            time.sleep(0.01)
        assert future.result() == worker


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals of POSIX")
def test_a_signal_that_comes_while_workers_are_started_is_not_lost():
    with GracefulStop() as stop:
        with holding_stops():
            os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(500):  # through another thread, it may take its time
            if stop.requested is None:
                time.sleep(0.01)
        with pytest.raises(Interrupted, match="SIGTERM"):
            stop.check()


def test_generation_stops_between_chunks_and_goes_on(tmp_path: Path):
    files = pytest.importorskip("lgae_pyg.datasets.pythia.files")
    pytest.importorskip("pythia8mc", exc_type=ImportError)
    pytest.importorskip("fastjet", exc_type=ImportError)
    seen: list[int] = []

    def stop() -> None:
        seen.append(1)
        raise Interrupted("SIGTERM")

    again = {"classes": ["g"], "jets": 6, "workers": 1, "progress": False, "chunk_jets": 3}
    with pytest.raises(Interrupted):
        files.generate_files(tmp_path, **again, check=stop)
    assert len(list(tmp_path.glob(".g_*.chunks/*.npz"))) == len(seen) == 1
    (path,) = files.generate_files(tmp_path, **again)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["g.hdf5", "g.json"] and path.name == "g.hdf5"
