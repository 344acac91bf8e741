"""Training to tell kinds of jets apart: taggers."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.metrics.classification import mean_area
from lgae_pyg.registry import choose
from lgae_pyg.training.tasks.base import Task, weighted

BALANCED = "balanced"
LOSSES = {"cross_entropy": nn.functional.cross_entropy}


class ClassificationTask(Task):
    r"""Trains a tagger by the cross entropy of its logits :math:`z_b` and the class :math:`y_b` of each jet,

    .. math:: \ell_b = -w_b\, \Big[(1 - \epsilon) \log s_{b y_b} + \frac{\epsilon}{C} \sum_c \log s_{bc}\Big],
        \qquad s_b = \mathrm{softmax}(z_b) ,

    :math:`\epsilon` being the smoothing of the labels and :math:`w_b` the weight of the class times that of the
    jet, both 1 unless asked for. The loss of a training is the plain mean of :math:`\ell_b` over jets, so weights
    should be about 1 on average; those of ``balanced`` are.

    The validation adds the share of jets whose class has the largest score (``val/accuracy``) and, of two classes,
    the area under the ROC curve of the second one's score (``val/auc``); of more, the mean over the classes, each
    against all others. Weights enter the losses alone, not these.

    Args:
        model: a tagger; ``model(batch)`` are logits :math:`(B, C)`.
        losses: ``["cross_entropy"]``.
        weights: one number that the loss is multiplied by.
        space: not used by taggers.
        label_smoothing: :math:`\epsilon`, from 0 to below 1.
        class_weights: a weight for each class, or ``["balanced"]``, :math:`J / (C' J_c)` with the numbers of jets
            :math:`J_c` of the :math:`C'` classes there are, of which :meth:`learn_from` is told.
        event_weights: field of the batch with a weight of each jet, e.g. ``weight``; none when omitted.
        **options: see :class:`~lgae_pyg.training.tasks.Task`.

    Raises:
        ValueError: an unknown loss, or smoothing or weights that make no sense; later, a class number that the
            model has no logit for, or weights that are not there.
    """

    columns = ("val/accuracy", "val/auc")
    rising = columns
    loss_options = ("label_smoothing", "class_weights", "event_weights")

    def __init__(
        self,
        model: nn.Module,
        losses: Sequence[str] = ("cross_entropy",),
        weights: Sequence[float] | None = None,
        space: str | None = None,
        label_smoothing: float | None = None,
        class_weights: Sequence[float] | Sequence[str] | str | None = None,
        event_weights: str | None = None,
        **options: Any,
    ) -> None:
        smoothing = float(label_smoothing or 0)
        if not 0 <= smoothing < 1:
            raise ValueError(f"loss.label_smoothing={label_smoothing} is not between 0 and 1")
        more = {"reduction": "none", "label_smoothing": smoothing}
        functions = [partial(choose("loss", name, LOSSES), **more) for name in losses]
        super().__init__(model, weighted(functions, weights), **options)
        self.balanced = class_weights in (BALANCED, [BALANCED], (BALANCED,))
        self.class_weights = None if self.balanced or class_weights is None else _as_weights(class_weights)
        self.event_weights = event_weights
        self.scored: tuple[NDArray, NDArray] | None = None

    def learn_from(self, y: Tensor) -> None:
        """Makes the weights of ``balanced`` from the classes of the training jets, shape (J,)."""
        if self.balanced:
            counts = torch.bincount(y.flatten()).double()
            there = counts > 0
            self.class_weights = torch.where(there, len(y) / (there.sum() * counts.clamp(min=1)), 1.0)

    def jet_losses(self, batch: Batch, result: Tensor) -> Tensor:
        """Returns the cross entropy of each jet.

        Shapes:
            - result: logits :math:`(B, C)`
            - **output:** :math:`(B,)`

        Raises:
            ValueError: for a class number without a logit; see also :meth:`jet_weights`.
        """
        classes = result.shape[-1]
        if int(batch.y.max()) >= classes:
            raise ValueError(
                f"the jets have the class number {int(batch.y.max())}, but {type(self.model).__name__} has "
                f"{classes} logits: set model.num_classes"
            )
        values = [weight * loss(result, batch.y) for loss, weight in self.functions]
        factor = self.jet_weights(batch)
        total = sum(values[1:], values[0])
        return total if factor is None else total * factor.to(total)

    def jet_weights(self, batch: Batch) -> Tensor | None:
        """The weight of each jet, shape (B,); ``None`` if all are 1.

        Raises:
            ValueError: classes are to be balanced, and nobody told which there are (:meth:`learn_from`), a class
                has no weight, or the jets have none of the field that is named.
        """
        factor = None
        if self.balanced and self.class_weights is None:
            raise ValueError(
                "loss.class_weights=balanced needs the classes of the training jets: task.learn_from(y)"
            )
        if self.class_weights is not None:
            if int(batch.y.max()) >= len(self.class_weights):
                raise ValueError(
                    f"the jets have the class number {int(batch.y.max())}, but loss.class_weights has "
                    f"{len(self.class_weights)} weights: give one for each class"
                )
            factor = self.class_weights.to(batch.y.device)[batch.y]
        if self.event_weights is not None:
            given = getattr(batch, self.event_weights, None)
            if not isinstance(given, Tensor) or given.numel() != len(batch.y):
                raise ValueError(
                    f"loss.event_weights={self.event_weights}: the jets have no field of that name with a number "
                    "for each jet; leave it out, or name the weight in the data card"
                )
            factor = given.flatten() * (1 if factor is None else factor)
        return factor

    def observe(self, batch: Batch, result: Tensor, sums: dict[str, Any]) -> None:
        """Adds right answers, and keeps the scores, from logits of shape (B, C)."""
        sums["accuracy"] = sums.get("accuracy", 0.0) + (result.argmax(-1) == batch.y).double().sum()
        sums.setdefault("scores", []).append(torch.cat([result.softmax(-1).double(), batch.y.unsqueeze(-1)], -1))

    def derived(self, collected: dict[str, Tensor]) -> dict[str, float]:
        """The areas under the ROC curves, of ``scores`` with the classes behind them, shape (J, C + 1)."""
        self.scored = collected["scores"][:, :-1].numpy(), collected["scores"][:, -1].long().numpy()
        area = mean_area(*self.scored)
        return {} if math.isnan(area) else {"val/auc": area}

    def figures(self, batch: Batch, result: Tensor) -> dict[str, Any]:
        """ROC curves, confusion matrix, scores by true class and calibration, of the whole last validation, or
        else of these logits, shape (B, C)."""
        from lgae_pyg.training.tagging_panels import tagging_figures

        scores, y = self.scored or (result.softmax(-1).double().cpu().numpy(), batch.y.cpu().numpy())
        found = tagging_figures(scores, y, self.class_names)
        return {f"jets/{name}": figure for name, figure in found.items()}


def _as_weights(values: Sequence[Any] | str) -> Tensor:
    numbers = [values] if isinstance(values, str) else list(values)
    if not all(isinstance(one, int | float) and 0 <= one < math.inf for one in numbers) or not any(numbers):
        raise ValueError(f"loss.class_weights={values}: give {BALANCED}, or a number for each class, 0 or more")
    return torch.tensor(numbers, dtype=torch.float64)
