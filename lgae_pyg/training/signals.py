"""A training that is stopped on request, and the exact state of the random number generators."""

import random
from typing import Any

import numpy as np
import torch

from lgae_pyg.processes import GracefulStop

__all__ = ["GracefulStop", "TrainingInterrupted", "random_states", "restore_random_states"]


class TrainingInterrupted(Exception):
    """The training was stopped on request and can be continued from the checkpoint it wrote."""


def random_states() -> dict[str, Any]:
    """Returns the states of all global random number generators, as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, next_gauss = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, torch.tensor(words, dtype=torch.int64), next_gauss],
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Sets all global random number generators to what :func:`random_states` returned."""
    torch.set_rng_state(states["torch"].cpu())
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, words, next_gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), next_gauss))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
