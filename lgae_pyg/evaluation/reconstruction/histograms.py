"""Distributions of particle and jet features, true and reconstructed, and of their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lgae_pyg.evaluation.reconstruction.rebuilt import (
    Rebuilt,
    jet_errors,
    particle_errors,
    stored,
    with_particles,
    without_particles,
)
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import LABELS, STYLES, TRUTH_COLOUR, add_caption, legend_above
from lgae_pyg.metrics import JET_FEATURES, PARTICLE_FEATURES, jet_features, particle_features
from lgae_pyg.training.drawing import mark_outside

PARTICLE_WINDOWS = {"pt_rel": (0.0, 0.3), "eta_rel": (-0.5, 0.5), "phi_rel": (-0.5, 0.5)}
MASS_WINDOW = (0.0, 250.0)
PARTICLE_BINS, JET_BINS, ERROR_BINS = 80, 50, 81
MANY_JETS = 2000
SMALLEST_ERROR = 1e-17
Styles = Mapping[str, Mapping[str, str]]


#: What captions say of the ratios.
RATIO = "below, ratio to the truth, whose statistical error is grey (arrows: beyond the axis)."


@dataclass(frozen=True)
class Histogram:
    """The values of one feature: true ones and, by label, reconstructed ones."""

    name: str
    window: tuple[float, float]
    bins: int
    target: np.ndarray
    reconstructed: dict[str, np.ndarray]
    logarithmic: bool = False


def histograms(samples: Sequence[Histogram], what: str, caption: str, styles: Styles) -> Figure:
    """A panel for each feature, with the ratio to the truth below it; at most three beside each other.

    Args:
        samples: what is drawn.
        what: is counted, e.g. ``jets``.
        caption: stands below.
        styles: of the models by label.
    """
    columns = len(samples) if len(samples) < 4 else 2 if len(samples) == 4 else 3
    rows = -(-len(samples) // columns)
    size = (3.6 if columns == 1 else 9.6, 4.0 * rows + 0.8)
    figure, axes = plt.subplots(2 * rows, columns, figsize=size, height_ratios=(3, 1) * rows, squeeze=False)
    for number, sample in enumerate(samples):
        row, column = divmod(number, columns)
        upper, lower = axes[2 * row : 2 * row + 2, column]
        upper.sharex(lower)
        upper.tick_params(labelbottom=False)
        _draw_sample(sample, upper, lower, what, styles)
        if column == 0:
            lower.set_ylabel("ratio")
    for spare in axes[-2:, len(samples) - (rows - 1) * columns :].flat:
        spare.set_axis_off()
    legend_above(figure, axes[0, 0], min(len(styles) + 1, 4))
    add_caption(figure, caption)
    return figure


def particle_histograms(results: Results) -> Figure:
    """Relative transverse momentum, pseudorapidity and azimuth of the particles, with ratios to the truth."""
    jets, rebuilt = stored(results)
    target = particle_features(jets.p4, jets.ptr).numpy()
    found = {one.label: particle_features(one.jets.p4, one.jets.ptr).numpy() for one in with_particles(rebuilt)}
    samples = [
        Histogram(
            name, PARTICLE_WINDOWS[name], PARTICLE_BINS, target[:, column],
            {label: values[:, column] for label, values in found.items()}, logarithmic=True,
        )
        for column, name in enumerate(PARTICLE_FEATURES)
    ]  # fmt: skip
    caption = f"Particles relative to their jet; {RATIO} "
    caption += without_particles(rebuilt)
    return histograms(samples, "particles", f"{caption}{results.caption}", styles_of(rebuilt))


def jet_histograms(results: Results) -> Figure:
    """Mass, transverse momentum, pseudorapidity and azimuth of the jets, with ratios to the truth."""
    jets, rebuilt = stored(results)
    target = jet_features(jets.p4, jets.ptr).numpy()
    found = {one.label: jet_features(one.jets.p4, one.jets.ptr).numpy() for one in rebuilt}
    windows = {"mass": MASS_WINDOW, "phi": (-np.pi, np.pi)}
    bins = JET_BINS if len(target) > MANY_JETS else JET_BINS // 2
    samples = [
        Histogram(
            name, windows.get(name) or _window(target[:, column]), bins, target[:, column],
            {label: values[:, column] for label, values in found.items()},
        )
        for column, name in enumerate(JET_FEATURES)
    ]  # fmt: skip
    caption = f"Jets, sums of their particles (or pixels) with energies as the models output them; {RATIO}"
    return histograms(samples, "jets", f"{caption} {results.caption}", styles_of(rebuilt))


def particle_residuals(results: Results) -> Figure:
    """Distributions of the relative errors of the particle features, and of their sizes."""
    target, rebuilt = stored(results)
    shown = with_particles(rebuilt)
    errors = {one.label: particle_errors(one, target)[0].numpy() for one in shown}
    caption = without_particles(rebuilt) + results.caption
    order = ", after matching" if any(one.matched for one in shown) else ""
    return _residuals(errors, PARTICLE_FEATURES, f"particles{order}", caption, styles_of(rebuilt))


def jet_residuals(results: Results) -> Figure:
    """Distributions of the relative errors of the jet features, and of their sizes."""
    target, rebuilt = stored(results)
    errors = {one.label: jet_errors(one, target).numpy() for one in rebuilt}
    return _residuals(errors, JET_FEATURES, "jets", results.caption, styles_of(rebuilt))


def styles_of(rebuilt: Sequence[Rebuilt]) -> Styles:
    """Colour and line style of each model by its label, the same in all figures."""
    return {one.label: STYLES[number % len(STYLES)] for number, one in enumerate(rebuilt)}


def _window(values: np.ndarray) -> tuple[float, float]:
    """A window that holds all but the last half per cent on either side, with a margin."""
    low, high = np.quantile(values, [0.005, 0.995])
    margin = 0.1 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _draw_sample(sample: Histogram, upper: Axes, lower: Axes, what: str, styles: Styles) -> None:
    edges = np.linspace(*sample.window, sample.bins + 1)
    counts, _ = np.histogram(sample.target, edges)
    upper.stairs(counts, edges, fill=True, color=TRUTH_COLOUR, label="truth")
    with np.errstate(divide="ignore"):
        spread = np.where(counts > 0, 1 / np.sqrt(counts), np.nan)
    band = np.append(spread, spread[-1])
    lower.fill_between(edges, 1 - band, 1 + band, step="post", color=TRUTH_COLOUR, linewidth=0)
    lower.set(ylim=(0, 2), yticks=[0.5, 1, 1.5])
    centres = (edges[1:] + edges[:-1]) / 2
    for label, values in sample.reconstructed.items():
        found, _ = np.histogram(values, edges)
        upper.stairs(found, edges, label=label, baseline=None, **styles[label])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(counts > 0, found / counts, np.nan)
        lower.stairs(ratio, edges, baseline=None, **styles[label])
        mark_outside(lower, centres, ratio, styles[label]["color"])
    width = edges[1] - edges[0]
    unit = " GeV" if "GeV" in LABELS[sample.name] else (" rad" if "rad" in LABELS[sample.name] else "")
    upper.set_ylabel(f"{what} / {width:.3g}{unit}")
    if sample.logarithmic:
        upper.set(yscale="log", ylim=(0.7, None))
    lower.set_xlim(*sample.window)
    lower.set_xlabel(LABELS[sample.name])


def _residuals(
    errors: dict[str, np.ndarray], features: Sequence[str], what: str, caption: str, styles: Styles
) -> Figure:
    figure, axes = plt.subplots(2, len(features), figsize=(3.7 * len(features) + 0.4, 5.8), squeeze=False)
    for column, name in enumerate(features):
        values = {label: _defined(matrix[:, column]) for label, matrix in errors.items()}
        _draw_signed(axes[0, column], values, styles)
        _draw_sizes(axes[1, column], values, styles)
        symbol = LABELS[name].split(" [")[0].strip("$")
        axes[0, column].set_xlabel(rf"$\delta\,({symbol})$")
        axes[1, column].set_xlabel(rf"$|\delta\,({symbol})|$")
    for row in (0, 1):
        axes[row, 0].set_ylabel(f"share of {what.split(',')[0]}")
    legend_above(figure, axes[0, 0])
    explanation = (
        "Relative errors δ = (reconstructed - true) / true of the "
        f"{what}: signed in a window around zero (above), and their sizes (below; errors under "
        f"{SMALLEST_ERROR:.0e}, and zeros, count as that)."
    )
    add_caption(figure, f"{explanation} {caption}")
    return figure


def _defined(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _draw_signed(axes: Axes, values: dict[str, np.ndarray], styles: Styles) -> None:
    ends = [np.abs(np.quantile(sample, [0.1, 0.9])).max() for sample in values.values() if sample.size]
    reach = 2 * max([end for end in ends if np.isfinite(end)], default=0.0) or 1e-15
    edges = np.linspace(-reach, reach, ERROR_BINS + 1)
    for label, sample in values.items():
        counts, _ = np.histogram(sample, edges)
        axes.stairs(counts / max(sample.size, 1), edges, label=label, baseline=None, **styles[label])
    axes.set(yscale="log", xlim=(-reach, reach))
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))


def _draw_sizes(axes: Axes, values: dict[str, np.ndarray], styles: Styles) -> None:
    sizes = {label: np.clip(np.abs(sample), SMALLEST_ERROR, None) for label, sample in values.items()}
    finite = [sample[np.isfinite(sample)] for sample in sizes.values()]
    largest = max([np.quantile(sample, 0.999) for sample in finite if sample.size], default=1.0)
    smallest = min([np.quantile(sample, 0.002) for sample in finite if sample.size], default=1e-3)
    lowest, highest = np.floor(np.log10(smallest)) - 0.5, np.ceil(np.log10(max(largest, 10 * smallest)))
    edges = np.logspace(lowest, highest, int(8 * (highest - lowest)) + 1)
    for label, sample in sizes.items():
        counts, _ = np.histogram(np.clip(sample, edges[0], edges[-1]), edges)
        axes.stairs(counts / max(sample.size, 1), edges, label=label, baseline=None, **styles[label])
    axes.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, None))
