"""A training by several processes, each as torchrun, srun or Lightning would have started it."""

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def torchrun(rank: int, nodes: int = 1, size: int = 2) -> dict[str, Any]:
    """What ``torchrun`` sets for a process."""
    here = size // nodes
    ranks = {"RANK": rank, "LOCAL_RANK": rank % here, "GROUP_RANK": rank // here}
    return ranks | {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": here, "TORCHELASTIC_RUN_ID": "test"}


def srun(rank: int, nodes: int = 1, size: int = 2) -> dict[str, Any]:
    """What SLURM sets for a task."""
    here = size // nodes
    step = {"SLURM_STEP_NUM_TASKS": size, "SLURM_STEP_NUM_NODES": nodes, "SLURM_NTASKS": size}
    step |= {"SLURM_NTASKS_PER_NODE": here, "SLURM_NNODES": nodes, "SLURM_JOB_ID": 4711, "SLURM_JOB_NAME": "train"}
    return step | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank % here, "SLURM_NODEID": rank // here}


def lightning(rank: int, nodes: int = 1, size: int = 2) -> dict[str, Any]:
    """What Lightning sets for a process that it has started, and what users set for each machine."""
    here = size // nodes
    return {"LOCAL_RANK": rank % here, "NODE_RANK": rank // here, "WORLD_SIZE": size}


def together(work: Callable[[int], int], variables: Sequence[dict[str, Any]], seconds: float = 300) -> list[int]:
    """Forks a process for each set of variables; the exit statuses of their work.

    Args:
        work: called with the number of the process; gives its exit status.
        variables: of the environment of each.
        seconds: until they are killed.
    """
    port, children = free_port(), []
    for number, own in enumerate(variables):
        child = os.fork()
        if child == 0:
            status = 99
            try:
                shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
                os.environ.update({key: str(value) for key, value in {**shared, **own}.items()})
                rank_zero_only.rank = number
                status = work(number)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        children.append(child)
    return [status for _, status in sorted(ended(children, seconds).items())]


def ended(children: Sequence[int], seconds: float) -> dict[int, int]:
    """The exit statuses of processes; those that do not end are killed."""
    found: dict[int, int] = {}
    stop = time.monotonic() + seconds
    while len(found) < len(children):
        for child in set(children) - set(found):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                found[child] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > stop:
            for child in set(children) - set(found):
                os.kill(child, signal.SIGKILL)
            stop = float("inf")
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def signalled(at: int, number: int, module: type) -> Iterator[None]:
    """Context in which this process gets a signal after so many of its training batches."""
    step, done = module.training_step, 0

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        nonlocal done
        outputs = step(self, batch, batch_idx)
        done += 1
        if done == at:
            os.kill(os.getpid(), number)
        return outputs

    module.training_step = training_step
    try:
        yield
    finally:
        module.training_step = step
