"""Data efficiency: what models learn from few jets and many (arXiv:2212.07347, Fig. 7), over several seeds."""

import contextlib
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lgae_pyg.checkpoint import BEST
from lgae_pyg.checksums import read_signed_rows
from lgae_pyg.evaluation.efficiency.measures import MEASURES, Measures
from lgae_pyg.evaluation.efficiency.plan import Job, Plan, without_indifferent
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.study import Study
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.files import write_text
from lgae_pyg.tables import Table, format_with_range, read_csv, with_errors

#: What a run has found out, in its folder.
MEASURED = "efficiency.json"
#: What it cost, by name, with headings.
COSTS = {"parameters": "parameters", "jets_per_second": "jets/s", "minutes": "minutes"}

Found = tuple[Job, dict[str, Any]]


def run_jobs(plan: Plan, done: Callable[[Job, str], object] = lambda job, note: None) -> dict[Job, str]:
    """Trains and measures whatever is not there yet.

    Each training is a process of its own. One that was interrupted is continued, one that is finished is not
    trained again; a failure is noted and does not stop the others.

    Args:
        plan: what is trained.
        done: called with each job and a note: empty, or why it failed.

    Returns:
        The notes of the jobs that failed.
    """

    def one(job: Job) -> tuple[Job, str]:
        try:
            return job, _train_and_measure(plan, job)
        except (OSError, ValueError) as error:
            return job, str(error)

    failed = {}
    with ThreadPoolExecutor(plan.processes) as pool:
        futures = [pool.submit(one, job) for job in plan.jobs()]
        try:
            for future in futures:
                job, note = future.result()
                done(job, note)
                if note:
                    failed[job] = note
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _train_and_measure(plan: Plan, job: Job) -> str:
    folder = plan.folder / "runs" / job.name
    stored = folder / MEASURED
    if _measured(plan, job) is not None:
        return ""
    command = [sys.executable, "-m", "lgae_pyg.training", *plan.words(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(plan.threads)}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    if finished.returncode:
        for empty in (folder, folder.parent, plan.folder):
            with contextlib.suppress(OSError):  # not there, or something is in it
                empty.rmdir()
        lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
        return lines[-1] if lines else f"the training ended with status {finished.returncode}"
    content = {"wanted": plan.settings(job), "label": None, **measure(folder, plan.test_jets)}
    write_text(stored, json.dumps(content, indent=1))
    return ""


def _measured(plan: Plan, job: Job) -> dict[str, Any] | None:
    """What a job has found out with the settings of the plan; ``None`` if it has not, or with others."""
    stored = plan.folder / "runs" / job.name / MEASURED
    if not stored.exists():
        return None
    content = json.loads(stored.read_text(encoding="utf-8"))
    return content if without_indifferent(content["wanted"]) == plan.settings(job) else None


def measure(folder: Path, test_jets: int) -> dict[str, Any]:
    """What a trained model is worth on the test jets.

    Args:
        folder: of the run.
        test_jets: how many, the same choice for all models.

    Returns:
        What :data:`~lgae_pyg.evaluation.efficiency.measures.MEASURES` of its ``task`` gives, ``label``,
        ``unit`` and the number of ``parameters``.
    """
    subject = Subject.load(folder / "checkpoints" / BEST)
    task = subject.facts.task
    size = sum(one.numel() for one in subject.model.parameters())
    about = {"task": task, "label": subject.label, "unit": subject.unit, "parameters": size}
    return MEASURES[task].measure(subject, test_jets) | about


def collect(plan: Plan) -> Results:
    """The tables of all runs that are measured with the settings of the plan.

    Returns:
        The tables ``efficiency`` (a row for each model and number of training jets), those of
        :func:`size_tables`, and ``efficiency_runs`` (a row for each training).

    Raises:
        ValueError: if there is none.
    """
    found: list[Found] = []
    for job in plan.jobs():
        one = _measured(plan, job)
        if one is not None:
            known = {name: float("nan") if value is None else value for name, value in one.items()}
            found.append((job, known | _course(plan.folder / "runs" / job.name)))
    if not found:
        raise ValueError(
            f"no training in {plan.folder / 'runs'} is complete with these settings: give those that it was "
            "trained with, or another folder (--out)"
        )
    tasks = {one.get("task", "reconstruction") for _, one in found}
    if len(tasks) > 1:
        raise ValueError("autoencoders and taggers have no table in common: give each a folder (--out)")
    measures = MEASURES[tasks.pop()]
    found = _distinct_labels(found)
    drawn, caption = _captions(plan, found, measures)
    columns = {
        "model": "model", "jets": "training jets", "seed": "seed", "best_epoch": "best epoch",
        "last_epoch": "last epoch", "shown": "jets shown", **COSTS, **with_errors(measures.headings),
    }  # fmt: skip
    runs = Table("efficiency_runs", caption, columns, tuple(_run_rows(plan, found, measures)))
    columns = {"model": "model", "jets": "training jets", "seeds": "seeds"}
    for name, heading in measures.headings.items():
        columns |= {name: heading, f"{name}_min": "min", f"{name}_max": "max"}
        columns |= {f"{name}_ratio": "ratio to most jets"} if measures.ratio else {}
    summary = Table("efficiency", caption, columns | COSTS, tuple(_summary_rows(found, measures)))
    tables = (summary, *size_tables(summary, measures.headings), runs)
    settings = {"shown": plan.shown, "epochs": plan.epochs, "val_jets": plan.val_jets}
    settings |= {"overrides": list(plan.overrides), "seeds": list(plan.seeds)}
    description = {"caption": caption, "drawn": drawn, "label": "several models", "settings": settings}
    description["panels"] = dict(measures.panels)
    description["logarithmic"] = list(measures.logarithmic)
    return Results("efficiency", {table.name: table for table in tables}, {}, description)


def size_tables(summary: Table, headings: Mapping[str, str]) -> list[Table]:
    """A table for each number of training jets, ``efficiency_NUMBER``, small ones first: a row for each model.

    Args:
        summary: the table ``efficiency`` of :func:`collect`.
        headings: of what was measured, by name; printed as the median (smallest to largest of the seeds).
    """
    columns = {"model": "model", "seeds": "seeds", **headings, **COSTS}
    records, tables = summary.records(), []
    for jets in sorted({row["jets"] for row in records}):
        rows = []
        for row in (one for one in records if one["jets"] == jets):
            ranges = {n: format_with_range(row[n], row[f"{n}_min"], row[f"{n}_max"]) for n in headings}
            rows.append(tuple({**row, **ranges}[name] for name in columns))
        tables.append(Table(f"efficiency_{jets}", f"{jets} training jets.", columns, tuple(rows)))
    return tables


def _course(folder: Path) -> dict[str, float]:
    """``best_epoch``, whose weights count, ``last_epoch``, ``jets_per_second`` of the training (median of the
    epochs) and ``minutes`` with validations; NaN if there is no ``metrics.csv``."""
    names = ("best_epoch", "last_epoch", "jets_per_second", "minutes")
    try:
        text, _ = read_signed_rows(folder / "metrics.csv")
    except FileNotFoundError:
        return dict.fromkeys(names, float("nan"))
    columns, rows = read_csv(text)
    epochs = [dict(zip(columns, row)) for row in rows]
    best = min(epochs, key=lambda row: row["val/loss"])["epoch"]
    trained = [row for row in epochs if row["epoch"] > 0 and "jets_per_second" in row]  # what precedes is 0
    speed = float(np.median([row["jets_per_second"] for row in trained])) if trained else float("nan")
    minutes = sum(row["seconds"] for row in trained) / 60 if trained else float("nan")
    return dict(zip(names, (best, epochs[-1]["epoch"], speed, minutes)))


def _distinct_labels(found: Sequence[Found]) -> list[Found]:
    """The same, with what tells experiments apart in labels that several share."""
    owners: dict[str, dict[str, None]] = {}
    for job, one in found:
        owners.setdefault(one["label"], {})[job.experiment] = None

    def label(job: Job, one: Mapping[str, Any]) -> str:
        shared = [set(name.split("+")) for name in owners[one["label"]]]
        if len(shared) == 1:
            return one["label"]
        own = [word for word in job.experiment.split("+") if word not in set.intersection(*shared)]
        return f"{one['label']} ({', '.join(word.removeprefix('model.') for word in own) or 'unchanged'})"

    return [(job, {**one, "label": label(job, one)}) for job, one in found]


def _captions(plan: Plan, found: Sequence[Found], measures: Measures) -> tuple[str, str]:
    """Sentences for the figure on what was trained and measured, and for the tables, with what only they hold."""
    shown = sorted({_shown(plan, job, one) for job, one in found} - {0}) or [plan.shown]
    number = " to ".join(map(str, shown if len(shown) == 1 else (shown[0], shown[-1])))
    first = found[0][1]
    drawn = (
        "The training jets are a choice of all classes alike from the training split. Each training by gradients "
        f"was shown {number} jets in all, a small set more often; the weights with the smallest loss on "
        f"{plan.val_jets} validation jets count. Measured on {first['jets']} test jets, {first['origin']}. "
        f"{_sentence(measures.explanation)}"
    )
    pixels = list(dict.fromkeys(one["label"] for _, one in found if math.isnan(one.get("mse", 0.0))))
    if pixels:
        drawn += f". {', '.join(pixels)}: compared with the jet's own image; pixels have no particle error"
    untrained = _untrained(found)
    errors = {name: [one.get(f"{name}_error", np.nan) for _, one in found] for name in measures.headings}
    errors = {name: np.nanmedian(values) for name, values in errors.items() if np.isfinite(values).any()}
    known = ""
    if errors and not measures.ratio:  # a median over errors of several orders of magnitude says nothing
        words = (f"{measures.headings[name]} {value:.2g}" for name, value in errors.items())
        known = f" Statistical errors of one training, medians: {', '.join(words)}."
    medians = f"Medians over {_seeds(found)}, with the smallest and the largest value."
    table = f"{medians} {drawn}. Jets/s: of the training, by the clock.{known}{untrained}"
    return f"{_sentence(_seeds(found))}. {drawn}.{untrained}", table


def _seeds(found: Sequence[Found]) -> str:
    """``3 seeds``, or ``2 to 3 seeds`` where models or sizes have not as many."""
    counts = Counter((one["label"], job.jets) for job, one in found).values()
    few, many = min(counts), max(counts)
    return f"{few} seed{'s' * (few > 1)}" if few == many else f"{few} to {many} seeds"


def _shown(plan: Plan, job: Job, one: Mapping[str, Any]) -> int:
    """Jets that a training was shown: of one that stopped early less than planned, of a closed form none."""
    planned = plan.shown_to(job)
    return planned if math.isnan(one["last_epoch"]) else round(planned * one["last_epoch"] / plan.epochs_of(job))


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _untrained(found: Sequence[Found]) -> str:
    """A sentence for each model of which trainings ended where they began: their numbers are not of a training."""
    sentences = ""
    for label in dict.fromkeys(one["label"] for _, one in found):
        runs = [one for _, one in found if one["label"] == label and one["last_epoch"] > 0]  # not closed forms
        initial = sum(one["best_epoch"] == 0 for one in runs)
        if initial:
            sentences += (
                f" {label}: in {initial} of {len(runs)} trainings no epoch was better than the initial weights, "
                "which count then."
            )
    return sentences


def _run_rows(plan: Plan, found: Iterable[Found], measures: Measures) -> Iterable[tuple]:
    for job, one in found:
        numbers = (COSTS, with_errors(measures.headings))
        costs, values = ([one.get(name, float("nan")) for name in names] for names in numbers)
        epochs, shown = (one["best_epoch"], one["last_epoch"]), _shown(plan, job, one)
        yield one["label"], job.jets, job.seed, *epochs, shown, *costs, *values


def _summary_rows(found: Sequence[Found], measures: Measures) -> Iterable[tuple]:
    """Medians over the seeds, smallest and largest value, and the ratio to the median of the largest set."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for job, one in found:
        groups.setdefault((one["label"], job.jets), []).append(one)
    for label in dict.fromkeys(label for label, _ in groups):
        sizes = sorted(size for name, size in groups if name == label)
        for size in sizes:
            group = groups[label, size]
            row: list[Any] = [label, size, len(group)]
            for name in measures.headings:
                values, largest = (np.array([one[name] for one in groups[label, s]]) for s in (size, sizes[-1]))
                row += [np.median(values), values.min(), values.max()]
                row += [np.median(values) / np.median(largest)] if measures.ratio else []
            row += [_median(group, name) for name in COSTS]
            yield tuple(value if isinstance(value, str | int) else float(value) for value in row)


def _median(group: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(np.median([one.get(name, float("nan")) for one in group]))


STUDY = Study(
    "efficiency",
    None,
    compared={"efficiency": "Data efficiency"},
    figures="lgae_pyg.evaluation.efficiency.figures",
    fits=lambda facts: "it trains models of its own: run lgae efficiency",
)
