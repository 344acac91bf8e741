"""Threads: one solver call per jet spread over them, and how many there may be."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Result = TypeVar("Result")
Progress = Callable[[int, int], None]

#: Jets that one thread works on before it takes the next ones. Fewer jets than that are not spread at all:
#: they are done before the threads have started.
CHUNK = 128


def solve_jets(
    solve: Callable[[int], Result], jets: int, threads: int | None = None, progress: Progress | None = None
) -> list[Result]:
    """``[solve(0), solve(1), ...]`` for all jets, in this order, whatever the number of threads.

    Threads are of use where ``solve`` spends its time in compiled code that lets others run meanwhile, as
    the assignment solver of SciPy and the network simplex of POT do.

    Args:
        solve: what to do for the jet of this number; called from several threads at once.
        jets: the number of jets.
        threads: how many threads; as many as PyTorch uses when omitted (``torch.set_num_threads``).
        progress: called as ``progress(done, jets)`` from the calling thread, every :data:`CHUNK` jets.
    """

    def solve_chunk(first: int) -> list[Result]:
        return [solve(jet) for jet in range(first, min(first + CHUNK, jets))]

    starts = range(0, jets, CHUNK)
    threads = min(threads or torch.get_num_threads(), len(starts))
    if threads <= 1:
        return _collect(map(solve_chunk, starts), jets, progress)
    with ThreadPoolExecutor(threads) as pool:
        return _collect(pool.map(solve_chunk, starts), jets, progress)


def _collect(parts: Iterable[list[Result]], jets: int, progress: Progress | None) -> list[Result]:
    results: list[Result] = []
    for part in parts:
        results += part
        if progress is not None:
            progress(len(results), jets)
    return results


@contextmanager
def limited_threads(number: int | None) -> Iterator[None]:
    """Limits the threads of everything that computes; as they are for ``None``."""
    if number is None:
        yield
        return
    from threadpoolctl import threadpool_limits  # of scikit-learn

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)
