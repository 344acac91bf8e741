"""Figures of the symmetry study: equivariance errors along three axes, and within the network."""

import math

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lgae_pyg.evaluation.study_results import StudyResults
from lgae_pyg.evaluation.style import STYLES, add_caption

AXIS_STYLES = {"x": ("#0072B2", "o"), "y": ("#D55E00", "s"), "z": ("#009E73", "^")}
MEASURE_LINES = {"norm": "-", "paper": ":"}


def axes_figure(results: StudyResults) -> Figure:
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
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8)
    add_caption(figure, f"Errors of exactly zero are not drawn. {results.tables['equivariance_axes'].caption}")
    return figure


def internal_figure(results: StudyResults) -> Figure | None:
    """Errors within the network against the layer; nothing for models without Lorentz message passing."""
    table = results.tables.get("internal_equivariance")
    if table is None:
        return None
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
    axes.set_yscale("log")
    axes.set_ylabel("relative error")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4)
    add_caption(figure, table.caption)
    return figure


FIGURES = {"equivariance_axes": axes_figure, "internal_equivariance": internal_figure}
