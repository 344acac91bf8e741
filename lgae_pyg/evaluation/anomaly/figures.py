"""Figures of the anomaly study: ROC and significance curves, distributions of scores, and what the mass does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata

from lgae_pyg.evaluation.anomaly.supervised import SUPERVISED
from lgae_pyg.evaluation.anomaly.tables import (
    FEWEST_IN_WINDOW,
    RANK,
    UNION,
    Scores,
    compared_scores,
    printed_name,
    signal_samples,
)
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import NAMES
from lgae_pyg.evaluation.style import KINDS, add_caption, legend_above, scale_axis
from lgae_pyg.metrics.roc import FEWEST_PASSING, binomial_interval, drawn_curve, significance_improvement
from lgae_pyg.metrics.statistics import shares
from lgae_pyg.training.drawing import draw_band, draw_steps, score_edges
from lgae_pyg.training.tagging_panels import grid

HEADLINE_STYLE = {"color": "#0072B2", "linestyle": "-"}
#: The look of the scores that the headline is compared with, the same for all models.
SCORE_STYLES = {
    RANK: {"color": "#56B4E9", "linestyle": (0, (3, 1))},
    "chamfer_lorentz": {"color": "#D55E00", "linestyle": "--"},
    "latent_mahalanobis": {"color": "#009E73", "linestyle": "-."},
    "latent_forest": {"color": "#CC79A7", "linestyle": (0, (4, 2))},
    "linear_chamfer_cartesian": {"color": "#E69F00", "linestyle": ":"},
    "mass": {"color": "0.25", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    "multiplicity": {"color": "0.55", "linestyle": "--"},
}
#: The upper reference, by which the others are judged.
SUPERVISED_STYLE = {"color": "black", "linewidth": 2.2}
LABELS = {**NAMES, UNION: "all signals"}
#: Mass bins of the profile in GeV, and the fewest jets of a bin.
PROFILE_BINS = np.arange(0.0, 261.0, 20.0)
BINS_OF_PROFILE = range(1, len(PROFILE_BINS))
FEWEST = 20


def scores_of(results: Results) -> dict[str, Scores]:
    """The scores of each sample, from the stored arrays."""
    found: dict[str, Scores] = {}
    for key, values in results.arrays.items():
        sample, _, score = key.partition("/")
        found.setdefault(sample, {})[score] = values
    return found


def roc_figure(results: Results) -> Figure:
    """Background efficiency against signal efficiency, one panel for each signal and one for all (Fig. 4)."""

    def draw(axes: Axes, background: NDArray, signal: NDArray, **style) -> None:
        passing, efficiency = drawn_curve(background, signal)
        some = passing > 0
        interval = binomial_interval(passing[some], len(background))
        draw_band(axes, efficiency[some], passing[some], *interval, **style)

    figure, panels = _panels(results, draw)
    smallest = min(0.1, 10 / len(_background(results)["mass"]))  # ten jets pass
    for axes in panels:
        chance = np.geomspace(min(smallest, 1e-4), 1, 200)  # a curve, since one axis is logarithmic
        axes.plot(chance, chance, color="0.8", linewidth=0.8, zorder=0)
        axes.set(yscale="log", ylim=(max(smallest, 1e-4), 1), xlim=(0, 1))
        axes.grid(alpha=0.3)
    _label(figure, panels, r"signal efficiency $\epsilon_S$", r"background efficiency $\epsilon_B$")
    note = "Lower is better; bands: binomial errors of the background efficiency (68 %); thin grey: a score "
    add_caption(figure, f"{note}without information. {results.caption}")
    return figure


def significance_figure(results: Results) -> Figure:
    r"""Significance improvement :math:`\epsilon_S / \sqrt{\epsilon_B}` against signal efficiency."""

    def draw(axes: Axes, background: NDArray, signal: NDArray, **style) -> None:
        efficiency, ratio, error = significance_improvement(background, signal)
        draw_band(axes, efficiency, ratio, ratio - error, ratio + error, **style)
        axes.plot(efficiency[:1], ratio[:1], "o", markersize=3, color=style["color"])

    figure, panels = _panels(results, draw)
    for axes in panels:
        efficiency = np.linspace(0, 1, 101)
        axes.plot(efficiency, np.sqrt(efficiency), color="0.8", linewidth=0.8, zorder=0)
        axes.set(xlim=(0, 1), ylim=(0, None))
        axes.grid(alpha=0.3)
    _label(figure, panels, r"signal efficiency $\epsilon_S$", r"$\epsilon_S / \sqrt{\epsilon_B}$")
    add_caption(
        figure,
        f"Significance improvement from where {FEWEST_PASSING} background jets pass (dots) on; bands: binomial "
        f"errors of both efficiencies; thin grey: a score without information. {results.caption}",
    )
    return figure


def distribution_figure(results: Results) -> Figure:
    """Distributions of the first four compared scores, by kind of jet."""
    about, found = results.description, scores_of(results)
    shown = compared_scores(about, found[about["background"]])[:4]
    figure = plt.figure(figsize=(4.6, 3.4))
    panels = grid(figure, len(shown), 2)
    for axes, score in zip(panels, shown):
        edges, scale = score_edges(np.concatenate([one[score] for one in found.values()]))
        for style, name in zip(KINDS, [about["background"], *about["signals"]]):
            fill = {"fill": True, "alpha": 0.5} if name == about["background"] else {}
            share, error = shares(found[name][score].clip(edges[0], edges[-1]), edges)
            draw_steps(axes, share, error, edges, label=LABELS.get(name, name), **fill, **style)
        scale_axis(axes, scale)
        axes.set(xlabel=f"{printed_name(score, about)}{_unit(score)}", ylabel="share of jets per bin")
        axes.set_ylim(0, None)
    legend_above(figure, panels[0])
    note = "Bands: statistical errors. Jets outside of the range shown are in the outermost bins. "
    add_caption(figure, f"{note}{results.caption}")
    return figure


def mass_figure(results: Results) -> Figure:
    """How the scores depend on the jet mass in the background, and what they are worth at a given mass."""
    about, background = results.description, _background(results)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.6))
    centres = (PROFILE_BINS[1:] + PROFILE_BINS[:-1]) / 2
    places = np.digitize(background["mass"], PROFILE_BINS)
    chosen = _shown(about, background, 5)
    for score in chosen:
        style = _style(score)
        ranks = (rankdata(background[score]) - 0.5) / len(places)  # equal scores share their mean rank
        low, down, middle, up, high = np.array([profile(ranks[places == one]) for one in BINS_OF_PROFILE]).T
        left.errorbar(centres, middle, (middle - down, up - middle), marker="o", markersize=3, elinewidth=1,
                      label=printed_name(score, about), **style)  # fmt: skip
        if score == about["headline"]:
            left.fill_between(centres, low, high, color=style["color"], alpha=0.12, linewidth=0)
    left.set(xlabel=r"$M_\mathrm{jet}$ [GeV]", ylabel=f"rank of the score among {about['background']} jets")
    left.set_ylim(0, 1)
    left.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    _draw_windows(right, results, {printed_name(score, about): _style(score) for score in chosen})
    legend_above(figure, left, 3)
    add_caption(
        figure,
        "Left: median rank of a background jet (1: the most anomalous) by its mass, with statistical errors, and "
        "of the headline score the central 68 % (band); flat at one half where a score does not know the mass. "
        "Right: AUC of all signals among jets of a mass window, with bootstrap errors; lines span the windows. "
        f"{results.caption}",
    )
    return figure


def profile(ranks: NDArray) -> NDArray:
    r"""Of the ranks of a mass bin: median, its statistical error down and up, and the ends of the central 68 %, in
    the order of size; NaN for less than :data:`FEWEST`.

    The error of the median is that of the share below it, :math:`\sqrt{1/4n}`: of uniform ranks that itself.

    Shapes:
        - **ranks**: :math:`(n,)`
        - **output**: :math:`(5,)`
    """
    if len(ranks) < FEWEST:
        return np.full(5, np.nan)
    error = 0.5 / np.sqrt(len(ranks))
    return np.quantile(ranks, [0.16, 0.5 - error, 0.5, 0.5 + error, 0.84])


def _draw_windows(axes: Axes, results: Results, styles: Mapping[str, Mapping]) -> None:
    table = results.tables["anomaly_mass"].records()
    if not table:
        words = f"no window holds {FEWEST_IN_WINDOW} jets of either kind"
        axes.text(0.5, 0.55, words, transform=axes.transAxes, ha="center", fontsize=9)
        axes.set(xticks=[], yticks=[])
    for number, (name, style) in enumerate(styles.items()):
        rows = [row for row in table if row["score"] == name]
        for row in rows:
            low, high = _window(str(row["window"]))
            place = (low + high) / 2 + (number - 2) * 2
            axes.errorbar(
                place, row["auc"], yerr=row["auc_error"], marker="os^Dv*"[number % 6], markersize=4,
                color=style["color"], capsize=2,
            )  # fmt: skip
            axes.hlines(row["auc"], low, high, color=style["color"], alpha=0.4, linewidth=1)
    axes.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel=r"$M_\mathrm{jet}$ [GeV]", ylabel="AUC, all signals, within the window")


def _window(text: str) -> tuple[float, float]:
    """The ends of a mass window as the table prints it; an open one is drawn up to the end of the profile."""
    if text.startswith("above"):
        return float(text.split()[1]), float(PROFILE_BINS[-1])
    low, _, high = text.partition(" to ")
    return float(low), float(high)


def _background(results: Results) -> Scores:
    return scores_of(results)[results.description["background"]]


def _panels(results: Results, draw) -> tuple[Figure, list[Axes]]:
    """A panel for each signal, in which each compared score is drawn."""
    about, found = results.description, scores_of(results)
    signals = list(signal_samples(found, about["signals"]))
    columns = 2 if len(signals) > 1 else 1
    rows = -(-len(signals) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(4.4 * columns + 0.4, 3.6 * rows + 1.4), sharex=True, sharey=True, squeeze=False
    )
    panels = list(grid.flat)
    for spare in panels[len(signals) :]:
        spare.set_axis_off()
    for axes, (name, signal) in zip(panels, signals):
        for score in _shown(about, signal, 6):
            background = found[about["background"]][score]
            draw(axes, background, signal[score], label=printed_name(score, about), **_style(score))
        axes.set_title(LABELS.get(name, name))
    return figure, panels[: len(signals)]


def _label(figure: Figure, panels: list[Axes], x: str, y: str) -> None:
    for axes in panels:
        axes.set(xlabel=x, ylabel=y)
        axes.label_outer()
    legend_above(figure, panels[0], 3)


def _shown(about: Mapping[str, Any], found: Scores, number: int) -> list[str]:
    """The first compared scores without labels, so many, and all of supervised taggers."""
    supervised, scores = about.get("supervised", {}), compared_scores(about, found)
    return [score for score in scores if score not in supervised][:number] + list(supervised)


def _style(score: str) -> Mapping[str, Any]:
    if score.startswith(SUPERVISED):
        return {**SUPERVISED_STYLE, "linestyle": ("-", "--", "-.", ":")[int(score.partition("_")[2] or 1) % 4 - 1]}
    return SCORE_STYLES.get(score, HEADLINE_STYLE)


def _unit(score: str) -> str:
    units = dict.fromkeys(("chamfer_cartesian", "linear_chamfer_cartesian", "chamfer_lorentz", "mass"), " [GeV]")
    return units.get(score, "")


FIGURES = {
    "anomaly_roc": roc_figure,
    "anomaly_significance": significance_figure,
    "anomaly_scores": distribution_figure,
    "anomaly_mass": mass_figure,
}
