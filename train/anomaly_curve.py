"""The anomaly study along a training: what a model finds after so many epochs, in one table and one figure.

A training is taken to the first number of epochs, its weights of that moment (not the best ones) score the jets
of the study *anomaly*, it is continued exactly to the next, and so on; what is there already is not done twice.
The published question (arXiv:2212.07347, Table 4), as near to the published code as can be::

    python train/anomaly_curve.py --out runs/published --epochs 1,2,4,8,16 --jets 4000 \\
        --reference auc=0.8023 --reference efficiency_0.1=0.6178 \\
        experiment=lgae_mix_tau2 data=pythia model.behaviour=original model.scale=1 loss.names=[chamfer]
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lgae_pyg.checkpoint import LAST
from lgae_pyg.evaluation.anomaly.study import run
from lgae_pyg.evaluation.anomaly.tables import UNION, compared_scores, printed_name
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.study import StudyOptions
from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption, legend_above, save_figure
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.files import write_text
from lgae_pyg.metrics.features import JET_FEATURES, jet_features
from lgae_pyg.metrics.rank import rank_correlation
from lgae_pyg.tables import Table, read_csv, with_errors

#: Columns of the study's table that are kept, with headings; each has an error beside it.
MERITS = {"efficiency_0.1": "ε_S(0.1)", "efficiency_0.01": "ε_S(0.01)", "auc_equal_mass": "AUC, equal mass"}
#: What a score may follow instead of a jet's structure.
FOLLOWED = {"mass": "mass", "pt": "pT", "multiplicity": "number of particles"}
#: What is drawn: AUC, AUC at equal mass and signal efficiency of all scores.
PANELS = {"auc": "AUC", "auc_equal_mass": "AUC, equal mass", "efficiency_0.1": r"$\epsilon_S(\epsilon_B = 0.1)$"}
#: Words of a training that say where and how fast it runs.
PLACES = ("data.root", "trainer.threads")


def measure(folder: Path, jets: int) -> dict[str, Any]:
    """What the last weights of a run are worth: ``rows`` of :func:`rows_of`, ``label`` and ``origin``."""
    subject, options = Subject.load(folder / "checkpoints" / LAST), StudyOptions(jets=jets, progress=False)
    background, signals = subject.contrast(options.signals, options.sample, options.split, options.root)
    results = run(subject, options)
    counts = ", ".join(f"{len(one)} {one.name}" for one in (background, *signals))
    about = {"label": subject.label, "origin": f"{counts} jets, {background.origin.split(',')[0]}"}
    return {"rows": rows_of(results, observables(background, subject.unit_in_gev)), **about}


def observables(sample: Sample, unit_in_gev: float) -> dict[str, NDArray[np.float64]]:
    """Mass, transverse momentum, pseudorapidity and azimuth, and the number of particles of each jet."""
    batch = sample.store.batch(range(len(sample)))
    features = jet_features(batch.pos.double() * unit_in_gev, batch.ptr).numpy()
    return {**dict(zip(JET_FEATURES, features.T)), "multiplicity": batch.ptr.diff().numpy()}


def rows_of(results: Results, background: Mapping[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Merits of the headline score, the density of the codes and the jet mass, all signals together.

    Args:
        results: of the study *anomaly*.
        background: what is known of each background jet, by the names of :data:`FOLLOWED`.

    Returns:
        For each score its name ``score`` in the study's arrays, the ``name`` that is printed, ``auc``,
        :data:`MERITS`, and ``follows_*``, its rank correlations with :data:`FOLLOWED` among background jets, each
        with its error.
    """
    about, prefix = results.description, f"{results.description['background']}/"
    scores = {name.removeprefix(prefix): one for name, one in results.arrays.items() if name.startswith(prefix)}
    union = UNION if len(about["signals"]) > 1 else about["signals"][0]
    records = results.tables["anomaly"].records()
    rows = []
    for score, row in zip(compared_scores(about, scores), records, strict=True):
        if score not in (about["headline"], "latent_mahalanobis", "mass"):
            continue
        kept = {"auc": row[f"auc_{union}"], "auc_error": row["auc_error"]}
        kept |= {name: row[name] for merit in MERITS for name in (merit, f"{merit}_error")}
        follows = {}
        for name in FOLLOWED:
            follows |= dict(zip(_followed(name), rank_correlation(scores[score], background[name])))
        rows.append({"score": score, "name": printed_name(score, about), **kept, **follows})
    return rows


def _followed(name: str) -> tuple[str, str]:
    """The columns of a rank correlation and of its error."""
    return f"follows_{name}", f"follows_{name}_error"


def course(folder: Path, epochs: int) -> dict[str, float]:
    """Steps of the optimiser so far and the validation loss, from ``metrics.csv``."""
    columns, rows = read_csv((folder / "metrics.csv").read_text(encoding="utf-8"))
    record = next(one for one in (dict(zip(columns, row)) for row in rows) if one["epoch"] == epochs)
    return {"steps": record["step"], "loss": record["val/loss"]}


def table_of(rows: list[dict[str, Any]], caption: str) -> Table:
    """All rows as a table; NaN for what earlier versions did not measure."""
    nan = float("nan")
    columns = {"epochs": "epochs", "steps": "steps", "loss": "validation loss", "name": "score"}
    follows = {_followed(name)[0]: f"follows {heading}" for name, heading in FOLLOWED.items()}
    columns |= with_errors({"auc": "AUC", **MERITS, **follows})
    values = (tuple(row.get(name, nan) for name in columns) for row in rows)
    return Table("anomaly_curve", caption, columns, tuple(values))


