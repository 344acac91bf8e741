"""A tiny data set and a tiny model, so that whole trainings take a second."""

import copy

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from lgae_pyg.models import Latent, Reconstruction, registry


class Tiny(nn.Module):
    """A particle-wise linear map with dropout: it learns, and it draws random numbers."""

    def __init__(self, num_particles: int = 6, dropout: float = 0.3):
        super().__init__()
        self.config = {"name": "Tiny", "num_particles": num_particles, "dropout": dropout}
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mean", torch.full((4,), 0.25))

    def forward(self, batch):
        p4 = self.linear(self.dropout(batch.pos)) + self.mean
        return Reconstruction(p4=p4, ptr=batch.ptr, latent=Latent(p4[:0], p4[:0]))


@pytest.fixture
def tiny(monkeypatch):
    """Makes the model known by name."""
    monkeypatch.setitem(registry.MODELS, "Tiny", Tiny)
    return Tiny


@pytest.fixture(scope="session")
def jet_files(tmp_path_factory):
    """A folder with raw/g.hdf5 and raw/q.hdf5 in JetNet's format, 50 jets each."""
    root = tmp_path_factory.mktemp("jets")
    (root / "raw").mkdir()
    rng = np.random.default_rng(0)
    for letter in "gq":
        sizes = rng.integers(6, 31, 50)
        mask = np.arange(30) < sizes[:, None]
        pt = -np.sort(-rng.exponential(size=(50, 30)) * mask, axis=1)
        angles = rng.normal(scale=0.1, size=(2, 50, 30)) * mask
        particles = np.stack([*angles, pt / pt.sum(1, keepdims=True), mask], -1)
        jets = np.stack([rng.uniform(800, 1600, 50), rng.normal(size=50), rng.uniform(50, 200, 50), sizes], -1)
        with h5py.File(root / "raw" / f"{letter}.hdf5", "w") as file:
            file["particle_features"] = particles.astype("float32")
            file["jet_features"] = jets.astype("float32")
    return root


@pytest.fixture
def config(tiny, jet_files):
    """The configuration of a training of three epochs of six batches."""
    return copy.deepcopy(
        {
            "seed": 1,
            "name": "tiny",
            "runs": "runs",
            "model": {"name": "Tiny"},
            "data": {"name": "JetNet", "root": str(jet_files), "classes": ["g", "q"], "num_particles": 6},
            "loader": {"batch_size": 10, "eval_batch_size": 64},
            "loss": {"names": ["mse", "chamfer"], "weights": [1.0, 0.1]},
            "optimizer": {"name": "adam", "lr": 1e-2},
            "schedule": {"name": "cosine", "epochs": 4, "warmup_epochs": 1},
            "trainer": {
                "accelerator": "cpu",
                "precision": "float64",
                "max_epochs": 3,
                "patience": 200,
                "gradient_clip": 1.0,
                "progress": False,
                "threads": 1,
            },
            "logger": {"wandb": False},
        }
    )
