"""``lgae export``: a trained model as one file for ONNX Runtime or PyTorch."""

import argparse
from pathlib import Path

from lgae_pyg.cli.parser import CommandParser, positive
from lgae_pyg.places import check_inputs, shipped_models
from lgae_pyg.registry import check_choice
from lgae_pyg.vocabulary import EXPORT_FORMATS, UNITS_IN_GEV


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a run, checkpoint, or name of a shipped model")
    add("--out", required=True, type=Path, metavar="FILE", help="FILE.onnx or FILE.pt2")
    add("--unit", default="GeV", choices=tuple(UNITS_IN_GEV), help="of the momenta (default: %(default)s)")
    add("--particles", type=int, metavar="K", help="keep the K leading particles (default: as in the training)")
    add("--classes", metavar="A,B", help="names of the classes (default: those of the checkpoint)")
    add("--double", action="store_true", help="momenta are given in double precision")
    add("--latency", action="store_true", help="time single jets, and print quantiles")
    add("--repeats", type=positive, default=300, metavar="N", help="of the timing (default: %(default)s)")
    parser.offers = {"model": shipped_models}


def run(options: argparse.Namespace) -> int:
    """Writes the file, says how well it agrees with PyTorch, and times it if asked."""
    check_choice("format", options.out.suffix, EXPORT_FORMATS)
    check_inputs(options.model)

    import torch

    from lgae_pyg.applications.export import export_model, open_export
    from lgae_pyg.applications.export.latency import latency_table

    classes = options.classes.split(",") if options.classes else None
    dtype = torch.float64 if options.double else torch.float32
    made = export_model(options.model, options.out, options.unit, options.particles, classes, dtype)
    facts = made.description
    cut = f", the {facts['num_particles']} leading particles" if facts["num_particles"] else ""
    names = ", ".join(facts.get("classes") or [f"{facts['headline']} (main)", *facts["score_names"]])
    print(f"{made.path}: {facts['model']}, momenta in {facts['unit']}{cut}; scores of {names}")
    print(f"against PyTorch on {made.comparison}")
    if made.path.suffix == ".pt2":
        print("a .pt2 file is a program: open only those that you made; .onnx is the one to hand on")
    if options.latency:
        torch.set_num_threads(1)
        scorer = open_export(made.path, threads=1)
        print(latency_table(made.program, {made.path.suffix[1:]: scorer}, options.repeats).to_text())
    return 0
