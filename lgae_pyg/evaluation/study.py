"""The studies of a trained model by name, and the one way to run them.

A study is a folder of this package with a module ``study.py`` that defines ``STUDY``, a :class:`Study`, and one
line in :data:`STUDIES`; command line, report and figures ask nothing else. The smallest one::

    def run(subject: Subject, options: StudyOptions) -> Results:
        sample = subject.background(options.sample, options.split, options.root)
        sizes = sample.store.sizes.double()
        about = subject.description([sample])
        table = Table("sizes", about["caption"], {"model": "model", "mean": "particles"}, ((subject.label, ...),))
        return Results("sizes", {"sizes": table}, {}, about)

    STUDY = Study("sizes", run, compared={"sizes": "Sizes of the jets"})
"""

import copy
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lgae_pyg.checkpoint import find_checkpoint
from lgae_pyg.evaluation.results import Results, sign_figures, written_in
from lgae_pyg.evaluation.subject import JETS, LeftOut, Subject
from lgae_pyg.files import new_folder
from lgae_pyg.lock import locked
from lgae_pyg.models import contract_of, stated_unit
from lgae_pyg.models.base import BACKGROUND
from lgae_pyg.progress import steps
from lgae_pyg.registry import choose, near
from lgae_pyg.vocabulary import STUDIES as STUDIES


@dataclass(frozen=True)
class StudyOptions:
    """What a study is asked for.

    Args:
        jets: at most so many jets of each sample, a random choice that is the same each time; of signals the first
            ones. When omitted, the reconstruction takes all, robustness 500, other studies
            :data:`~lgae_pyg.evaluation.subject.JETS`.
        signals: names of the classes that count as anomalous, or files of jets that do; see
            :meth:`~lgae_pyg.evaluation.subject.Subject.contrast`.
        split: the split that ordinary jets are taken from; by default ``test``, and all of other files.
        root: root folder of other jets of the same recipe.
        batch_size: jets per batch. Small batches stay in the processor's cache.
        resamples: bootstrap samples behind each statistical error.
        baseline: reconstruction: add the linear autoencoders of the same compression.
        scan_jets: reconstruction: jets in the equivariance scans; 0 leaves them out.
        records: reconstruction: the way from momenta in GeV to the model's input and back
            (:class:`~lgae_pyg.evaluation.symmetry.equivariance.Records`), where it is more than the unit.
        emd: anomaly: add scores that need the exact energy mover's distance, which takes long.
        supervised: anomaly: runs or checkpoints of taggers that score the same jets, as the upper reference.
        calibration: anomaly: files of further background jets, among which scored ones are ranked at equal mass
            (:func:`~lgae_pyg.metrics.mass_rank.rank_at_equal_mass`): a file, a folder or a pattern.
        progress: show a progress bar, or lines now and then in a file.

    Raises:
        FileNotFoundError: if there is no such root folder.
    """

    jets: int | None = None
    signals: Sequence[str] | None = None
    split: str | None = None
    root: str | os.PathLike[str] | None = None
    batch_size: int = 64
    resamples: int = 200
    baseline: bool = True
    scan_jets: int = 200
    records: Any = None
    emd: bool = False
    supervised: Sequence[str | os.PathLike[str]] = ()
    calibration: str | os.PathLike[str] | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if self.root is not None and not Path(self.root).is_dir():
            where = near(self.root) or "it is a file"
            raise FileNotFoundError(f"there is no data folder {self.root} ({where}): nothing is evaluated")

    @property
    def sample(self) -> int:
        """Jets of each sample, at most."""
        return self.jets or JETS


def of_autoencoders(facts: Any) -> str | None:
    """Fits models that rebuild jets."""
    return None if facts.task == "reconstruction" else f"{facts.label} does not rebuild jets ({facts.task})"


def of_taggers(facts: Any) -> str | None:
    """Fits models that classify jets."""
    return None if facts.task == "classification" else f"{facts.label} is no tagger ({facts.task})"


def of_detectors(facts: Any) -> str | None:
    """Fits models that score anomalies: autoencoders, and taggers one of whose classes is the background."""
    if facts.task != "classification" or facts.background_class is not None:
        return None
    return f"{facts.label} does not rebuild jets ({facts.task}), and none of its classes is called {BACKGROUND}"


@dataclass(frozen=True)
class Study:
    """One way to look at a trained model.

    Args:
        name: of its folder, here and in the evaluation of a run.
        run: measures; it raises :class:`~lgae_pyg.evaluation.subject.LeftOut` for what it cannot be made of.
            ``None`` for a study that is not of one trained model.
        compared: tables that a report compares across runs, with their titles there. The first column is the
            model.
        figures: module with ``FIGURES``, functions of the results by name that return a figure, or ``None`` if
            there is nothing to draw; it is imported when it is needed.
        fits: from what a model offers (:func:`~lgae_pyg.models.contract_of`) the reason why the study is not for
            it, or ``None``.
    """

    name: str
    run: Callable[[Subject, StudyOptions], Results] | None
    compared: Mapping[str, str] = field(default_factory=dict)
    figures: str | None = None
    fits: Callable[[Any], str | None] = of_autoencoders


#: Studies that train models of their own, with commands of their own.
TRAINING_STUDIES = {"efficiency": "lgae_pyg.evaluation.efficiency.study"}


