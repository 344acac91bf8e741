"""Pictures of what scores are worth, on axes of matplotlib: ROC curves, confusion matrix, scores, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.metrics.classification import calibration, classes_of, confusion_matrix
from lgae_pyg.metrics.roc import binomial_interval, drawn_curve
from lgae_pyg.metrics.statistics import shares
from lgae_pyg.training.drawing import draw_band, draw_steps

#: Bins of the scores, at least and at most.
BINS = (5, 50)
#: Okabe and Ito's palette; where classes are more, line styles tell colours apart that come again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES = ("-", "--", ":", "-.")


def class_style(number: int) -> dict[str, Any]:
    """Colour and line of a class, by its number."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[(number + number // 7) % len(LINES)]}


def class_name(names: Sequence[str], number: int) -> str:
    """The name of a class, or its number where it has none."""
    return names[number] if number < len(names) else f"class {number}"


def grid(figure: Any, panels: int, columns: int = 4) -> list[Any]:
    """So many axes, at most four in a row; the figure's size is that of one of them, and grows."""
    columns = min(panels, columns)
    rows = -(-panels // columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(columns * width, rows * height)
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for spare in axes[panels:]:
        spare.set_axis_off()
    return axes[:panels]


def draw_roc(axes: Any, scores: NDArray, y: NDArray, shown: Sequence[int], names: Sequence[str]) -> None:
    """Background rejection against signal efficiency of each class against all others; the bands are binomial
    errors of the background efficiency."""
    highest = 1.0
    for number in shown:
        background, signal = scores[y != number, number], scores[y == number, number]
        style = class_style(number) | ({"linestyle": "-"} if len(shown) == 1 else {})
        draw_rejection(axes, *drawn_curve(background, signal), len(background), class_name(names, number), style)
        highest = max(highest, float(len(background)))
    chance = np.geomspace(1 / highest, 1, 200)  # a curve, since one axis is logarithmic
    axes.plot(chance, 1 / chance, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlim=(0, 1), ylim=(1, 2 * highest), yscale="log")  # no rejection beyond the number of jets is seen
    axes.set(xlabel=r"signal efficiency $\epsilon_S$", ylabel=r"background rejection $1 / \epsilon_B$")
    axes.grid(alpha=0.3)
    axes.legend(title="signal", loc="upper right", fontsize=8)


def draw_rejection(
    axes: Any, passing: NDArray, efficiency: NDArray, jets: int, label: str, style: Mapping[str, Any]
) -> None:
    """Background rejection against signal efficiency, from efficiencies along a ROC curve, with a band of the
    binomial error of the background efficiency of so many background jets."""
    some = passing > 0
    low, high = binomial_interval(passing[some], jets)
    draw_band(axes, efficiency[some], 1 / passing[some], 1 / high, 1 / low, label=label, **style)


def draw_confusion(axes: Any, counts: NDArray, names: Sequence[str]) -> None:
    """Shares of the jets of each true class (rows) that are taken for each class (columns)."""
    totals = counts.sum(1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    small = len(counts) > 5
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            text = f"{share:.2f}" if small else f"{share:.3f}\n({counts[row, column]})"
            colour = "white" if share > 0.6 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=6 if small else 9)
    labels = [class_name(names, number) for number in range(len(counts))]
    axes.set_xticks(range(len(counts)), labels, rotation=45 if small else 0, ha="right" if small else "center")
    axes.set_yticks(range(len(counts)), labels)
    axes.tick_params(length=0, top=False, right=False)
    axes.set(xlabel="class with the largest score", ylabel="true class")


def draw_scores(axes: Any, scores: NDArray, y: NDArray, number: int, names: Sequence[str]) -> None:
    """Distributions of the score of one class, by true class, with bands of the statistical errors; a bin without
    jets is not drawn."""
    there, jets = np.unique(y.astype(int), return_counts=True)
    edges = np.linspace(0, 1, score_bins(int(jets.min())) + 1)
    seen = []
    for true in there:
        share, error = (values * (len(edges) - 1) for values in shares(scores[y == true, number], edges))
        density = np.where(share > 0, share, np.nan)
        draw_steps(axes, density, error, edges, baseline=None, **_step_style(names, true))
        seen.append(share[share > 0])
    low, high = np.concatenate(seen).min(), np.concatenate(seen).max()
    axes.set(xlim=(0, 1), xlabel=f"score of {class_name(names, number)}", ylabel="density", yscale="log")
    axes.set_ylim(low / 2, high * 6)  # room for the legend
    axes.legend(title="true class", fontsize=8, ncols=min(3, len(there)), loc="upper center")


def score_bins(jets: int) -> int:
    r"""The number of bins for so many jets, :math:`2 n^{1/3}` within :data:`BINS`."""
    return int(np.clip(round(2 * jets ** (1 / 3)), *BINS))


def _step_style(names: Sequence[str], number: int) -> dict[str, Any]:
    return {"label": class_name(names, number), "linewidth": 1.5, **class_style(number)}


def draw_calibration(axes: Any, scores: NDArray, y: NDArray, shown: Sequence[int], names: Sequence[str]) -> None:
    """How often jets are of a class against the score that says so; on the diagonal, scores are probabilities."""
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=0)
    for number in shown:
        mean, share, error = calibration(scores[:, number], y == number)
        style = {**class_style(number), "marker": "o", "markersize": 3, "linewidth": 1 if len(shown) > 1 else 0}
        style["elinewidth"] = 1
        bars = np.minimum(error, share), np.minimum(error, 1 - share)  # shares are between 0 and 1
        axes.errorbar(mean, share, bars, label=class_name(names, number), capsize=2, **style)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.set(xlabel="mean score in the bin", ylabel="share of jets of the class")
    axes.grid(alpha=0.3)
    axes.legend(title="class", loc="upper left", fontsize=8)


def tagging_figures(scores: NDArray, y: NDArray, names: Sequence[str] = ()) -> Mapping[str, Any]:
    """The four pictures by name: ``roc``, ``confusion``, ``scores``, ``calibration``.

    Args:
        scores: probabilities of the classes.
        y: the true classes.
        names: of the classes.

    Shapes:
        - **scores**: :math:`(n, C)`, **y**: :math:`(n,)`
    """
    from matplotlib.figure import Figure

    found = {
        name: Figure(figsize=(4.4, 4.0), layout="constrained")
        for name in ("roc", "confusion", "scores", "calibration")
    }
    shown = classes_of(y, scores.shape[1])
    for axes, number in zip(grid(found["scores"], len(shown) or 1), shown):
        draw_scores(axes, scores, y, number, names)
    if shown:  # of one class alone there is nothing to tell it from
        draw_roc(found["roc"].subplots(), scores, y, shown, names)
    draw_confusion(found["confusion"].subplots(), confusion_matrix(scores, y), names)
    draw_calibration(found["calibration"].subplots(), scores, y, shown, names)
    return found
