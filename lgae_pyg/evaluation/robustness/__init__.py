"""Robustness: what Lorentz transformations of the jets do to a tagger."""
