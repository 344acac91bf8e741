"""The equivariance error against the size of the transformation."""

import math

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lgae_pyg.evaluation.results import EvaluationResults
from lgae_pyg.evaluation.style import STYLES, add_caption
from lgae_pyg.tables import Table

CURVES = (
    ("network_norm", "network, all particles", STYLES[0], "o"),
    ("network_max", "network, worst particle", {**STYLES[0], "linestyle": "--"}, "^"),
    ("network_paper", "network, ratio of means", {**STYLES[0], "linestyle": ":"}, "v"),
    ("records_norm", "records to records, all particles", {**STYLES[1], "linestyle": "-"}, "s"),
    ("records_max", "records to records, worst particle", STYLES[1], "D"),
    ("rounding", "rounding of the input", {"color": "0.45", "linestyle": "-."}, "x"),
)


def equivariance_figure(results: EvaluationResults) -> Figure:
    """Errors of boosts against the rapidity and of rotations against the angle, both along z."""
    table = results.tables["equivariance"]
    figure, (boosts, rotations) = plt.subplots(1, 2, figsize=(9.2, 5.2), sharey=True)
    _draw(boosts, table, "boost", 1.0)
    _draw(rotations, table, "rotation", math.pi)
    boosts.set_xlabel(r"rapidity $\alpha$ of the boost along $z$")
    boosts.set_ylabel(r"relative error of $f(\Lambda p) = \Lambda f(p)$")
    top = boosts.secondary_xaxis("top")
    ticks = [0, 2, 4, 6, 8, 10]
    top.set_xticks(ticks, [_short(math.cosh(tick)) for tick in ticks])
    top.set_xlabel(r"$\gamma = \cosh\alpha$")
    boosts.tick_params(top=False)
    rotations.set_xlabel(r"angle of the rotation around $z$ [$\pi$]")
    handles, labels = boosts.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    rotations.set_xticks([0, 0.5, 1, 1.5, 2])
    add_caption(figure, f"{table.caption} Errors of exactly zero are not drawn.")
    return figure


def _draw(axes: Axes, table: Table, kind: str, unit: float) -> None:
    rows = [row for row in table.records() if row["kind"] == kind]
    positions = np.array([row["parameter"] for row in rows]) / unit
    for column, label, style, marker in CURVES:
        values = np.array([row[column] for row in rows], dtype=float)
        drawn = np.where(values > 0, values, np.nan)
        axes.plot(positions, drawn, label=label, marker=marker, markersize=4, markerfacecolor="none", **style)
    axes.set_yscale("log")
    axes.grid(alpha=0.3)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
