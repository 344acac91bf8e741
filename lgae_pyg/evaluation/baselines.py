"""The linear autoencoders that every model is compared with."""

from typing import Any

import torch

from lgae_pyg.data import JetLoader
from lgae_pyg.models import LinearAE, contract_of

#: Linear baselines by key: label, momentum conservation, weighting of the jets in the fit. The second is what
#: ``warm_start: linear`` starts from, when momentum is conserved.
BASELINES = {
    "linear": ("LinearAE", False, "equal"),
    "linear_conserving": ("LinearAE, P conserved", True, "transverse"),
}


def fit_baselines(model: torch.nn.Module, train: Any) -> dict[str, tuple[str, torch.nn.Module]]:
    """Linear autoencoders whose codes have as many four-vectors as the model's, or about as many numbers.

    Returns:
        Label and model by key; none if the size of the model's code is unknown.
    """
    found = latent_vectors(model, train.store)
    if not found:
        return {}
    particles = num_particles(model, train)
    vectors = max(1, min(found, particles // 2))
    models = {}
    for key, (label, conserve, weighting) in BASELINES.items():
        linear = LinearAE(vectors, particles, conserve_momentum=conserve)
        linear.fit(JetLoader(train.store, 1024), weighting)
        models[key] = (label.replace("LinearAE", f"LinearAE τ={vectors}"), linear)
    return models


def latent_vectors(model: torch.nn.Module, store: Any) -> int:
    """The number of complex four-vectors in a model's code, at least one (two real ones, or eight numbers, count
    as one); 0 if the code is unknown."""
    with torch.inference_mode():
        latent = getattr(model(store.batch([0])), "latent", None)
    vectors = None if latent is None else latent.vectors
    if vectors is not None and vectors.shape[1]:
        return max(1, vectors.shape[1] if vectors.is_complex() else vectors.shape[1] // 2)
    size = contract_of(model).latent_size
    return max(1, round(size / 8)) if size else 0


def num_particles(model: torch.nn.Module, dataset: Any) -> int:
    """The particles of a jet of full size: the model's, or those of the data."""
    own = contract_of(model).num_particles
    return own or dataset.recipe.get("num_particles") or dataset.store.max_particles
