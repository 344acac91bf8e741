"""``lgae report``: one HTML page on one run or several, and their tables side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.places import check_inputs


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="folders of evaluated runs, or one of such folders")
    add("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: %(default)s")
    add("--wandb", action="store_true", help="add tables and figures to the runs' Weights & Biases runs too")
    add("--title", help="of the page (default: Jet autoencoders, or taggers, or both)")


def run(options: argparse.Namespace) -> int:
    """Writes the page and, beside it, the joined tables; prints these."""
    check_inputs(files=options.runs)

    from lgae_pyg.evaluation.report import collect_runs, joined_tables, write_report
    from lgae_pyg.files import remove_partial
    from lgae_pyg.lock import writing

    runs = collect_runs(options.runs)
    folder = options.out.parent / f"{options.out.stem}_tables"
    with writing(options.out, "report"):
        path = write_report(runs, options.out, options.title)
        remove_partial(folder)
        for table in joined_tables(runs):
            table.save(folder)
            print(table.to_text(), end="\n\n")
    for one in runs:
        if not one.tables:
            print(one.without())
        elif one.missing:
            print(f"{one.name}: without {', '.join(one.missing)} (--studies of lgae evaluate)")
        for sentence in one.stale.values():
            print(f"{one.name}: stale: {sentence}")
    print(f"Page:   {path} ({path.stat().st_size / 2**20:.1f} MiB)\nTables: {folder}")
    if options.wandb:
        _log(runs)
    return 0


def _log(runs: Sequence[Any]) -> None:
    """Adds what runs hold to their W&B runs; an error only if none of them has a checkpoint."""
    from lgae_pyg.training.result_panels import has_checkpoint, log_results

    evaluated = [one for one in runs if one.tables]
    if not any(has_checkpoint(one.folder) for one in evaluated):
        names = ", ".join(one.name for one in evaluated)
        raise ValueError(f"nothing for W&B: no checkpoint in {names} says which W&B run it is")
    for one in evaluated:
        if not has_checkpoint(one.folder):
            print(f"W&B:    nothing of {one.name}: no checkpoint there says which W&B run it is")
            continue
        tables: dict[str, Any] = {}
        figures: dict[str, Any] = {}
        for study in one.tables:
            folder = one.place(study).removeprefix(one.name).removeprefix("/")
            prefix = f"{folder}/" if folder else ""
            for name, table in one.tables[study].items():
                tables[f"{prefix}{name}"] = (list(table.columns), table.rows)
            figures |= {f"{prefix}{path.stem}": path for path in one.figures[study]}
        print(f"W&B:    {log_results(one.folder, tables, figures)}")
