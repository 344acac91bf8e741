"""The numbers of each epoch: summed exactly, resumed exactly, mirrored in a CSV file."""

import csv
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from lgae_pyg.checksums import read_signed_rows, signed_row
from lgae_pyg.files import write_text
from lgae_pyg.processes import leads

#: Columns of ``metrics.csv``; those of the task stand between.
FIRST = ("epoch", "step", "train/loss", "val/loss")
LAST = ("lr", "grad_norm", "jets_per_second", "seconds", "crc32")


class MetricsFile:
    """A CSV file with one row per epoch; numbers have all their digits. The last cell is a checksum of the row.

    Args:
        path: the file.
        columns: the columns of the task, beside those of every training.
    """

    def __init__(self, path: str | os.PathLike, columns: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self.columns = (*FIRST, *columns, *LAST)

    def keep(self, rows: int) -> None:
        """Cuts the file after that many rows; 0 begins a new one.

        Rows written after the checkpoint that a training is resumed from would otherwise appear twice.

        Raises:
            OSError: the file has fewer rows.
            ValueError: one of them is not as it was written.
        """
        lines = read_signed_rows(self.path, rows)[0].splitlines()[1:] if rows else []
        if len(lines) < rows:
            raise OSError(f"{self.path} has {len(lines)} rows, but the checkpoint was written after {rows}")
        header = ",".join(self.columns)
        write_text(self.path, "\n".join([header, *(signed_row(header, line) for line in lines)]) + "\n")

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row; columns that are not given stay empty."""
        line = io.StringIO()
        writer = csv.DictWriter(line, self.columns[:-1], restval="", lineterminator="")
        writer.writerow({key: repr(v) if isinstance(v, float) else v for key, v in row.items()})
        with open(self.path, "a") as file:
            file.write(signed_row(",".join(self.columns), line.getvalue()) + "\n")
            file.flush()
            os.fsync(file.fileno())


class EpochRecorder(pl.Callback):
    """Sums the values of single jets over each epoch and writes the epoch's row.

    The mean over an epoch is a mean over jets, summed in double precision on the device, without waiting for
    it. The sums are part of the checkpoint, so a training that is interrupted within an epoch and resumed
    writes the same row. Row 0 is the validation of the initial weights, Lightning's sanity check over all of it: a
    model that starts well, from the linear map say, is itself a candidate for the best.

    Args:
        path: the CSV file.
        columns: those of the task.
    """

    def __init__(self, path: str | os.PathLike, columns: Sequence[str] = ()) -> None:
        self.file = MetricsFile(path, columns)
        self.rows = 0
        self.total_seconds = 0.0
        self.train: dict[str, Any] = {}
        self.resumed = False
        self._clock = 0.0
        self.reset()

    def reset(self) -> None:
        """Begins a new epoch."""
        self.train = {"loss": 0.0, "grad_norm": 0.0, "jets": 0, "steps": 0, "seconds": 0.0}

    def state_dict(self) -> dict[str, Any]:
        """Returns the sums of the epoch so far, and how many rows are written."""
        return {"rows": self.rows, "total_seconds": self.total_seconds, "train": dict(self.train)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned."""
        self.rows, self.total_seconds = state["rows"], state["total_seconds"]
        self.train = dict(state["train"])
        self.resumed = True

    def own_sums(self) -> dict[str, Any]:
        """The sums of the epoch so far of this process, as plain numbers."""
        return {key: value if isinstance(value, int) else float(value) for key, value in self.train.items()}

    def begin(self, rows: int) -> None:
        """Cuts the file to that many rows."""
        if leads():
            self.file.keep(rows)

    def setup(self, trainer: pl.Trainer, module: Any, stage: str) -> None:
        """Takes the handing of values to loggers over from the task."""
        module.recorded = True

    def on_fit_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Cuts the file to the checkpoint's rows."""
        self.begin(self.rows)

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Writes the row of the initial weights of a new training."""
        self._clock = time.perf_counter()
        if not self.resumed:
            self.write_row(trainer, module, {"epoch": 0, "step": 0})

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begins a new epoch."""
        self.reset()
        self._clock = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds a batch to the sums."""
        losses = outputs["jet_losses"]
        now = time.perf_counter()
        self.train["loss"] = self.train["loss"] + losses.double().sum()
        self.train["grad_norm"] = self.train["grad_norm"] + module.gradient_norm.double()
        self.train["jets"] += losses.numel()
        self.train["steps"] += 1
        self.train["seconds"] += now - self._clock
        self._clock = now

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Writes the row of the epoch that has just ended."""
        sums, total = self.train, module.total
        now = time.perf_counter()
        seconds = sums["seconds"] + now - self._clock
        self._clock = now
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "train/loss": float(total(sums["loss"])) / float(total(sums["jets"])),
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "grad_norm": float(sums["grad_norm"]) / sums["steps"],
            "jets_per_second": float(total(sums["jets"])) / max(sums["seconds"], 1e-9),
            "seconds": seconds,
        }
        self.total_seconds += seconds
        self.reset()
        self.write_row(trainer, module, row)

    def write_row(self, trainer: pl.Trainer, module: Any, row: dict[str, Any]) -> None:
        """Adds the values of the validation and hands the row to the file, the loggers and the module."""
        row = row | {key: value for key, value in module.metrics.items() if key.startswith("val/")}
        if trainer.is_global_zero:
            self.file.append(row)
        self.rows += 1
        module.completed_epochs = row["epoch"]
        module.metrics = {key: value for key, value in row.items() if key not in ("epoch", "step")}
        for logger in trainer.loggers:
            logger.log_metrics(module.metrics | {"epoch": row["epoch"]}, step=row["step"])

    def elapsed(self) -> float:
        """Returns the seconds of training so far, earlier sessions included."""
        running = time.perf_counter() - self._clock
        return self.total_seconds + self.train["seconds"] + running
