"""What one jet of very many particles costs: time and memory of a forward pass and of a training step, one thread.

    python train/benchmarks/bench_large_jets.py [--particles 10000] [--models PFN,ParticleNet,LorentzNet,LGAE]

prints, as soon as each is done, seconds of the processor, and how far the memory of the process grew. Each runs in
a process of its own. What the package says beforehand of the cost is printed where it says it.
"""

import argparse
import logging
import os
import resource
import sys
import time

import torch
from bench_measure import random_batch

from lgae_pyg.models import LGAE, PFN, LorentzNet, ParticleNet

MODELS = {
    "PFN": lambda n: PFN(2),
    "ParticleNet": lambda n: ParticleNet(2),
    "LorentzNet": lambda n: LorentzNet(2),
    "LGAE": lambda n: LGAE(num_particles=n),
}


def loss_of(result: object) -> torch.Tensor:
    """A number of what a model gives: logits, or rebuilt jets."""
    return (result if isinstance(result, torch.Tensor) else result.p4).square().mean()


def measure(name: str, particles: int) -> None:
    """Prints a line for each of the two, as it is done."""
    model, batch = MODELS[name](particles), random_batch(1, (particles, particles))
    dtype = next(model.parameters()).dtype
    batch.pos = batch.pos.to(dtype)
    model.train()
    for what in ("forward", "training step"):
        before, cpu, wall = peak(), time.process_time(), time.perf_counter()
        if what == "forward":
            with torch.no_grad():
                model(batch)
        else:
            loss_of(model(batch)).backward()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        row = f"| {name} | {what} | {cpu:.1f} | {wall:.1f} | {peak() - before:.0f} |"
        print(row, flush=True)


def peak() -> float:
    """Largest memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Runs each model in a forked process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    print(f"One jet of {options.particles:,} particles, torch {torch.__version__}, one thread\n")
    print("| model | what | s of processor | s of clock | memory, MiB |\n|---|---|---|---|---|", flush=True)
    for name in options.models.split(","):
        child = os.fork()
        if child == 0:
            measure(name, options.particles)
            os._exit(0)
        if status := os.waitpid(child, 0)[1]:
            print(f"| {name} | did not end: {status} | | | |", flush=True)


if __name__ == "__main__":
    main()