def draw(rows: list[dict[str, Any]], reference: Mapping[str, float], caption: str, folder: Path) -> None:
    """A panel for each of :data:`PANELS`, a line for each score; and what the headline score follows."""
    scores = list(dict.fromkeys(row["score"] for row in rows))
    with plt.rc_context(SETTINGS):
        figure, grid = plt.subplots(2, 2, figsize=(9.2, 7.2))
        axes = grid.flatten()
        for panel, (name, label) in zip(axes, PANELS.items()):
            for score, style in zip(scores, STYLES):
                own = [row for row in rows if row["score"] == score]
                x, y, error = (np.array([row[key] for row in own]) for key in ("epochs", name, f"{name}_error"))
                panel.errorbar(x, y, error, label=own[0]["name"], marker="o", markersize=4, capsize=2,
                               elinewidth=1, **style)  # fmt: skip
            panel.set(ylabel=label)
            if name in reference:
                panel.axhline(reference[name], color="0.4", linewidth=1)
                panel.annotate("published", (0.98, reference[name]), xycoords=panel.get_yaxis_transform(),
                               xytext=(0, -3), textcoords="offset points", ha="right", va="top", fontsize=9,
                               color="0.4")  # fmt: skip
        _draw_followed(axes[-1], [row for row in rows if row["score"] == scores[0]])
        for panel in axes:
            panel.set(xlabel="epochs", xscale="log")
            panel.set_xticks(sorted({row["epochs"] for row in rows}), minor=False)
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(plt.NullLocator())
            panel.grid(alpha=0.3)
        legend_above(figure, axes[0], ncols=3)
        add_caption(figure, ("Thin lines: published values. " if reference else "") + caption)
        save_figure(figure, folder, "anomaly_curve")


def _draw_followed(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Rank correlations of the headline score among background jets."""
    for (name, heading), marker in zip(FOLLOWED.items(), "sD^"):
        values, errors = ([row.get(key, np.nan) for row in rows] for key in _followed(name))
        label = r"$p_\mathrm{T}$" if name == "pt" else heading
        axes.errorbar([row["epochs"] for row in rows], values, errors, marker=marker, markersize=4, color="0.2",
                      capsize=2, elinewidth=1, label=label,
                      linestyle={"s": "-", "D": "--", "^": ":"}[marker])  # fmt: skip
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(ylabel="rank correlation, headline score", ylim=(-1, 1))
    axes.legend(title="with", loc="best", fontsize=8, title_fontsize=8)


def stored_rows(file: Path, words: list[str], jets: int) -> dict[str, Any]:
    """What was measured before; of other words or other numbers of jets it is refused."""
    found: dict[str, Any] = {"words": words, "jets": jets, "rows": []}
    if not file.exists():
        return found
    stored = json.loads(file.read_text(encoding="utf-8"))
    if (stored["words"], stored["jets"]) != (words, jets):
        was = f"{' '.join(stored['words'])}, --jets {stored['jets']}"
        raise ValueError(f"{file} holds the curve of another training ({was}): give another --out")
    return stored


def written(stored: dict[str, Any], reference: Mapping[str, float], folder: Path) -> Table:
    """Writes table and figure of all that was measured."""
    words = " ".join(one for one in stored["words"] if one.partition("=")[0] not in PLACES)
    caption = (
        f"{stored['label']}, the weights after so many epochs of lgae train {words}; {stored['origin']}. Errors: "
        "bootstrap, of rank correlations (with a score, among background jets) asymptotic."
    )
    table = table_of(stored["rows"], caption)
    table.save(folder)
    draw(stored["rows"], reference, caption, folder)
    return table


def numbers(pairs: list[str]) -> dict[str, float]:
    """``["auc=0.8"]`` as ``{"auc": 0.8}``."""
    found = dict(pair.split("=", 1) for pair in pairs)
    if unknown := set(found) - set(PANELS):
        raise ValueError(f"--reference {unknown.pop()}: choose among {', '.join(PANELS)}")
    return {name: float(value) for name, value in found.items()}


def main(words: list[str] | None = None) -> int:
    """Trains, measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run and of the results")
    add("--epochs", default="1,2,4,8,16", help="when to look (default: %(default)s)")
    add("--jets", type=int, default=4000, help="of each sample (default: %(default)s)")
    add("--reference", action="append", default=[], metavar="NAME=VALUE", help=f"a line at {', '.join(PANELS)}")
    add("words", nargs="*", help="of lgae train: experiment=lgae_mix_tau2 ...")
    given = parser.parse_args(words)
    file = given.out / "rows.json"
    stored, reference = stored_rows(file, given.words, given.jets), numbers(given.reference)
    table = None
    for epochs in sorted({int(one) for one in given.epochs.split(",")}):
        if any(row["epochs"] == epochs for row in stored["rows"]):
            continue
        command = [f"runs={given.out}", "name=run", f"trainer.max_epochs={epochs}", "logger=csv", *given.words]
        status = subprocess.run([sys.executable, "-m", "lgae_pyg.training", *command]).returncode
        if status:
            return status
        found, folder = measure(given.out / "run", given.jets), given.out / "run"
        new = [{"epochs": epochs, **course(folder, epochs), **row} for row in found.pop("rows")]
        stored |= {**found, "rows": [*stored["rows"], *new]}
        write_text(file, json.dumps(stored, indent=1))
        table = written(stored, reference, given.out)
    print((table or written(stored, reference, given.out)).compact().to_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
