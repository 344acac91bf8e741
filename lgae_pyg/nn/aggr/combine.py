"""Averages and concatenations of aggregations, and their names in configurations."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import (
    Aggregation,
    AttentionalAggregation,
    MaxAggregation,
    MeanAggregation,
    MinAggregation,
    MultiAggregation,
    SoftmaxAggregation,
    SumAggregation,
)
from torch_geometric.typing import OptTensor

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.nn.aggr.extremum import ROUNDING, ExtremumAggregation
from lgae_pyg.nn.aggr.linear import LinearAggregation
from lgae_pyg.nn.aggr.softmax import InvariantSoftmax
from lgae_pyg.nn.unchanged import as_kind

METHODS = ("min", "max", "mean", "sum", "softmax")
#: Modules of PyG without parameters, by what they are called here.
PYG_NAMES = {MinAggregation: "min", MaxAggregation: "max", MeanAggregation: "mean", SumAggregation: "sum"}


class CombinedAggregation(Aggregation):
    """Several aggregations of the same features, averaged or concatenated channel by channel.

    Args:
        irreps: irreps of the features.
        aggregations: the parts.
        mode: ``"mean"`` averages them, ``"cat"`` puts their channels one after another within each irrep.

    Shapes:
        - **input:** packed features :math:`(n, d)` and ``index`` or ``ptr``
        - **output:** :math:`(B, d)`, or :math:`(B, k d)` for ``"cat"`` of :math:`k` parts, complex
    """

    def __init__(self, irreps: Irreps | str, aggregations: Sequence[Aggregation], mode: str = "cat"):
        super().__init__()
        self.irreps, self.mode = Irreps(irreps), mode
        self.widths = [channels * irrep.dim for channels, irrep in self.irreps]
        self.aggregations = nn.ModuleList(aggregations)

    def reset_parameters(self) -> None:
        """Resets the parts."""
        for aggregation in as_kind(Aggregation, self.aggregations):
            aggregation.reset_parameters()

    def forward(
        self, x: Tensor, index: OptTensor = None, ptr: OptTensor = None, dim_size: int | None = None, dim: int = -2
    ) -> Tensor:
        parts = [aggregation(x, index, ptr, dim_size, dim) for aggregation in self.aggregations]
        if self.mode == "mean":
            return torch.stack(parts).mean(0)
        split = [part.split(self.widths, -1) for part in parts]
        return torch.cat([torch.cat(same, -1) for same in zip(*split)], -1)


def num_concatenated(aggregation: str | Aggregation) -> int:
    """How many times the latent multiplicities appear in the code: the parts of ``a&b&...``, else 1."""
    if isinstance(aggregation, str):
        return aggregation.count("&") + 1
    parts = getattr(aggregation, "aggregations", getattr(aggregation, "aggrs", None))
    return len(parts) if parts and aggregation.mode == "cat" else 1


def build_aggregation(
    aggregation: str | Aggregation,
    irreps: Irreps | str,
    largest_square: bool = False,
    rounding: float = ROUNDING,
    backend: str = "auto",
) -> Aggregation:
    """Builds a permutation-invariant aggregation of irreps from its name, or from PyG's module.

    PyG's modules reduce real columns one by one, which for the components of four-vectors is equivariant only if
    it is linear. ``SumAggregation`` and ``MeanAggregation`` act on real and imaginary parts; ``MinAggregation``,
    ``MaxAggregation``, ``SoftmaxAggregation`` and ``AttentionalAggregation`` act through Lorentz invariants
    (:class:`ExtremumAggregation`, :class:`InvariantSoftmax`); ``MultiAggregation`` joins or averages these. An
    aggregation of one's own is taken as it is: it gets the packed complex features, and has to be equivariant
    (:func:`~lgae_pyg.lorentz.equivariance_error`).

    Args:
        aggregation: ``min``, ``max``, ``mean``, ``sum`` or ``softmax``; ``a+b`` averages and ``a&b`` concatenates;
            or a module.
        irreps: irreps of the features.
        largest_square: see :class:`ExtremumAggregation`.
        rounding: see there.
        backend: see there.

    Raises:
        ValueError: for an unknown name, a mixture of ``+`` and ``&``, or a module of PyG that is not equivariant.
    """
    irreps, options = Irreps(irreps), (largest_square, rounding, backend)
    if isinstance(aggregation, MultiAggregation) and aggregation.mode in ("cat", "mean"):
        parts = [build_aggregation(part, irreps, *options) for part in aggregation.aggrs]
        return CombinedAggregation(irreps, parts, aggregation.mode)
    if isinstance(aggregation, Aggregation):
        name = PYG_NAMES.get(type(aggregation))
        return _adapted(aggregation, irreps) if name is None else build_aggregation(name, irreps, *options)
    if "&" in aggregation and "+" in aggregation:
        raise ValueError(f"aggregation '{aggregation}' mixes & and +: concatenate (a&b) or average (a+b)")
    for symbol, mode in (("&", "cat"), ("+", "mean")):
        if symbol in aggregation:
            parts = [build_aggregation(part, irreps, *options) for part in aggregation.split(symbol)]
            return CombinedAggregation(irreps, parts, mode)
    name = {"average": "mean", "add": "sum"}.get(aggregation.strip(), aggregation.strip())
    if name in ("min", "max"):
        return ExtremumAggregation(irreps, name, *options)
    if name in ("mean", "sum"):
        return LinearAggregation(name)
    if name == "softmax":
        return InvariantSoftmax(irreps, SoftmaxAggregation())
    raise ValueError(
        f"unknown aggregation '{name}': choose {', '.join(METHODS)}, a combination such as min&max or "
        "mean+max, or mix"
    )


def _adapted(aggregation: Aggregation, irreps: Irreps) -> Aggregation:
    if type(aggregation) in (SoftmaxAggregation, AttentionalAggregation):
        return InvariantSoftmax(irreps, aggregation)
    if type(aggregation).__module__.startswith("torch_geometric."):
        raise ValueError(
            f"{type(aggregation).__name__} acts on single components, and the result would depend on the frame: "
            f"choose {', '.join(METHODS)} or a combination such as min&max; PyG's Attentional- and "
            "SoftmaxAggregation take their weights from invariants"
        )
    return aggregation
