"""Speed and memory of LorentzNet's blocks, compiled against plain, and speed of other taggers, on one thread.

    python train/benchmarks/bench_taggers.py [--jets 16] [--repeats 10] [--memory]

prints jets per second of training steps (cross entropy, AdamW; the fastest of the repeats, in seconds of the
processor and of the clock) at n = 30 and at sizes from 1 to 100, the matrix products' floor, and with --memory the
peak memory of a step against n. Measure on an otherwise idle machine.
"""

import argparse
import time
from collections.abc import Callable

import torch
from bench_measure import peak_of, random_batch

from lgae_pyg.models import LGNClassifier, LorentzNet, ParticleNet
from lgae_pyg.training.memory import keep_freed_memory

BACKENDS = ("fused", "dense")
#: Taggers that are only timed.
OTHERS = {
    "ParticleNet": ParticleNet,
    "LGN": LGNClassifier,
    "LGN pair by pair": lambda: LGNClassifier(backend="edge_list"),
}
SIZES = {"30": (30, 30), "1-100": (1, 100)}
#: Products of a training step with matrices of the width, for each pair and block: forward, again, and backward.
PRODUCTS = 2 + 2 + 4


def training(model: torch.nn.Module, batch) -> Callable[[], None]:
    """A training step."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    labels = torch.arange(batch.num_graphs) % model.num_classes

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), labels).backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None], repeats: int) -> tuple[float, float]:
    """Seconds of the processor and of the clock, of the fastest of some calls after one that does not count."""
    step()
    best = (float("inf"), float("inf"))
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        step()
        best = min(best[0], time.process_time() - cpu), min(best[1], time.perf_counter() - wall)
    return best


def product_speed(width: int, rows: int = 13920) -> float:
    """Operations per second of PyTorch's product of many rows with a square matrix."""
    left, right, out = torch.rand(rows, width), torch.rand(width, width), torch.empty(rows, width)
    return 2 * rows * width**2 / seconds(lambda: torch.mm(left, right, out=out), 20)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=16, help="per batch (default: 16)")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--memory", action="store_true", help="also the peak memory of a step against n")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = {name: LorentzNet(backend=name) for name in BACKENDS}
    if options.memory:  # before freed memory is kept
        for n in (30, 60, 100, 150, 200):
            batch = random_batch(options.jets, (n, n), torch.float32)
            peaks = {}
            for name, model in models.items():
                step = training(model, batch)
                step()
                peaks[name] = peak_of(step, torch.device("cpu")) or 0
            words = ", ".join(f"{name} {peak / 2**20:.1f} MiB" for name, peak in peaks.items())
            print(f"n = {n}: {words}", flush=True)
    keep_freed_memory()
    speed, width, blocks = product_speed(72), 72, 6
    for label, bounds in SIZES.items():
        batch = random_batch(options.jets, bounds, torch.float32)
        sizes = batch.ptr.diff()
        pairs = int((sizes * (sizes - 1)).sum())
        products = PRODUCTS * blocks - 4  # the last block moves no coordinates
        floor = products * 2 * width**2 * pairs / speed
        alone = f"{options.jets / floor:.0f} jets/s at {speed / 1e9:.0f} GFlop/s"
        print(f"n = {label}: {pairs} pairs, products alone {alone}")
        others = {name: make() for name, make in OTHERS.items()}
        for name, model in {**models, **others}.items():
            cpu, wall = seconds(training(model, batch), options.repeats)
            rates = f"{options.jets / cpu:.1f} jets per CPU second, {options.jets / wall:.1f} by the clock"
            print(f"  {name}: {rates}", flush=True)


if __name__ == "__main__":
    main()
