"""Figures of a verdict: ROC and significance curves, distributions of scores, the mass before and after cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from lgae_pyg.applications.judge.comparisons import Comparison
from lgae_pyg.applications.judge.jets import QUANTITIES
from lgae_pyg.applications.judge.numbers import CUTS
from lgae_pyg.applications.judge.verdict import Verdict
from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption, label_few_decades, legend_above, save_figure
from lgae_pyg.metrics.roc import FEWEST_PASSING, roc_curve
from lgae_pyg.metrics.sculpting import cut_shares
from lgae_pyg.training.tagging_panels import class_style, grid

Array = NDArray[np.float64]

#: At most so many rows of ROC panels, curves in each, and panels of scores or masses.
MOST_SIGNALS, MOST_CURVES, MOST_PANELS = 5, 6, 8
#: Points of a curve that are drawn, bins, and the share of the jets that an axis shows.
POINTS, BINS, SHOWN = 400, 50, (0.002, 0.998)
#: Fewest jets whose mass is drawn.
FEWEST_DRAWN = 30
#: Ratio of largest and smallest score from which their axis is logarithmic; of their distances from 1, from which
#: that of probabilities is one of log odds.
WIDE = 30
REFERENCE_STYLES = {
    "mass": {"color": "0.35", "linestyle": (0, (5, 1, 1, 1))},
    "num_particles": {"color": "0.6", "linestyle": "--"},
    "pt": {"color": "0.75", "linestyle": ":"},
}


def save_figures(verdict: Verdict, folder: Path) -> dict[str, Path]:
    """Draws ``roc``, ``scores``, and ``mass`` where it is known; returns their PNG files by name."""
    draw = {"roc": roc_figure, "scores": score_figure}
    if "mass" in verdict.jets.quantities:
        draw["mass"] = mass_figure
    with plt.rc_context(SETTINGS):
        return {name: save_figure(one(verdict), folder, name)[0] for name, one in draw.items()}


def roc_figure(verdict: Verdict) -> Figure:
    """Background rejection and significance improvement against signal efficiency, a row for each signal; scores
    that point the other way are read the other way."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in verdict.comparisons:
        groups.setdefault((one.background, one.signal), []).append(one)
    shown = list(groups.items())[-MOST_SIGNALS:]
    figure, panels = plt.subplots(
        len(shown), 2, figsize=(9.6, 3.6 * len(shown) + 1.3), squeeze=False, sharex=True
    )
    for row, ((background, signal), group) in zip(panels, shown):
        _draw_pair(row, verdict, group)
        row[0].set_ylabel(r"background rejection $1 / \epsilon_B$")
        row[1].set_ylabel(r"significance improvement $\epsilon_S / \sqrt{\epsilon_B}$")
        for axes in row:
            axes.set_title(f"{_plain(signal)} against {_plain(background)}")
    for axes in panels[-1]:
        axes.set_xlabel(r"signal efficiency $\epsilon_S$")
    _legend(figure, panels[:, 0])
    lost, many = len(groups) - len(shown), max(len(group) for group in groups.values()) > MOST_CURVES
    add_caption(
        figure,
        "Higher is better; bands: binomial errors of the background efficiency; light grey: a score without "
        f"information. Right: where at least {FEWEST_PASSING} background jets pass. (-): with the other sign. "
        + (f"The first {lost} signals are left out. " if lost else "")
        + (f"The {MOST_CURVES} scores with an AUC farthest from 0.5. " if many else "") + _jets(verdict),
    )  # fmt: skip
    return figure


def score_figure(verdict: Verdict) -> Figure:
    """Distributions of each score, by class."""
    jets, figure = verdict.jets, plt.figure(figsize=(4.2, 3.5))
    names = list(verdict.words)[:MOST_PANELS]
    for axes, name in zip(grid(figure, len(names), 3), names):
        values = jets.scores[name]
        edges, scale = score_edges(values)
        for place, kind in enumerate(jets.class_names):
            of = values[jets.y == place]
            counts, _ = np.histogram(of.clip(edges[0], edges[-1]), edges)
            style = class_style(place)
            axes.stairs(counts / len(of), edges, label=_plain(kind), linewidth=1.4, **style)
        axes.set_xscale(scale)
        if scale == "log":
            label_few_decades(axes.xaxis)
        if scale != "linear":
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=_plain(name), ylabel="share of jets per bin", xlim=(edges[0], edges[-1]), ylim=(0, None))
    legend_above(figure, figure.axes[0], min(len(jets.class_names), 5))
    lost = len(verdict.words) - len(names)
    more = f"{lost} further scores are left out. " if lost else ""
    add_caption(figure, f"Jets outside of the range shown are in the outermost bins. {more}{_jets(verdict)}")
    return figure


