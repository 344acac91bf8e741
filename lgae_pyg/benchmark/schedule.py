"""Cases in turns, so that those that are compared meet the same machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from lgae_pyg.benchmark.cases import Case
from lgae_pyg.benchmark.process import ProcessError, Remote
from lgae_pyg.benchmark.worker import CaseRunner, Surroundings

KINDS = ("forward", "training")
#: The calls of a case are spread over so many turns.
TURNS = 5
FEWEST = 2
#: Peak memory in bytes from which a case does not take turns with others.
LARGE = 2 << 30
STOPPED = "stopped before it was measured"


@dataclass(frozen=True)
class Effort:
    """When a case has been measured long enough.

    Args:
        repeats: calls of each kind.
        seconds: time after which there are no more than :data:`FEWEST`.
    """

    repeats: int = 20
    seconds: float = 10.0


@dataclass
class Result:
    """What was found out about a case.

    Attributes:
        case: the case.
        durations: seconds of the calls, by kind.
        memory: peak memory of a training step in bytes, beyond model, optimiser and batch.
        flops: operations of a training step.
        parameters: number of parameters of the model.
        note: why something is missing; empty if nothing is.
    """

    case: Case
    durations: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    memory: int | None = None
    flops: int | None = None
    parameters: int | None = None
    note: str = ""

    @property
    def complete(self) -> bool:
        """Whether calls of all kinds were timed."""
        return all(self.durations.values())

    def enough(self, effort: Effort) -> bool:
        """Whether no more calls are needed."""
        counts = [len(durations) for durations in self.durations.values()]
        spent = sum(map(sum, self.durations.values()))
        return min(counts) >= effort.repeats or (min(counts) >= FEWEST and spent >= effort.seconds)


def measure(
    cases: Sequence[Case],
    surroundings: Surroundings,
    effort: Effort,
    make: Callable[..., Any] = Remote,
    done: Callable[[Result], object] = lambda result: None,
) -> list[Result]:
    """Measures speed and memory; the cases of a group (same model, sizes and jets) take turns.

    Ctrl-C ends it early: what is missing then is noted in the results.

    Args:
        cases: the cases, those of a group one after another.
        surroundings: where they run.
        effort: how long.
        make: makes the process of a case.
        done: called with each result as soon as there is nothing more to measure.

    Returns:
        The results in the order of the cases.
    """
    results = [Result(case) for case in cases]
    try:
        for _, group in groupby(results, key=lambda result: result.case.group):
            _measure_group(list(group), surroundings, effort, make, done)
    except KeyboardInterrupt:
        _note_missing(results, lambda result: result.enough(effort))
    return results


def measure_memory(
    cases: Sequence[Case],
    surroundings: Surroundings,
    make: Callable[..., Any] = Remote,
    done: Callable[[Result], object] = lambda result: None,
) -> list[Result]:
    """Measures memory only, case by case; arguments and interruption as for :func:`measure`."""
    results = [Result(case) for case in cases]
    try:
        for result in results:
            remote = _prepare(result, surroundings, make)
            if remote is not None:
                remote.close()
            done(result)
    except KeyboardInterrupt:
        _note_missing(results, lambda result: result.memory is not None)
    return results


def _note_missing(results: list[Result], complete: Callable[[Result], bool]) -> None:
    for result in results:
        if not result.note and not complete(result):
            result.note = STOPPED


def _measure_group(
    results: list[Result],
    surroundings: Surroundings,
    effort: Effort,
    make: Callable[..., Any],
    done: Callable[[Result], object],
) -> None:
    running: list[tuple[Result, Any]] = []
    try:
        for result in results:
            remote = _prepare(result, surroundings, make)
            if remote is None:
                done(result)
            else:
                running.append((result, remote))
        _take_turns(running, effort, done)
    finally:
        for _, remote in running:
            remote.close()


def _prepare(result: Result, surroundings: Surroundings, make: Callable[..., Any]) -> Any:
    """Starts the process of a case and fills in its memory and its arithmetic; ``None`` if it cannot run."""
    remote = None
    try:
        remote = make(CaseRunner, result.case, surroundings)
        for name, value in remote.call("prepare").items():
            setattr(result, name, value)
    except ProcessError as error:
        result.note = str(error)
        if remote is not None:
            remote.close()
        return None
    return remote


def _take_turns(running: list[tuple[Result, Any]], effort: Effort, done: Callable[[Result], object]) -> None:
    """Large cases one after another, since a process may keep what it has freed; then all others in turns."""
    waiting = []
    for result, remote in running:
        if (result.memory or 0) < LARGE:
            waiting.append((result, remote))
            continue
        while not _turn(result, remote, effort):
            pass
        remote.close()
        done(result)
    while waiting:
        for entry in list(waiting):
            if _turn(*entry, effort):
                waiting.remove(entry)
                done(entry[0])


def _turn(result: Result, remote: Any, effort: Effort) -> bool:
    """Adds some calls of each kind; returns whether that is enough."""
    count, seconds = -(-effort.repeats // TURNS), effort.seconds / (len(KINDS) * TURNS)
    try:
        for kind in KINDS:
            result.durations[kind] += remote.call("turn", kind, count, seconds)
    except ProcessError as error:
        result.note = str(error)
    return bool(result.note) or result.enough(effort)
