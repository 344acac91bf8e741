"""The equivariance error of boosts by precision, with the limits that rounded inputs set."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lgae_pyg.evaluation.results import EvaluationResults
from lgae_pyg.evaluation.style import STYLES, add_caption

LIMIT = {"color": "0.45", "linewidth": 1.2}
CURVES = (
    ("float64", "float64", STYLES[0], "o"),
    ("mixed", "mixed precision", STYLES[1], "s"),
    ("float32", "float32", STYLES[2], "^"),
    ("limit_float64", "limit: inputs rounded to float64", {**LIMIT, "linestyle": "-."}, "+"),
    ("limit_float32", "limit: inputs rounded to float32", {**LIMIT, "linestyle": (0, (1, 1))}, "x"),
)


def precision_figure(results: EvaluationResults) -> Figure:
    r"""Errors of boosts along z against :math:`\gamma`, both on logarithmic scales."""
    table = results.tables["equivariance_precision"]
    rows = [row for row in table.records() if row["kind"] == "boost"]
    gamma = np.array([row["gamma"] for row in rows], dtype=float)
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    for column, label, style, marker in CURVES:
        values = np.array([row[column] for row in rows], dtype=float)
        drawn = np.where((values > 0) & np.isfinite(values), values, np.nan)
        axes.plot(gamma, drawn, label=label, marker=marker, markersize=5, markerfacecolor="none", **style)
    axes.axhline(1, color="0.75", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(r"$\gamma$ of the boost along $z$")
    axes.set_ylabel(r"relative error of $f(\Lambda p) = \Lambda f(p)$")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2)
    notes = "Thin line: an error as large as the output. Values that are zero or not finite are not drawn."
    add_caption(figure, f"{table.caption} {notes}")
    return figure
