"""Measures of reconstruction and of scores: features, relative errors, matching, statistics, ROC curves."""

from typing import TYPE_CHECKING

from lgae_pyg.lazy import loaded_on_use
from lgae_pyg.metrics.bootstrap import bootstrap, bootstrap_quantiles, bootstrap_weighted

if TYPE_CHECKING:
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

# ``bootstrap`` is a module, too, and so loaded at once
__getattr__, __dir__ = loaded_on_use(
    __name__,
    {
        "exact_emd": "lgae_pyg.metrics.emd",
        "JET_FEATURES": "lgae_pyg.metrics.features",
        "PARTICLE_FEATURES": "lgae_pyg.metrics.features",
        "jet_features": "lgae_pyg.metrics.features",
        "particle_features": "lgae_pyg.metrics.features",
        "relative_error": "lgae_pyg.metrics.features",
        "match_particles": "lgae_pyg.metrics.matching",
        "area_under_curve": "lgae_pyg.metrics.roc",
        "roc_curve": "lgae_pyg.metrics.roc",
        "STATISTICS": "lgae_pyg.metrics.statistics",
        "summary": "lgae_pyg.metrics.statistics",
        "compression_rates": "lgae_pyg.ops.compression",
    },
)
