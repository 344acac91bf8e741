"""Measures of reconstruction and of scores: features, relative errors, matching, statistics, ROC curves."""

from lgae_pyg.metrics.bootstrap import bootstrap, bootstrap_quantiles, bootstrap_weighted
from lgae_pyg.metrics.emd import exact_emd
from lgae_pyg.metrics.features import (
    JET_FEATURES,
    PARTICLE_FEATURES,
    jet_features,
    particle_features,
    relative_error,
)
from lgae_pyg.metrics.matching import match_particles
from lgae_pyg.metrics.roc import area_under_curve, roc_curve
from lgae_pyg.metrics.statistics import STATISTICS, summary
from lgae_pyg.ops.compression import compression_rates

__all__ = [
    "JET_FEATURES",
    "PARTICLE_FEATURES",
    "STATISTICS",
    "area_under_curve",
    "bootstrap",
    "bootstrap_quantiles",
    "bootstrap_weighted",
    "compression_rates",
    "exact_emd",
    "jet_features",
    "match_particles",
    "particle_features",
    "relative_error",
    "roc_curve",
    "summary",
]
