"""Weights of the original implementations, translated to ours."""

from lgae_pyg.legacy.gnn_autoencoder import load_gnn_autoencoder
from lgae_pyg.legacy.lgn_autoencoder import load_lgn_autoencoder
from lgae_pyg.legacy.lgn_classifier import load_lgn
from lgae_pyg.legacy.lorentz_net import load_lorentz_net
from lgae_pyg.legacy.weaver import load_particle_net, load_pfn

__all__ = [
    "load_gnn_autoencoder",
    "load_lgn",
    "load_lgn_autoencoder",
    "load_lorentz_net",
    "load_particle_net",
    "load_pfn",
]
