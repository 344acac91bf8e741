"""Figures of equivariance errors: along one axis, by precision, along three axes, and within the network."""

import math

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import STYLES, add_caption, if_table, legend_above
from lgae_pyg.tables import Table

AXIS_STYLES = {"x": ("#0072B2", "o"), "y": ("#D55E00", "s"), "z": ("#009E73", "^")}
MEASURE_LINES = {"norm": "-", "paper": ":"}
SCAN_CURVES = (
    ("network_norm", STYLES[0], "o"),
    ("network_max", {**STYLES[0], "linestyle": "--"}, "^"),
    ("network_paper", {**STYLES[0], "linestyle": ":"}, "v"),
    ("records_norm", {**STYLES[1], "linestyle": "-"}, "s"),
    ("records_max", STYLES[1], "D"),
    ("rounding", {"color": "0.45", "linestyle": "-."}, "x"),
)
LIMIT = {"color": "0.45", "linewidth": 1.2}
PRECISION_CURVES = (
    ("float64", "float64", STYLES[0], "o"),
    ("mixed", "mixed precision", STYLES[1], "s"),
    ("float32", "float32", STYLES[2], "^"),
    ("limit_float64", "limit: inputs rounded to float64", {**LIMIT, "linestyle": "-."}, "+"),
    ("limit_float32", "limit: inputs rounded to float32", {**LIMIT, "linestyle": (0, (1, 1))}, "x"),
)


def equivariance_figure(results: Results) -> Figure:
    """Errors of boosts against the rapidity and of rotations against the angle, both along z."""
    table = results.tables["equivariance"]
    figure, (boosts, rotations) = plt.subplots(1, 2, figsize=(9.2, 5.2), sharey=True)
    _draw_scan(boosts, table, "boost", 1.0)
    _draw_scan(rotations, table, "rotation", math.pi)
    boosts.set_xlabel(r"rapidity $\alpha$ of the boost along $z$")
    boosts.set_ylabel(r"relative error of $f(\Lambda p) = \Lambda f(p)$")
    top = boosts.secondary_xaxis("top")
    ticks = [0, 2, 4, 6, 8, 10]
    top.set_xticks(ticks, [_short(math.cosh(tick)) for tick in ticks])
    top.set_xlabel(r"$\gamma = \cosh\alpha$")
    boosts.tick_params(top=False)
    rotations.set_xlabel(r"angle of the rotation around $z$ [$\pi$]")
    legend_above(figure, boosts, 3)
    rotations.set_xticks([0, 0.5, 1, 1.5, 2])
    add_caption(figure, f"{table.caption} Errors of exactly zero are not drawn.")
    return figure


def _draw_scan(axes: Axes, table: Table, kind: str, unit: float) -> None:
    rows = [row for row in table.records() if row["kind"] == kind]
    positions = np.array([row["parameter"] for row in rows]) / unit
    for column, style, marker in SCAN_CURVES:
        values = np.array([row[column] for row in rows], dtype=float)
        drawn = np.where(values > 0, values, np.nan)
        label = table.columns[column]  # as the caption calls it
        axes.plot(positions, drawn, label=label, marker=marker, markersize=4, markerfacecolor="none", **style)
    axes.set_yscale("log")
    axes.grid(alpha=0.3)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def precision_figure(results: Results) -> Figure:
    r"""Errors of boosts along z against :math:`\gamma`, both on logarithmic scales."""
    table = results.tables["equivariance_precision"]
    rows = [row for row in table.records() if row["kind"] == "boost"]
    gamma = np.array([row["gamma"] for row in rows], dtype=float)
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    for column, label, style, marker in PRECISION_CURVES:
        values = np.array([row[column] for row in rows], dtype=float)
        drawn = np.where((values > 0) & np.isfinite(values), values, np.nan)
        axes.plot(gamma, drawn, label=label, marker=marker, markersize=5, markerfacecolor="none", **style)
    axes.axhline(1, color="0.75", linewidth=0.8, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel=r"$\gamma$ of the boost along $z$")
    axes.set(ylabel=r"relative error of $f(\Lambda p) = \Lambda f(p)$")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2)
    notes = "Thin line: an error as large as the output. Values that are zero or not finite are not drawn."
    add_caption(figure, f"{table.caption} {notes}")
    return figure


def axes_figure(results: Results) -> Figure:
    """Errors of boosts and rotations in two units; float64 below, float32 above, in the same panel (Fig. 9)."""
    records = results.tables["equivariance_axes"].records()
    figure, grid = plt.subplots(2, 2, figsize=(9.6, 7.4), sharex="col", sharey=True)
    for row, unit in zip(grid, ("TeV", "PeV")):
        for axes, kind in zip(row, ("boost", "rotation")):
            for axis, (colour, marker) in AXIS_STYLES.items():
                for precision, fill in (("float64", "none"), ("float32", colour)):
                    wanted = {"unit": unit, "kind": kind, "axis": axis, "precision": precision}
                    chosen = [one for one in records if wanted.items() <= one.items()]
                    scale = math.pi if kind == "rotation" else 1.0
                    places = [one["parameter"] / scale for one in chosen]
                    for measure, line in MEASURE_LINES.items():
                        values = np.array([one[measure] for one in chosen], float)
                        axes.plot(
                            places, np.where(values > 0, values, np.nan), color=colour, linestyle=line,
                            marker=marker, markersize=4, markerfacecolor=fill,
                            label=f"{axis}, {precision}, {measure}",
                        )  # fmt: skip
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
            axes.set_title(f"{kind}s, momenta in {unit}")
        row[0].set_ylabel("relative error")
    grid[1, 0].set_xlabel(r"rapidity of the boost, $\gamma = \cosh\alpha$")
    grid[1, 1].set_xlabel(r"angle of the rotation [$\pi$]")
    legend_above(figure, grid[0, 0], 4, fontsize=8)
    add_caption(figure, f"Errors of exactly zero are not drawn. {results.tables['equivariance_axes'].caption}")
    return figure


def internal_figure(results: Results) -> Figure:
    """Errors within the network against the layer, of models with Lorentz message passing."""
    table = results.tables["internal_equivariance"]
    records = table.records()
    layers = list(dict.fromkeys(one["layer"] for one in records))
    figure, axes = plt.subplots(figsize=(7.6, 4.6))
    for number, rapidity in enumerate(dict.fromkeys(one["rapidity"] for one in records)):
        chosen = [one for one in records if one["rapidity"] == rapidity]
        axes.plot(
            [layers.index(one["layer"]) for one in chosen], [one["norm"] for one in chosen],
            marker="os^D"[number % 4], label=rf"$\gamma$ = {chosen[0]['gamma']:.4g}",
            **STYLES[number % len(STYLES)],
        )  # fmt: skip
    axes.set_xticks(range(len(layers)), layers, rotation=30, ha="right")
    axes.set(yscale="log", ylabel="relative error")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4)
    add_caption(figure, table.caption)
    return figure


FIGURES = {
    "equivariance_axes": axes_figure,
    "internal_equivariance": if_table("internal_equivariance", internal_figure),
}