def find_study(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: if there is none.
    """
    return importlib.import_module(choose("study", name, {**STUDIES, **TRAINING_STUDIES})).STUDY


def run_study(
    name: str, subject: Subject, options: StudyOptions, out: str | os.PathLike[str] | None = None
) -> Results:
    """Runs a study and, into a folder, writes tables, arrays and figures: all, or the folder stays as it is.

    Args:
        name: one of :data:`STUDIES`.
        subject: the model that is studied.
        options: what is asked for.
        out: the folder; nothing is written when omitted.

    Raises:
        LeftOut: if the study does not fit the model or its jets.
        ValueError: if there is no study of that name, or something is not finite.
        OSError: if jets are not there.
    """
    study = find_study(name)
    reason = study.fits(subject.facts)
    if reason:
        raise LeftOut(reason)
    results = study.run(subject, options)
    if out is not None:
        place = Path(os.path.abspath(out))
        with locked(place.parent, "evaluation", place.name), new_folder(place, written_in) as new:
            results.save(new)
            draw_study(results, new, options.progress)
    return results


def draw_study(results: Results, folder: str | os.PathLike[str], progress: bool = True) -> list[Path]:
    """Draws the figures of a study as PNG and PDF into ``folder/figures``, from its results alone.

    Returns:
        The files written. Those of an earlier run for which there is nothing to draw now are removed.
    """
    from matplotlib import pyplot as plt

    from lgae_pyg.evaluation.style import SETTINGS, save_figure

    module = find_study(results.study).figures
    figures = importlib.import_module(module).FIGURES if module else {}
    place, paths = Path(folder) / "figures", []
    with plt.rc_context(SETTINGS), steps(len(figures), progress, "draw") as tick:
        for name, draw in figures.items():
            for kind in ("png", "pdf"):
                (place / f"{name}.{kind}").unlink(missing_ok=True)
            figure = draw(results)
            if figure is not None:
                paths += save_figure(figure, place, name)
            tick()
    sign_figures(Path(folder), paths)
    return paths


def evaluate(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    max_jets: int | None = None,
    data_root: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Results:
    """Measures how well a trained model rebuilds jets and keeps the Lorentz symmetry: the reconstruction study.

    Args:
        source: folder of a run (its best model is taken) or a checkpoint file.
        out: folder for tables, arrays and figures; nothing is written when omitted.
        max_jets: a random choice of that many jets, the same each time; all of them when omitted.
        data_root: root folder of other jets, read as the recipe of the training data says. The baselines are
            fitted on the training data all the same.
        options: others of :class:`StudyOptions`: ``batch_size``, ``baseline``, ``progress``, ``split``,
            ``scan_jets``, ``resamples``.

    Raises:
        ValueError: if the checkpoint does not say what it was trained on, the units differ, the model does not
            rebuild jets, or its output is not finite (the jets are named).
        OSError: if the checkpoint or the data are not there.
    """
    wanted = StudyOptions(jets=max_jets, root=data_root, **options)
    return run_study("reconstruction", Subject.load(source), wanted, out)


def evaluate_model(
    model: torch.nn.Module,
    test: Any,
    train: Any | None = None,
    *,
    max_jets: int | None = None,
    description: Mapping[str, Any] | None = None,
    **options: Any,
) -> Results:
    """As :func:`evaluate`, for a model and data sets at hand; nothing is written.

    Args:
        model: an autoencoder, any module whose result has ``p4`` and ``ptr``; a copy of it is evaluated, in
            float64 (or mixed precision, if it is built so).
        test: the jets, a data set with ``store``, ``unit``, ``recipe`` and ``split``.
        train: the jets that the linear baselines are fitted on; no baselines when omitted.
        max_jets: see :func:`evaluate`.
        description: plain values that are kept with the results.
        options: others of :class:`StudyOptions`: ``batch_size``, ``progress``, ``scan_jets``, ``resamples``,
            ``records``.
    """
    model = copy.deepcopy(model).eval().double()
    given = {"test": test} | ({} if train is None else {"train": train})
    label = contract_of(model).label
    model.unit = stated_unit(model) or test.unit  # of a copy; where nobody said, the jets' own is meant
    subject = Subject(model, label, model.unit, dict(test.recipe), dict(description or {}), given)
    wanted = StudyOptions(jets=max_jets, baseline=train is not None, **options)
    return run_study("reconstruction", subject, wanted)


def default_folder(
    source: str | os.PathLike[str],
    split: str = "test",
    data_root: str | os.PathLike[str] | None = None,
    jets: int | None = None,
) -> Path:
    """Where results go if nobody says: ``evaluation`` in the folder of the run, or beside the checkpoint, with a
    folder for each study.

    Other checkpoints than the best, other splits, other data and a chosen number of jets have folders of their own
    (``evaluation_last``, ``evaluation_val``, ``evaluation_50jets``, ...).
    """
    file = find_checkpoint(source)
    run = file.parent.parent if file.parent.name == "checkpoints" else file.parent
    parts = ["evaluation"]
    parts += [file.stem] if file.stem != "best" else []
    parts += [split] if split != "test" else []
    if data_root is not None:
        place = Path(data_root).resolve()
        parts += [place.parent.name] if place.name in ("raw", "processed") else []  # every data set has these
        parts.append(place.name)
    parts += [f"{jets}jets"] if jets is not None else []
    return run / "_".join(parts)
