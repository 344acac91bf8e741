"""Figures of the tagging study: ROC curves, confusion matrix, distributions of the scores, against mass and pT."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import LABELS, add_caption
from lgae_pyg.metrics.roc import SIGNAL_EFFICIENCIES
from lgae_pyg.training.tagging_panels import (
    class_style,
    draw_calibration,
    draw_confusion,
    draw_roc,
    draw_scores,
    grid,
)

#: Bins of equal numbers of jets for scores against mass and pT, at most, and the fewest jets in one.
SLICES, FEWEST = 15, 20


def roc_figure(results: Results) -> Figure:
    """Background rejection against signal efficiency of every class against all others."""
    about, records = results.description, results.tables["tagging"].records()
    figure, axes = plt.subplots(figsize=(5.4, 5.0))
    draw_roc(axes, results.arrays["scores"], results.arrays["y"], about["shown"], about["classes"])
    points = ""
    for number, row in zip(about["shown"], records):
        for place in SIGNAL_EFFICIENCIES:
            value, error = row[f"rejection_{place:g}"], row[f"rejection_{place:g}_error"]
            if np.isfinite([value, error]).all():
                style = {"color": class_style(number)["color"], "marker": "o", "markersize": 4, "capsize": 2}
                axes.errorbar(place, value, min(error, 0.99 * value), **style)
                points = " points: the table's numbers, with bootstrap errors;"
    note = f"Higher is better; bands: binomial errors of the background efficiency (68 %);{points} thin grey: "
    add_caption(figure, f"{note}a score without information. {results.caption}")
    return figure


def confusion_figure(results: Results) -> Figure:
    """Shares of the jets of each true class (rows) that are taken for each class (columns)."""
    counts, size = results.arrays["confusion"], max(4.4, 0.55 * len(results.arrays["confusion"]) + 1.5)
    figure, axes = plt.subplots(figsize=(size, size))
    draw_confusion(axes, counts, results.description["classes"])
    numbers = "" if len(counts) > 5 else ", in brackets numbers of jets"
    add_caption(figure, f"Rows are true classes and sum to one{numbers}. {results.caption}")
    return figure


def score_figure(results: Results) -> Figure:
    """Distributions of the scores, by true class."""
    about, figure = results.description, plt.figure(figsize=(4.4, 3.8))
    for axes, number in zip(grid(figure, len(about["shown"])), about["shown"]):
        draw_scores(axes, results.arrays["scores"], results.arrays["y"], number, about["classes"])
    add_caption(figure, f"Scores of jets by their true class; bands: statistical errors. {results.caption}")
    return figure


def calibration_figure(results: Results) -> Figure:
    """How often jets are of a class against the score that says so."""
    about, (figure, axes) = results.description, plt.subplots(figsize=(5.0, 5.0))
    draw_calibration(axes, results.arrays["scores"], results.arrays["y"], about["shown"], about["classes"])
    note = "Below the diagonal a score promises too much; bars: binomial errors, in 15 bins of the score."
    add_caption(figure, f"{note} {results.caption}")
    return figure


def kinematics_figure(results: Results) -> Figure:
    """Each class's score against jet mass and pT, among jets of the class and among all others."""
    about, arrays, figure = results.description, results.arrays, plt.figure(figsize=(4.6, 3.6))
    shown = about["shown"]
    for place, axes in enumerate(grid(figure, 2 * len(shown), 2)):
        number, quantity = shown[place // 2], ("mass", "pt")[place % 2]
        signal, score, name = arrays["y"] == number, arrays["scores"][:, number], about["classes"][number]
        others = about["classes"][0] if len(about["classes"]) == 2 else "all others"
        _draw_slices(axes, arrays[quantity][signal], score[signal], name, **class_style(number))
        _draw_slices(axes, arrays[quantity][~signal], score[~signal], others, color="0.45", linestyle=":")
        axes.set(ylim=(-0.02, 1.02), xlabel=LABELS[quantity])
        if place % 2 == 0:
            axes.set_ylabel(f"score of {name}")
        axes.grid(alpha=0.3)
        axes.legend(title="true class", loc="best", fontsize=8)
    note = "Median (line) and central 68 % (band) of the score in bins of equal numbers of jets."
    add_caption(figure, f"{note} {results.caption}")
    return figure


def _draw_slices(axes: Axes, places: NDArray, values: NDArray, label: str, **style: str) -> None:
    order = np.argsort(places, kind="stable")
    parts = np.array_split(order, int(np.clip(len(order) // FEWEST, 1, SLICES)))
    middle = [float(np.median(places[part])) for part in parts]
    low, median, high = np.array([np.quantile(values[part], (0.16, 0.5, 0.84)) for part in parts]).T
    axes.plot(middle, median, label=label, marker="o", markersize=3, **style)
    axes.fill_between(middle, low, high, color=style["color"], alpha=0.2, linewidth=0)


FIGURES = {
    "tagging_roc": roc_figure,
    "tagging_confusion": confusion_figure,
    "tagging_scores": score_figure,
    "tagging_calibration": calibration_figure,
    "tagging_kinematics": kinematics_figure,
}
