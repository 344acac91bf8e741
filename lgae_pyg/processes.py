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
