"""The one LightningModule for autoencoders: what is minimised, and how."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.checkpoint import HEADER, describe
from lgae_pyg.losses import get_loss
from lgae_pyg.training.optimization import build_optimizer, build_schedule

SPACES = ("momenta", "native")


class AutoencoderModule(pl.LightningModule):
    r"""Trains any autoencoder of this package to give back its input.

    The loss of a jet is a weighted sum of the losses of :mod:`lgae_pyg.losses`,
    :math:`\ell_b = \sum_k w_k \ell_{k, b}`, and the loss of a batch their mean over its jets. The steps
    return the values of the single jets; sums over an epoch are kept by
    :class:`~lgae_pyg.training.record.EpochRecorder`, in double precision.

    Args:
        model: an autoencoder, called as ``model(batch)``; its result has ``p4`` and ``ptr``.
        losses: names of the losses.
        weights: their weights; all 1 when omitted.
        space: what they compare: ``"momenta"``, four-momenta, or ``"native"``, the coordinates that the model
            itself works in (relative coordinates, pixels), for models whose result has them.
        optimizer: see :func:`~lgae_pyg.training.optimization.build_optimizer`.
        schedule: see :func:`~lgae_pyg.training.optimization.build_schedule`; constant when omitted.
        provenance: ``data``, ``unit`` and ``config`` for the header of the checkpoints
            (:func:`lgae_pyg.checkpoint.describe`).

    Raises:
        ValueError: an unknown loss or space, or not one weight per loss.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Sequence[str] = ("mse",),
        weights: Sequence[float] | None = None,
        space: str = "momenta",
        optimizer: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        weights = [1.0] * len(losses) if weights is None else list(weights)
        if not losses or len(weights) != len(losses):
            raise ValueError(f"one weight per loss is needed: names {list(losses)}, weights {weights}")
        if space not in SPACES:
            raise ValueError(f"loss.space={space} is unknown: choose one of {', '.join(SPACES)}")
        self.model = model
        self.space = space
        self.losses = [(get_loss(name), float(weight)) for name, weight in zip(losses, weights)]
        self.optimizer_config = dict(optimizer or {})
        self.schedule_config = dict(schedule or {})
        self.provenance = dict(provenance or {})
        self.metrics: dict[str, float] = {}
        self.completed_epochs = 0
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None

    def forward(self, batch: Batch) -> Any:
        """Encodes and decodes a batch of jets."""
        return self.model(batch)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Gives the momenta the precision of the weights."""
        dtype = next((p.dtype for p in self.model.parameters()), batch.pos.dtype)
        if batch.pos.dtype != dtype:
            batch.pos = batch.pos.to(dtype)
        return batch

    def jet_losses(self, batch: Batch, result: Any) -> Tensor:
        """Returns the loss of each jet, (B,).

        Args:
            batch: the jets.
            result: what the model made of them.
        """
        pair = result.p4, result.ptr, batch.pos, batch.ptr
        if self.space == "native":
            if result.native is None:
                raise ValueError(f"{type(self.model).__name__} works in four-momenta: set loss.space=momenta")
            pair = result.native
        values = [weight * loss(*pair) for loss, weight in self.losses]
        return sum(values[1:], values[0])

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Returns ``loss``, the mean, and ``jet_losses``, (B,) and detached."""
        losses = self.jet_losses(batch, self(batch))
        return {"loss": losses.mean(), "jet_losses": losses.detach()}

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Returns ``jet_losses``, (B,), and the ``result`` of the model."""
        result = self(batch)
        return {"jet_losses": self.jet_losses(batch, result), "result": result}

    def configure_optimizers(self) -> Any:
        """Makes the optimiser and a schedule that is stepped after each batch, or after each epoch."""
        optimizer = build_optimizer(self.parameters(), self.optimizer_config)
        # trainer.num_training_batches is not known yet, and asking for an estimate would start the loader,
        # before its position is restored.
        steps = len(self.trainer.datamodule.train_dataloader())
        schedule = build_schedule(optimizer, self.schedule_config, steps, self.trainer.max_epochs)
        if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            # Lightning would step it after the epoch's checkpoint has been written, too late for resuming.
            self.plateau = schedule
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_end(self) -> None:
        """Lowers the learning rate if the validation loss has stopped falling and the schedule says so."""
        if self.plateau is not None and "val/loss" in self.metrics:
            self.plateau.step(self.metrics["val/loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the header that makes the file self-describing."""
        checkpoint[HEADER] = describe(
            self.model, epoch=self.completed_epochs, metrics=self.metrics, **self.provenance
        )
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes over the values of the last epoch and remembers the state of a plateau schedule."""
        self.completed_epochs = checkpoint[HEADER]["epoch"] or 0
        self.metrics = dict(checkpoint[HEADER]["metrics"])
        self._plateau_state = checkpoint.get("plateau")

    def on_train_start(self) -> None:
        """Restores the plateau schedule, which exists only now."""
        state = getattr(self, "_plateau_state", None)
        if self.plateau is not None and state is not None:
            self.plateau.load_state_dict(state)
