"""Distributions of true and rebuilt jets, and their distances against what two halves of the truth have."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lgae_pyg.evaluation.study_results import StudyResults
from lgae_pyg.evaluation.style import LABELS, STYLES, TRUTH_COLOUR, add_caption

BINS, SHOWN = 50, (0.003, 0.997)


def distributions_figure(results: StudyResults) -> Figure:
    """Histograms of every feature that is compared, with ratios to the truth."""
    names = [key.partition("/")[2] for key in results.arrays if key.startswith("found/")]
    size = (3.1 * len(names) + 0.5, 4.8)
    figure, axes = plt.subplots(2, len(names), figsize=size, height_ratios=(3, 1), sharex="col", squeeze=False)
    for name, upper, lower in zip(names, *axes):
        true, found = results.arrays[f"true/{name}"], results.arrays[f"found/{name}"]
        edges = np.linspace(*np.quantile(true, SHOWN), BINS + 1)
        counts, rebuilt = (np.histogram(one, edges)[0] for one in (true, found))
        upper.stairs(counts, edges, fill=True, color=TRUTH_COLOUR, label="truth")
        upper.stairs(rebuilt, edges, baseline=None, label=results.label, **STYLES[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            lower.stairs(np.where(counts > 0, rebuilt / counts, np.nan), edges, baseline=None, **STYLES[0])
            spread = np.where(counts > 0, 1 / np.sqrt(counts), np.nan)
        band = np.append(spread, spread[-1])
        lower.fill_between(edges, 1 - band, 1 + band, step="post", color=TRUTH_COLOUR, linewidth=0)
        lower.set(ylim=(0, 2), xlabel=LABELS[name])
        if name.endswith("_rel"):
            upper.set_yscale("log")
    axes[0, 0].set_ylabel("entries per bin")
    axes[1, 0].set_ylabel("ratio to truth")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    add_caption(figure, f"Central 99.4 % of the truth; grey below: its statistical error. {results.caption}")
    return figure


def distances_figure(results: StudyResults) -> Figure:
    """Each distance in units of that between two halves of the truth."""
    rows = results.tables["generation"].records()
    figure, axes = plt.subplots(figsize=(7.2, 0.4 * len(rows) + 2.2))
    places = np.arange(len(rows))
    floors = np.array([max(row["floor"], row["floor_error"], 1e-300) for row in rows])
    values = np.array([max(row["value"], 0.0) for row in rows]) / floors
    errors = np.array([row["error"] for row in rows]) / floors
    axes.errorbar(values, places, xerr=errors, fmt="o", color=STYLES[0]["color"], capsize=2, label=results.label)
    axes.axvline(1.0, color="0.5", linestyle="--", label="two halves of the truth")
    axes.set_yticks(places, [row["distance"] for row in rows])
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    axes.set_xlabel("distance / distance of two halves of the truth (or its error, if larger)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2)
    add_caption(figure, f"Linear below 1, logarithmic above. {results.caption}")
    return figure


FIGURES = {"generation_distributions": distributions_figure, "generation_distances": distances_figure}
