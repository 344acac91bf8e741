"""The figure of the data-efficiency study."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import STYLES, add_caption, label_few_decades, legend_above
from lgae_pyg.tables import Table

PANELS = {
    "mass": r"median $|\delta M_\mathrm{jet}|$",
    "pt": r"median $|\delta p_\mathrm{T}^\mathrm{jet}|$",
    "mse": r"particle MSE [TeV$^2$]",
}


def efficiency_figure(results: Results) -> Figure:
    """Errors against the number of training jets: medians over seeds, bands from the smallest to the largest."""
    table = results.tables["efficiency"]
    figure, row = plt.subplots(1, len(PANELS), figsize=(11.4, 4.6))
    for axes, (error, label) in zip(row, PANELS.items()):
        seen = _draw(axes, table, error)
        axes.set(xlabel="training jets", ylabel=label)
        if seen:
            axes.set(xscale="log", yscale="log")
            axes.grid(alpha=0.3)
            for axis in (axes.xaxis, axes.yaxis):
                label_few_decades(axis)
        else:  # a logarithmic axis without a positive number is an error of matplotlib
            axes.set(xticks=[], yticks=[])
            words = "not defined for these models, or zero"
            axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", fontsize=9)
    legend_above(figure, row[0])
    add_caption(figure, f"Medians over seeds; bands: smallest to largest. {results.caption}")
    return figure


def _draw(axes: Axes, table: Table, error: str) -> bool:
    """Draws the curves, and says whether anything can be seen of them on a logarithmic axis."""
    seen = False
    records = table.records()
    for number, label in enumerate(dict.fromkeys(row["model"] for row in records)):
        rows = [row for row in records if row["model"] == label]
        jets = [row["jets"] for row in rows]
        style = STYLES[number % len(STYLES)]
        ends = ("", "_min", "_max")
        middle, low, high = (np.array([row[f"{error}{end}"] for row in rows], float) for end in ends)
        seen = seen or bool((high > 0).any())
        axes.plot(jets, middle, marker="osD^"[number % 4], markersize=4, label=label, **style)
        axes.fill_between(jets, low, high, color=style["color"], alpha=0.15, linewidth=0)
    return seen


FIGURES = {"efficiency": efficiency_figure}
