"""Anomaly detection by reconstruction error and by the density of the codes."""
