"""``lgae judge``: what the scores in a file are worth, and how much of them is jet mass or multiplicity."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("file", metavar="FILE", help="Parquet, HDF5, ROOT, npz or CSV: a row per jet; of lgae score or anybody's")
    add("--score", metavar="A,B", default="", help="columns to be judged (default: all that look like scores)")
    add("--label", metavar="COLUMN", default="", help="class of each jet, numbers or names (default: recognised)")
    add("--mass", metavar="COLUMN", default="", help="jet mass (default: recognised; none: leave it out)")
    add("--num-particles", metavar="COLUMN", default="", help="number of particles (likewise)")
    add("--pt", metavar="COLUMN", default="", help="transverse momentum (likewise)")
    add("--unit", default="GeV", help="of mass and pT in the file: GeV (default), TeV, PeV, MeV")
    add("--background", metavar="A,B", default="", help="classes that are background (default: a guess, said)")
    add("--signal", metavar="A,B", default="", help="classes that are signal (default: all others)")
    add("--table", metavar="NAME", default="", help="tree or group of the file (default: jets, or the only one)")
    add("--resamples", type=int, default=200, metavar="N", help="bootstrap samples of each error (default 200)")
    add("--out", type=Path, metavar="DIR", help="write verdict.html (one page), verdict.json, tables and figures")


def run(options: argparse.Namespace) -> int:
    """Prints the verdict, and writes it where that is asked for."""
    from lgae_pyg.applications.judge import judge_file

    verdict = judge_file(
        options.file,
        scores=_names(options.score),
        labels=options.label,
        mass=options.mass,
        num_particles=options.num_particles,
        pt=options.pt,
        background=_names(options.background),
        signals=_names(options.signal),
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


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
