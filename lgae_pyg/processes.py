"""Worker processes that do not outlive the process that started them."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone, also where that was killed and could not say so.

    The ``initializer`` of a pool of processes: without it, workers wait for ever for the next task of a dead
    parent, with all their memory and its open pipes.
    """
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def leads() -> bool:
    """Whether this is the first of the processes that train together, on whatever machines they are.

    It writes the files and talks to W&B. What starts the processes says which they are: ``torchrun`` and Lightning
    by ``RANK``, ``LOCAL_RANK`` and ``NODE_RANK``, ``srun`` by ``SLURM_PROCID`` in steps of several tasks.
    """
    ranks = [os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK")]
    if is_srun_task():
        ranks.append(os.environ.get("SLURM_PROCID", "0"))
    return set(ranks) == {"0"}


def is_srun_task() -> bool:
    """Whether this process is one of several that one ``srun`` has started; not a job of one task, nor a shell."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
