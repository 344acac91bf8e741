"""The linear autoencoders that every model is compared with."""

from typing import Any

import torch

from lgae_pyg.data import JetLoader
from lgae_pyg.models import LinearAE

#: Linear baselines by key: label, momentum conservation, weighting of the jets in the fit. The second is what
#: ``warm_start: linear`` starts from, when momentum is conserved.
BASELINES = {
    "linear": ("LinearAE", False, "equal"),
    "linear_conserving": ("LinearAE, P conserved", True, "transverse"),
}


def fit_baselines(
    model: torch.nn.Module, first: Any, train: Any
) -> dict[str, tuple[str, torch.nn.Module]]:
    """Linear autoencoders whose codes have as many four-vectors as the model's, or about as many numbers."""
    particles = num_particles(model, train)
    vectors = max(1, min(latent_vectors(model, first), particles // 2))
    models = {}
    for key, (label, conserve, weighting) in BASELINES.items():
        linear = LinearAE(vectors, particles, conserve_momentum=conserve)
        linear.fit(JetLoader(train.store, 1024), weighting)
        models[key] = (label.replace("LinearAE", f"LinearAE τ={vectors}"), linear)
    return models


def latent_vectors(model: torch.nn.Module, first: Any) -> int:
    """The number of complex four-vectors in the model's code (two real ones, or eight numbers, count as one)."""
    vectors = getattr(getattr(first, "latent", None), "vectors", None)
    if vectors is None or vectors.shape[1] == 0:
        return round(model.latent_size / 8)
    return vectors.shape[1] if vectors.is_complex() else vectors.shape[1] // 2


def num_particles(model: torch.nn.Module, dataset: Any) -> int:
    """The particles of a jet of full size: the model's, or those of the data."""
    own = getattr(model, "config", {}).get("num_particles")
    return own or dataset.recipe.get("num_particles") or dataset.store.max_particles
