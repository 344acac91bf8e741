"""Printed names."""

import torch


def describe_model(model: torch.nn.Module) -> str:
    """A short printed name of a model: its own ``label``, or one from its configuration."""
    if hasattr(model, "label"):
        return model.label
    config = getattr(model, "config", {})
    parts = [config.get("name", type(model).__name__)]
    if "aggregation" in config:
        parts[0] += f" {config['aggregation']}"
    if config.get("order", "list") != "list":
        parts[0] += f" by {config['order'].replace('_', ' ')}"
    if "latent_vectors" in config:
        parts[0] += f" τ={config['latent_vectors']}"
    if config.get("conserve_momentum"):
        parts.append("P conserved")
    return ", ".join(parts)
