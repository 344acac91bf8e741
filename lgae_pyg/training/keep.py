"""Which weights are kept, when a training ends, and how it is stopped so that it can go on exactly."""

import math
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lgae_pyg.checkpoint import BEST, LAST, read_checkpoint, write_checkpoint
from lgae_pyg.training.cluster import agree, of_each
from lgae_pyg.training.record import EpochRecorder
from lgae_pyg.training.signals import GracefulStop, TrainingInterrupted, random_states, restore_random_states

RUN_STATE = "lgae_pyg_run"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's way to files, but written atomically and read without running code from them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint so that a killed process leaves the old one or the new one."""
        write_checkpoint(path, checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", **ignored: Any) -> dict[str, Any]:
        """Reads tensors and plain values only."""
        return read_checkpoint(path, map_location)


class RunCheckpoints(Checkpoint):
    """Writes the best and the last checkpoint of a run and decides when the training is over.

    * ``best.ckpt``: the weights with the smallest validation loss so far (the initial ones count), or the best of
      another value of the validation; averaged weights, if they are averaged.
    * ``last.ckpt``: after each epoch, and after the current batch when a stop is requested, everything needed
      to go on exactly: weights, optimiser, schedule, random number generators, position in the data, sums of
      the epoch, patience, id of the W&B run.

    The training is over after ``patience`` epochs without a better value, after the trainer's
    largest number of epochs, or when the time is up (the epoch is then cut short, and validated).

    Args:
        folder: the folder of the checkpoints.
        recorder: knows the values of the epoch and the time used.
        stop: knows whether a stop is requested.
        patience: epochs without improvement; ``None`` for no limit.
        max_minutes: minutes of training, over all sessions; ``None`` for no limit.
        wandb_id: id of the W&B run, if there is one.
        watch: the value of the validation that says which weights are best.
        rising: whether more of it is better.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        recorder: EpochRecorder,
        stop: GracefulStop,
        patience: int | None = None,
        max_minutes: float | None = None,
        wandb_id: str | None = None,
        watch: str = "val/loss",
        rising: bool = False,
    ) -> None:
        self.folder, self.recorder, self.stop = Path(folder), recorder, stop
        self.patience, self.wandb_id = patience, wandb_id
        self.max_seconds = math.inf if max_minutes is None else 60 * max_minutes
        self.watch, self.rising = watch, rising
        self.best, self.stale, self.best_epoch = -math.inf if rising else math.inf, 0, None
        self.finished: str | None = None
        self._processes: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Returns the best value, its epoch and the epochs since."""
        return {"best": self.best, "best_epoch": self.best_epoch, "stale": self.stale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned."""
        self.best, self.best_epoch, self.stale = state["best"], state["best_epoch"], state["stale"]

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """Adds whether the training is over, and what each process has for itself: its random number generators
        and sums of the epoch."""
        states = random_states()
        checkpoint[RUN_STATE] = {"finished": self.finished, "wandb_id": self.wandb_id, "random_states": states}
        if trainer.world_size > 1:
            own = {"random_states": states, "sums": self.recorder.own_sums()}
            checkpoint[RUN_STATE]["processes"] = of_each(trainer, own)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """Keeps what the processes had for themselves until the first step."""
        state = checkpoint[RUN_STATE]
        self._processes = state.get("processes") or [{"random_states": state["random_states"], "sums": {}}]

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Keeps the initial weights, or goes back to the random numbers of the checkpoint."""
        self.stop.install()
        if self._processes:
            own = self._processes[trainer.global_rank % len(self._processes)]
            restore_random_states(own["random_states"])
            self.recorder.train |= own["sums"]
            return
        self.consider(trainer, module)
        self.save_last(trainer)

    def consider(self, trainer: pl.Trainer, module: Any) -> None:
        """Writes the best checkpoint if the watched value is the best so far."""
        value = module.metrics.get(self.watch, math.nan)
        if value > self.best if self.rising else value < self.best:
            self.best, self.best_epoch, self.stale = value, module.completed_epochs, 0
            with module.averaged():
                trainer.save_checkpoint(self.folder / BEST, weights_only=True)
        else:
            self.stale += 1

    def save_last(self, trainer: pl.Trainer) -> None:
        """Writes the checkpoint to go on from."""
        trainer.save_checkpoint(self.folder / LAST)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the epoch if the time is up; saves and stops if that is requested."""
        late, asked = agree(trainer, self.recorder.elapsed() > self.max_seconds, bool(self.stop.requested))
        if late:
            trainer.should_stop = True
        within_epoch = batch_idx + 1 < trainer.num_training_batches and not trainer.should_stop
        if asked and within_epoch:
            self.save_last(trainer)
            done = f"after batch {batch_idx + 1} of {trainer.num_training_batches}"
            raise TrainingInterrupted(f"in epoch {trainer.current_epoch + 1} {done}")

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Writes the checkpoints and decides whether the training is over."""
        self.consider(trainer, module)
        late, asked = agree(trainer, self.recorder.elapsed() > self.max_seconds, bool(self.stop.requested))
        self.finished = self.reason_to_end(trainer, late)
        trainer.should_stop = self.finished is not None
        self.save_last(trainer)
        if asked and not self.finished:
            raise TrainingInterrupted(f"after epoch {trainer.current_epoch + 1}")

    def reason_to_end(self, trainer: pl.Trainer, late: bool) -> str | None:
        """Returns why no further epoch is trained, ``None`` if there is one to come; ``late``: the time is up."""
        if self.patience is not None and self.stale >= self.patience:
            what = "no smaller validation loss" if self.watch == "val/loss" else f"no better {self.watch}"
            return f"{what} for {self.patience} epochs"
        if late:
            return f"{self.max_seconds / 60:g} minutes are over"
        if trainer.max_epochs >= 0 and trainer.current_epoch + 1 >= trainer.max_epochs:
            return f"{trainer.max_epochs} epochs are done"
        return None
