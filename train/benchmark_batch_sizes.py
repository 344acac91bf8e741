"""Speed against the number of jets in a batch: how many a GPU needs before it has enough to do.

    python train/benchmark_batch_sizes.py --device cuda --out train/benchmarks/NAME

prints jets per second and writes the table as ``batch_sizes.md`` and ``.csv``. All cases run in one
process, one after another.
"""

import argparse
from pathlib import Path
from statistics import median

from lgae_pyg.benchmark.cases import SUBJECTS, Case, Sizes
from lgae_pyg.benchmark.study import machine_sentence
from lgae_pyg.benchmark.worker import CaseRunner, Probe, Surroundings
from lgae_pyg.tables import Table

COLUMNS = {
    "model": "model", "precision": "precision", "backend": "back-end", "jets": "jets",
    "forward": "forward [jets/s]", "training": "training [jets/s]", "memory": "memory [MiB]",
}  # fmt: skip


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--models", default="mix9,minmax4", help="names of lgae bench")
    parser.add_argument("--backends", default="fused")
    parser.add_argument("--precisions", default="float64,float32")
    parser.add_argument("--jets", default="64,256,1024,4096")
    parser.add_argument("--particles", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    options = parser.parse_args()
    surroundings = Surroundings(options.device)
    rows = []
    for model in options.models.split(","):
        for precision in options.precisions.split(","):
            for backend in options.backends.split(","):
                for jets in map(int, options.jets.split(",")):
                    sizes = Sizes(options.particles, options.particles)
                    rows.append(measure(Case(model, backend, precision, sizes, jets), surroundings))
                    print(*rows[-1], flush=True)
    machine = machine_sentence(Probe(surroundings).describe(), {})
    caption = f"Medians of up to 20 calls, n = {options.particles} particles per jet. {machine}"
    Table("batch_sizes", caption, COLUMNS, tuple(rows)).save(options.out)


def measure(case: Case, surroundings: Surroundings) -> tuple:
    """A row of the table."""
    runner = CaseRunner(case, surroundings)
    memory = runner.prepare()["memory"]
    speed = {kind: case.jets / median(runner.turn(kind, 20, 2.0)) for kind in ("forward", "training")}
    mebibytes = float("nan") if memory is None else memory / 2**20
    label = SUBJECTS[case.model].label
    return (label, case.precision, case.backend, case.jets, speed["forward"], speed["training"], mebibytes)


if __name__ == "__main__":
    main()
