"""The figure of the data-efficiency study."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lgae_pyg.evaluation.efficiency.measures import AUTOENCODERS
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import STYLES, add_caption, label_few_decades, legend_above

#: Models beside each other up to which a legend fits on one line.
FEW_MODELS = 4
#: Errors below this are those of rounding: on logarithmic axes such curves are named instead of drawn.
ROUNDING = 1e-11


def efficiency_figure(results: Results) -> Figure:
    """What was measured against the number of training jets, medians over seeds with bands from the smallest to
    the largest; of one number of jets for each model."""
    records = results.tables["efficiency"].records()
    panels = results.description.get("panels", AUTOENCODERS.panels)
    logarithmic = results.description.get("logarithmic", AUTOENCODERS.logarithmic)
    if len({row["jets"] for row in records}) == 1:
        return _side_by_side(records, panels, logarithmic, results.caption)
    figure, row = plt.subplots(1, len(panels), figsize=(11.4, 4.6))
    for axes, (name, label) in zip(row, panels.items()):
        seen = _draw_curves(axes, records, name, name in logarithmic)
        axes.set(xlabel="training jets", ylabel=label)
        if seen:
            axes.set(xscale="log", yscale="log" if name in logarithmic else "linear")
            axes.grid(alpha=0.3)
            for axis in (axes.xaxis, axes.yaxis) if name in logarithmic else (axes.xaxis,):
                label_few_decades(axis)
        else:  # a logarithmic axis without a positive number is an error of matplotlib
            axes.set(xticks=[], yticks=[])
            words = "not defined for these models, or zero"
            axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", fontsize=9)
    models = len(row[0].get_legend_handles_labels()[1])
    legend_above(figure, row[0], ncols=min(models, FEW_MODELS))
    add_caption(figure, results.caption)
    return figure


def _draw_curves(axes: Axes, records: Sequence[dict[str, Any]], name: str, logarithmic: bool) -> bool:
    """Draws the curves, and says whether anything can be seen of them on a logarithmic axis."""
    seen, exact = False, []
    for number, label in enumerate(dict.fromkeys(row["model"] for row in records)):
        rows = [row for row in records if row["model"] == label]
        jets = [row["jets"] for row in rows]
        colour = STYLES[number % len(STYLES)]["color"]
        dashes = STYLES[(number + number // len(STYLES)) % len(STYLES)]["linestyle"]
        middle, low, high = _columns(rows, name)
        if logarithmic and (high < ROUNDING).all():
            exact.append(label)
            middle, low, high = np.full((3, len(rows)), np.nan)
        seen = seen or bool((high > 0).any())
        marker = "osD^"[number // len(STYLES) % 4]
        axes.plot(jets, middle, marker=marker, markersize=4, label=label, color=colour, linestyle=dashes)
        axes.fill_between(jets, low, high, color=colour, alpha=0.15, linewidth=0)
    if exact:
        axes.set_title(textwrap.fill(f"0 to rounding: {'; '.join(exact)}", 45), fontsize=8)
    return seen


def _side_by_side(
    records: Sequence[dict[str, Any]], panels: dict[str, str], logarithmic: Sequence[str], caption: str
) -> Figure:
    """A line for each model, with a bar from the smallest to the largest value and the median on it."""
    places = np.arange(len(records))[::-1]
    figure, row = plt.subplots(1, len(panels), figsize=(11.4, 1.8 + 0.3 * len(records)), sharey=True)
    for axes, (name, label) in zip(row, panels.items()):
        middle, low, high = _columns(records, name)
        shown = np.isfinite(middle) & ((middle > 0) | (name not in logarithmic))
        axes.hlines(places[shown], low[shown], high[shown], color=STYLES[0]["color"], linewidth=2)
        axes.plot(middle[shown], places[shown], "o", color=STYLES[0]["color"], markersize=5)
        axes.set(xlabel=label, yticks=places, yticklabels=[row["model"] for row in records])
        if name in logarithmic and shown.any():
            axes.set_xscale("log")
            label_few_decades(axes.xaxis)
        axes.grid(alpha=0.3)
    add_caption(figure, caption)
    return figure


def _columns(rows: Sequence[dict[str, Any]], name: str) -> tuple[np.ndarray, ...]:
    """Medians, smallest and largest values."""
    return tuple(np.array([row[f"{name}{end}"] for row in rows], float) for end in ("", "_min", "_max"))


FIGURES = {"efficiency": efficiency_figure}
