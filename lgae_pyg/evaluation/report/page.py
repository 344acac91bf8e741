"""The page: plain HTML with its style and its figures inside."""

import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from lgae_pyg.checkpoint import package_versions
from lgae_pyg.evaluation.report.collect import RunContent
from lgae_pyg.evaluation.report.join import compared_tables, joined_tables
from lgae_pyg.evaluation.report.pieces import document, figure_html, image_html, table_html
from lgae_pyg.evaluation.report.published import PUBLISHED
from lgae_pyg.files import read_yaml, write_text
from lgae_pyg.tables import Table

TITLES = {"published_particles": "Particles", "published_jets": "Jets", "published_anomalies": "Anomalies"}


def write_report(
    runs: Sequence[RunContent], path: str | os.PathLike[str], title: str | None = None
) -> Path:
    """Writes the page, completely or not at all.

    Args:
        runs: see :func:`~lgae_pyg.evaluation.report.collect_runs`.
        path: the file.
        title: of the page; what the models are trained for when omitted.

    Raises:
        ValueError: if none of the runs holds results.
    """
    if not any(run.tables for run in runs):
        names = ", ".join(run.name for run in runs)
        raise ValueError(f"there are no results in {names}: run lgae evaluate first")
    return write_text(path, page(runs, title or _usual_title(runs)))


def _usual_title(runs: Sequence[RunContent]) -> str:
    kinds = {"reconstruction": "autoencoders", "classification": "taggers"}
    found = dict.fromkeys(kinds.get(run.task, "models") for run in runs if run.tables)
    return f"Jet {' and '.join(found)}"


def page(runs: Sequence[RunContent], title: str) -> str:
    """The page as text."""
    compared = joined_tables(runs)
    published = _published() if _rebuild(runs) else ""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='note'>{escape(', '.join(run.label for run in runs))}. lgae-pyg "
        f"{escape(package_versions()['lgae_pyg'])}.</p>",
        _contents(runs, compared),
        "<section id='compared'><h2>Results</h2>" + "".join(_table(table) for table in compared) + "</section>",
        *(_run(run, number) for number, run in enumerate(runs)),
        published,
    ]
    return document(title, parts)


def _rebuild(runs: Sequence[RunContent]) -> bool:
    """Whether a model is an autoencoder, with which published ones can be compared."""
    return any(run.task == "reconstruction" for run in runs)


def _published() -> str:
    note = "Other jets, other trainings: not comparable one to one with what stands above."
    tables = "".join(_table(table) for table in PUBLISHED)
    head = f"<h2>Published numbers, on JetNet</h2><p class='note'>{note}</p>"
    return f"<section id='published'>{head}{tables}</section>"


def _contents(runs: Sequence[RunContent], compared: Sequence[Table]) -> str:
    entries = [(f"table-{table.name}", _title(table)) for table in compared]
    entries += [(f"run-{number}", f"{run.label} ({run.name})") for number, run in enumerate(runs)]
    entries += [("published", "Published numbers, on JetNet")] if _rebuild(runs) else []
    items = "".join(f"<li><a href='#{anchor}'>{escape(text)}</a></li>" for anchor, text in entries)
    return f"<nav><h2>Contents</h2><ul>{items}</ul></nav>"


def _run(run: RunContent, number: int) -> str:
    """Figures, further tables and provenance of one run; the first is open."""
    shown = {table.name for table in joined_tables([run])}
    parts = []
    if not run.tables:
        parts.append(f"<p class='note missing'>{escape(run.without())}</p>")
    for study in run.missing if run.tables else ():
        command = run.command("--studies", study)
        parts.append(f"<p class='note missing'>No {escape(study)} here: {escape(command)}</p>")
    for study, reason in run.left_out.items() if run.tables else ():
        parts.append(f"<p class='note'>No {escape(study)}: {escape(reason)}</p>")
    for place, (study, tables) in enumerate(run.tables.items()):
        parts.append(f"<h3>{escape(study.capitalize())}</h3><p class='note'>{escape(run.captions[study])}</p>")
        if study in run.stale:
            parts.append(f"<p class='note missing'>Stale: {escape(run.stale[study])}</p>")
        parts += [figure_html(path, f"{study}, {run.label}: {path.stem}") for path in run.figures[study]]
        further = [table for table in tables.values() if table.name not in shown]
        more = "".join(_table(table, f"-{number}-{place}") for table in further)
        parts.append(f"<details><summary>Further tables</summary>{more}</details>" if more else "")
    parts.append(_provenance(run, number))
    state = " open" if number == 0 else ""
    title = f"<summary><h2>{escape(run.label)} <small>{escape(run.name)}</small></h2></summary>"
    return f"<section id='run-{number}'><details{state}>{title}{''.join(parts)}</details></section>"


def _provenance(run: RunContent, number: int) -> str:
    about = {key: value for key, value in run.about.items() if value is not None}
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in about.items()
    }
    texts |= _training(run)
    rows = "".join(f"<tr><th scope='row'>{escape(k)}</th><td>{escape(t)}</td></tr>" for k, t in texts.items())
    parts = ["<h3>Where it comes from</h3>", f"<div class='wide'><table class='about'>{rows}</table></div>"]
    if run.curve:
        columns = {name: name for name in run.curve[0]}
        shown = [tuple(row.values()) for row in run.curve]
        training = Table("training", "Training, epoch by epoch (metrics.csv).", columns, tuple(shown))
        inside = _curve(run) + _table(training, f"-{number}")
        parts.append(f"<details><summary>Training</summary>{inside}</details>")
    if run.config:
        parts.append(f"<details><summary>Configuration</summary><pre>{escape(run.config)}</pre></details>")
    return "".join(parts)


def _training(run: RunContent) -> dict[str, str]:
    """Seed and time of the training, as far as its files tell them."""
    facts = {}
    config = read_yaml(run.config, f"config.yaml of {run.name}") if run.config else None
    if isinstance(config, dict) and isinstance(config.get("seed"), int):
        facts["seed of the training"] = str(config["seed"])
    seconds = [row["seconds"] for row in run.curve if isinstance(row.get("seconds"), float) and row["seconds"]]
    if seconds:
        facts["time of the training"] = f"{sum(seconds) / 60:.1f} min, {len(seconds)} epochs"
    return facts


def _curve(run: RunContent) -> str:
    from lgae_pyg.evaluation.report.curve import training_curve

    data = training_curve(run.curve, run.label)
    return image_html(data, f"training of {run.label}") if data else ""


def _title(table: Table) -> str:
    titles = {**compared_tables(), **TITLES}
    name, _, number = table.name.rpartition("_")
    if name in titles and number.isdigit():
        return f"{titles[name]} ({number})"
    return titles.get(table.name, table.name.replace("_", " "))


def _table(table: Table, suffix: str = "") -> str:
    return table_html(table, _title(table), suffix)
