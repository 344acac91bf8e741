"""``lgae evaluate``: tables and figures of a trained model."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from glob import glob
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser, names_among, names_of, natural, positive
from lgae_pyg.files import first_line
from lgae_pyg.places import check_inputs, preset_names, shipped_models
from lgae_pyg.registry import near
from lgae_pyg.vocabulary import STUDIES


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("source", metavar="RUN_OR_CHECKPOINT", help="folder of a run, or a checkpoint file")
    add(
        "--studies",
        type=names_among("study", STUDIES, "all"),
        metavar="A,B",
        help=f"some of {', '.join(STUDIES)}; or all (default: those that fit the model and whose jets are there)",
    )
    add("--out", metavar="DIR", help="folder for the results, one folder a study (default: evaluation in the run)")
    add(
        "--jets",
        type=positive,
        metavar="N",
        help="evaluate N jets, the same random choice each time, into a folder of their own, evaluation_Njets "
        "(default: all; 20000 of a class in other studies, 500 for robustness)",
    )
    signals = "anomalous classes, or files (default: t,w,z to a model of g,q)"
    add("--signals", type=names_of, metavar="A,B", help=signals)
    add("--generate", action="store_true", help="generate jets that are not there")
    add("--split", choices=("train", "val", "test", "all"), help="default: test; all of --data FILES")
    add("--data", metavar="FILES", help="other jets: file, folder or pattern; or the root of a like data set")
    add("--card", metavar="CARD", help="what is in FILES: a preset or a data card (default: recognised)")
    classes = "taggers: what the jets call their classes, in the order of the logits"
    add("--classes", type=names_of, default=[], metavar="A,B", help=classes)
    add("--scan-jets", type=natural, default=200, metavar="N", help="jets of the equivariance scans; 0: none")
    add("--batch-size", type=positive, default=64, metavar="N", help="jets per batch")
    add("--resamples", type=positive, default=200, metavar="N", help="bootstrap samples behind each error")
    add("--threads", type=positive, metavar="N", help="processor threads; give 1 where cores are shared")
    add("--emd", action="store_true", help="anomaly: also the exact energy mover's distance; takes minutes")
    supervised = "anomaly: trained taggers beside it, as the upper reference"
    add("--supervised", type=names_of, default=[], metavar="RUN[,..]", help=supervised)
    calibration = "anomaly: other background jets; the score is ranked among those of equal mass, too"
    add("--calibration", metavar="FILES", help=calibration)
    add("--no-baseline", action="store_true", help="leave out the linear autoencoders")
    add("--keep", action="store_true", help="if there are results of this very checkpoint, only show them")
    add("--redraw", action="store_true", help="only draw the figures again, from the stored results")
    add("--quiet", action="store_true", help="no progress bar")
    parser.offers = {"source": shipped_models, "studies": lambda: [*STUDIES, "all"], "card": preset_names}


def run(options: argparse.Namespace) -> int:
    """Runs the studies, or draws their figures again, and prints the first table of each.

    A study that fails is reported, and the others run all the same.

    Returns:
        0, or 1 if a study failed, or none was made.
    """
    shown = _shown(options.data, options.card)
    if options.redraw:
        check_inputs(files=[options.out or options.source])
    else:
        check_inputs(options.source, card=options.card)
        for tagger in options.supervised:
            check_inputs(tagger)

    from lgae_pyg.ops.threads import limited_threads

    with limited_threads(options.threads):
        done, failed = _redraw(options) if options.redraw else _evaluate(options, *shown)
    if failed:
        print(f"lgae evaluate: failed: {', '.join(failed)} (see above)", file=sys.stderr)
    elif not done:
        print("lgae evaluate: there is nothing to evaluate (see above)", file=sys.stderr)
    return int(bool(failed) or not done)


def _evaluate(options: argparse.Namespace, root: str | None, files: str | None) -> tuple[list[str], list[str]]:
    """Names of the studies that were made, and of those that failed."""
    from lgae_pyg.evaluation import StudyOptions, Subject, run_study
    from lgae_pyg.evaluation.results import note_left_out
    from lgae_pyg.evaluation.subject import LeftOut

    wanted = StudyOptions(
        jets=options.jets,
        signals=options.signals,
        split=options.split,
        root=root,
        batch_size=options.batch_size,
        resamples=options.resamples,
        baseline=not options.no_baseline,
        scan_jets=options.scan_jets,
        emd=options.emd,
        supervised=options.supervised,
        calibration=options.calibration,
        progress=not options.quiet,
    )
    subject = Subject.load(options.source, options.generate, files, options.card, options.classes)
    base = _base(options)

    def one(name: str) -> tuple[Any, Path]:
        results = _kept(base, name, subject, not options.quiet) if options.keep else None
        try:
            results = results or run_study(name, subject, wanted, base / name)
        except LeftOut as error:
            note_left_out(base, name, first_line(error))
            raise
        note_left_out(base, name, None)
        return results, base / name

    return _each(options.studies or list(STUDIES), one, leave_out=options.studies is None)


def _base(options: argparse.Namespace) -> Path:
    """The folder of the results, in which each study has one."""
    from lgae_pyg.evaluation import default_folder

    return Path(options.out or default_folder(options.source, options.split or "test", options.data, options.jets))


def _shown(data: str | None, card: str | None) -> tuple[str | None, str | None]:
    """What ``--data`` means: the root folder of a data set like that of the training, or files of jets."""
    if data is None:
        return None, None
    if not glob(data):
        raise FileNotFoundError(f"there is no data folder {data}, and no such file: {near(data)}")
    without_files = Path(data).is_dir() and not any(one.is_file() for one in Path(data).iterdir())
    is_root = card is None and (without_files or any(Path(data, part).is_dir() for part in ("raw", "processed")))
    return (data, None) if is_root else (None, data)


def _each(
    names: Sequence[str], one: Callable[[str], tuple[Any, Path]], leave_out: bool
) -> tuple[list[str], list[str]]:
    """Makes each study and prints its first table, whatever happens to the others.

    Args:
        names: of the studies.
        one: is called with each name; returns the results and their folder.
        leave_out: studies that do not fit, or whose jets are missing, are passed over with a word; otherwise they
            have failed.
    """
    from lgae_pyg.evaluation.subject import LeftOut

    done: list[str] = []
    failed: list[str] = []
    left: dict[str, list[str]] = {}
    for name in names:
        try:
            results, folder = one(name)
            print(end="\n" if done else "")
            print(next(iter(results.tables.values())).to_text(), end="\n\n")
            print(f"Tables:  {folder}\nFigures: {folder / 'figures'}")
            done.append(name)
        except Exception as error:
            if leave_out and isinstance(error, LeftOut | FileNotFoundError):
                left.setdefault(first_line(error), []).append(name)
                continue
            if not isinstance(error, ValueError | OSError | ImportError):
                traceback.print_exc()
            print(f"lgae evaluate: {name} failed: {error}", file=sys.stderr)
            failed.append(name)
    for reason, names in left.items():
        verb = "is" if len(names) == 1 else "are"
        print(f"lgae evaluate: {', '.join(names)} {verb} left out: {reason}", file=sys.stderr)
    return done, failed


def _redraw(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """As :func:`_evaluate`, from stored results: neither the checkpoint nor the data need be there any more."""
    from lgae_pyg.evaluation import Results, draw_study
    from lgae_pyg.evaluation.results import DESCRIPTION, stored_in

    source = Path(options.out or options.source)
    if (source / DESCRIPTION).exists():  # the folder of one study
        folders = {Results.load(source, arrays=False).study: source}
    else:
        usual = not (options.out or options.split or options.data or options.jets)
        bases = [source, source / "evaluation"] if usual else [source]
        base = next((one for one in bases if any(stored_in(one, name) for name in STUDIES)), None)
        base = base or (source if options.out else _base(options))
        found = {name: stored_in(base, name) for name in options.studies or STUDIES}
        folders = {name: place or base / name for name, place in found.items() if place or options.studies}
        if not folders:
            raise FileNotFoundError(f"{base} holds no results: evaluate first, without --redraw")

    def one(name: str) -> tuple[Any, Path]:
        results = Results.load(folders[name])
        draw_study(results, folders[name], not options.quiet)
        return results, folders[name]

    return _each(list(folders), one, leave_out=False)


def _kept(base: Path, name: str, subject: Any, progress: bool) -> Any:
    """The stored results of a study if they are of the checkpoint as it is now, else ``None``.

    Figures that are missing, or are not those of the results, are drawn again.
    """
    from lgae_pyg.evaluation import Results, draw_study
    from lgae_pyg.evaluation.results import figures_of, stored_in

    if stored_in(base, name) != base / name:
        return None
    try:
        results = Results.load(base / name)
    except ValueError as error:
        print(f"lgae evaluate: {error}", file=sys.stderr)
        return None
    if results.description.get("identity") != subject.about["identity"]:
        return None
    if figures_of(base / name)[1] != 0:
        print(f"lgae evaluate: figures of {name} are not all there, and are drawn again", file=sys.stderr)
        draw_study(results, base / name, progress)
    return results
