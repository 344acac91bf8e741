"""Figures of robustness: performance and deviations against the size of Lorentz transformations."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.robustness.transformations import ANGLES, ON_AXIS
from lgae_pyg.evaluation.style import STYLES, add_caption, legend_above

AXIS_STYLES = {"x": ("#0072B2", "o"), "y": ("#D55E00", "s"), "z": ("#009E73", "^"), "random": ("#000000", "D")}
#: Broad and pale below, narrow and dashed above: both are seen where they are the same.
PRECISION_LINES = {
    "float64": {"linestyle": "-", "linewidth": 3.5, "alpha": 0.4, "markersize": 7},
    "float32": {"linestyle": "--", "linewidth": 1.2, "markersize": 3.5},
}


def curve_figure(results: Results) -> Figure:
    """Accuracy and AUC against the strength of each transformation of jets on the x axis."""
    records = results.tables["robustness_curves"].records()
    figure, grid = plt.subplots(2, 4, figsize=(11.5, 5.6), sharex="col", sharey="row")
    for row, name, heading in zip(grid, ("accuracy", "auc"), ("accuracy", "AUC")):
        start = next(one for one in records if one["transformation"] == "none")
        for axes, change in zip(row, ON_AXIS):
            chosen = [one for one in records if one["transformation"] == change]
            strengths, values, errors = (
                np.array([one[key] for one in chosen]) for key in ("strength", name, f"{name}_error")
            )
            axes.axhline(start[name], color="0.6", linewidth=0.8, linestyle=":", label="jets where they were")
            label = "jets at (η, φ) = (0, 0), transformed"
            axes.errorbar(strengths, values, errors, label=label, marker="o", markersize=4, capsize=2, **STYLES[0])
            axes.grid(alpha=0.3)
        row[0].set_ylabel(heading)
    for axes, change in zip(grid[0], ON_AXIS):
        axes.set_title(change)
    for axes, change in zip(grid[1], ON_AXIS):
        axes.set_xlabel(r"$\theta$ [$\pi$]" if change == "y-z rotation" else r"$\gamma$")
    legend_above(figure, grid[0, 0])
    add_caption(figure, results.tables["robustness_curves"].caption)
    return figure


def deviation_figure(results: Results) -> Figure:
    r"""Largest deviation of a logit against :math:`\gamma` of boosts, and against the angle of rotations."""
    table = results.tables["robustness_invariance"]
    records = table.records()
    ways = list(dict.fromkeys(one["references"] for one in records))
    size = (9.6, 3.6 * len(ways) + 1.6)
    figure, grid = plt.subplots(len(ways), 2, figsize=size, sharex="col", sharey=True, squeeze=False)
    for row, way in zip(grid, ways):
        for axes, kind in zip(row, ("boost", "rotation")):
            _draw(axes, [one for one in records if one["references"] == way and one["kind"] == kind])
            note = {"none": "", "moved": ", references too", "fixed": ", references fixed"}[way]
            axes.set_title(f"{kind}s of the jets{note}")
        row[0].set_ylabel(r"largest $|\Delta\,$logit$|$")
        row[0].set_xscale("log")
    grid[-1, 0].set_xlabel(r"$\gamma$")
    grid[-1, 1].set_xlabel(r"angle about random axes [$\pi$]")
    grid[-1, 1].set_xticks(ANGLES)
    lines = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels())}
    options = {"loc": "outside upper center", "ncols": 4, "fontsize": 8, "handlelength": 3.5}
    figure.legend(list(lines.values()), list(lines), **options)
    add_caption(figure, f"Deviations of exactly zero are not drawn. {table.caption}")
    return figure


def _draw(axes: plt.Axes, records: list[dict]) -> None:
    for axis, (colour, marker) in AXIS_STYLES.items():
        for precision, style in PRECISION_LINES.items():
            chosen = [one for one in records if (one["axis"], one["precision"]) == (axis, precision)]
            values = np.array([one["max_logit"] for one in chosen], float)
            if len(values):
                name = "random axes" if axis == "random" else f"along {axis}"
                axes.plot(
                    [one["parameter"] for one in chosen], np.where(values > 0, values, np.nan),
                    color=colour, marker=marker, label=f"{name}, {precision}", **style,
                )  # fmt: skip
    axes.set_yscale("log")
    axes.grid(alpha=0.3)


FIGURES = {"robustness_curves": curve_figure, "robustness_invariance": deviation_figure}
