"""Streams of random numbers: what depends on the same seed and class must not be made of the same numbers."""

AZIMUTHS, SPLIT, SUBSET = 0, 1, 2
