"""``lgae publish``: a trained model as a folder for others, safetensors and a card."""

import argparse
from pathlib import Path

from lgae_pyg.cli.parser import CommandParser, names_of
from lgae_pyg.places import check_inputs


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a run, or a checkpoint")
    add("folder", metavar="DIR", type=Path, help="where it goes; its last part is the name of the model")
    add("--about", metavar="FILE", type=Path, help="text for the card: for what, how made, for what not")
    add("--licence", default="mit", metavar="NAME", help="short name of the licence (default: %(default)s)")
    add("--results", metavar="DIR", help="evaluation whose first table the card shows (RUN/evaluation)")
    add("--score", metavar="NAME", help="publish an anomaly detector by this score, such as latent_mahalanobis: "
        "with thresholds")  # fmt: skip
    add("--ordinary", metavar="FILE", help="jets for the thresholds (default: the test split of the training)")
    classes = "the classes that are ordinary among them (default: all)"
    add("--classes", metavar="A,B", type=names_of, default=[], help=classes)
    add("--single", action="store_true", help="weights in single precision")


def run(options: argparse.Namespace) -> int:
    """Writes the folder, and prints what is in it."""
    given = (options.about, options.results, options.ordinary)
    check_inputs(options.model, [path for path in given if path is not None])

    from lgae_pyg.checkpoint import load_checkpoint
    from lgae_pyg.publishing import publish

    about = options.about.read_text(encoding="utf-8").strip() if options.about else ""
    kept = {name: getattr(options, name) for name in ("score", "ordinary", "classes", "single")}
    folder = publish(options.model, options.folder, about, options.licence, options.results, **kept)
    found = load_checkpoint(folder)
    print(f"{found.path}: {found.path.stat().st_size:,} bytes; card: {folder / 'README.md'}")
    for share, value in sorted(found.detector.get("thresholds", {}).items(), reverse=True):
        print(f"{found.detector['score']} > {value:.6g}: {share} of {found.detector['jets']:,} ordinary jets")
    print(f"Use it: lgae score {folder} JETS --out scores.parquet")
    return 0
