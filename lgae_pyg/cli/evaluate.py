"""``lgae evaluate``: tables and figures of a trained model."""

import argparse
from pathlib import Path
from typing import Any

from lgae_pyg.evaluation.study import STUDIES, check_studies

#: The study of an evaluation that asks for no other.
RECONSTRUCTION = "reconstruction"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("source", metavar="RUN_OR_CHECKPOINT", help="folder of a run, or a checkpoint file")
    add(
        "--studies",
        default=RECONSTRUCTION,
        metavar="A,B",
        help=f"some of {RECONSTRUCTION} (the default), {', '.join(STUDIES)}; or all",
    )
    add("--out", metavar="DIR", help="folder for the results (default: evaluation in the run)")
    add(
        "--jets",
        type=_positive,
        metavar="N",
        help="evaluate N jets, the same random choice each time (default: all; 20000 of a class in other studies)",
    )
    add("--signals", metavar="A,B", help="classes that count as anomalous (default: t,w,z to a model of g,q)")
    add("--split", default="test", choices=("train", "val", "test", "all"), help="default: test")
    add("--data", metavar="ROOT", help="root folder of other jets of the same format")
    add("--scan-jets", type=_natural, default=200, metavar="N", help="jets of the equivariance scans; 0: none")
    add("--batch-size", type=_positive, default=64, metavar="N", help="jets per batch")
    add("--resamples", type=_positive, default=200, metavar="N", help="bootstrap samples behind each error")
    add("--emd", action="store_true", help="anomaly: also the exact energy mover's distance; takes minutes")
    add("--no-baseline", action="store_true", help="leave out the linear autoencoders")
    add("--keep", action="store_true", help="if there are results newer than the checkpoint, only show them")
    add("--redraw", action="store_true", help="only draw the figures again, from the stored results")
    add("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Runs the studies, or draws their figures again, and prints one table of each."""
    names = [name.strip() for name in options.studies.split(",") if name.strip()]
    if names == ["all"]:
        names = [RECONSTRUCTION, *STUDIES]
    check_studies([name for name in names if name != RECONSTRUCTION])
    for name in names:
        if name == RECONSTRUCTION:
            _reconstruction(options)
        else:
            _study(name, options)
    return 0


def _reconstruction(options: argparse.Namespace) -> None:
    """Evaluates the reconstruction and prints one table, of particles if the model has them."""
    from lgae_pyg.evaluation import EvaluationResults, default_folder, evaluate

    if options.redraw:
        from lgae_pyg.evaluation.reconstruction.figures import draw_figures

        folder = _stored(options)
        results = EvaluationResults.load(folder)
        draw_figures(results, folder / "figures", not options.quiet)
    else:
        folder = Path(options.out or default_folder(options.source, options.split, options.data))
        results = _newer(folder, options.source) if options.keep else None
        results = results or evaluate(
            options.source,
            folder,
            max_jets=options.jets,
            batch_size=options.batch_size,
            baseline=not options.no_baseline,
            progress=not options.quiet,
            split=options.split,
            data_root=options.data,
            scan_jets=options.scan_jets,
            resamples=options.resamples,
        )
    particles = results.reconstructions[0].pixels is None
    print(results.tables["particle_reconstruction" if particles else "jet_reconstruction"].to_text(), end="\n\n")
    print(f"Tables:  {folder}\nFigures: {folder / 'figures'}")


def _study(name: str, options: argparse.Namespace) -> None:
    """Runs another study and prints its first table."""
    from lgae_pyg.evaluation.study import StudyOptions, draw_study, run_study
    from lgae_pyg.evaluation.study_results import StudyResults
    from lgae_pyg.evaluation.subject import Subject

    folder = _stored(options) / name
    if options.redraw:
        results = StudyResults.load(folder)
        draw_study(results, folder, not options.quiet)
    else:
        wanted = StudyOptions(
            signals=options.signals.split(",") if options.signals else None,
            split=options.split,
            root=options.data,
            batch_size=options.batch_size,
            resamples=options.resamples,
            emd=options.emd,
            progress=not options.quiet,
            **({} if options.jets is None else {"jets": options.jets}),
        )
        results = run_study(name, Subject.load(options.source), wanted, folder)
    print(next(iter(results.tables.values())).to_text(), end="\n\n")
    print(f"Tables:  {folder}\nFigures: {folder / 'figures'}")


def _newer(folder: Path, source: str) -> Any:
    """The stored results if they are complete and newer than the checkpoint, else ``None``."""
    from lgae_pyg.checkpoint import find_checkpoint
    from lgae_pyg.evaluation import EvaluationResults
    from lgae_pyg.evaluation.results import DESCRIPTION

    stored = folder / DESCRIPTION
    if not stored.exists() or stored.stat().st_mtime < find_checkpoint(source).stat().st_mtime:
        return None
    return EvaluationResults.load(folder)


def _stored(options: argparse.Namespace) -> Path:
    """The folder of stored results: neither the checkpoint nor the data need be there any more."""
    from lgae_pyg.evaluation import default_folder
    from lgae_pyg.evaluation.results import DESCRIPTION

    if options.out:
        return Path(options.out)
    source = Path(options.source)
    for folder in (source, source / "evaluation"):
        if (folder / DESCRIPTION).exists():
            return folder
    return default_folder(source, options.split, options.data)


def _natural(text: str, smallest: int = 0) -> int:
    value = int(text)
    if value < smallest:
        raise argparse.ArgumentTypeError(f"must be at least {smallest}")
    return value


def _positive(text: str) -> int:
    return _natural(text, 1)
