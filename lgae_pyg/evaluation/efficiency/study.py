"""Data efficiency: how the errors grow when a model is trained on few jets (arXiv:2212.07347, Fig. 7)."""

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lgae_pyg.checkpoint import BEST
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.evaluation.reconstruction.rebuilt import jet_comparisons, squared_error, stored
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import choose
from lgae_pyg.evaluation.study import Study, evaluate_model
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.files import write_text
from lgae_pyg.tables import Table, read_csv

#: Errors by name and heading, each a median over the test jets (the last a mean).
ERRORS = {"mass": "median |δM|", "pt": "median |δpT|", "mse": "particle MSE [TeV²]"}
#: What a run has found out, in its folder.
MEASURED = "efficiency.json"
#: Words that say where and how fast a training runs, not what it learns.
_INDIFFERENT = ("runs", "trainer.threads")


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        experiment: name of a Hydra experiment.
        jets: training jets.
        seed: of weights, order and choice of the jets.
    """

    experiment: str
    jets: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.experiment}_{self.jets}_seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """What the study trains, and how.

    Args:
        experiments: names of Hydra experiments.
        sizes: numbers of training jets.
        seeds: seeds of each size.
        folder: where runs and results go.
        shown: jets that each training is shown in all, whatever the size: a small set is shown more often.
        epochs: after how many parts of that the validation loss is looked at; the best weights are taken.
        val_jets: jets of the validation, the same for all.
        test_jets: jets that the errors are measured on, the same for all.
        processes: trainings at a time.
        threads: threads of each.
        overrides: further words for Hydra, e.g. ``data.root=...``.

    Raises:
        ValueError: if a number is below one, something is named twice, or ``shown`` is less than a training set.
    """

    experiments: Sequence[str]
    sizes: Sequence[int]
    seeds: Sequence[int]
    folder: Path
    shown: int = 200_000
    epochs: int = 8
    val_jets: int = 1000
    test_jets: int = 5000
    processes: int = 1
    threads: int = 1
    overrides: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("experiments", "sizes", "seeds"):
            values = list(getattr(self, name))
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}={','.join(map(str, values))}: give at least one, and each once")
        numbers = {name: getattr(self, name) for name in _COUNTS} | {"sizes": min(self.sizes)}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if max(self.sizes) > self.shown:
            raise ValueError(
                f"shown={self.shown}: a training set of {max(self.sizes)} jets could not be seen once; show more"
            )

    def jobs(self) -> list[Job]:
        """All trainings, small ones first."""
        return [Job(e, size, seed) for size in sorted(self.sizes) for seed in self.seeds for e in self.experiments]

    def words(self, job: Job) -> list[str]:
        """The words of a training for Hydra."""
        per_epoch = max(1, self.shown // self.epochs)
        return [
            f"experiment={job.experiment}", f"name={job.name}", f"runs={self.folder / 'runs'}", f"seed={job.seed}",
            f"loader.train_jets={job.jets}", f"loader.val_jets={self.val_jets}", f"loader.epoch_jets={per_epoch}",
            f"trainer.max_epochs={self._epochs(job)}", "trainer.max_minutes=null",
            f"trainer.threads={self.threads}", "logger=csv", *self.overrides,
        ]  # fmt: skip

    def shown_to(self, job: Job) -> int:
        """How many jets a training by gradients sees: :attr:`shown`, up to whole passes over its jets."""
        repeats = max(1, round(max(1, self.shown // self.epochs) / job.jets))  # as JetDataModule repeats them
        return job.jets * repeats * self._epochs(job)

    def settings(self, job: Job) -> dict[str, Any]:
        """What the numbers of a job depend on: results with other settings are not mixed with these."""
        return _without_indifferent({"words": self.words(job), "test_jets": self.test_jets})

    def _epochs(self, job: Job) -> int:
        per_epoch = max(job.jets, self.shown // self.epochs)
        return max(1, round(self.shown / per_epoch))


_COUNTS = ("shown", "epochs", "val_jets", "test_jets", "processes", "threads")


def _without_indifferent(settings: dict[str, Any]) -> dict[str, Any]:
    words = [word for word in settings["words"] if word.partition("=")[0] not in _INDIFFERENT]
    return {**settings, "words": words}


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
    return content if _without_indifferent(content["wanted"]) == plan.settings(job) else None


def measure(folder: Path, test_jets: int) -> dict[str, Any]:
    """The errors of a trained model on the test jets.

    Args:
        folder: of the run.
        test_jets: how many, the same choice for all models.

    Returns:
        :data:`ERRORS` (``mse`` is ``None`` for pixels), ``label``, ``origin`` of the jets and their number.
    """
    subject = Subject.load(folder / "checkpoints" / BEST)
    test = subject.dataset("test")
    jets = len(choose(test.store, test_jets))
    options = {"max_jets": test_jets, "progress": False, "scan_jets": 0, "resamples": 0}
    results = evaluate_model(subject.model, test, None, **options)
    target, (one,) = stored(results)
    comparisons = list(jet_comparisons([one], target))
    errors = comparisons[0 if one.pixels is None else 1][2].abs()  # pixels: against the jet's own image
    error = None if one.pixels is not None else squared_error(one, target) / UNITS_IN_GEV["TeV"] ** 2
    numbers = {"mass": float(errors[:, 0].nanmedian()), "pt": float(errors[:, 1].nanmedian()), "mse": error}
    return {**numbers, "label": subject.label, "origin": test.origin, "jets": jets, "unit": subject.unit}


def collect(plan: Plan) -> Results:
    """The tables of all runs that are measured with the settings of the plan.

    Raises:
        ValueError: if there is none.
    """
    found = []
    for job in plan.jobs():
        one = _measured(plan, job)
        if one is not None:
            errors = {name: float("nan") if one[name] is None else one[name] for name in ERRORS}
            found.append((job, {**one, **errors, **_epochs(plan.folder / "runs" / job.name)}))
    if not found:
        raise ValueError(
            f"no training in {plan.folder / 'runs'} is complete with these settings: give those that it was "
            "trained with, or another folder (--out)"
        )
    found = _distinct_labels(found)
    caption = _caption(plan, found)
    columns = {
        "model": "model", "jets": "training jets", "seed": "seed", "best_epoch": "best epoch",
        "last_epoch": "last epoch", "shown": "jets shown", **ERRORS,
    }  # fmt: skip
    runs = Table("efficiency_runs", caption, columns, tuple(_run_rows(plan, found)))
    columns = {"model": "model", "jets": "training jets", "seeds": "seeds"}
    for name, heading in ERRORS.items():
        columns |= {name: heading, f"{name}_min": "min", f"{name}_max": "max", f"{name}_ratio": "/ at most jets"}
    summary = Table("efficiency", caption, columns, tuple(_summary_rows(found)))
    settings = {"shown": plan.shown, "epochs": plan.epochs, "val_jets": plan.val_jets}
    settings |= {"overrides": list(plan.overrides), "seeds": list(plan.seeds)}
    description = {"caption": caption, "label": "several models", "settings": settings}
    return Results("efficiency", {"efficiency": summary, "efficiency_runs": runs}, {}, description)


def _epochs(folder: Path) -> dict[str, float]:
    """``best_epoch``, whose weights count, and ``last_epoch`` of a run; NaN if there is no ``metrics.csv``."""
    try:
        text = (folder / "metrics.csv").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {"best_epoch": float("nan"), "last_epoch": float("nan")}
    names, rows = read_csv(text)
    epoch, loss = names.index("epoch"), names.index("val/loss")
    return {"best_epoch": min(rows, key=lambda row: row[loss])[epoch], "last_epoch": rows[-1][epoch]}


def _distinct_labels(found: Sequence[tuple[Job, dict[str, Any]]]) -> list[tuple[Job, dict[str, Any]]]:
    """The same, with the experiment named in labels that two experiments share."""
    owners: dict[str, set[str]] = {}
    for job, one in found:
        owners.setdefault(one["label"], set()).add(job.experiment)
    shared = {label for label, experiments in owners.items() if len(experiments) > 1}
    return [
        (job, {**one, "label": f"{one['label']} ({job.experiment})"} if one["label"] in shared else one)
        for job, one in found
    ]


def _caption(plan: Plan, found: Sequence[tuple[Job, dict[str, Any]]]) -> str:
    shown = sorted({plan.shown_to(job) for job, _ in found})
    number = " to ".join(map(str, shown if len(shown) == 1 else (shown[0], shown[-1])))
    first = found[0][1]
    caption = (
        "Errors against the number of training jets, a choice of all classes alike from the training split; "
        "δ = (reconstructed - true) / true. Each training by gradients was shown "
        f"{number} jets in all, a small set more often; the weights with the smallest loss on {plan.val_jets} "
        f"validation jets count. Measured on {first['jets']} test jets, {first['origin']}"
    )
    pixels = list(dict.fromkeys(one["label"] for _, one in found if math.isnan(one["mse"])))
    if pixels:
        caption += f". {', '.join(pixels)}: compared with the jet's own image; pixels have no particle error"
    return f"{caption}.{_untrained(found)}"


def _untrained(found: Sequence[tuple[Job, dict[str, Any]]]) -> str:
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


def _run_rows(plan: Plan, found: Iterable[tuple[Job, dict[str, Any]]]) -> Iterable[tuple]:
    for job, one in found:
        errors = (one[error] for error in ERRORS)
        shown = 0 if one["last_epoch"] == 0 else plan.shown_to(job)  # closed forms are fitted, not shown jets
        yield one["label"], job.jets, job.seed, one["best_epoch"], one["last_epoch"], shown, *errors


def _summary_rows(found: Sequence[tuple[Job, dict[str, Any]]]) -> Iterable[tuple]:
    """Medians over the seeds, smallest and largest value, and the ratio to the median of the largest set."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for job, one in found:
        groups.setdefault((one["label"], job.jets), []).append(one)
    for label in dict.fromkeys(label for label, _ in groups):
        sizes = sorted(size for name, size in groups if name == label)
        for size in sizes:
            row: list[Any] = [label, size, len(groups[label, size])]
            for error in ERRORS:
                values, largest = (np.array([one[error] for one in groups[label, s]]) for s in (size, sizes[-1]))
                row += [np.median(values), values.min(), values.max(), np.median(values) / np.median(largest)]
            yield tuple(value if isinstance(value, str | int) else float(value) for value in row)


STUDY = Study(
    "efficiency",
    None,
    compared={"efficiency": "Data efficiency"},
    figures="lgae_pyg.evaluation.efficiency.figures",
    fits=lambda facts: "it trains models of its own: run lgae efficiency",
)