def mass_figure(verdict: Verdict) -> Figure:
    """The mass of the background, all of it and what passes cuts on each score in the direction of the signal."""
    asked = list({one.score: one for one in verdict.comparisons if one.headline}.values())[:MOST_PANELS]
    figure = plt.figure(figsize=(4.2, 3.6))
    masses = verdict.jets.quantities["mass"]
    for axes, one in zip(grid(figure, len(asked), 3), asked):
        sign = _sign(verdict, one)
        score, mass = sign * verdict.jets.scores[one.score][one.is_background], masses[one.is_background]
        _draw_masses(axes, score, mass)
        axes.set_title(_plain(one.score) + ("" if sign > 0 else " (-)"))
        axes.set(xlabel=r"$M_\mathrm{jet}$ [GeV]", ylabel="share of jets per GeV", ylim=(0, None))
    legend_above(figure, figure.axes[0])
    background = ", ".join(dict.fromkeys(one.background for one in asked))
    lost = len(verdict.words) - len(asked)
    more = f"{lost} further scores are left out. " if lost else ""
    add_caption(
        figure,
        f"Mass of the background ({background}), all of it and what passes cuts on the score at background "
        f"efficiencies of {CUTS[0]:g} and {CUTS[1]:g}; bands: statistical errors; equal curves: the score does "
        f"not sculpt. (-): small values pass. Jets beyond the range, and cuts that fewer than "
        f"{FEWEST_DRAWN} jets pass, are not shown. {more}{_jets(verdict)}",
    )
    return figure


def score_edges(values: Array) -> tuple[Array, str]:
    """Edges of the bins of a score, and the scale of its axis: ``linear``, ``log`` or, for probabilities near 1,
    ``logit``; infinite scores fall into the last bins."""
    low, high = np.quantile(values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1), SHOWN)
    if low == high:
        width = max(abs(low), 1.0) / 2
        low, high = low - width, high + width
    if (values == np.round(values)).all() and high - low < 1e6:  # whole numbers share bins evenly
        step = max(1, int(np.ceil((high - low + 1) / BINS)))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + step, step), "linear"
    below = values[values < 1]
    if low > 0 and below.size and (values <= 1).all():
        top = min(high, below.max())  # where rounded to 1, the odds would be infinite
        if top > low and 1 - low > WIDE * (1 - top):
            odds = np.linspace(np.log(low / (1 - low)), np.log(top / (1 - top)), BINS + 1)
            return 1 / (1 + np.exp(-odds)), "logit"
    logarithmic = bool(low > 0 and high > WIDE * low)
    return (np.geomspace if logarithmic else np.linspace)(low, high, BINS + 1), "log" if logarithmic else "linear"


def thinned(passing: Array, efficiency: Array) -> NDArray[np.int64]:
    """Points of a ROC curve that show all of it: equally far from each other in signal efficiency, and in the
    logarithm of the background efficiency."""
    low = passing[passing > 0].min(initial=1.0)
    chosen = [
        np.searchsorted(efficiency, np.linspace(0, 1, POINTS)),
        np.searchsorted(passing, np.geomspace(low, 1, POINTS)),
        [0, len(passing) - 1],
    ]
    return np.unique(np.concatenate(chosen).clip(0, len(passing) - 1)).astype(np.int64)


