"""Progress bars."""

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def steps(total: int, wanted: bool, what: str = "evaluate") -> Iterator[Callable[[], object]]:
    """A progress bar; the context is the function that takes a step.

    Args:
        total: the number of steps.
        wanted: show the bar, if standard error is a terminal.
        what: what stands before it.
    """
    from tqdm import tqdm

    silent = None if wanted else True  # None: silent unless standard error is a terminal
    with tqdm(total=total, desc=what, unit="step", disable=silent, leave=False) as bar:
        yield bar.update
