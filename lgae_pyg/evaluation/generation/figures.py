"""Distributions of true and rebuilt jets, and their distances against what two halves of the truth have."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lgae_pyg.evaluation.reconstruction.histograms import RATIO, Histogram, histograms
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import STYLES, add_caption
from lgae_pyg.training.tagging_panels import score_bins

SHOWN = (0.003, 0.997)
#: End of the axis of distances from which only powers of ten are printed on it.
MANY_TICKS = 300


def distributions_figure(results: Results) -> Figure:
    """Histograms of every feature that is compared, with ratios to the truth."""
    names = [key.partition("/")[2] for key in results.arrays if key.startswith("found/")]
    samples = []
    for name in names:
        true, found = (results.arrays[f"{kind}/{name}"] for kind in ("true", "found"))
        window = tuple(np.quantile(true, SHOWN))
        bins, logarithmic = score_bins(len(true)), name.endswith("_rel")
        samples.append(Histogram(name, window, bins, true, {results.label: found}, logarithmic))
    caption = f"Central 99.4 % of the truth; {RATIO} {results.caption}"
    return histograms(samples, "entries", caption, {results.label: STYLES[0]})


def distances_figure(results: Results) -> Figure:
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
    top = axes.get_xlim()[1]
    steps = (2, 5, 10) if top < MANY_TICKS else (10,)
    ticks = [0, 0.5, 1, *(step * 10.0**power for power in range(9) for step in steps)]
    axes.set_xticks([tick for tick in ticks if tick <= top], minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0, top)
    axes.invert_yaxis()
    axes.set_xlabel("distance / distance of two halves of the truth (or its error, if larger)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2)
    add_caption(figure, f"Linear below 1, logarithmic above. {results.caption}")
    return figure


FIGURES = {"generation_distributions": distributions_figure, "generation_distances": distances_figure}
