"""A verdict on disk: one self-contained HTML page, its numbers as JSON, tables and figures."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path

from lgae_pyg.applications.judge.verdict import Verdict
from lgae_pyg.evaluation.report.pieces import document, figure_html, table_html
from lgae_pyg.files import remove_partial, write_text
from lgae_pyg.lock import writing
from lgae_pyg.version import __version__

PAGE, CONTENT, FIGURES = "verdict.html", "verdict.json", "figures"
TITLES = {
    "separation": "What the scores separate",
    "explanation": "How much of it is mass or multiplicity",
    "sculpting": "What a cut does to the mass of the background",
}
DRAWN = {
    "roc": "ROC and significance curves",
    "scores": "Distributions of the scores by class",
    "mass": "Mass of the background before and after cuts",
}


def save_verdict(verdict: Verdict, folder: str | os.PathLike[str]) -> Path:
    """Writes page, ``verdict.json``, tables (CSV, Markdown) and figures (PNG, PDF); returns the path of the page.

    ``verdict.json`` comes last: where it is, all is there and of one verdict.
    """
    with writing(folder, "verdict", folder=True):
        remove_partial(Path(folder) / FIGURES)
        return _save(verdict, Path(folder))


def _save(verdict: Verdict, folder: Path) -> Path:
    from lgae_pyg.applications.judge.figures import save_figures

    for old in (CONTENT, PAGE):
        (folder / old).unlink(missing_ok=True)
    for name in TITLES:
        for suffix in ("csv", "md") if name not in verdict.tables else ():
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    for table in verdict.tables.values():
        table.save(folder)
    images = save_figures(verdict, folder / FIGURES)
    for name in DRAWN:
        for suffix in ("png", "pdf") if name not in images else ():
            (folder / FIGURES / f"{name}.{suffix}").unlink(missing_ok=True)
    page = write_text(folder / PAGE, page_of(verdict, images))
    text = json.dumps(verdict.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / CONTENT, text + "\n")
    return page


def page_of(verdict: Verdict, images: dict[str, Path]) -> str:
    """The page as text.

    Args:
        verdict: the verdict.
        images: PNG files of the figures by name.
    """
    source = str(verdict.about.get("file", "scores"))
    title = f"Verdict on {source}"
    words = "".join(
        f"<h3>{escape(name)}</h3><ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"
        for name, sentences in verdict.words.items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in verdict.notes)
    tables = "".join(table_html(table.compact(), TITLES[name]) for name, table in verdict.tables.items())
    figures = "".join(f"<h3>{DRAWN[name]}</h3>{figure_html(path, DRAWN[name])}" for name, path in images.items())
    parts = [
        f"<h1>{escape(title)}</h1><p class='note'>lgae-pyg {escape(__version__)}.</p>",
        f"<section><h2>Verdict</h2>{words}</section>",
        f"<section><h2>What was judged</h2><ul class='note'>{notes}</ul></section>",
        f"<section><h2>Numbers</h2>{tables}</section>",
        f"<section><h2>Figures</h2>{figures}</section>",
    ]
    return document(title, parts)
