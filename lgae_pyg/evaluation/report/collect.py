"""What the folders of runs hold: tables, figures, configuration, versions."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lgae_pyg.evaluation.results import DESCRIPTION as RESULTS
from lgae_pyg.evaluation.studies import STUDIES
from lgae_pyg.evaluation.study_results import DESCRIPTION as STUDY
from lgae_pyg.evaluation.table import Table, format_value, read_csv

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
        name: name of the folder.
        label: printed name of the model, or the folder's.
        tables: tables by study and name.
        figures: PNG files by study.
        captions: sentences that name data and model, by study.
        config: text of ``config.yaml``; empty if there is none.
        curve: rows of ``metrics.csv``.
        about: plain values: checkpoint, epoch, versions, recipe.
        missing: studies that were not run.
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
    run = RunContent(folder.name, folder.name)
    if (folder / STUDY).exists():  # a study of its own, such as that of data efficiency
        _read(run, folder, json.loads((folder / STUDY).read_text(encoding="utf-8"))["study"], STUDY)
        return run
    base = folder if (folder / RESULTS).exists() else folder / "evaluation"
    for study, place, name in [(RECONSTRUCTION, base, RESULTS), *((one, base / one, STUDY) for one in STUDIES)]:
        if (place / name).exists():
            _read(run, place, study, name)
        else:
            run.missing.append(study)
    if (folder / "config.yaml").exists():
        run.config = (folder / "config.yaml").read_text(encoding="utf-8")
    if (folder / "metrics.csv").exists():
        with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
            run.curve = list(csv.DictReader(file))
    return run


def _read(run: RunContent, folder: Path, study: str, name: str) -> None:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        described = {one["name"]: one for one in content["tables"]}
        description = content["description"]
        tables = {}
        for key, one in described.items():
            _, rows = read_csv((folder / f"{key}.csv").read_text(encoding="utf-8"))
            tables[key] = Table(key, one["caption"], one["columns"], tuple(rows))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"the results in {folder} cannot be read ({error}): evaluate again") from error
    run.tables[study] = tables
    run.figures[study] = sorted((folder / "figures").glob("*.png"))
    run.captions[study] = description["caption"]
    run.label = description.get("label") or run.label
    if study == RECONSTRUCTION and content["reconstructions"]:
        run.label = content["reconstructions"][0]["label"]
    run.about |= {key: value for key, value in description.items() if key not in ("caption", "config", "notes")}


def joined_tables(runs: Sequence[RunContent]) -> list[Table]:
    """Tables of the same name, the rows of all runs one under another; a row that is printed alike
    stands once.

    Tables whose columns differ (other signals, for instance) are not joined: the later ones are left with their
    runs.
    """
    joined = []
    for name in COMPARED:
        found = [tables[name] for run in runs for tables in run.tables.values() if name in tables]
        found = [table for table in found if dict(table.columns) == dict(found[0].columns)]
        if found:
            rows: dict[tuple, tuple] = {}
            for row in (row for table in found for row in table.rows):
                rows.setdefault(tuple(map(format_value, row)), row)
            caption = found[0].caption.split(" Model: ")[0]
            joined.append(Table(name, caption, found[0].columns, tuple(rows.values())))
    return joined
