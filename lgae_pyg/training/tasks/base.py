"""What all tasks share: steps, optimiser and schedule, the header of checkpoints, means over the validation."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.checkpoint import HEADER, describe, unwrapped
from lgae_pyg.data.rounding import given_precision
from lgae_pyg.models import contract_of
from lgae_pyg.training.average import WeightAverage, check_decay
from lgae_pyg.training.optimization import build_optimizer, build_schedule

WRAPPED = "_orig_mod."


class Task(pl.LightningModule):
    r"""Trains a model by the mean over jets of a loss :math:`\ell_b`; tasks say which.

    A task works in any Lightning trainer with any loader of PyG batches, and logs its values there; ``lgae train``
    adds callbacks that only ask it: for losses (:meth:`jet_losses`), for :attr:`columns` of ``metrics.csv``, for
    pictures (:meth:`figures`). Sums over the validation are taken in double precision, over all processes.

    Args:
        model: a network, called as ``model(batch)``.
        functions: the loss functions, each with its weight; their values have the shape (B,).
        optimizer: see :func:`~lgae_pyg.training.optimization.build_optimizer`.
        schedule: see :func:`~lgae_pyg.training.optimization.build_schedule`; constant when omitted.
        provenance: ``data``, ``unit``, ``class_names`` and ``config`` for the header of the checkpoints
            (:func:`lgae_pyg.checkpoint.describe`).
        class_names: names of the jets' classes, for messages and pictures.
        ema: decay of an average of the weights (:class:`~lgae_pyg.training.average.WeightAverage`), which is
            validated, and what :meth:`averaged` shows; none when omitted.

    Attributes:
        metrics: the values of the last epoch, e.g. ``{"val/loss": ...}``.
        completed_epochs: epochs trained so far.
        recorded: whether a callback hands the values to the loggers, so that the task need not.
    """

    #: Columns of ``metrics.csv`` that the validation fills beside ``val/loss``.
    columns: ClassVar[tuple[str, ...]] = ()
    #: Those of them of which more is better.
    rising: ClassVar[tuple[str, ...]] = ()
    #: Keys of the group ``loss`` that this task has beside those of all.
    loss_options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: nn.Module,
        functions: Sequence[tuple[Callable[..., Tensor], float]],
        optimizer: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        class_names: Sequence[str] = (),
        ema: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.functions = functions
        self.optimizer_config, self.schedule_config = dict(optimizer or {}), dict(schedule or {})
        self.provenance, self.class_names = dict(provenance or {}), tuple(class_names)
        self.metrics: dict[str, float] = {}
        self.completed_epochs, self.recorded = 0, False
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] | None = None
        self._sums: dict[str, Any] = {}
        self.ema = None if ema is None else check_decay(ema)
        self.average: WeightAverage | None = None
        self._average_state: dict[str, Any] | None = None

    def learn_from(self, y: Tensor) -> None:
        """Is told the classes of the training jets, shape (J,), before the training."""

    def jet_losses(self, batch: Batch, result: Any) -> Tensor:
        """Returns the loss of each jet, shape (B,).

        Args:
            batch: the jets.
            result: what the model made of them.

        Raises:
            NotImplementedError: here; a task defines it.
        """
        raise NotImplementedError

    def observe(self, batch: Batch, result: Any, sums: dict[str, Any]) -> None:
        """Adds what :attr:`columns` are made of, from one batch of the validation, to the sums: numbers under the
        names of means over jets (``"mse"``), lists of tensors under other names."""

    def derived(self, collected: dict[str, Tensor]) -> dict[str, float]:
        """Values of the validation that are no means, made of the lists that :meth:`observe` filled, if any: each
        is one tensor with the shape of its parts, their rows one after another."""
        return {}

    def figures(self, batch: Batch, result: Any) -> dict[str, Any]:
        """Pictures for the dashboard, matplotlib figures by name, of one batch of the validation."""
        return {}

    @property
    def facts(self) -> Any:
        """What the model offers (:func:`~lgae_pyg.models.contract_of`)."""
        return contract_of(unwrapped(self.model))

    def forward(self, batch: Batch) -> Any:
        """Calls the model."""
        return self.model(batch)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Gives the momenta the precision of the weights."""
        dtype = next((p.dtype for p in self.model.parameters()), batch.pos.dtype)
        if batch.pos.dtype != dtype:
            batch.given = given_precision(batch)
            batch.apply(lambda pos: pos.to(dtype), "pos")  # batch.pos = ... would have it checked again
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Returns ``loss``, the mean, and ``jet_losses``, shape (B,) and detached.

        Where several processes share a step, their gradients are averaged: each of R takes the sum of its losses
        times R over the number of all jets, so that a process with one jet more counts for one jet more.
        """
        losses = self.jet_losses(batch, self(batch))
        loss = losses.mean()
        if self._trainer is not None and self.trainer.world_size > 1:  # without one: called by hand
            loss = losses.sum() * (self.trainer.world_size / self.total(losses.numel()))
        if not self.recorded:
            how = {"on_step": False, "on_epoch": True, "batch_size": len(losses), "sync_dist": True}
            self.log("train/loss", loss.detach(), **how)
        return {"loss": loss, "jet_losses": losses.detach()}

    def on_fit_start(self) -> None:
        """Begins the average of the weights, or goes on with that of the checkpoint."""
        if self.ema is not None:
            self.average = WeightAverage(unwrapped(self.model), self.ema)
            if self._average_state is not None:
                self.average.load_state_dict(self._average_state)

    def optimizer_step(self, *arguments: Any, **more: Any) -> None:
        """Takes a step, and the new weights into their average."""
        super().optimizer_step(*arguments, **more)
        if self.average is not None:
            self.average.update()

    def averaged(self) -> AbstractContextManager:
        """A context in which the model has the averaged weights, if they are averaged."""
        return nullcontext() if self.average is None else self.average.shown()

    def on_validation_epoch_start(self) -> None:
        """Begins new sums; the averaged weights are validated."""
        self._sums = {"loss": 0.0, "jets": 0}
        if self.average is not None:
            self.average.exchange()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Returns ``jet_losses``, (B,), and the ``result`` of the model."""
        result = self(batch)
        losses = self.jet_losses(batch, result)
        self._sums["loss"] = self._sums["loss"] + losses.double().sum()
        self._sums["jets"] += losses.numel()
        self.observe(batch, result, self._sums)
        return {"jet_losses": losses, "result": result}

    def on_validation_epoch_end(self) -> None:
        """Takes the means over the validation jets."""
        if self.average is not None:
            self.average.exchange()
        jets = float(self.total(self._sums.pop("jets")))
        lists = {key: value for key, value in self._sums.items() if isinstance(value, list)}
        means = {key: float(self.total(value)) / jets for key, value in self._sums.items() if key not in lists}
        values = {f"val/{key}": value for key, value in means.items()}
        values |= self.derived({key: self.gathered(value) for key, value in lists.items() if value})
        self.metrics = self.metrics | values
        if not self.recorded:
            self.log_dict(values)

    def total(self, value: Tensor | float) -> Tensor:
        """The sum of a number over all processes, shape ()."""
        return self.trainer.strategy.reduce(torch.as_tensor(value, device=self.device), reduce_op="sum")

    def gathered(self, parts: list[Tensor]) -> Tensor:
        """The rows of all processes, shape (rows, ...), in the order of the processes, on the CPU."""
        rows = torch.cat(parts).cpu()
        if self.trainer.world_size == 1:
            return rows
        found: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(found, rows)
        return torch.cat(found)

    def configure_optimizers(self) -> Any:
        """Makes the optimiser and a schedule that is stepped after each batch, or after each epoch."""
        optimizer = build_optimizer(self.parameters(), self.optimizer_config)
        steps, epochs = self._steps_per_epoch(), self.trainer.max_epochs
        schedule = build_schedule(optimizer, self.schedule_config, steps, epochs)
        if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            # Lightning would step it after the epoch's checkpoint has been written, too late for resuming.
            self.plateau = schedule
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _steps_per_epoch(self) -> int:
        """Batches of an epoch, which the trainer does not know yet."""
        if self.trainer.datamodule is not None:
            # The estimate below would start the loader, before its position is restored.
            return len(self.trainer.datamodule.train_dataloader())
        _ = self.trainer.estimated_stepping_batches
        return int(self.trainer.num_training_batches)

    def on_train_start(self) -> None:
        """Restores the plateau schedule, which exists only now."""
        if self.plateau is not None and self._plateau_state is not None:
            self.plateau.load_state_dict(self._plateau_state)

    def on_train_epoch_end(self) -> None:
        """Lowers the learning rate if the validation loss has stopped falling and the schedule says so."""
        if self.plateau is not None and "val/loss" in self.metrics:
            self.plateau.step(self.metrics["val/loss"])
        if not self.recorded:
            self.completed_epochs = self.current_epoch + 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the header that makes the file self-describing; names of weights are those of the bare model."""
        if self.facts.config:  # without one, it is a checkpoint for this trainer alone
            about = {"epoch": self.completed_epochs, "metrics": self.metrics, **self.provenance}
            checkpoint[HEADER] = describe(unwrapped(self.model), **about)
        checkpoint["state_dict"] = {key.replace(WRAPPED, ""): v for key, v in checkpoint["state_dict"].items()}
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()
        if self.average is not None and not self.average.is_shown:
            checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes over the values of the last epoch and remembers the state of a plateau schedule."""
        header = checkpoint.get(HEADER, {})
        self.completed_epochs, self.metrics = header.get("epoch") or 0, dict(header.get("metrics", {}))
        self._plateau_state, self._average_state = checkpoint.get("plateau"), checkpoint.get("average")
        names = {key.replace(WRAPPED, ""): key for key in self.state_dict()}
        checkpoint["state_dict"] = {names.get(key, key): v for key, v in checkpoint["state_dict"].items()}


def weighted(
    functions: Sequence[Callable[..., Tensor]], weights: Sequence[float] | None
) -> list[tuple[Callable[..., Tensor], float]]:
    """Loss functions with their weights, all 1 when omitted.

    Raises:
        ValueError: if there is not one weight per loss.
    """
    weights = [1.0] * len(functions) if weights is None else list(weights)
    if not functions or len(weights) != len(functions):
        raise ValueError(f"one weight per loss is needed: {len(functions)} losses, weights {weights}")
    return [(function, float(weight)) for function, weight in zip(functions, weights)]
