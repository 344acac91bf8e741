"""What the folders of runs hold: tables, figures, configuration, versions."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lgae_pyg.checkpoint import HEADER, CheckpointError, read_checkpoint
from lgae_pyg.checksums import fingerprint, read_signed_rows, read_signed_text
from lgae_pyg.evaluation.results import (
    DESCRIPTION,
    OLD_DESCRIPTION,
    Results,
    figures_of,
    left_out,
    stored_in,
)
from lgae_pyg.evaluation.study import STUDIES, find_study
from lgae_pyg.registry import near
from lgae_pyg.tables import Table, Value, read_csv


@dataclass
class RunContent:
    """What a run's folder holds.

    Attributes:
        name: name of the folder; with those above it where two runs would have the same.
        label: printed name of the model, or the folder's.
        tables: tables by study and name.
        figures: PNG files by study.
        captions: sentences that name data and model, by study.
        stale: by study a sentence, if it is of another checkpoint than the one that is there now, or its figures
            are not those of its tables.
        config: text of ``config.yaml``; empty if there is none.
        curve: rows of ``metrics.csv``.
        about: plain values: checkpoint, epoch, versions, recipe.
        missing: studies that fit the model and were not run.
        left_out: studies that could not be made, and why.
        folder: of the run itself, with its checkpoints.

    A study in another folder than ``evaluation`` (of another split, say) is named ``STUDY (FOLDER)``.
    """

    name: str
    label: str
    tables: dict[str, dict[str, Table]] = field(default_factory=dict)
    figures: dict[str, list[Path]] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    stale: dict[str, str] = field(default_factory=dict)
    config: str = ""
    curve: list[dict[str, Value]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()

    def without(self) -> str:
        """A sentence for a run that has no results at all."""
        return f"no evaluation in {self.name}: run {self.command()}"

    def command(self, *more: str) -> str:
        """The command that evaluates the run."""
        return shlex.join(["lgae", "evaluate", os.fspath(self.folder), *more])

    @property
    def task(self) -> str:
        """What its model was trained for; earlier versions did not store it."""
        usual = "classification" if "tagging" in self.tables else "reconstruction"
        return self.about.get("task", usual)

    def place(self, study: str) -> str:
        """The run, and the folder of the evaluation if it is not the usual one."""
        folder = study.partition(" (")[2].rstrip(")")
        return f"{self.name}/{folder}" if folder else self.name


def collect_runs(sources: Sequence[str | os.PathLike[str]]) -> list[RunContent]:
    """Reads several runs and gives them different names.

    Args:
        sources: see :func:`collect_run`, or folders of such folders (``runs``). Runs whose folders have the same
            name are named with as many of the folders above as it takes: ``s0/run`` and ``s1/run``.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a folder is given twice, or a file is damaged.
    """
    sources = [one for source in sources for one in _runs_in(Path(source))]
    paths = [_named(source) for source in sources]
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise ValueError(f"{path} is given twice: name each run once")
    runs = [collect_run(source) for source in sources]
    for run, path in zip(runs, paths):
        others = [other.parts for other in paths if other != path]
        depth = 1
        while any(other[-depth:] == path.parts[-depth:] for other in others):
            depth += 1
        named = "/".join(path.parts[-depth:])
        run.label = named if run.label == run.name else run.label
        run.name = named
    return runs


def _runs_in(folder: Path) -> list[Path]:
    """The folder itself; of one that is no run, the evaluated runs that lie in it, if any."""
    if not folder.is_dir() or _has(folder, "evaluation*", "config.yaml", "checkpoints", DESCRIPTION):
        return [folder]
    inside = [one for one in sorted(folder.iterdir()) if one.is_dir() and _has(one, "evaluation*", DESCRIPTION)]
    return inside if any(_has(one, "evaluation*") for one in inside) else [folder]


def _has(folder: Path, *patterns: str) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


def collect_run(source: str | os.PathLike[str]) -> RunContent:
    """Reads the stored results of a run; neither model nor data are needed.

    Args:
        source: the folder of a run, of its evaluation, or of one study.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a file is damaged.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(near(folder) or f"{folder.absolute()} is no folder")
    name = _named(source).name
    run = RunContent(name, name, folder=_home(folder))
    if (folder / DESCRIPTION).exists():  # a study of its own, such as that of data efficiency
        _read(run, folder)
        return run
    base = folder if _is_evaluation(folder) else folder / "evaluation"
    for place in _studies(base):
        _read(run, place)
    for other in sorted(folder.glob("evaluation_*")):
        for place in _studies(other):
            _read(run, place, other.name)
    absent, noted = _fitting(run), left_out(base)
    run.left_out = {study: noted[study] for study in absent if study in noted}
    run.missing = [study for study in absent if study not in noted]
    if (run.folder / "config.yaml").exists():
        run.config = read_signed_text(run.folder / "config.yaml")
    if (run.folder / "metrics.csv").exists():
        text, whole = read_signed_rows(run.folder / "metrics.csv")
        names, rows = read_csv(text)
        run.curve = [dict(zip(names, row)) for row in rows]
        if not whole:
            run.about["metrics.csv"] = "its last row is cut short, and left out"
    return run


