"""The anomaly study along a training: what a model finds after so many epochs, in one table and one figure.

A training is taken to the first number of epochs, its weights of that moment (not the best ones) score the jets
of the study *anomaly*, it is continued exactly to the next, and so on; what is there already is not done twice.
The published question (arXiv:2212.07347, Table 4), as near to the published code as can be::

    python train/anomaly_curve.py --out runs/published --epochs 1,2,4,8,16 --jets 4000 \\
        experiment=lgae_mix_tau2 data=pythia model.behaviour=original model.scale=1 loss.names=[chamfer]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from lgae_pyg.checkpoint import LAST
from lgae_pyg.evaluation.anomaly.study import run
from lgae_pyg.evaluation.study import StudyOptions
from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption, legend_above
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.files import write_text
from lgae_pyg.metrics.rank import rank_correlation
from lgae_pyg.tables import Table, read_csv, with_errors

#: Columns of the study's table that are kept, with headings; each has an error beside it.
MERITS = {"efficiency_0.1": "ε_S(0.1)", "efficiency_0.01": "ε_S(0.01)", "auc_equal_mass": "AUC, equal mass"}
#: What a score may follow instead of a jet's structure.
FOLLOWED = {"mass": "rank correlation with mass", "multiplicity": "with number of particles"}


def measure(folder: Path, jets: int) -> list[dict[str, Any]]:
    """Merits of the headline score, the density of the codes and the jet mass, for the last weights of a run."""
    subject = Subject.load(folder / "checkpoints" / LAST)
    results = run(subject, StudyOptions(jets=jets, progress=False))
    headline, background = results.description["headline"], results.description["background"]
    arrays = {tuple(name.split("/", 1)): values for name, values in results.arrays.items()}
    rows = []
    for row in results.tables["anomaly"].records():
        score = row["score"].replace(" (headline)", "").replace(" ", "_")
        if score not in (headline, "latent_mahalanobis", "jet_mass_alone"):
            continue
        values = arrays[background, "mass" if score == "jet_mass_alone" else score]
        follows = {f"follows_{name}": rank_correlation(values, arrays[background, name])[0] for name in FOLLOWED}
        auc = {"auc": row.get("auc_all", np.nan), "auc_error": row["auc_error"]}
        kept = {name: row[name] for merit in MERITS for name in (merit, f"{merit}_error")}
        rows.append({"score": score.replace("_", " "), **auc, **kept, **follows})
    return rows


def course(folder: Path, epochs: int) -> dict[str, float]:
    """Steps of the optimiser so far and the validation loss, from ``metrics.csv``."""
    columns, rows = read_csv((folder / "metrics.csv").read_text(encoding="utf-8"))
    record = next(one for one in (dict(zip(columns, row)) for row in rows) if one["epoch"] == epochs)
    return {"steps": record["step"], "loss": record["val/loss"]}


def table_of(folder: Path, rows: list[dict[str, Any]], caption: str) -> Table:
    """All rows as a table."""
    columns = {"epochs": "epochs", "steps": "steps", "loss": "validation loss", "score": "score"}
    columns |= with_errors({"auc": "AUC", **MERITS})
    columns |= {f"follows_{name}": heading for name, heading in FOLLOWED.items()}
    return Table("anomaly_curve", caption, columns, tuple(tuple(row[name] for name in columns) for row in rows))


def draw(table: Table, folder: Path) -> None:
    """AUC, AUC at equal mass and signal efficiency against epochs, a line for each score."""
    records = table.records()
    panels = {"auc": "AUC", "auc_equal_mass": "AUC, equal mass", "efficiency_0.1": "$\\epsilon_S(0.1)$"}
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(1, 3, figsize=(11.4, 4.2))
        for panel, (name, label) in zip(axes, panels.items()):
            for score, style in zip(dict.fromkeys(row["score"] for row in records), STYLES):
                rows = [row for row in records if row["score"] == score]
                x, y, error = (np.array([row[key] for row in rows]) for key in ("epochs", name, f"{name}_error"))
                panel.errorbar(x, y, error, label=score, marker="o", markersize=3, **style)
            panel.set(xlabel="epochs", ylabel=label, xscale="log")
            panel.xaxis.set_major_formatter("{x:g}")
            panel.grid(alpha=0.3)
        legend_above(figure, axes[0], ncols=3)
        add_caption(figure, table.caption)
        for suffix in ("png", "pdf"):
            figure.savefig(folder / f"anomaly_curve.{suffix}")


def main() -> int:
    """Trains, measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run and of the results")
    parser.add_argument("--epochs", default="1,2,4,8,16", help="when to look (default: %(default)s)")
    parser.add_argument("--jets", type=int, default=4000, help="of each sample (default: %(default)s)")
    parser.add_argument("words", nargs="*", help="of lgae train: experiment=lgae_mix_tau2 ...")
    given = parser.parse_args()
    folder, stored = given.out / "run", given.out / "rows.json"
    rows = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else []
    for epochs in sorted({int(one) for one in given.epochs.split(",")}):
        if any(row["epochs"] == epochs for row in rows):
            continue
        words = [f"runs={given.out}", "name=run", f"trainer.max_epochs={epochs}", "logger=csv", *given.words]
        status = subprocess.run([sys.executable, "-m", "lgae_pyg.training", *words]).returncode
        if status:
            return status
        found = measure(folder, given.jets)
        rows += [{"epochs": epochs, **course(folder, epochs), **row} for row in found]
        write_text(stored, json.dumps(rows, indent=1))
        caption = f"{' '.join(given.words)}: the weights after so many epochs, {given.jets} jets of each sample."
        table = table_of(folder, rows, caption)
        table.save(given.out)
        draw(table, given.out)
        print(table.to_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
