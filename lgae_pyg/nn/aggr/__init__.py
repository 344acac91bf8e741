"""Equivariant maps from the particles of a jet to its latent features, as PyG aggregations."""

from lgae_pyg.nn.aggr.combine import CombinedAggregation, build_aggregation, num_concatenated
from lgae_pyg.nn.aggr.extremum import ExtremumAggregation
from lgae_pyg.nn.aggr.linear import LinearAggregation
from lgae_pyg.nn.aggr.mix import MixAggregation
from lgae_pyg.nn.aggr.softmax import InvariantSoftmax

__all__ = [
    "CombinedAggregation",
    "ExtremumAggregation",
    "InvariantSoftmax",
    "LinearAggregation",
    "MixAggregation",
    "build_aggregation",
    "num_concatenated",
]
