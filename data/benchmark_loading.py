"""Measures how long a class of JetNet's size takes to be processed and to be read once in batches.

Makes a file of made-up jets in JetNet's format in a temporary folder. For one core:
    OMP_NUM_THREADS=1 taskset -c 0 python data/benchmark_loading.py
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch_geometric.loader import DataLoader

from lgae_pyg.datasets import JetNet


def write_class(path: Path, jets: int, particles: int) -> None:
    """Writes made-up jets, compressed as large public files often are."""
    rng = np.random.default_rng(0)
    features = np.zeros((jets, particles, 4), dtype=np.float32)
    present = np.arange(particles) < rng.integers(particles // 2, particles + 1, (jets, 1))
    features[..., :2] = rng.normal(0, 0.1, (jets, particles, 2)) * present[..., None]
    features[..., 2] = np.sort(rng.exponential(0.03, (jets, particles)))[:, ::-1] * present
    features[..., 3] = present
    columns = rng.uniform(800, 1600, jets), rng.normal(0, 1, jets), rng.uniform(10, 200, jets), present.sum(1)
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("particle_features", data=features, compression="gzip", compression_opts=1)
        file.create_dataset("jet_features", data=np.stack(columns, axis=-1))


def seconds(function: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """Time of one call."""
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start


def read_all(loader: Iterable[Any]) -> None:
    """Reads one epoch."""
    for _ in loader:
        pass


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jets", type=int, default=177_000)
    parser.add_argument("--particles", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_class(Path(folder, "raw", "g.hdf5"), options.jets, options.particles)
        arguments = {"root": folder, "classes": ("g",), "num_particles": options.particles}
        print(f"processing {options.jets} jets: {seconds(JetNet, **arguments):.1f} s")
        print(f"opening the processed file: {seconds(JetNet, **arguments):.3f} s")
        dataset = JetNet(**arguments)
        for shuffle in (False, True):
            loader = dataset.loader(options.batch_size, shuffle=shuffle)
            for epoch in range(2):
                time_taken = seconds(read_all, loader)
                print(f"epoch {epoch} of the fast loader, shuffle={shuffle}: {time_taken:.2f} s")
        part = dataset[: min(len(dataset), 10 * options.batch_size)]
        time_taken = seconds(read_all, DataLoader(part, options.batch_size))
        scaled = time_taken * len(dataset) / len(part)
        print(f"an epoch of PyTorch Geometric's DataLoader, scaled up from {len(part)} jets: {scaled:.1f} s")


if __name__ == "__main__":
    main()
