"""Figures of the latent space."""

FIGURES = {}
