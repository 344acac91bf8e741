"""Small files in JetNet's layout."""

from pathlib import Path

import h5py
import numpy as np


def make_arrays(jets: int, particles: int = 30, seed: int = 0, smallest: int = 1):
    rng = np.random.default_rng(seed)
    features = np.zeros((jets, particles, 4))
    for row in range(jets):
        count = rng.integers(smallest, particles + 1)
        features[row, :count, :2] = rng.normal(0, 0.1, (count, 2))
        features[row, :count, 2] = np.sort(rng.dirichlet(np.ones(count)))[::-1]
        features[row, :count, 3] = 1
    jet_features = np.stack(
        [
            rng.uniform(800, 1600, jets),
            rng.normal(0, 1, jets),
            rng.uniform(10, 200, jets),
            features[..., 3].sum(1),
        ],
        axis=-1,
    )
    return features, jet_features


def write_file(path: Path, features: np.ndarray, jet_features: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["particle_features"], file["jet_features"] = features, jet_features


def processed(root: Path) -> list[str]:
    folder = root / "processed"
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []
