"""``lgae judge``: what the scores in a file are worth, and how much of them is jet mass or multiplicity."""

import argparse
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser, names_of, positive
from lgae_pyg.places import check_inputs
from lgae_pyg.vocabulary import FILE_UNITS


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("file", metavar="FILE", help="Parquet, HDF5, ROOT, npz or CSV: a row per jet; of lgae score or anybody's")
    names: dict[str, Any] = {"metavar": "A,B", "type": names_of, "default": []}
    add("--score", **names, help="columns to be judged (default: all that look like scores)")
    add("--label", metavar="COLUMN", default="", help="class of each jet, numbers or names (default: recognised)")
    add("--mass", metavar="COLUMN", default="", help="jet mass (default: recognised; none: leave it out)")
    add("--num-particles", metavar="COLUMN", default="", help="number of particles (likewise)")
    add("--pt", metavar="COLUMN", default="", help="transverse momentum (likewise)")
    add("--unit", default="GeV", choices=tuple(FILE_UNITS), help="of mass and pT in the file (default GeV)")
    add("--background", **names, help="classes that are background (default: a guess, said)")
    add("--signal", **names, help="classes that are signal (default: all others)")
    calibration = "scores of other background jets: ranks at equal mass are judged, too"
    add("--calibration", metavar="FILE", help=calibration)
    add("--table", metavar="NAME", default="", help="tree or group of the file (default: jets, or the only one)")
    add("--resamples", type=positive, default=200, metavar="N", help="bootstrap samples of an error (default 200)")
    add("--out", type=Path, metavar="DIR", help="write verdict.html (one page), verdict.json, tables and figures")


def run(options: argparse.Namespace) -> int:
    """Prints the verdict, and writes it where that is asked for."""
    check_inputs(files=[options.file, *([options.calibration] if options.calibration else [])])

    from lgae_pyg.applications.judge import judge_file

    verdict = judge_file(
        options.file,
        scores=options.score,
        labels=options.label,
        mass=options.mass,
        num_particles=options.num_particles,
        pt=options.pt,
        background=options.background,
        signals=options.signal,
        calibration=options.calibration or "",
        table=options.table,
        unit=options.unit,
        resamples=options.resamples,
        progress=True,
    )
    print(verdict)
    if options.out:
        page = verdict.save(options.out)
        print(f"\nPage:    {page}\nFigures: {page.parent / 'figures'}")
    return 0
