"""Figures of the tagging study: ROC curves and distributions of the scores."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import KINDS, add_caption
from lgae_pyg.metrics.roc import roc_curve

BINS = 50


def roc_figure(results: Results) -> Figure:
    """Background efficiency against signal efficiency of every class against all others."""
    scores, y, about = results.arrays["scores"], results.arrays["y"], results.description
    figure, axes = plt.subplots(figsize=(5.2, 4.8))
    smallest = 1.0
    for place, number in enumerate(about["shown"]):
        background, signal = scores[y != number, number], scores[y == number, number]
        passing, efficiency = roc_curve(background, signal)
        axes.plot(
            efficiency, np.where(passing > 0, passing, np.nan), label=about["classes"][number],
            **KINDS[1 + place % (len(KINDS) - 1)],
        )  # fmt: skip
        smallest = min(smallest, 1 / len(background))
    chance = np.geomspace(smallest, 1, 200)  # a curve, since one axis is logarithmic
    axes.plot(chance, chance, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlim=(0, 1), ylim=(smallest, 1), yscale="log")
    axes.set(xlabel=r"signal efficiency $\epsilon_S$", ylabel=r"background efficiency $\epsilon_B$")
    axes.grid(alpha=0.3)
    axes.legend(title="signal", loc="lower right")
    add_caption(figure, f"Lower is better; grey: a score without information. {results.caption}")
    return figure


def score_figure(results: Results) -> Figure:
    """Distributions of the scores, by true class."""
    scores, y, about = results.arrays["scores"], results.arrays["y"], results.description
    figure, row = plt.subplots(1, len(about["shown"]), figsize=(4.4 * len(about["shown"]), 3.8), squeeze=False)
    for axes, number in zip(row[0], about["shown"]):
        for place, true in enumerate(np.unique(y)):
            style, name = KINDS[place % len(KINDS)], about["classes"][int(true)]
            axes.hist(scores[y == true, number], BINS, (0, 1), density=True, histtype="step", label=name, **style)
        axes.set(xlim=(0, 1), xlabel=f"score of {about['classes'][number]}", ylabel="density")
        axes.legend(title="true class")
    add_caption(figure, f"Scores of jets by their true class. {results.caption}")
    return figure


FIGURES = {"tagging_roc": roc_figure, "tagging_scores": score_figure}
