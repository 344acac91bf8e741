"""Averages and concatenations of aggregations, and their names in configurations."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.nn.aggr.extremum import ROUNDING, ExtremumAggregation
from lgae_pyg.nn.aggr.linear import LinearAggregation

METHODS = ("min", "max", "mean", "sum")


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

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        parts = [aggregation(x, index, ptr, dim_size, dim) for aggregation in self.aggregations]
        if self.mode == "mean":
            return torch.stack(parts).mean(0)
        split = [part.split(self.widths, -1) for part in parts]
        return torch.cat([torch.cat(same, -1) for same in zip(*split)], -1)


def num_concatenated(name: str) -> int:
    """How many times the latent multiplicities appear in the code: the parts of ``a&b&...``, else 1."""
    return name.count("&") + 1


def build_aggregation(
    name: str,
    irreps: Irreps | str,
    largest_square: bool = False,
    rounding: float = ROUNDING,
    backend: str = "auto",
) -> Aggregation:
    """Builds a permutation-invariant aggregation from its name.

    Args:
        name: ``min``, ``max``, ``mean`` or ``sum``; ``a+b`` averages and ``a&b`` concatenates.
        irreps: irreps of the features.
        largest_square: see :class:`ExtremumAggregation`.
        rounding: see there.
        backend: see there.

    Raises:
        ValueError: for an unknown name or a mixture of ``+`` and ``&``.
    """
    irreps = Irreps(irreps)
    if "&" in name and "+" in name:
        raise ValueError(f"aggregation '{name}' mixes & and +: concatenate (a&b) or average (a+b)")
    for symbol, mode in (("&", "cat"), ("+", "mean")):
        if symbol in name:
            options = (largest_square, rounding, backend)
            parts = [build_aggregation(part, irreps, *options) for part in name.split(symbol)]
            return CombinedAggregation(irreps, parts, mode)
    name = {"average": "mean"}.get(name.strip(), name.strip())
    if name in ("min", "max"):
        return ExtremumAggregation(irreps, name, largest_square, rounding, backend)
    if name in ("mean", "sum"):
        return LinearAggregation(name)
    raise ValueError(
        f"unknown aggregation '{name}': choose {', '.join(METHODS)}, a combination such as min&max or "
        "mean+max, or mix"
    )
