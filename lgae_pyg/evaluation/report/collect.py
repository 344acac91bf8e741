"""What the folders of runs hold: tables, figures, configuration, versions."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lgae_pyg.evaluation.results import DESCRIPTION as RESULTS
from lgae_pyg.evaluation.results import FORMAT as RESULTS_FORMAT
from lgae_pyg.evaluation.study import STUDIES
from lgae_pyg.evaluation.study_results import DESCRIPTION as STUDY
from lgae_pyg.evaluation.study_results import FORMAT as STUDY_FORMAT
from lgae_pyg.tables import Table, read_csv

#: Tables that are compared across runs, in this order; the rest stands with its run.
COMPARED = (
    "particle_reconstruction", "jet_reconstruction", "anomaly", "latent_probes", "symmetry_table",
    "generation", "compression", "efficiency",
)  # fmt: skip
RECONSTRUCTION = "reconstruction"


@dataclass
class RunContent:
    """What a run's folder holds.

    Attributes:
        name: name of the folder; with those above it where two runs would have the same.
        label: printed name of the model, or the folder's.
        tables: tables by study and name.
        figures: PNG files by study.
        captions: sentences that name data and model, by study.
        config: text of ``config.yaml``; empty if there is none.
        curve: rows of ``metrics.csv``.
        about: plain values: checkpoint, epoch, versions, recipe.
        missing: studies that were not run.
        folder: of the run itself, with its checkpoints.

    A study in another folder than ``evaluation`` (of another split, say) is named ``STUDY (FOLDER)``.
    """

    name: str
    label: str
    tables: dict[str, dict[str, Table]] = field(default_factory=dict)
    figures: dict[str, list[Path]] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    config: str = ""
    curve: list[dict[str, str]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    folder: Path = Path()

    def without(self) -> str:
        """A sentence for a run that has no results at all."""
        return f"no evaluation in {self.name}: run lgae evaluate {self.name}"

    def place(self, study: str) -> str:
        """The run, and the folder of the evaluation if it is not the usual one."""
        folder = study.partition(" (")[2].rstrip(")")
        return f"{self.name}/{folder}" if folder else self.name


def collect_runs(sources: Sequence[str | os.PathLike[str]]) -> list[RunContent]:
    """Reads several runs and gives them different names.

    Args:
        sources: see :func:`collect_run`. Runs whose folders have the same name are named with as many of the
            folders above as it takes: ``s0/run`` and ``s1/run``.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a folder is given twice, or a file is damaged.
    """
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


def collect_run(source: str | os.PathLike[str]) -> RunContent:
    """Reads the stored results of a run; neither model nor data are needed.

    Args:
        source: the folder of a run, of its evaluation, or of a data-efficiency study.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a file is damaged.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    name = _named(source).name
    run = RunContent(name, name, folder=_home(folder))
    if (folder / STUDY).exists():  # a study of its own, such as that of data efficiency
        _read(run, folder, json.loads((folder / STUDY).read_text(encoding="utf-8"))["study"], STUDY)
        return run
    base = folder if (folder / RESULTS).exists() else folder / "evaluation"
    for study, place, name in _places(base):
        if (place / name).exists():
            _read(run, place, study, name)
        else:
            run.missing.append(study)
    for other in sorted(folder.glob("evaluation_*")):
        for study, place, name in _places(other):
            if (place / name).exists():
                _read(run, place, f"{study} ({other.name})", name)
    if (run.folder / "config.yaml").exists():
        run.config = (run.folder / "config.yaml").read_text(encoding="utf-8")
    if (run.folder / "metrics.csv").exists():
        with open(run.folder / "metrics.csv", newline="", encoding="utf-8") as file:
            run.curve = list(csv.DictReader(file))
    return run


def _home(folder: Path) -> Path:
    """The run that an evaluation belongs to, if it stands in one; otherwise the folder itself."""
    above = Path(os.path.abspath(folder)).parent
    return above if (folder / RESULTS).exists() and (above / "config.yaml").exists() else folder


def _named(source: str | os.PathLike[str]) -> Path:
    """The folder that gives a run its name, also for ``.``; an ``evaluation`` is called as its run."""
    path = Path(os.path.abspath(source))
    return Path(os.path.abspath(_home(path))) if path.name == "evaluation" else path


def _places(base: Path) -> list[tuple[str, Path, str]]:
    """Study, folder and description of whatever an evaluation may hold."""
    return [(RECONSTRUCTION, base, RESULTS), *((study, base / study, STUDY) for study in STUDIES)]


def _read(run: RunContent, folder: Path, study: str, name: str) -> None:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        newest = RESULTS_FORMAT if name == RESULTS else STUDY_FORMAT
        if content["format"] > newest:
            raise ValueError(f"format {content['format']}; this version of lgae-pyg reads {newest}")
        tables = {one["name"]: _table(folder, one) for one in content["tables"]}
        description = content["description"]
        label = description.get("label")
        if name == RESULTS and content["reconstructions"]:
            label = content["reconstructions"][0]["label"]
        caption = description["caption"]
        notes = [note for note in description.get("notes", ()) if note not in caption]
        run.captions[study] = " ".join([caption, *notes])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"the results in {folder} cannot be read ({error}): evaluate again") from error
    run.tables[study] = tables
    run.figures[study] = sorted((folder / "figures").glob("*.png"))
    run.label = label or run.label
    for key, value in description.items():
        if key not in ("caption", "config", "notes"):
            same = run.about.setdefault(key, value) == value
            run.about |= {} if same else {f"{key} ({study})": value}


def _table(folder: Path, described: Mapping[str, Any]) -> Table:
    _, rows = read_csv((folder / f"{described['name']}.csv").read_text(encoding="utf-8"))
    return Table(described["name"], described["caption"], described["columns"], tuple(rows))
