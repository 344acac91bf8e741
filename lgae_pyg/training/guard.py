"""Stops a training whose numbers are no longer finite, and says which jets did it."""

import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetStore, jet_name
from lgae_pyg.training.cluster import agree

NAMED = 10


class NonFiniteError(FloatingPointError):
    """A loss or a gradient is infinite or not a number."""


class NonFiniteGuard(pl.Callback):
    """Ends the training before a step is taken along a gradient, or from a loss, that is not finite.

    NaN compares false with everything, so a training that has met one would otherwise go on to the end of
    its patience. Here the weights are never touched by it: the last checkpoint stays good, and no epoch with
    such a value is ever written, let alone called the best. The jets at fault are named and saved.

    Of processes that train together, those stop that have such a jet and say so, and the others with them.

    It also leaves the norm of each gradient in ``module.gradient_norm``.

    Args:
        folder: where the jets are saved, as ``nonfinite.safetensors``.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.path = Path(folder) / "nonfinite.safetensors"
        self._batch: Batch | None = None
        self._loss: Tensor | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Batch, batch_idx: int) -> None:
        """Remembers the batch."""
        self._batch = batch

    def on_before_backward(self, trainer: pl.Trainer, module: Any, loss: Tensor) -> None:
        """Remembers the loss."""
        self._loss = loss.detach()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: Any, optimizer: Any) -> None:
        """Takes the norm of the gradient and looks at both numbers."""
        module.gradient_norm = gradient_norm(module)
        if not agree(trainer, not torch.isfinite(module.gradient_norm + self._loss))[0]:
            return
        where = f"in epoch {trainer.current_epoch + 1}, step {trainer.global_step + 1}"
        with trainer.precision_plugin.train_step_context():
            with torch.no_grad():
                losses = module.jet_losses(self._batch, module(self._batch))
            faulty, what = ~torch.isfinite(losses), "loss"
            if not agree(trainer, bool(faulty.any()))[0]:
                faulty, what = non_finite_gradients(module, self._batch), "gradient"
        found = agree(trainer, bool(faulty.any()))[0]
        self.fail(module, self._batch, faulty if found else torch.ones_like(faulty), what, where)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: Any,
        outputs: dict[str, Any],
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Raises :class:`NonFiniteError` if the loss of a validation jet is not finite."""
        finite = torch.isfinite(outputs["jet_losses"])
        if agree(trainer, not finite.all())[0]:
            self.fail(module, batch, ~finite, "loss", "in the validation")

    def fail(self, module: Any, batch: Batch, faulty: Tensor, what: str, where: str) -> None:
        """Saves the jets at fault and raises :class:`NonFiniteError` with their names."""
        numbers = faulty.nonzero().flatten().tolist()
        if not numbers:
            raise NonFiniteError(f"the {what} is not finite {where}, for jets of another process")
        jets = [batch.cpu().get_example(number) for number in numbers]
        JetStore.from_jets(jets, {"reason": f"{what} not finite {where}"}).save(self.path)
        names = ", ".join(jet_name(jet, module.class_names) for jet in jets[:NAMED])
        names += ", ..." if len(jets) > NAMED else ""
        raise NonFiniteError(
            f"the {what} is not finite {where}, for {len(jets)} of the batch's {batch.num_graphs} jets: "
            f"{names} (class and row in its file). They are saved in {self.path}. If the jets are sound, "
            "lower optimizer.lr or set trainer.gradient_clip"
        )


def non_finite_gradients(module: Any, batch: Batch) -> Tensor:
    """Returns which jets have a gradient that is not finite, (B,).

    Each jet is taken by itself: within a batch, an infinite derivative of one jet times the zero that comes
    back from the others would be NaN for all of them.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    faulty = []
    for number in range(batch.num_graphs):
        jet = Batch.from_data_list([batch.get_example(number)])
        loss = module.jet_losses(jet, module(jet)).sum()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        faulty.append(not all(bool(torch.isfinite(g).all()) for g in gradients if g is not None))
    return torch.tensor(faulty)


def gradient_norm(module: torch.nn.Module) -> Tensor:
    """Returns the Euclidean norm of the gradients of all parameters together, a scalar."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
