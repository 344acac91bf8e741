"""Speed of LGAE on this machine: jets per second of a forward pass and of a training step.

    python train/benchmark.py [--jets 256] [--particles 30] [--repeats 5]

Random massless jets; medians over the repeats, after a warm-up. Printed as a Markdown table.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m
from lgae_pyg.models import LGAE

MODELS = {
    "LGAE-Mix, tau = 9": {"aggregation": "mix", "latent_vectors": 9},
    "LGAE-Min-Max, tau = 4": {"aggregation": "min&max", "latent_vectors": 4},
}


def random_jets(jets: int, particles: int) -> Batch:
    """Jets of massless particles around random axes, in TeV."""
    pt = 1 / particles * torch.rand(jets, particles, dtype=torch.float64).sort(descending=True).values
    eta, phi = (torch.randn(jets, 1) + 0.15 * torch.randn(jets, particles) for _ in range(2))
    return Batch.from_data_list([JetData(pos=jet) for jet in from_pt_eta_phi_m(pt, eta.double(), phi.double())])


def median_seconds(step: Callable[[], object], repeats: int) -> float:
    """Median duration of a call, after one call to warm up."""
    durations = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        step()
        durations.append(time.perf_counter() - begin)
    return statistics.median(durations[1:])


def measure(model: LGAE, batch: Batch, repeats: int) -> tuple[float, float]:
    """Jets per second, forward alone and a whole training step."""
    optimizer = torch.optim.Adam(model.parameters())

    def forward() -> None:
        with torch.no_grad():
            model(batch)

    def train() -> None:
        optimizer.zero_grad()
        (model(batch).p4 - batch.pos.to(next(model.parameters()).dtype)).square().mean().backward()
        optimizer.step()

    return tuple(batch.num_graphs / median_seconds(step, repeats) for step in (forward, train))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=256, help="jets per batch")
    parser.add_argument("--particles", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    batch = random_jets(options.jets, options.particles)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
          f"batches of {options.jets} jets of {options.particles} particles; jets per second\n")
    print("| model | back-end | precision | forward | training step |\n|---|---|---|---|---|")
    for name, arguments in MODELS.items():
        for backend in ("dense", "edge_list"):
            for dtype in (torch.float64, torch.float32):
                model = LGAE(num_particles=options.particles, backend=backend, **arguments).to(dtype)
                forward, train = measure(model, batch, options.repeats if backend == "dense" else 1)
                precision = str(dtype).removeprefix("torch.")
                print(f"| {name} | {backend} | {precision} | {forward:.0f} | {train:.0f} |", flush=True)


if __name__ == "__main__":
    main()
