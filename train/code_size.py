"""Error against size of the code, on the same jets: linear maps, clusters, and trained models.

    python train/code_size.py RUN [RUN ...] --jets 4000 --out DIR

RUN are folders of trainings on the same jets; of the first, LinearAE is fitted on the training jets, and all are
judged on the test jets. The table is printed and written, with the figure, as DIR/code_size.*.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lgae_pyg.data import JetLoader
from lgae_pyg.evaluation.reconstruction.rebuilt import (
    Jets,
    Rebuilt,
    jet_errors,
    particle_errors,
    rebuild,
    squared_errors,
    true_jets,
)
from lgae_pyg.evaluation.sample import choose
from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption, legend_above, save_figure
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.metrics import bootstrap_quantiles
from lgae_pyg.models import Autoencoder, ClusterAE, LinearAE
from lgae_pyg.tables import Table, with_errors
from lgae_pyg.training.drawing import mark_outside

COLUMNS = {"model": "model", "numbers": "code", "told": "told", "pt": "pT_rel IQR", "eta": "η_rel median",
           **with_errors({"eta_iqr": "η_rel IQR"}), "phi_iqr": "φ_rel IQR", **with_errors({"mse": "MSE [TeV²]"}),
           "mass": "jet mass IQR", "order": "order"}  # fmt: skip
#: What is drawn, with labels of the axes.
PANELS = {"mse": r"MSE [TeV$^2$]", "eta_iqr": r"IQR of the relative errors of $\eta^\mathrm{rel}$"}
#: Errors below this are those of rounding, and stand at the edge of the axis. Bootstrap samples behind the others.
ROUNDING, RESAMPLES = 1e-10, 100


def main(words: list[str] | None = None) -> int:
    """Runs the comparison; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of trainings")
    parser.add_argument("--jets", type=int, default=4000, help="random test jets, always the same (default 4000)")
    parser.add_argument("--vectors", default="6,7,8,9,10,11", help="complex vectors of LinearAE and ClusterAE")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figure and the table")
    options = parser.parse_args(words)
    try:
        subjects = [Subject.load(run) for run in options.runs]
        vectors = [int(word) for word in options.vectors.split(",")]
        table = compare(subjects, vectors, options.jets)
    except (OSError, ValueError) as error:
        print(f"code_size.py: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    table.save(options.out)
    with plt.rc_context(SETTINGS):
        save_figure(draw(table), options.out, "code_size")
    print(table.compact().to_markdown())
    return 0


def compare(subjects: list[Subject], vectors: Iterable[int], jets: int) -> Table:
    """A row for each model, on the test jets of the first subject."""
    first, factor = subjects[0], subjects[0].unit_in_gev
    train, dataset = first.dataset("train"), first.dataset("test")
    particles = dataset.recipe["num_particles"]
    store = choose(dataset.store.to(torch.float64), jets)
    models: list[Autoencoder] = [subject.model for subject in subjects]
    for tau in vectors:
        models.append(LinearAE(tau, particles, True).fit(JetLoader(train.store, 1024), "transverse"))
        models.append(ClusterAE(particles, tau))
    target, rows = true_jets(store, factor), []
    for model in {one.label: one for one in models}.values():
        model.unit = first.model.unit
        found = rebuild(model.eval(), store, 500, factor)
        told = model.side_information
        one = Rebuilt("one", model.label, found, model.permutation_invariant, model.latent_size, told, particles)
        rows.append(_row(one, target))
    caption = (
        f"{len(store):,} test jets, {dataset.origin}; one training of each model. ±: statistical errors over jets "
        "(of the IQR by the bootstrap). Code, told: real numbers in the code, and told to the decoder besides."
    )
    return Table("code_size", caption, COLUMNS, tuple(rows))


def _row(one: Rebuilt, target: Jets) -> tuple:
    errors, jet = particle_errors(one, target)
    low, median, high = errors.nanquantile(torch.tensor([0.25, 0.5, 0.75], dtype=errors.dtype), 0)
    pt, eta, phi = (high - low).tolist()
    low_mass, high_mass = jet_errors(one, target)[:, 0].nanquantile(torch.tensor([0.25, 0.75], dtype=errors.dtype))
    drawn = bootstrap_quantiles(errors[:, 1], jet, (0.25, 0.75), RESAMPLES)
    squares = squared_errors(one, target) / 1e6  # from GeV²
    squared = float(squares.mean()), float(squares.std() / len(squares) ** 0.5)
    eta = float(median[1]), eta, float(np.std(drawn[:, 1] - drawn[:, 0], ddof=1))
    order = "matched" if one.matched else "slots"
    mass = float(high_mass - low_mass)
    return one.label, one.latent_size, one.side_information, pt, *eta, phi, *squared, mass, order


def draw(table: Table) -> Figure:
    """Mean squared error and width of the eta errors against the numbers in the code; families are joined."""
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 4.6))
    families: dict[str, list[dict]] = {}
    for row in table.records():
        family = next((name for name in ("LinearAE", "ClusterAE") if row["model"].startswith(name)), row["model"])
        families.setdefault(family, []).append(row)
    for panel, (name, label) in zip(panels, PANELS.items()):
        resolved = [row[name] for row in table.records() if row[name] > ROUNDING]
        if resolved:
            panel.set(yscale="log", ylim=(min(resolved) / 3, max(resolved) * 3))
        panel.set(xlabel="real numbers in the code", ylabel=label)
        panel.grid(alpha=0.3)
        for number, (family, rows) in enumerate(sorted(families.items())):
            _draw_family(panel, sorted(rows, key=lambda row: row["numbers"]), name, family, number)
    legend_above(figure, panels[0])
    note = f"Error bars are mostly smaller than the dots. Arrows: zero to rounding (below {ROUNDING:g}). "
    add_caption(figure, note + table.caption.partition(" Code, told")[0])
    return figure


def _draw_family(panel: Axes, rows: list[dict], name: str, label: str, number: int) -> None:
    """The rows of one family, those that are zero to rounding as arrows at the lower edge."""
    numbers, values, errors = (np.array([row[key] for row in rows]) for key in ("numbers", name, f"{name}_error"))
    style = STYLES[number % len(STYLES)] | ({} if len(rows) > 1 else {"linestyle": "none"})
    seen = values > ROUNDING
    panel.errorbar(numbers[seen], values[seen], errors[seen], marker="osD^"[number % 4], markersize=5, capsize=2,
                   elinewidth=1, label=label, **style)  # fmt: skip
    mark_outside(panel, numbers[~seen], np.full((~seen).sum(), -np.inf), style["color"])


if __name__ == "__main__":
    sys.exit(main())
