"""Weights of the original implementations, translated to ours."""

from lgae_pyg.legacy.gnn_autoencoder import load_gnn_autoencoder
from lgae_pyg.legacy.lgn_autoencoder import load_lgn_autoencoder

__all__ = ["load_gnn_autoencoder", "load_lgn_autoencoder"]
