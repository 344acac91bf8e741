"""Weights of the original implementations, translated to ours."""

from lgae_pyg.legacy.lgn_autoencoder import load_lgn_autoencoder

__all__ = ["load_lgn_autoencoder"]
