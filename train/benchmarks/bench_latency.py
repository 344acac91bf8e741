"""Milliseconds of one jet through a tagger: exported to ONNX, to .pt2, and in PyTorch on graphs, on one thread.

    python train/benchmarks/bench_latency.py MODEL... [--repeats 1000] [--sizes 30,60,120]

prints median, 90 % and 99 % of single calls, for runs, checkpoints, or names of models with fresh weights
(LorentzNet, LorentzNetBase, PFN, ParticleNet, ParticleNetLite). Measure on an otherwise idle machine.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from lgae_pyg.applications.export import export_model, open_export
from lgae_pyg.applications.export.latency import SIZES, latency_table
from lgae_pyg.applications.export.networks import NETWORKS
from lgae_pyg.checkpoint import Checkpoint
from lgae_pyg.registry import choose


def main() -> None:
    """Exports each model twice, and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [int(word) for word in options.sizes.split(",")]
    for name in options.models:
        source = name if Path(name).exists() else fresh(name)
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for ending, label in ((".onnx", "ONNX Runtime"), (".pt2", "pt2")):
                made = export_model(source, Path(folder) / f"model{ending}")
                files[label] = open_export(made.path, threads=1)
            print(f"{name}: {made.program.model.label}", flush=True)
            print(latency_table(made.program, files, options.repeats, sizes).to_text(), end="\n\n", flush=True)


def fresh(name: str) -> Checkpoint:
    """A model of that name with its defaults."""
    kinds = {kind.__name__: kind for kind in NETWORKS}
    return Checkpoint(choose("model", name, kinds)().eval(), Path(name), unit="GeV")


if __name__ == "__main__":
    main()