def _fitting(run: RunContent) -> list[str]:
    """Studies that fit the model's task, and were not made."""
    facts = SimpleNamespace(task=run.task, label=run.label, background_class=None)
    return [study for study in STUDIES if study not in run.tables and find_study(study).fits(facts) is None]


def _is_evaluation(folder: Path) -> bool:
    """Whether a folder holds studies itself, and is not a run's with an evaluation in it."""
    return (folder / OLD_DESCRIPTION).exists() or any(folder.glob(f"[!.]*/{DESCRIPTION}"))


def _home(folder: Path) -> Path:
    """The run that an evaluation belongs to, if it stands in one; otherwise the folder itself."""
    above = Path(os.path.abspath(folder)).parent
    return above if _is_evaluation(folder) and (above / "config.yaml").exists() else folder


def _named(source: str | os.PathLike[str]) -> Path:
    """The folder that gives a run its name, also for ``.``; an ``evaluation`` is called as its run."""
    path = Path(os.path.abspath(source))
    return Path(os.path.abspath(_home(path))) if path.name == "evaluation" else path


def _studies(base: Path) -> Iterator[Path]:
    """The folders of the studies of an evaluation: those of this package in their order, then others."""
    known = (stored_in(base, study) for study in STUDIES)
    yield from (place for place in known if place)
    others = (file.parent for file in sorted(base.glob(f"[!.]*/{DESCRIPTION}")))  # hidden ones are half-written
    yield from (place for place in others if place.name not in STUDIES)


def _read(run: RunContent, folder: Path, evaluation: str = "") -> None:
    results = Results.load(folder, arrays=False)
    study, about = f"{results.study} ({evaluation})" if evaluation else results.study, results.description
    notes = [note for note in about.get("notes", ()) if note not in results.caption]
    run.captions[study] = " ".join([results.caption, *notes])
    run.tables[study] = dict(results.tables)
    figures, missing = figures_of(folder)
    run.figures[study] = [path for path in figures if path.suffix == ".png"]
    if missing:
        again = f"lgae evaluate {run.name} --studies {results.study} --redraw"
        run.stale[study] = f"figures of {study} are missing or not as they were drawn: {again}"
    run.label = about.get("label") or run.label
    if is_stale(about, run.folder):
        run.stale[study] = f"{study} is of another checkpoint than the one there now: evaluate {run.name} again"
    for key, value in about.items():
        if key not in ("caption", "config", "notes", "rebuilt", "jets"):
            same = run.about.setdefault(key, value) == value
            run.about |= {} if same else {f"{key} ({study})": value}


def is_stale(about: Mapping[str, Any], run: Path) -> bool:
    """Whether results are of another checkpoint than the one of that name in the run now.

    Earlier versions did not store what surely tells two checkpoints apart (``identity``); their epochs are
    compared. A checkpoint that is not there, or cannot be read, tells nothing.
    """
    name = Path(about.get("checkpoint") or "").name
    file = next((one for one in (run / "checkpoints" / name, run / name) if name and one.is_file()), None)
    if file is None:
        return False
    identity = str(about.get("identity") or "")
    if identity.startswith("sha256:"):
        return identity != f"sha256:{fingerprint(file)}"
    try:
        return read_checkpoint(file)[HEADER].get("epoch") != about.get("epoch")
    except CheckpointError:
        return False
