"""The numbers of each epoch: summed exactly, resumed exactly, mirrored in a CSV file."""

import csv
import io
import os
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from lgae_pyg.files import write_atomically
from lgae_pyg.losses import get_loss
from lgae_pyg.metrics import PARTICLE_FEATURES, particle_features, relative_error, summary
from lgae_pyg.training.guard import NonFiniteGuard

COLUMNS = (
    "epoch",
    "step",
    "train/loss",
    "val/loss",
    "val/mse",
    "val/pt_iqr",
    "lr",
    "grad_norm",
    "jets_per_second",
    "seconds",
)


class MetricsFile:
    """A CSV file with one row per epoch, columns :data:`COLUMNS`; numbers have all their digits.

    Args:
        path: the file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def keep(self, rows: int) -> None:
        """Cuts the file after that many rows; 0 begins a new one.

        Rows written after the checkpoint that a training is resumed from would otherwise appear twice.

        Raises:
            OSError: the file has fewer rows.
        """
        lines = self.path.read_text().splitlines(keepends=True) if rows else []
        lines = [line for line in lines if line.endswith("\n")][1 : rows + 1]
        if len(lines) < rows:
            raise OSError(f"{self.path} has {len(lines)} rows, but the checkpoint was written after {rows}")
        content = ",".join(COLUMNS) + "\n" + "".join(lines)
        write_atomically(self.path, lambda file: file.write(content.encode()))

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row; columns that are not given stay empty."""
        line = io.StringIO()
        writer = csv.DictWriter(line, COLUMNS, restval="", lineterminator="\n")
        writer.writerow({key: repr(v) if isinstance(v, float) else v for key, v in row.items()})
        with open(self.path, "a") as file:
            file.write(line.getvalue())
            file.flush()
            os.fsync(file.fileno())


class EpochRecorder(pl.Callback):
    """Sums the values of single jets over each epoch and writes the epoch's row.

    The mean over an epoch is a mean over jets, summed in double precision on the device, without waiting for
    it. The sums are part of the checkpoint, so a training that is interrupted within an epoch and resumed
    writes the same row. Before the first step the validation loss of the initial weights is taken (row 0): a
    model that starts well, from the linear map say, is itself a candidate for the best.

    Args:
        path: the CSV file.
        guard: looks at the losses of the first validation.
    """

    def __init__(self, path: str | os.PathLike, guard: NonFiniteGuard) -> None:
        self.file = MetricsFile(path)
        self.guard = guard
        self.rows = 0
        self.total_seconds = 0.0
        self.train: dict[str, Any] = {}
        self.resumed = False
        self._validation: dict[str, Any] = {}
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

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Cuts the file to the checkpoint's rows; for a new training, validates the initial weights."""
        self.file.keep(self.rows)
        self._clock = time.perf_counter()
        if not self.resumed:
            self.validate(trainer, module)
            self.write_row(trainer, module, {"epoch": 0, "step": 0})

    def validate(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Runs over the validation jets outside of Lightning's loops."""
        self.begin_validation()
        module.eval()
        with torch.no_grad():
            for index, batch in enumerate(trainer.datamodule.val_dataloader()):
                batch = module.on_after_batch_transfer(batch.to(module.device), 0)
                with trainer.precision_plugin.val_step_context():
                    outputs = module.validation_step(batch, index)
                self.guard.check_validation(batch, outputs["jet_losses"])
                self.add_validation(batch, outputs)
        module.train()

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

    def begin_validation(self) -> None:
        """Forgets the sums of the last validation."""
        self._validation = {"loss": 0.0, "jets": 0, "pt_errors": []}

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begins the validation."""
        self.begin_validation()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Adds a batch of validation jets to the sums."""
        self.add_validation(batch, outputs)

    def add_validation(self, batch: Any, outputs: dict[str, Any]) -> None:
        """Adds losses, the squared error of particles and, where they correspond, the errors of their pT."""
        losses, result = outputs["jet_losses"], outputs["result"]
        sums = self._validation
        sums["loss"] = sums["loss"] + losses.double().sum()
        sums["jets"] += losses.numel()
        if getattr(result, "images", None) is not None:
            return  # pixels are no particles
        mse = get_loss("mse")(result.p4, result.ptr, batch.pos, batch.ptr)
        sums["mse"] = sums.get("mse", 0.0) + mse.double().sum()
        if torch.equal(result.ptr, batch.ptr):
            features = [particle_features(p4, batch.ptr) for p4 in (result.p4, batch.pos)]
            sums["pt_errors"].append(relative_error(*features, PARTICLE_FEATURES)[:, 0].float().cpu())

    def validation_metrics(self) -> dict[str, float]:
        """Returns the means over the validation jets."""
        sums = self._validation
        if not sums or not sums["jets"]:
            return {}
        metrics = {f"val/{key}": float(sums[key]) / sums["jets"] for key in ("loss", "mse") if key in sums}
        if sums["pt_errors"]:
            metrics["val/pt_iqr"] = summary(torch.cat(sums["pt_errors"]).numpy())["iqr"]
        return metrics

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Writes the row of the epoch that has just ended."""
        sums = self.train
        now = time.perf_counter()
        seconds = sums["seconds"] + now - self._clock
        self._clock = now
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "train/loss": float(sums["loss"]) / sums["jets"],
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "grad_norm": float(sums["grad_norm"]) / sums["steps"],
            "jets_per_second": sums["jets"] / max(sums["seconds"], 1e-9),
            "seconds": seconds,
        }
        self.total_seconds += seconds
        self.reset()
        self.write_row(trainer, module, row)

    def write_row(self, trainer: pl.Trainer, module: Any, row: dict[str, Any]) -> None:
        """Adds the validation's means and hands the row to the file, the loggers and the module."""
        row = row | self.validation_metrics()
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
