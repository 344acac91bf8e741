"""``lgae efficiency``: what models learn from few training jets and many: medians and error bands over seeds."""

import argparse
import sys
import textwrap
from pathlib import Path

from lgae_pyg.cli.parser import CommandParser, positive
from lgae_pyg.places import check_experiment, config_names
from lgae_pyg.registry import near


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    models = "lgae_mix_fast,cnnae_fast,gnnae_pl_fast,linear_fast"
    meaning = "of lgae train; NAME+KEY=VALUE+... changes one (default: %(default)s)"
    add("--experiments", default=models, metavar="A,B", help=meaning)
    add("--sizes", default="10,100,1000,10000,50000", metavar="N,M", help="training jets (default: %(default)s)")
    add("--seeds", default="0,1,2,3,4", metavar="A,B", help="default: %(default)s")
    add("--out", type=Path, default=Path("runs/efficiency"), metavar="DIR", help="default: %(default)s")
    add("--shown", type=positive, default=200_000, help="jets that each training is shown (default: %(default)s)")
    add("--epochs", type=positive, default=8, help="validations of a training (default: %(default)s)")
    add("--val-jets", type=positive, default=1000, help="default: %(default)s")
    add("--test-jets", type=positive, default=5000, help="default: %(default)s")
    add("--processes", type=positive, default=1, help="trainings at a time (default: %(default)s)")
    add("--threads", type=positive, default=1, help="threads of each (default: %(default)s)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. data.root=DIR (repeatable)")
    add("--redraw", action="store_true", help="only draw the stored table of DIR again")
    add("--quiet", action="store_true", help="no progress bar")
    parser.offers = {"experiments": lambda: config_names("experiment")}


def run(options: argparse.Namespace) -> int:
    """Trains what is missing, then prints a table for each number of training jets.

    Returns:
        0, 1 if a training failed, 130 after Ctrl-C: the same command goes on from there.
    """
    if options.redraw:
        if not options.out.is_dir():
            raise FileNotFoundError(f"{near(options.out)}: run the study first, without --redraw")
    experiments, sizes = _experiments(options), _numbers("--sizes", options.sizes)
    seeds = _numbers("--seeds", options.seeds)

    from tqdm import tqdm

    from lgae_pyg.evaluation.efficiency.plan import Plan
    from lgae_pyg.evaluation.efficiency.study import collect, run_jobs
    from lgae_pyg.evaluation.results import Results
    from lgae_pyg.evaluation.study import draw_study

    if options.redraw:
        draw_study(Results.load(options.out), options.out, not options.quiet)
        print(f"Figure:  {options.out / 'figures'}")
        return 0
    plan = Plan(
        experiments=experiments,
        sizes=sizes,
        seeds=seeds,
        folder=options.out,
        shown=options.shown,
        epochs=options.epochs,
        val_jets=options.val_jets,
        test_jets=options.test_jets,
        processes=options.processes,
        threads=options.threads,
        overrides=options.set,
    )
    silent = True if options.quiet else None
    with tqdm(total=len(plan.jobs()), desc="efficiency", unit="run", disable=silent) as bar:
        try:
            failed = run_jobs(plan, lambda job, note: (bar.set_postfix_str(job.name), bar.update()))
        except KeyboardInterrupt:
            print("lgae efficiency: interrupted; the same command goes on from here", file=sys.stderr)
            return 130
    for job, note in failed.items():
        print(f"{job.name} failed: {note}", file=sys.stderr)
    if len(failed) == len(plan.jobs()):
        print("lgae efficiency: no training succeeded", file=sys.stderr)
        return 1
    results = collect(plan)
    results.save(plan.folder)
    draw_study(results, plan.folder, not options.quiet)
    for name, table in results.tables.items():
        if name not in ("efficiency", "efficiency_runs"):
            print(table.to_text(), end="\n\n")
    print(textwrap.fill(results.caption, 110), end="\n\n")
    print(f"Tables:  {plan.folder}\nFigure:  {plan.folder / 'figures'}")
    return int(bool(failed))


def _experiments(options: argparse.Namespace) -> list[str]:
    """The names of the experiments, each of which there must be (unless Hydra is told to look elsewhere, too)."""
    names = [name.strip() for name in options.experiments.split(",")]
    if not any(word.startswith("hydra.searchpath") for word in options.set):
        for name in names:
            check_experiment(name.partition("+")[0])
    return names


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} {text}: give whole numbers with commas between them") from None
