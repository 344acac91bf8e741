"""What checksums cost: writing and reading a checkpoint and a store of jets, and what of it is the checksum.

    python data/benchmark_checksums.py [MEGABYTES]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lgae_pyg.checkpoint import read_checkpoint, write_checkpoint
from lgae_pyg.checksums import check_archive, crc32_of_file, fingerprint
from lgae_pyg.data import JetStore


def seconds(work: Callable[[], object]) -> float:
    """The shortest of three times."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    """Prints a line for each."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    particles = size * 2**20 // 32
    with tempfile.TemporaryDirectory() as folder:
        path, store = Path(folder, "a.ckpt"), Path(folder, "jets.safetensors")
        momenta = torch.rand(particles, 4, dtype=torch.float64)
        header = {"format": 1, "model": {}, "unit": "TeV"}
        content = {"lgae_pyg": header, "state_dict": {"model.weight": momenta}}
        JetStore(torch.tensor([0, particles]), {"pos": momenta}).save(store)
        works = {
            "write a checkpoint": lambda: write_checkpoint(path, content),
            "of this, its checksum": lambda: crc32_of_file(path),
            "read a checkpoint": lambda: read_checkpoint(path),
            "of this, comparing": lambda: check_archive(path),
            "open a store, comparing": lambda: JetStore.load(store),
            "hash of a raw file": lambda: fingerprint(store),
        }
        for name, work in works.items():
            took = seconds(work)
            print(f"{name:26s} {took:6.3f} s for {size} MiB, {size / 1024 / took:5.2f} GiB/s")


if __name__ == "__main__":
    main()
