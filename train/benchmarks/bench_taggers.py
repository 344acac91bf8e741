"""Speed and memory of LorentzNet's blocks, compiled against plain, and speed of other taggers, on one thread.

    python train/benchmarks/bench_taggers.py [--jets 16] [--repeats 10] [--memory]

prints jets per second of training steps (cross entropy, AdamW; the fastest of the repeats, in seconds of the
processor and of the clock) at n = 30 and at sizes from 1 to 100, the floors (matrix products of LorentzNet's pairs
and of ParticleNet's edges; all multiply-adds of the LGN's levels); with --memory the peak memory of a step against
n instead. Measure on an otherwise idle machine.
"""

import argparse
import time
from collections.abc import Callable

import torch
from bench_measure import peak_of, random_batch

from lgae_pyg.models import LGNClassifier, LorentzNet, ParticleNet
from lgae_pyg.nn import LMPConv
from lgae_pyg.training.memory import keep_freed_memory

BACKENDS = ("fused", "dense")
#: Taggers that are only timed.
OTHERS = {
    "ParticleNet": ParticleNet,
    "LGN": LGNClassifier,
    "LGN pair by pair": lambda: LGNClassifier(backend="edge_list"),
}
SIZES = {"30": (30, 30), "1-100": (1, 100)}
#: Products of a training step with matrices of the width, for each pair and block: forward, again (what moves the
#: coordinates is kept) and backward; and how many of them move coordinates, as the last block does not.
PRODUCTS, MOVING = 2 + 1 + 4, 3


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


def product_speed(width: int, rows: int = 13920, dtype: torch.dtype = torch.float32) -> float:
    """Operations per second of PyTorch's product of many rows with a square matrix."""
    sizes = (rows, width), (width, width), (rows, width)
    left, right, out = (torch.rand(*size, dtype=dtype) for size in sizes)
    return 2 * rows * width**2 / seconds(lambda: torch.mm(left, right, out=out), 20)[0]


def level_operations(conv: LMPConv, pairs: int, nodes: int) -> int:
    """Real operations of a level on any irreps, forward and backward: radial factors (for each pair in one order,
    twice, and three products for their gradients), sums over neighbours (once, and twice in the gradients),
    products of numbers and the terms of the sums of these (twice, and in the gradients), mixing of what is not the
    same (twice, and twice in the gradients); the perceptron is left out."""
    factors, bells, tables = conv.radial.bias.numel(), len(conv.radial.a), conv.tables
    steps = 0.0
    for table in (tables.columns, tables.update):
        _, products, _, _, terms, _ = table.sizes
        steps += 4 * products * (2 + 2) + 2 * terms * (2 + 1)
    outputs = tables.update.places[-tables.update.sizes[-1] :]
    mixed = 0
    for irrep in conv.mix.plan:
        mine = outputs[irrep.begin : irrep.begin + irrep.channels * irrep.dim]
        mixed += irrep.mixed * len(mine[mine >= 0].unique())
    of_pairs = bells * factors * 5 / 2 + 4 * sum(tables.counts) * 3
    return int(2 * (pairs * of_pairs + nodes * (steps + 4 * mixed * 4)))


def edge_operations(model: ParticleNet, sizes: torch.Tensor) -> int:
    """Operations of the matrix products of all edges, forward and twice backward; the first layers, which are of
    particles, are left out."""
    edges = [int((sizes * (sizes - 1).clamp(max=k)).sum()) for k in model.k]
    weights = [sum(layer.weight.numel() for layer in conv.layers[1:]) for conv in model.convs]
    return 2 * 3 * sum(number * size for number, size in zip(edges, weights))


def print_memory(models: dict[str, torch.nn.Module], jets: int) -> None:
    """Peak memory of a step beyond model and batch; of large jets for the compiled kernel alone."""
    for n in (30, 100, 200, 400):
        batch = random_batch(jets, (n, n), torch.float32)
        peaks = {}
        for name, model in list(models.items())[: 2 if n <= 100 else 1]:
            step = training(model, batch)
            step()
            peaks[name] = peak_of(step, torch.device("cpu")) or 0
        words = ", ".join(f"{name} {peak / 2**20:.1f} MiB" for name, peak in peaks.items())
        print(f"n = {n}: {words}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=16, help="per batch (default: 16)")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--memory", action="store_true", help="the peak memory of a step against n instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = {name: LorentzNet(backend=name) for name in BACKENDS}
    if options.memory:  # where freed memory is not kept
        return print_memory(models, options.jets)
    keep_freed_memory()
    speed, width, blocks = product_speed(72), 72, 6
    for label, bounds in SIZES.items():
        batch = random_batch(options.jets, bounds, torch.float32)
        sizes = batch.ptr.diff()
        pairs = int((sizes * (sizes - 1)).sum())
        products = PRODUCTS * blocks - MOVING
        floor = products * 2 * width**2 * pairs / speed
        alone = f"{options.jets / floor:.0f} jets/s at {speed / 1e9:.0f} GFlop/s"
        print(f"n = {label}: {pairs} pairs, products alone {alone}")
        lgn, nodes, double = LGNClassifier(), int(sizes.sum()), product_speed(256, 4096, torch.float64)
        floor = sum(level_operations(conv, pairs, nodes) for conv in lgn.convs) / double
        alone = f"{options.jets / floor:.0f} jets/s at {double / 1e9:.0f} GFlop/s"
        print(f"  LGN in float64: multiply-adds alone {alone}")
        wide = product_speed(256)
        floor = edge_operations(ParticleNet(), sizes) / wide
        alone = f"{options.jets / floor:.0f} jets/s at {wide / 1e9:.0f} GFlop/s"
        print(f"  ParticleNet: products alone {alone}")
        others = {name: make() for name, make in OTHERS.items()}
        for name, model in {**models, **others}.items():
            cpu, wall = seconds(training(model, batch), options.repeats)
            rates = f"{options.jets / cpu:.1f} jets per CPU second, {options.jets / wall:.1f} by the clock"
            print(f"  {name}: {rates}", flush=True)


if __name__ == "__main__":
    main()
