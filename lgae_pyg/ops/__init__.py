"""Tensor functions of many jets: graphs, irrep products, neighbour sums."""
