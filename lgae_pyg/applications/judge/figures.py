"""Figures of a verdict: ROC and significance curves, distributions of scores, the mass before and after cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lgae_pyg.applications.judge.comparisons import Comparison
from lgae_pyg.applications.judge.jets import QUANTITIES
from lgae_pyg.applications.judge.numbers import CUTS
from lgae_pyg.applications.judge.verdict import Verdict
from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption, legend_above, save_figure, scale_axis
from lgae_pyg.metrics.roc import FEWEST_PASSING, drawn_curve, significance_improvement
from lgae_pyg.metrics.sculpting import FEWEST_PASSING as FEWEST_KEPT
from lgae_pyg.metrics.sculpting import bins_for, cut_shares, enough_pass
from lgae_pyg.metrics.statistics import shares
from lgae_pyg.training.drawing import SHOWN, draw_band, draw_steps, score_edges
from lgae_pyg.training.tagging_panels import class_style, draw_rejection, grid

Array = NDArray[np.float64]

#: At most so many rows of ROC panels, curves in each, and panels of scores or masses.
MOST_SIGNALS, MOST_CURVES, MOST_PANELS = 5, 6, 8
REFERENCE_STYLES: dict[str, dict[str, Any]] = {
    "mass": {"color": "0.25", "linestyle": (0, (5, 1, 1, 1))},
    "num_particles": {"color": "0.5", "linestyle": "--"},
    "pt": {"color": "0.5", "linestyle": ":"},
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
    turned = False
    for row, ((background, signal), group) in zip(panels, shown):
        _draw_pair(row, verdict, group)
        turned = turned or any("(-)" in line.get_label() for line in row[0].lines)
        row[0].set_ylabel(r"background rejection $1 / \epsilon_B$")
        row[1].set_ylabel(r"significance improvement $\epsilon_S / \sqrt{\epsilon_B}$")
        for axes in row:
            axes.set_title(f"{_plain(signal)} against {_plain(background)}")
    for axes in panels[-1]:
        axes.set_xlabel(r"signal efficiency $\epsilon_S$")
    _legend(figure, list(panels[:, 0]))
    lost, many = len(groups) - len(shown), max(len(group) for group in groups.values()) > MOST_CURVES
    add_caption(
        figure,
        "Higher is better. Bands: binomial errors (68 %), left of the background efficiency, right of both; "
        "thin grey: a score without information. The right curves begin, with a dot, where "
        f"{FEWEST_PASSING} background jets pass. "
        + ("(-): with the other sign. " if turned else "")
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
            share, error = shares(of.clip(edges[0], edges[-1]), edges)
            draw_steps(axes, share, error, edges, label=_plain(kind), linewidth=1.4, **class_style(place))
        scale_axis(axes, scale)
        axes.set(xlabel=_plain(name), ylabel="share of jets per bin", xlim=(edges[0], edges[-1]), ylim=(0, None))
    legend_above(figure, figure.axes[0], min(len(jets.class_names), 5))
    lost = len(verdict.words) - len(names)
    more = f"{lost} further scores are left out. " if lost else ""
    note = "Shares of the jets of each class; bands: statistical errors. Jets outside of the range shown are in "
    add_caption(figure, f"{note}the outermost bins. {more}{_jets(verdict)}")
    return figure


def mass_figure(verdict: Verdict) -> Figure:
    """The mass of the background, all of it and what passes cuts on each score in the direction of the signal."""
    asked = list({one.score: one for one in verdict.comparisons if one.headline}.values())[:MOST_PANELS]
    figure = plt.figure(figsize=(4.2, 3.6))
    masses, drawn, turned = verdict.jets.quantities["mass"], set[float](), False
    for axes, one in zip(grid(figure, len(asked), 3), asked):
        sign = _sign(verdict, one)
        score, mass = sign * verdict.jets.scores[one.score][one.is_background], masses[one.is_background]
        drawn |= _draw_masses(axes, score, mass)
        turned = turned or sign < 0
        axes.set_title(_plain(one.score) + ("" if sign > 0 else " (-)"))
        axes.set(xlabel=r"$M_\mathrm{jet}$ [GeV]", ylabel="share of jets per GeV", ylim=(0, None))
    _legend(figure, figure.axes[: len(asked)])
    background = ", ".join(dict.fromkeys(one.background for one in asked))
    lost, missing = len(verdict.words) - len(asked), [cut for cut in CUTS if cut not in drawn]
    cuts = " and ".join(f"{cut:g}" for cut in CUTS if cut in drawn)
    add_caption(
        figure,
        f"Mass of the background ({background})"
        + (rf", all of it and what passes cuts on the score at $\epsilon_B$ = {cuts}; equal curves: the score "
           "does not sculpt" if cuts else "")
        + ". Bands: statistical errors; the central 99.6 % of the masses are shown. "
        + ("(-): small values pass. " if turned else "")
        + "".join(f"A cut of {cut:g} is not drawn: fewer than {FEWEST_KEPT} jets pass. " for cut in missing)
        + (f"{lost} further scores are left out. " if lost else "") + _jets(verdict),
    )  # fmt: skip
    return figure


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
        _draw_curve(row, values[one.is_background], values[one.is_signal], label, style)
    chance = np.geomspace(1 / size, 1, 400)
    for axes, values in zip(row, (1 / chance, np.sqrt(chance))):
        axes.plot(chance, values, color="0.8", linewidth=0.8, zorder=0)
        axes.set_xlim(0, 1)
        axes.grid(alpha=0.3)
    row[0].set(yscale="log", ylim=(1, size))
    row[1].set_ylim(0, None)


def _draw_curve(
    row: Sequence[Axes], background: Array, signal: Array, label: str, style: Mapping[str, Any]
) -> None:
    draw_rejection(row[0], *drawn_curve(background, signal), len(background), label, style)
    efficiency, ratio, error = significance_improvement(background, signal)
    draw_band(row[1], efficiency, ratio, ratio - error, ratio + error, **style)
    row[1].plot(efficiency[:1], ratio[:1], "o", markersize=3, color=style["color"])


def _draw_masses(axes: Axes, score: Array, mass: Array) -> set[float]:
    """All masses, and those that pass each cut of which the table has the effect; returns these cuts."""
    low, high = np.quantile(mass, SHOWN)
    high = high if high > low else low + 1
    drawn = {cut for cut in CUTS if enough_pass(len(mass), cut)}
    kinds = [("all background", 1.0, {"color": "0.45", "linestyle": "-"})]
    kinds += [(rf"$\epsilon_B$ = {cut:g}", cut, style) for cut, style in zip(CUTS, STYLES) if cut in drawn]
    for label, cut, style in kinds:
        edges = np.linspace(low, high, bins_for(cut * len(mass)) + 1)
        share, error = (one / np.diff(edges) for one in shares(mass, edges, cut_shares(score, cut)))
        draw_steps(axes, share, error, edges, label=label, linewidth=1.4, **style)
    axes.set_xlim(low, high)
    return drawn


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
