"""Training to tell kinds of jets apart: taggers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.metrics.roc import area_under_curve
from lgae_pyg.registry import choose
from lgae_pyg.training.tasks.base import Task, weighted

LOSSES = {"cross_entropy": nn.functional.cross_entropy}
#: The reconstruction's default in ``configs/train.yaml``, which stands for the first of the losses here.
OTHER_DEFAULT = ["mse"]


class ClassificationTask(Task):
    r"""Trains a tagger by the cross entropy of its logits :math:`z_b` and the class :math:`y_b` of each jet,

    .. math:: \ell_b = -\log \mathrm{softmax}(z_b)_{y_b} .

    The validation adds the share of jets whose class has the largest score (``val/accuracy``) and, of two classes,
    the area under the ROC curve of the second one's score (``val/auc``); of more, the mean over the classes, each
    against all others.

    Args:
        model: a tagger; ``model(batch)`` are logits :math:`(B, C)`.
        losses: ``["cross_entropy"]``.
        weights: one number that the loss is multiplied by.
        space: not used by taggers.
        **options: see :class:`~lgae_pyg.training.tasks.Task`.

    Raises:
        ValueError: an unknown loss; later, a class number that the model has no logit for.
    """

    columns = ("val/accuracy", "val/auc")

    def __init__(
        self,
        model: nn.Module,
        losses: Sequence[str] = ("cross_entropy",),
        weights: Sequence[float] | None = None,
        space: str | None = None,
        **options: Any,
    ) -> None:
        names = list(LOSSES)[:1] if list(losses) == OTHER_DEFAULT else losses
        functions = [partial(choose("loss", name, LOSSES), reduction="none") for name in names]
        super().__init__(model, weighted(functions, weights), **options)

    def jet_losses(self, batch: Batch, result: Tensor) -> Tensor:
        """Returns the cross entropy of each jet, (B,)."""
        classes = result.shape[-1]
        if int(batch.y.max()) >= classes:
            raise ValueError(
                f"the jets have the class number {int(batch.y.max())}, but {type(self.model).__name__} has "
                f"{classes} logits: set model.num_classes"
            )
        values = [weight * loss(result, batch.y) for loss, weight in self.functions]
        return sum(values[1:], values[0])

    def observe(self, batch: Batch, result: Tensor, sums: dict[str, Any]) -> None:
        """Adds right answers, and keeps the scores."""
        sums["accuracy"] = sums.get("accuracy", 0.0) + (result.argmax(-1) == batch.y).double().sum()
        sums.setdefault("scores", []).append(torch.cat([result.softmax(-1).double(), batch.y.unsqueeze(-1)], -1))

    def derived(self, collected: dict[str, Tensor]) -> dict[str, float]:
        """The areas under the ROC curves."""
        scores, y = collected["scores"][:, :-1].numpy(), collected["scores"][:, -1].numpy()
        classes = [number for number in range(scores.shape[1]) if 0 < (y == number).sum() < len(y)]
        if scores.shape[1] == 2:
            classes = [number for number in classes if number == 1]
        areas = [area_under_curve(scores[y != number, number], scores[y == number, number]) for number in classes]
        return {"val/auc": sum(areas) / len(areas)} if areas else {}

    def figures(self, batch: Batch, result: Tensor) -> dict[str, Any]:
        """Histograms of the scores by true class."""
        from lgae_pyg.training.panels import score_figure

        return {"jets/scores": score_figure(batch, result, self.class_names)}
