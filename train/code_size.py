"""Error against size of the code, on the same jets: linear maps, clusters, and trained models.

    python train/code_size.py RUN [RUN ...] --jets 4000 --out DIR

RUN are folders of trainings on the same jets; of the first, LinearAE is fitted on the training jets, and all are
judged on the test jets. The table is printed and written, with the figure, as DIR/code_size.*.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lgae_pyg.data import JetLoader
from lgae_pyg.evaluation.reconstruction.rebuilt import (
    Jets,
    Rebuilt,
    jet_errors,
    particle_errors,
    rebuild,
    squared_error,
    true_jets,
)
from lgae_pyg.evaluation.sample import choose
from lgae_pyg.evaluation.style import SETTINGS, save_figure
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.models import Autoencoder, ClusterAE, LinearAE
from lgae_pyg.tables import Table

COLUMNS = {"model": "model", "numbers": "code", "told": "told", "pt": "pT_rel IQR", "eta": "η_rel median",
           "eta_iqr": "η_rel IQR", "phi_iqr": "φ_rel IQR", "mse": "MSE [TeV²]", "mass": "jet mass IQR",
           "order": "order"}  # fmt: skip


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
    print(table.to_markdown())
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
    caption = f"{len(store)} test jets. code, told: real numbers in the code, and told to the decoder besides."
    return Table("code_size", caption, COLUMNS, tuple(rows))


def _row(one: Rebuilt, target: Jets) -> tuple:
    errors, _ = particle_errors(one, target)
    low, median, high = errors.nanquantile(torch.tensor([0.25, 0.5, 0.75], dtype=errors.dtype), 0)
    pt, eta, phi = (high - low).tolist()
    low_mass, high_mass = jet_errors(one, target)[:, 0].nanquantile(torch.tensor([0.25, 0.75], dtype=errors.dtype))
    mse = squared_error(one, target) / 1e6  # from GeV²
    order = "matched" if one.matched else "slots"
    mass = float(high_mass - low_mass)
    return one.label, one.latent_size, one.side_information, pt, float(median[1]), eta, phi, mse, mass, order


def draw(table: Table) -> Figure:
    """Mean squared error and width of the eta errors against the numbers in the code; families are joined."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    rows = [dict(zip(COLUMNS, row)) for row in table.rows]
    for name, marker in (("LinearAE", "s-"), ("ClusterAE", "o-")):
        family = sorted((row for row in rows if row["model"].startswith(name)), key=lambda row: row["numbers"])
        for panel, key in zip(panels, ("mse", "eta_iqr")):
            panel.plot([row["numbers"] for row in family], [row[key] for row in family], marker, label=name)
    for row in rows:
        if not row["model"].startswith(("LinearAE", "ClusterAE")):
            for panel, key in zip(panels, ("mse", "eta_iqr")):
                panel.plot(row["numbers"], row[key], "*", markersize=12, label=row["model"])
    for panel, text in zip(panels, (r"MSE [TeV$^2$]", r"IQR of the errors of $\eta^\mathrm{rel}$")):
        panel.set(yscale="log", xlabel="real numbers in the code", ylabel=text)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


if __name__ == "__main__":
    sys.exit(main())
