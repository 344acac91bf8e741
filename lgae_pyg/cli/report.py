"""``lgae report``: one HTML page on one run or several, and their tables side by side."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="folders of evaluated runs, or of a data-efficiency study")
    add("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: %(default)s")
    add("--title", default="Jet autoencoders", help="of the page (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Writes the page and, beside it, the joined tables; prints these."""
    from lgae_pyg.evaluation.report import collect_run, joined_tables, write_report

    runs = [collect_run(source) for source in options.runs]
    path = write_report(runs, options.out, options.title)
    folder = path.parent / f"{path.stem}_tables"
    for table in joined_tables(runs):
        table.save(folder)
        print(table.to_text(), end="\n\n")
    for one in runs:
        if one.missing:
            print(f"{one.name}: without {', '.join(one.missing)} (--studies of lgae evaluate)")
    print(f"Page:   {path} ({path.stat().st_size / 2**20:.1f} MiB)\nTables: {folder}")
    return 0
