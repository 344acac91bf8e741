"""Several processes that train together: who starts them, and how they agree."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from lgae_pyg.processes import is_srun_task
from lgae_pyg.training.signals import TrainingInterrupted

#: Exit statuses on which all processes of a training agree: done, not finite, interrupted.
AGREED = (0, 3, 75)
#: Seconds that the others have to end after the first.
GRACE = 20
#: What Lightning and PyTorch find the other processes by.
VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")


def cluster_environment() -> ClusterEnvironment:
    """By what the processes of a training find one another: ``torchrun``, ``srun``, or else Lightning's variables.

    A batch script that calls ``lgae train`` without ``srun``, and a shell on a node, are one process.

    Raises:
        ValueError: ``srun`` was not told how many tasks a node has.
    """
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if is_srun_task():
        if "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise ValueError("srun starts several tasks: say how many a node has, --ntasks-per-node=...")
        return SLURMEnvironment(auto_requeue=False)  # a stop is ours, and the batch script submits again
    return LightningEnvironment()


def devices_and_nodes(trainer: Mapping[str, Any]) -> tuple[Any, int]:
    """How many processes a machine has, or its devices, and how many machines there are: ``trainer.devices`` and
    ``trainer.num_nodes``, or what ``torchrun`` and ``srun`` say where these leave it open."""
    found: tuple[Any, int] = "auto", 1
    if TorchElasticEnvironment.detect():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        found = here, int(os.environ["WORLD_SIZE"]) // here
    elif is_srun_task():
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", os.environ.get("SLURM_NNODES", "1")))
        found = int(os.environ["SLURM_STEP_NUM_TASKS"]) // nodes, nodes
    devices = trainer.get("devices")
    return found[0] if devices in (None, "auto") else devices, trainer.get("num_nodes") or found[1]


def agree(trainer: pl.Trainer, *wishes: bool) -> list[bool]:
    """What any process wishes. All get the same answers, so that none waits for one that has gone."""
    if trainer.world_size == 1:
        return list(wishes)
    found = torch.tensor(wishes, dtype=torch.int32, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return [bool(one) for one in found.tolist()]


def of_each(trainer: pl.Trainer, value: Any) -> list[Any]:
    """The values of all processes, in their order, in each of them."""
    found: list[Any] = [value] * trainer.world_size
    if trainer.world_size > 1:
        torch.distributed.all_gather_object(found, value)
    return found


@contextlib.contextmanager
def companions(trainer: pl.Trainer, config: Mapping[str, Any], folder: Path) -> Iterator[None]:
    """Context in which the other processes of this machine run, if nobody else has started them.

    They are fresh Python processes that train with the same configuration (Lightning would call the program of the
    command line again, with all jobs of a multirun). They end with this one, however that ends.

    Raises:
        ChildProcessError: one of them has failed; it has said why.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    forks = any(word in str(config["trainer"].get("strategy")) for word in ("fork", "spawn", "notebook"))
    if trainer.num_devices == 1 == trainer.num_nodes or forks or environment.creates_processes_externally:
        yield
        return
    former = {name: os.environ.get(name) for name in VARIABLES}
    port, node = str(environment.main_port), str(environment.node_rank())
    size = str(trainer.num_devices * trainer.num_nodes)
    os.environ |= dict(zip(VARIABLES, (environment.main_address, port, node, "0", size)))
    others = [_start(rank, config, folder) for rank in range(1, trainer.num_devices)]
    ended = threading.Event()
    threading.Thread(target=_watch, args=(others, ended), daemon=True).start()
    try:
        yield
    except (TrainingInterrupted, FloatingPointError):  # on which all agree
        raise
    except Exception as error:
        if failed := _failed(others, 5):
            raise ChildProcessError(f"{failed}; what it said is above") from error
        raise
    finally:
        ended.set()
        _end(others)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in former.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def accompany() -> None:
    """One of the other processes: trains with the configuration that comes on standard input, whose end is that
    of the first process."""
    from lgae_pyg.terminal import run_command
    from lgae_pyg.training.run import train

    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(1)), daemon=True).start()
    status = run_command(lambda: train(job["config"], job["folder"]))
    sys.stdout.flush()
    os._exit(status)  # the thread above may hold the lock of standard input


def _start(rank: int, config: Mapping[str, Any], folder: Path) -> subprocess.Popen:
    path = [os.path.abspath(one) for one in sys.path if one]
    program = f"import sys; sys.path[:] = {path!r}; from lgae_pyg.training.cluster import accompany; accompany()"
    environ = os.environ | {"LOCAL_RANK": str(rank)}
    process = subprocess.Popen([sys.executable, "-I", "-c", program], stdin=subprocess.PIPE, env=environ)
    job = {"config": dict(config), "folder": os.fspath(folder)}
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    return process


def _failed(others: list[subprocess.Popen], seconds: float = 0) -> str:
    """What can be said of a process that did not end as all of them agreed; it has so many seconds to do so."""
    stop = time.monotonic() + seconds
    while True:
        for rank, process in enumerate(others, 1):
            if process.poll() not in (None, *AGREED):
                return f"process {rank} of the training ended with status {process.returncode}"
        if time.monotonic() >= stop:
            return ""
        time.sleep(0.1)


def _watch(others: list[subprocess.Popen], ended: threading.Event) -> None:
    """Ends this process when another has failed and this one does not notice: it may wait for it for ever."""
    while not ended.wait(1):
        if failed := _failed(others):
            if not ended.wait(30):
                print(f"Stopped: {failed}", file=sys.stderr, flush=True)
                os._exit(1)
            return


def _end(others: list[subprocess.Popen]) -> None:
    stop = time.monotonic() + GRACE
    for process in others:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, stop - time.monotonic()))
        process.kill()
        process.stdin.close()
        process.wait()
