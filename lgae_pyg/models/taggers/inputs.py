"""What taggers have in common: momenta in GeV whatever the unit, means over jets, classifying perceptrons."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.data.units import unit_factor
from lgae_pyg.models.base import Tagger
from lgae_pyg.models.result import offsets_of
from lgae_pyg.ops.graphs import graph_sizes
from lgae_pyg.ops.jets import jet_sum
from lgae_pyg.registry import check_choice

READOUTS = ("mean", "sum", "padded_mean")


class GeVTagger(Tagger):
    """A tagger whose network takes momenta in GeV, as the published ones do.

    Momenta are taken in :attr:`unit`, TeV unless said otherwise (training and checkpoints say it), and brought to
    GeV and to ``scale``.
    """

    scale: float = 1.0

    @property
    def momentum_scale(self) -> float:  # type: ignore[override]  # follows unit and scale
        """What momenta are multiplied by on the way in."""
        return unit_factor(self.unit, "GeV") * self.scale

    def momenta(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Momenta as the network takes them, float64, and the offsets of the jets."""
        ptr = offsets_of(batch)
        return self.momentum_scale * batch.pos.double(), ptr

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the parameters."""
        return next(self.parameters()).dtype


class ReferencedTagger(GeVTagger):
    """Such a tagger that may see reference vectors (:mod:`lgae_pyg.ops.references`), which stay float64."""

    references: Tensor

    def see(self, vectors: Tensor) -> None:
        """Keeps the reference vectors, :math:`(r, 4)`, which are arguments and no weights."""
        self.register_buffer("references", vectors, persistent=False)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """As in PyTorch; the reference vectors stay float64."""
        super()._apply(fn, recurse)
        self.references = self.references.double()
        return self


def extra_scalars(batch: Any, wanted: int) -> Tensor:
    """The field ``x`` of a batch, numbers that every particle brings along.

    Raises:
        ValueError: if it is missing or has another width.

    Shapes:
        - **output:** :math:`(n, \\text{wanted})`
    """
    nodes = len(batch.pos)
    x = getattr(batch, "x", None)
    if not isinstance(x, Tensor) or x.shape != (nodes, wanted):
        found = f"has shape {tuple(x.shape)}" if isinstance(x, Tensor) else "is missing"
        raise ValueError(
            f"the model reads {wanted} extra_scalars of each particle from the field 'x' of the batch, of shape "
            f"({nodes}, {wanted}), but 'x' {found}"
        )
    return x


def read_out(x: Tensor, ptr: Tensor, readout: str = "mean") -> Tensor:
    r"""One row per jet: the ``mean`` over its particles, their ``sum``, or ``padded_mean``, the sum divided by the
    size of the largest jet of the batch as in LorentzNet's release, with which a jet depends on its batch mates.

    Shapes:
        - x: :math:`(n, F)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(B, F)`
    """
    check_choice("readout", readout, READOUTS)
    total, sizes = jet_sum(x, ptr), graph_sizes(ptr).clamp(min=1)
    if readout == "sum":
        return total
    return total / (sizes.max() if readout == "padded_mean" else sizes.unsqueeze(-1)).to(x.dtype)


def classifier(widths: Sequence[int], num_classes: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with ReLU (and dropout, if any) and a last one to the logits.

    Args:
        widths: of the input and of hidden layers.
        num_classes: number of logits.
        dropout: share of hidden values that are dropped in training.

    Raises:
        ValueError: for less than two classes.
    """
    if num_classes < 2:
        raise ValueError(f"a tagger needs two classes at least, not num_classes={num_classes}")
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))
