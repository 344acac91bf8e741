"""Progress: a bar on a terminal, a line now and then in a file."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

#: Seconds between two lines.
EVERY = 30.0


@contextlib.contextmanager
def steps(total: int, wanted: bool, what: str = "evaluate") -> Iterator[Callable[[], object]]:
    """Shows progress on standard error; the context is the function that takes a step.

    Args:
        total: the number of steps.
        wanted: show it.
        what: what stands before it.
    """
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    with tqdm(total=total, desc=what, unit="step", disable=not (wanted and terminal), leave=False) as bar:
        yield bar.update if terminal or not wanted else _lines(total, what)


def _lines(total: int, what: str) -> Callable[[], None]:
    begin = last = time.monotonic()
    done = 0

    def step() -> None:
        nonlocal done, last
        done, now = done + 1, time.monotonic()
        if now - last >= EVERY:
            last, rest = now, (now - begin) * (total - done) / done
            print(f"{what}: {done} of {total} steps, {rest / 60:.1f} min left", file=sys.stderr, flush=True)

    return step
