"""The studies of ``lgae bench``: measure, print, write."""

import contextlib
import dataclasses
import json
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lgae_pyg.benchmark.cases import PRECISIONS, SUBJECTS, Case, Sizes, check_names, speed_cases
from lgae_pyg.benchmark.epoch import measure_epochs
from lgae_pyg.benchmark.process import ProcessError, Remote
from lgae_pyg.benchmark.schedule import STOPPED, Effort, Result, measure, measure_memory
from lgae_pyg.benchmark.tables import (
    epoch_table,
    full_table,
    memory_fits,
    memory_table,
    ratio_table,
    speed_table,
)
from lgae_pyg.benchmark.worker import Probe, Surroundings, knows_mixed
from lgae_pyg.files import write_atomically
from lgae_pyg.tables import Table

#: Back-ends whose memory is studied when none are chosen.
MEMORY_BACKENDS = ("fused", "dense")
FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Args:
        models: names from :data:`~lgae_pyg.benchmark.cases.SUBJECTS`.
        backends: back-ends; the usual ones of each study when empty.
        precisions: precisions; all that a model has when empty.
        sizes: particles per jet.
        jets: jets of a batch; by the size of the jets when omitted.
        effort: how long a case is measured.
        memory_sizes: particles per jet in the study of the memory.
        memory_jets: jets of a batch in it.
        surroundings: where everything runs.
        progress: show a progress bar.
    """

    models: Sequence[str]
    backends: Sequence[str]
    precisions: Sequence[str]
    sizes: Sequence[Sizes]
    jets: int | None
    effort: Effort
    memory_sizes: Sequence[int]
    memory_jets: int
    surroundings: Surroundings
    progress: bool = True

    def cases(self) -> list[Case]:
        """The cases whose speed is measured.

        Raises:
            ValueError: for an unknown name.
        """
        check_names("model", self.models, SUBJECTS)
        return [
            case
            for model in self.models
            for case in speed_cases([model], self.backends, self._precisions(model), self.sizes, self.jets)
        ]

    def memory_cases(self) -> list[Case]:
        """The cases whose memory is studied, in the first of the precisions."""
        sizes = [Sizes(n, n) for n in self.memory_sizes]
        backends, precisions = self.backends or MEMORY_BACKENDS, list(self.precisions or PRECISIONS)[:1]
        cases = speed_cases(self.models, backends, precisions, sizes, self.memory_jets)
        return sorted(cases, key=lambda case: (self.models.index(case.model), backends.index(case.backend)))

    def _precisions(self, model: str) -> Sequence[str]:
        return self.precisions or [name for name in PRECISIONS if name != "mixed" or knows_mixed(model)]


def bench(plan: Plan, folder: Path, speed: bool = True) -> bool:
    """Measures speed (unless left out) and memory, writes tables and a figure, and prints the tables.

    Args:
        plan: what is measured.
        folder: where the files go: ``benchmark.*``, or ``memory.*`` without the speed.
        speed: whether speed is measured too.

    Returns:
        Whether any case could run.
    """
    speed_list, memory_list = plan.cases() if speed else [], plan.memory_cases()
    machine, peaks = _machine(plan, speed)
    with _terminable(), _bar(plan, len(speed_list) + len(memory_list)) as bar:
        done = _advance(bar)
        results = measure(speed_list, plan.surroundings, plan.effort, done=done)
        stopped = any(result.note == STOPPED for result in results)
        memory = [] if stopped else measure_memory(memory_list, plan.surroundings, done=done)
    caption = machine_sentence(machine, peaks)
    tables = [speed_table(results, peaks), ratio_table(results)] if speed else []
    tables += [memory_table(memory)] if memory else []
    tables = [table for table in tables if table is not None]
    name = "benchmark" if speed else "memory"
    content = {
        "machine": machine,
        "peaks": peaks,
        "speed": [_plain(result) for result in results],
        "memory": [_plain(result) for result in memory],
        "memory_lines": [
            {"model": model, "precision": precision, **dataclasses.asdict(fit)}
            for (model, precision), fit in memory_fits(memory).items()
        ],
    }
    _write(folder, name, caption, tables, full_table([*results, *memory], peaks), content)
    drawable = any(result.complete for result in results) or any(result.memory is not None for result in memory)
    if drawable:
        _draw(results, memory, caption, folder, name)
    _print(caption, tables, folder)
    return drawable


def bench_epochs(plan: Plan, folder: Path, jets: int) -> bool:
    """Times epochs of real trainings, writes the table as ``epoch.*`` and prints it.

    Args:
        plan: what is measured; of its sizes the first, of which jets have at least half.
        folder: where the files go.
        jets: jets of an epoch.

    Returns:
        Whether any case could run.
    """
    largest = plan.sizes[0].largest
    size = Sizes((largest + 1) // 2, largest)
    cases = [dataclasses.replace(case, sizes=size) for case in plan.cases() if case.sizes == plan.sizes[0]]
    machine, peaks = _machine(plan, peaks=False)
    with _terminable(), _bar(plan, len(cases)) as bar:
        results = measure_epochs(cases, plan.surroundings, jets, plan.effort.seconds, done=_advance(bar))
    table, caption = epoch_table(results), machine_sentence(machine, peaks)
    content = {"machine": machine, "epochs": [_plain(result) for result in results]}
    _write(folder, "epoch", caption, [table], table, content)
    _print(caption, [table], folder)
    return any(result.seconds is not None for result in results)


def machine_sentence(machine: dict[str, Any], peaks: dict[str, float]) -> str:
    """The sentence that names the machine under tables and figures."""
    where = machine["processor"]
    if "gpu" in machine:
        where = f"{machine['gpu']} ({where})"
    threads = machine["threads_used"]
    words = [
        f"{where} ({machine['instructions']}), {threads} thread{'s' if threads > 1 else ''}",
        machine["system"],
    ]
    text = ", ".join([*words, f"Python {machine['python']}", f"torch {machine['torch']}"])
    if peaks:
        text += (
            f"; matrix product {peaks['float64'] / 1e9:.0f} (float64) and {peaks['float32'] / 1e9:.0f} (float32) "
            f"GFLOP/s, copy {peaks['bandwidth'] / 1e9:.0f} GB/s"
        )
    return text + "."


def _machine(plan: Plan, peaks: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """The description of the machine, and its peaks if they are wanted, from a fresh process.

    Raises:
        ValueError: if the device is not there.
    """
    try:
        probe = Remote(Probe, plan.surroundings)
    except ProcessError as error:
        raise ValueError(str(error)) from error
    try:
        return probe.call("describe"), probe.call("peaks") if peaks else {}
    finally:
        probe.close()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Takes SIGTERM for Ctrl-C, so that what has been measured is written; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _bar(plan: Plan, total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc="bench", unit="case", disable=None if plan.progress else True, leave=False)


def _advance(bar: Any) -> Callable[[Any], None]:
    def done(result: Any) -> None:
        bar.set_postfix_str(str(result.case))
        bar.update()

    return done


def _plain(result: Any) -> dict[str, Any]:
    """A result as plain values."""
    content = dataclasses.asdict(result)
    case = content.pop("case")
    return {**case, "sizes": str(result.case.sizes), **content}


def _print(caption: str, tables: Sequence[Table], folder: Path) -> None:
    print(textwrap.fill(caption, 110), *(table.to_text() for table in tables), f"Results: {folder}", sep="\n\n")


def _write(
    folder: Path, name: str, caption: str, printed: Sequence[Table], full: Table, content: dict[str, Any]
) -> None:
    """Writes Markdown (what is printed), CSV (all numbers) and JSON."""
    texts = {
        "md": "\n".join([f"{caption}\n", *(table.to_markdown() for table in printed)]),
        "csv": full.to_csv(),
        "json": json.dumps({"format": FORMAT, **content}, indent=1, ensure_ascii=False) + "\n",
    }
    for suffix, text in texts.items():
        data = text.encode("utf-8")
        write_atomically(folder / f"{name}.{suffix}", lambda file, data=data: file.write(data))


def _draw(results: Sequence[Result], memory: Sequence[Result], caption: str, folder: Path, name: str) -> None:
    from matplotlib import pyplot as plt

    from lgae_pyg.benchmark.figures import benchmark_figure
    from lgae_pyg.evaluation.style import SETTINGS, save_figure

    sizes = {result.case.jets: [] for result in results}
    for result in results:
        if str(result.case.sizes) not in sizes[result.case.jets]:
            sizes[result.case.jets].append(str(result.case.sizes))
    batches = "; ".join(f"{jets} jets per batch for n = {', '.join(names)}" for jets, names in sizes.items())
    words = [f"Jets per second: medians, bars from the 16th to the 84th percentile; {batches}."] if results else []
    if memory:
        words.append(
            f"Memory: beyond model, optimiser and batch of {memory[0].case.jets} jets; fused with straight line."
        )
    with plt.rc_context(SETTINGS):
        save_figure(benchmark_figure(results, memory, " ".join([*words, caption])), folder, name)
