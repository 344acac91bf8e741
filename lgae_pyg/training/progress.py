"""What a training shows while it runs: a bar on a terminal, a line per epoch in a file."""

import logging
import sys
import warnings
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar

from lgae_pyg.processes import leads
from lgae_pyg.terminal import discard_output


def show(message: str) -> None:
    """Prints a line at once, so that it is also seen in the log of a batch job.

    Where nobody reads it any more, or it cannot be written, the training goes on without. Of the processes that
    train together, the first speaks.
    """
    if not leads():
        return
    try:
        print(message, flush=True)
    except OSError:
        discard_output()


class ShowRecords(logging.Handler):
    """Shows what the package logs, such as the choice of a back-end, once."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the message of a record."""
        show(record.getMessage())


def show_log() -> None:
    """Shows the log of this package from level info on."""
    log = logging.getLogger("lgae_pyg")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, ShowRecords) for handler in log.handlers):
        log.addHandler(ShowRecords())


class Bar(TQDMProgressBar):
    """Lightning's bar, with the losses of the last epoch beside it."""

    def get_metrics(self, trainer: pl.Trainer, module: Any) -> dict[str, Any]:
        """Returns what stands beside the bar."""
        shown = {"train": "train/loss", "val": "val/loss"}
        return {name: f"{module.metrics[key]:.4g}" for name, key in shown.items() if key in module.metrics}


class EpochLine(pl.Callback):
    """Prints a line for each epoch."""

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Prints the loss of the initial weights, for a new training."""
        if module.completed_epochs == 0 and trainer.global_step == 0:
            self.on_train_epoch_end(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Prints the epoch's values."""
        values = module.metrics
        words = [f"epoch {module.completed_epochs:4d}"]
        shown = dict.fromkeys(("train/loss", "val/loss", module.facts.headline))
        words += [f"{key} {values[key]:.6g}" for key in shown if key in values]
        if "jets_per_second" in values:
            words.append(f"{values['jets_per_second']:.0f} jets/s, {values['seconds']:.1f} s")
        show("  ".join(words))


def progress_callbacks(progress: bool | None = None) -> list[pl.Callback]:
    """Returns the bar on a terminal, the lines elsewhere.

    Args:
        progress: ``True`` for the bar, ``False`` for the lines, ``None`` to look where the output goes.
    """
    bar = sys.stdout.isatty() if progress is None else progress
    return [Bar()] if bar else [EpochLine()]


def quieten() -> None:
    """Silences Lightning's tips and the warnings that do not apply here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
