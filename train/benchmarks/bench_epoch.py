"""The time of an epoch of a real training, with everything that belongs to it."""

import contextlib
import csv
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from bench_measure import MODELS, STOPPED, Case, Where, in_process

from lgae_pyg.files import first_line
from lgae_pyg.tables import Table
from lgae_pyg.training.run import train

sys.path.append(str(Path(__file__).resolve().parents[2] / "data"))
from benchmark_loading import write_class

#: Batches from which the time of an epoch is estimated, and jets that are validated on.
PILOT, VALIDATED = 4, 64
COLUMNS = {
    "model": "model", "precision": "precision", "backend": "back-end", "batch": "jets per batch", "jets": "jets",
    "seconds": "epoch [s]", "rate": "speed [jets/s]", "remark": "remark",
}  # fmt: skip
CAPTION = (
    "One epoch of a training, validation not included: random massless jets of {} particles (uniform) through the "
    "loader, model, Adam and the bookkeeping of lgae train."
)


def measure_epochs(
    cases: Sequence[Case], where: Where, jets: int, seconds: float, done: Callable[[], object]
) -> Table:
    """Times an epoch of ``jets`` jets of each case (whose ``jets`` are those of a batch), in a process of its own.
    If it is going to take longer than ``seconds``, a part is timed and scaled up. Ctrl-C ends it early."""
    found: list[tuple[float | None, str]] = []
    with contextlib.suppress(KeyboardInterrupt):
        for case in cases:
            try:
                found.append(in_process(epoch_here, case, where, jets, seconds))
            except (RuntimeError, ValueError, OSError, BrokenProcessPool) as error:
                found.append((None, first_line(error)))
            done()
    found += [(None, STOPPED)] * (len(cases) - len(found))
    rows = []
    for case, (spent, remark) in zip(cases, found):
        numbers = ("–", "–") if spent is None else (spent, jets / spent)
        rows.append((MODELS[case.model][0], case.precision, case.backend, case.jets, jets, *numbers, remark))
    return Table("epoch", CAPTION.format(cases[0].sizes), COLUMNS, tuple(rows))


def epoch_here(case: Case, where: Where, jets: int, seconds: float) -> tuple[float, str]:
    """Seconds of an epoch, without validation, and a remark where they are scaled up."""
    where.enter()
    part = min(jets, PILOT * case.jets)
    with tempfile.TemporaryDirectory() as root:
        spent = _train(case, where, part, Path(root, "pilot"))
        fitting = int(seconds / spent * part)
        if part < jets and fitting > part:
            part = jets if fitting >= jets else fitting // case.jets * case.jets
            spent = _train(case, where, part, Path(root, "epoch"))
    return spent * jets / part, "" if part == jets else f"measured on {part} jets, scaled"


def _train(case: Case, where: Where, jets: int, root: Path) -> float:
    """Seconds of an epoch of ``lgae train``, without Weights & Biases, in an empty folder."""
    total, particles = jets + VALIDATED, case.bounds[1]
    write_class(root / "raw" / ("g.hdf5" if particles <= 30 else "g150.hdf5"), total, particles)
    data = {"name": "JetNet", "root": str(root), "classes": ["g"], "num_particles": particles, "unit": "TeV"}
    trainer = {"accelerator": "gpu" if where.device == "cuda" else "cpu", "threads": torch.get_num_threads()}
    trainer |= {"precision": "float32" if case.precision == "float32" else "float64"}
    config = {
        "seed": 0,
        "name": "benchmark",
        "overwrite": True,
        "model": {"name": "LGAE", **case.arguments},
        "data": {**data, "fractions": [jets / total, VALIDATED / total, 0.0], "seed": 0},
        "loader": {"batch_size": case.jets, "eval_batch_size": case.jets},
        "loss": {"names": ["mse"]},
        "optimizer": {"name": "adam", "lr": 1e-3},
        "trainer": {**trainer, "max_epochs": 1, "progress": False},
        "logger": {"wandb": False},
    }
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if status := train(config, root / "run"):
            raise RuntimeError(f"the training ended with status {status}: {printed.getvalue()[-100:]}")
    with open(root / "run" / "metrics.csv", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["seconds"])
