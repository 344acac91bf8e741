"""The time of an epoch of a real training, with everything that belongs to it."""

import contextlib
import csv
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lgae_pyg.benchmark.cases import Case
from lgae_pyg.benchmark.jets import write_class
from lgae_pyg.benchmark.process import ProcessError, Remote
from lgae_pyg.benchmark.schedule import STOPPED
from lgae_pyg.benchmark.worker import Surroundings, case_config

#: Batches from which the time of an epoch is estimated.
PILOT = 4
VALIDATED = 64
#: Jets of more particles are in JetNet's long files.
SHORT_FILE = 30


@dataclass
class EpochResult:
    """The time of an epoch.

    Attributes:
        case: model, back-end, precision, sizes of the jets; its ``jets`` are those of a batch.
        jets: jets of the epoch.
        measured: jets that were trained on; fewer than ``jets`` if the time is scaled up.
        seconds: time of the whole epoch: reading batches, steps, bookkeeping; not the validation.
        note: why there is no time; empty if there is one.
    """

    case: Case
    jets: int
    measured: int = 0
    seconds: float | None = None
    note: str = ""


class EpochRunner:
    """Trains a case's model for one epoch, as ``lgae train`` does, without Weights & Biases.

    Args:
        case: what is trained.
        surroundings: where.
        root: an empty folder, for jets and runs.

    Raises:
        ValueError: if the model cannot be built.
        RuntimeError: if the device is not there.
    """

    def __init__(self, case: Case, surroundings: Surroundings, root: str) -> None:
        self.case, self.root = case, Path(root)
        self.device = surroundings.enter()
        self.model = case_config(case)

    def epoch(self, jets: int) -> float:
        """Seconds of an epoch of that many jets; the data set is made first, and the weights validated."""
        from lgae_pyg.training.run import train

        folder = self.root / f"{self.case.model}-{self.case.backend}-{self.case.precision}-{jets}"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = train(self._config(jets), folder)
        if status:
            raise RuntimeError(f"the training ended with status {status}: {printed.getvalue()[-200:]}")
        with open(folder / "metrics.csv", newline="") as file:
            return float(list(csv.DictReader(file))[-1]["seconds"])

    def _config(self, jets: int) -> dict[str, Any]:
        """The resolved configuration of a training."""
        largest, total = self.case.sizes.largest, jets + VALIDATED
        raw = self.root / f"jets-{jets}" / "raw"
        if not raw.exists():
            raw.mkdir(parents=True)
            write_class(raw / ("g.hdf5" if largest <= SHORT_FILE else "g150.hdf5"), total, self.case.sizes)
        data = {
            "name": "JetNet",
            "root": str(raw.parent),
            "classes": ["g"],
            "num_particles": largest,
            "unit": "TeV",
        }
        trainer = {
            "accelerator": "gpu" if self.device.type == "cuda" else "cpu",
            "precision": "float32" if self.case.precision == "float32" else "float64",
            "max_epochs": 1,
            "progress": False,
            "threads": torch.get_num_threads(),
        }
        return {
            "seed": 0,
            "name": "benchmark",
            "overwrite": True,
            "model": self.model,
            "data": {**data, "fractions": [jets / total, VALIDATED / total, 0.0], "seed": 0},
            "loader": {"batch_size": self.case.jets, "eval_batch_size": self.case.jets},
            "loss": {"names": ["mse"]},
            "optimizer": {"name": "adam", "lr": 1e-3},
            "trainer": trainer,
            "logger": {"wandb": False},
        }


def measure_epochs(
    cases: Sequence[Case],
    surroundings: Surroundings,
    jets: int,
    seconds: float,
    make: Callable[..., Any] = Remote,
    done: Callable[[EpochResult], object] = lambda result: None,
) -> list[EpochResult]:
    """Times an epoch of each case, in a process of its own.

    A few batches say how long the epoch is going to take. If that is longer than ``seconds``, as many batches as
    fit are trained on and their time is scaled up. Ctrl-C ends it early: what is missing then is noted in the
    results.

    Args:
        cases: the cases; ``jets`` of a case are those of a batch.
        surroundings: where they run.
        jets: jets of an epoch.
        seconds: longest time for an epoch.
        make: makes the process of a case.
        done: called with each result.
    """
    results = [EpochResult(case, jets) for case in cases]
    try:
        with tempfile.TemporaryDirectory() as root:
            for result in results:
                _measure_epoch(result, surroundings, root, seconds, make)
                done(result)
    except KeyboardInterrupt:
        for result in results:
            if result.seconds is None and not result.note:
                result.note = STOPPED
    return results


def _measure_epoch(
    result: EpochResult, surroundings: Surroundings, root: str, seconds: float, make: Callable[..., Any]
) -> None:
    remote = None
    try:
        remote = make(EpochRunner, result.case, surroundings, root)
        _time(result, remote, seconds)
    except ProcessError as error:
        result.note = str(error)
    finally:
        if remote is not None:
            remote.close()


def _time(result: EpochResult, remote: Any, seconds: float) -> None:
    batch = result.case.jets
    part = min(result.jets, PILOT * batch)
    spent = remote.call("epoch", part)
    fitting = int(seconds / spent * part)
    if fitting > part and part < result.jets:
        part = result.jets if fitting >= result.jets else fitting // batch * batch
        spent = remote.call("epoch", part)
    result.measured, result.seconds = part, spent * result.jets / part
