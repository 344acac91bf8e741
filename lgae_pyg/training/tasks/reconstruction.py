"""Training to give back the input: autoencoders."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.losses import get_loss
from lgae_pyg.metrics import PARTICLE_FEATURES, particle_features, relative_error, summary
from lgae_pyg.models import Model
from lgae_pyg.registry import check_choice
from lgae_pyg.training.panels import image_figure, residual_figure
from lgae_pyg.training.tasks.base import Task, weighted

SPACES = ("momenta", "native")


class ReconstructionTask(Task):
    r"""Trains an autoencoder to give back its input.

    The loss of a jet is a weighted sum of the losses of :mod:`lgae_pyg.losses`,
    :math:`\ell_b = \sum_k w_k \ell_{k, b}`. The validation adds the squared error of the particles
    (``val/mse``) and, where they correspond, the spread of the relative errors of their pT (``val/pt_iqr``).

    Args:
        model: an autoencoder; its results have ``p4`` and ``ptr``.
        losses: names of the losses.
        weights: their weights; all 1 when omitted.
        space: what they compare: ``"momenta"``, four-momenta, or ``"native"``, the coordinates that the model
            itself works in (relative coordinates, pixels), for models whose result has them.
        **options: see :class:`~lgae_pyg.training.tasks.Task`.

    Raises:
        ValueError: an unknown loss or space, one that the model does not have, or not one weight per loss.
    """

    columns = ("val/mse", "val/pt_iqr")

    def __init__(
        self,
        model: nn.Module,
        losses: Sequence[str] = ("mse",),
        weights: Sequence[float] | None = None,
        space: str = "momenta",
        **options: Any,
    ) -> None:
        check_choice("loss.space", space, SPACES)
        super().__init__(model, weighted([get_loss(name) for name in losses], weights), **options)
        self.space = space
        if isinstance(model, Model) and not model.has_native:
            self._check_native(None)

    def jet_losses(self, batch: Batch, result: Any) -> Tensor:
        """Returns the weighted sum of the losses of each jet, shape (B,)."""
        pair = result.p4, result.ptr, batch.pos, batch.ptr
        if self.space == "native":
            pair = result.native
            self._check_native(pair)
        values = [weight * loss(*pair) for loss, weight in self.functions]
        return sum(values[1:], values[0])

    def _check_native(self, pair: Any) -> None:
        if self.space == "native" and pair is None:
            raise ValueError(f"{type(self.model).__name__} works in four-momenta: set loss.space=momenta")

    def observe(self, batch: Batch, result: Any, sums: dict[str, Any]) -> None:
        """Adds the squared error of particles and, where they correspond, the errors of their pT."""
        if self.facts.output_kind != "particles":
            return
        mse = get_loss("mse")(result.p4, result.ptr, batch.pos, batch.ptr)
        sums["mse"] = sums.get("mse", 0.0) + mse.double().sum()
        if torch.equal(result.ptr, batch.ptr):
            features = [particle_features(p4, batch.ptr) for p4 in (result.p4, batch.pos)]
            errors = relative_error(*features, PARTICLE_FEATURES)[:, 0].float().cpu()
            sums.setdefault("pt_errors", []).append(errors)

    def derived(self, collected: dict[str, Tensor]) -> dict[str, float]:
        """The interquartile range of the errors of pT, ``pt_errors`` of shape (n,)."""
        return {"val/pt_iqr": summary(collected["pt_errors"].numpy())["iqr"]} if collected else {}

    def figures(self, batch: Batch, result: Any) -> dict[str, Any]:
        """Images of true and rebuilt jets, and histograms of the errors."""
        return {"jets/images": image_figure(batch, result), "jets/residuals": residual_figure(batch, result)}


#: The name of the class before there were other tasks.
AutoencoderModule = ReconstructionTask