def _draw_pair(row: Sequence[Axes], verdict: Verdict, group: Sequence[Comparison]) -> None:
    """The curves of some scores and of the quantities alone, for one background and signal."""
    jets, one = verdict.jets, group[0]
    curves = [
        (f"{_plain(each.score)}{'' if _sign(verdict, each) > 0 else ' (-)'}",
         _sign(verdict, each) * jets.scores[each.score], _curve_style(verdict, each.score))
        for each in sorted(group, key=lambda each: -_distance(verdict, each))[:MOST_CURVES]
    ]  # fmt: skip
    for number in verdict.numbers:
        if number.quantity and (number.background, number.signal) == (one.background, one.signal):
            sign = 1 if number.merits["larger"]["auc"] >= 0.5 else -1
            label = f"{QUANTITIES[number.quantity]} alone{'' if sign > 0 else ' (-)'}"
            values = sign * jets.quantities[number.quantity]
            curves.append((label, values, REFERENCE_STYLES[number.quantity]))
    size = int(one.is_background.sum())
    for label, values, style in curves:
        passing, efficiency = roc_curve(values[one.is_background], values[one.is_signal])
        _draw_curve(row, passing, efficiency, size, label, style)
    chance = np.geomspace(1 / size, 1, POINTS)
    for axes, values in zip(row, (1 / chance, np.sqrt(chance))):
        axes.plot(chance, values, color="0.85", linewidth=0.8, zorder=0)
        axes.set_xlim(0, 1)
        axes.grid(alpha=0.3)
    row[0].set(yscale="log", ylim=(1, size))
    row[1].set_ylim(0, None)


def _draw_curve(
    row: Sequence[Axes], passing: Array, efficiency: Array, size: int, label: str, style: Mapping[str, Any]
) -> None:
    points = thinned(passing, efficiency)
    x, y = passing[points], efficiency[points]
    error = np.sqrt(x * (1 - x) / size)
    some = x > 0
    with np.errstate(divide="ignore"):
        high = np.where(x > error, 1 / (x - error), size)
    row[0].plot(y[some], 1 / x[some], label=label, **style)
    row[0].fill_between(
        y[some], 1 / (x + error)[some], high[some], color=style["color"], alpha=0.15, linewidth=0
    )
    enough = x * size >= FEWEST_PASSING - 1e-9
    ratio = y[enough] / np.sqrt(x[enough])
    row[1].plot(y[enough], ratio, **style)
    spread = ratio * error[enough] / (2 * x[enough])
    row[1].fill_between(y[enough], ratio - spread, ratio + spread, color=style["color"], alpha=0.15, linewidth=0)


def _draw_masses(axes: Axes, score: Array, mass: Array) -> None:
    low, high = np.quantile(mass, SHOWN)
    edges = np.linspace(low, high if high > low else low + 1, BINS // 2 + 1)
    width = np.diff(edges)
    kinds = [("all background", np.ones(len(mass)), {"color": "0.45", "linestyle": "-"})]
    for cut, style in zip(CUTS, STYLES):
        if cut * len(mass) >= FEWEST_DRAWN:
            kinds.append((rf"$\epsilon_B$ = {cut:g}", cut_shares(score, cut), style))
    for label, weights, style in kinds:
        counts, _ = np.histogram(mass, edges, weights=weights)
        squares, _ = np.histogram(mass, edges, weights=weights**2)
        share, error = counts / weights.sum() / width, np.sqrt(squares) / weights.sum() / width
        axes.stairs(share, edges, label=label, linewidth=1.4, **style)
        axes.stairs(share + error, edges, baseline=np.maximum(share - error, 0), fill=True, alpha=0.2,
                    color=style["color"])  # fmt: skip
    axes.set_xlim(edges[0], edges[-1])


def _area(verdict: Verdict, asked: Comparison) -> float:
    key = (asked.score, asked.background, asked.signal)
    found = (one for one in verdict.numbers if not one.quantity)
    return next(one.merits["larger"]["auc"] for one in found if (one.score, one.background, one.signal) == key)


def _distance(verdict: Verdict, asked: Comparison) -> float:
    return abs(_area(verdict, asked) - 0.5)


def _sign(verdict: Verdict, asked: Comparison) -> int:
    return 1 if _area(verdict, asked) >= 0.5 else -1


def _curve_style(verdict: Verdict, score: str) -> dict[str, Any]:
    place = list(verdict.words).index(score)
    return class_style(place)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, which may hold different curves."""
    found: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found |= dict(zip(labels, handles))
    figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=min(len(found), 4))


def _plain(name: str) -> str:
    """A name from a file as it is drawn: nothing in it is a formula, and none is hidden from legends."""
    text = name if len(name) <= 40 else name[:37] + "..."
    return "\u200b" * text.startswith("_") + text.replace("$", r"\$")


def _jets(verdict: Verdict) -> str:
    jets = verdict.jets
    counts = (f"{int((jets.y == place).sum()):,} {name}" for place, name in enumerate(jets.class_names))
    return f"Jets: {', '.join(counts)}.".replace("$", r"\$")
