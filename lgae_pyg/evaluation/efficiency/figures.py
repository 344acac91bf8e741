"""The figure of the data-efficiency study."""

import textwrap
from collections.abc import Mapping, Sequence
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

Errors = Mapping[tuple[str, float, str], float]
"""Statistical errors by model, number of training jets and what was measured."""


def efficiency_figure(results: Results) -> Figure:
    """What was measured against the number of training jets, medians over seeds with bands from the smallest to
    the largest; of one number of jets for each model, and for each seed."""
    records, errors = results.tables["efficiency"].records(), statistical_errors(results)
    panels = results.description.get("panels", AUTOENCODERS.panels)
    logarithmic = results.description.get("logarithmic", AUTOENCODERS.logarithmic)
    bars = "statistical errors of one training (medians over the seeds)" if errors else ""
    if len({row["jets"] for row in records}) == 1:
        figure = _side_by_side(results, panels, logarithmic, errors)
        words = f"Dots: medians over the seeds{', with ' * bool(bars)}{bars}; circles: seeds. "
    else:
        figure = _curves(records, panels, logarithmic, errors)
        words = f"Bands: from the smallest to the largest of the seeds{'; bars: ' * bool(bars)}{bars}. "
    add_caption(figure, words + results.description.get("drawn", results.caption))
    return figure


def statistical_errors(results: Results) -> dict[tuple[str, float, str], float]:
    """The statistical error of one training, the median over the seeds, by model, number of jets and what was
    measured; empty where none was."""
    found: dict[tuple[str, float, str], list[float]] = {}
    for row in results.tables["efficiency_runs"].records() if "efficiency_runs" in results.tables else ():
        for name in (one for one in row if one.endswith("_error") and np.isfinite(row[one])):
            found.setdefault((row["model"], row["jets"], name.removesuffix("_error")), []).append(row[name])
    return {key: float(np.median(values)) for key, values in found.items()}


def _curves(
    records: Sequence[dict[str, Any]], panels: dict[str, str], logarithmic: Sequence[str], errors: Errors
) -> Figure:
    """A panel for each measure, a line for each model."""
    figure, row = plt.subplots(1, len(panels), figsize=(9.6, 4.4))
    for axes, (name, label) in zip(row, panels.items()):
        seen = _draw_curves(axes, records, name, name in logarithmic, errors)
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
    return figure


def _draw_curves(
    axes: Axes, records: Sequence[dict[str, Any]], name: str, logarithmic: bool, errors: Errors
) -> bool:
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
        bars = [errors.get((label, number, name), 0.0) for number in jets]
        axes.errorbar(jets, middle, bars, marker=marker, markersize=4, elinewidth=1, capsize=2, label=label,
                      color=colour, linestyle=dashes)  # fmt: skip
        axes.fill_between(jets, low, high, color=colour, alpha=0.15, linewidth=0)
    if exact:
        axes.set_title(textwrap.fill(f"0 to rounding: {'; '.join(exact)}", 45), fontsize=8)
    return seen


def _side_by_side(
    results: Results, panels: dict[str, str], logarithmic: Sequence[str], errors: Errors
) -> Figure:
    """A line for each model: the median with its statistical error, and each seed."""
    records, colour = results.tables["efficiency"].records(), STYLES[0]["color"]
    runs = results.tables["efficiency_runs"].records() if "efficiency_runs" in results.tables else []
    places = dict(zip([row["model"] for row in records], range(len(records))[::-1]))
    figure, row = plt.subplots(1, len(panels), figsize=(9.6, 1.8 + 0.3 * len(records)), sharey=True)
    for axes, (name, label) in zip(row, panels.items()):
        for one in records:
            if not np.isfinite(one[name]) or (name in logarithmic and one[name] <= 0):
                continue
            seeds, place = [run[name] for run in runs if run["model"] == one["model"]], places[one["model"]]
            bar = errors.get((one["model"], one["jets"], name), 0.0)
            axes.errorbar(one[name], place, xerr=bar, fmt="o", color=colour, markersize=5, capsize=3, elinewidth=1)
            if len(seeds) > 1:
                axes.plot(seeds, [place - 0.22] * len(seeds), "o", color=STYLES[1]["color"], markersize=4,
                          markerfacecolor="none")  # fmt: skip
        axes.set(xlabel=label, yticks=list(places.values()), yticklabels=list(places))
        if name in logarithmic and any(one[name] > 0 for one in records):
            axes.set_xscale("log")
            label_few_decades(axes.xaxis)
        axes.grid(alpha=0.3)
    return figure


def _columns(rows: Sequence[dict[str, Any]], name: str) -> tuple[np.ndarray, ...]:
    """Medians, smallest and largest values."""
    return tuple(np.array([row[f"{name}{end}"] for row in rows], float) for end in ("", "_min", "_max"))


FIGURES = {"efficiency": efficiency_figure}
