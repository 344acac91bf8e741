"""Figures of the latent space: masses, correlations with the momentum, probes and traversals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from lgae_pyg.evaluation.latent.codes import JET, is_sum
from lgae_pyg.evaluation.latent.study import COMPONENTS
from lgae_pyg.evaluation.latent.traversal import SHIFTS
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import NAMES
from lgae_pyg.evaluation.style import KINDS, add_caption, if_table, legend_above
from lgae_pyg.metrics.statistics import shares
from lgae_pyg.training.drawing import draw_steps
from lgae_pyg.training.tagging_panels import score_bins

PLANE_BINS = 60
#: Share of the jets of any class that lies below and above the window of a histogram.
TAIL = 0.005
COLUMNS = 4
#: Most rows of a heat map in which the numbers are written, and most rows beneath each other.
WRITTEN, TALLEST = 24, 30
BOTTOM = 1e-3
#: Half the width of what is shown of the images.
VIEW = 0.2


def symbol(name: str) -> str:
    """The formula of a latent combination from its printed name."""
    if name == JET:
        return r"$P_\mathrm{jet}$"
    body = name.removeprefix("sum of ")
    for part in ("Re", "Im"):
        body = body.replace(f"{part} ", rf"\mathrm{{{part}}}\,")
    letter, _, index = body.rpartition("_")
    if not is_sum(name):
        return rf"${letter}_{{{index}}}$"
    terms = [rf"{term}_k" for term in body.split(" + ")]
    return rf"$\sum_k {terms[0]}$" if len(terms) == 1 else rf"$\sum_k ({' + '.join(terms)})$"


def masses_of(results: Results) -> dict[str, dict[str, NDArray]]:
    """Signed masses by class and combination, from the stored arrays."""
    found: dict[str, dict[str, NDArray]] = {}
    for key, values in results.arrays.items():
        if key.startswith("masses/"):
            _, sample, name = key.split("/", 2)
            found.setdefault(sample, {})[name] = values
    return {name: found[name] for name in results.description["samples"]}


def sum_masses(results: Results) -> Figure | None:
    """Masses of the jets and of the sums over the code, by class (Fig. 6)."""
    masses = masses_of(results)
    names = [name for name in next(iter(masses.values())) if name == JET or is_sum(name)]
    return _mass_figure(results, masses, names, 4 if len(names) < 5 else 3) if len(names) > 1 else None


def vector_masses(results: Results) -> Figure | None:
    """Masses of the single latent vectors, by class (Fig. 6)."""
    masses = masses_of(results)
    names = [name for name in next(iter(masses.values())) if name != JET and not is_sum(name)]
    return _mass_figure(results, masses, names, COLUMNS) if names else None


def _mass_figure(
    results: Results, masses: Mapping[str, Mapping[str, NDArray]], names: Sequence[str], columns: int
) -> Figure:
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    width = max(2.3 * columns + 0.4, 6.5)
    figure, grid = plt.subplots(rows, columns, figsize=(width, 2.2 * rows + 1.4), squeeze=False)
    for place, name in zip(grid.flat, names):
        _draw_masses(place, {sample: found[name] for sample, found in masses.items()})
        place.set_xlabel(f"mass of {symbol(name)} [GeV]", fontsize=9)
    for spare in grid.flat[len(names) :]:
        spare.set_axis_off()
    for line in grid[:, 0]:
        line.set_ylabel("share per bin")
    legend_above(figure, grid[0, 0])
    add_caption(
        figure,
        "Signed invariant mass sign(v²) √|v²| of latent four-vectors (negative: space-like); bands: statistical "
        f"errors; the outermost {TAIL:.1%} of the jets of a class may lie outside of the range shown. "
        f"{results.caption}",
    )
    return figure


def _draw_masses(axes: Axes, samples: Mapping[str, NDArray]) -> None:
    ends = np.array([np.quantile(values, [TAIL, 1 - TAIL]) for values in samples.values()])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    margin = 0.05 * (high - low) or 1e-3 * abs(high) or 1.0
    bins = score_bins(min(len(values) for values in samples.values()))
    edges = np.linspace(low - margin, high + margin, bins + 1)
    for number, ((sample, values), style) in enumerate(zip(samples.items(), KINDS)):
        fill = {"fill": True, "alpha": 0.5} if number == 0 else {}
        draw_steps(axes, *shares(values, edges), edges, label=NAMES.get(sample, sample), **fill, **style)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
    axes.locator_params(axis="x", nbins=4)


def correlation_map(results: Results) -> Figure:
    """Pearson's r of every latent combination with the four components of the jet's momentum."""
    names = results.tables["latent_correlations"].column("quantity")
    matrix = results.arrays["pearson"]
    blocks = -(-len(names) // TALLEST)
    height = -(-len(names) // blocks)
    figure, grid = plt.subplots(
        1, blocks, figsize=(max(3.6 * blocks + 1.2, 5.6), 0.27 * height + 2.2), squeeze=False
    )
    palette = colormaps["RdBu_r"].with_extremes(bad="0.75")
    for number, axes in enumerate(grid[0]):
        rows = slice(number * height, (number + 1) * height)
        mesh = axes.imshow(
            np.ma.masked_invalid(matrix[rows]), vmin=-1, vmax=1, cmap=palette, aspect="auto",
            interpolation="nearest",
        )
        axes.set_xticks(range(4), ["$E$", "$p_x$", "$p_y$", "$p_z$"])
        axes.set_yticks(range(len(names[rows])), [symbol(str(name)) for name in names[rows]], fontsize=9)
        axes.tick_params(top=False, right=False, length=0)
        axes.set_xlabel("component of the jet momentum")
        if len(names) <= WRITTEN * blocks:
            _write(axes, matrix[rows])
    grid[0, 0].set_ylabel("latent")
    figure.colorbar(mesh, ax=grid[0], label="Pearson $r$")
    constant = " Grey: constant, no correlation." if np.isnan(matrix).any() else ""
    add_caption(
        figure,
        f"Correlation with the momentum of {results.description['background']} jets, vectors component by "
        f"component, scalars and plain numbers with each.{constant} {results.caption}",
    )
    return figure


def _write(axes: Axes, matrix: NDArray) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        text = "const." if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def momentum_planes(results: Results) -> Figure | None:
    """The best correlated combination against the jet's momentum, with Pearson's r (Fig. 5)."""
    best = results.description["best"]
    if best is None:
        return None
    table = {row["quantity"]: row for row in results.tables["latent_correlations"].records()}[best]
    jets, latent = results.arrays["jets"] / 1e3, results.arrays["best"]
    is_vector = not np.array_equal(latent[:, 0], latent[:, 1])
    latent = latent / 1e3 if is_vector else latent
    figure, row = plt.subplots(1, 4, figsize=(14.6, 4.3))
    for column, (axes, component) in enumerate(zip(row, COMPONENTS)):
        edges = [_edges(values[:, column]) for values in (jets, latent)]
        counts, _, _ = np.histogram2d(jets[:, column], latent[:, column], edges)
        norm = LogNorm(1, max(counts.max(), 2))
        mesh = axes.pcolormesh(*edges, np.ma.masked_equal(counts, 0).T, norm=norm, cmap="viridis", rasterized=True)
        bar = figure.colorbar(mesh, ax=axes, label="jets per bin" if column == 3 else None)
        bar.set_ticks(LogLocator(subs=(1, 2, 5)), minor=False)
        bar.ax.yaxis.set_major_formatter("{x:g}")
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        name = component if component == "E" else f"{component[0]}_{component[1]}"
        axes.set_xlabel(rf"jet ${name}$ [TeV]")
        axes.set_ylabel(f"${name}$ of {symbol(best)} [TeV]" if is_vector else symbol(best))
        r, error = table[f"r_{component}"], table[f"r_{component}_error"]
        title = "constant" if isinstance(r, str) else rf"$r = {_rounded(r, float(error))}$"
        axes.set_title(title)
    add_caption(
        figure,
        f"The latent combination with the largest mean |r| over px, py and pz against the momentum of "
        f"{results.description['background']} jets; r: Pearson's coefficient of all jets, of which the outermost "
        f"{TAIL:.1%} on each side may lie outside of the range shown. {results.caption}",
    )
    return figure


def _rounded(value: float, error: float) -> str:
    if error < 1e-6:
        return f"{value:.6g}"
    digits = int(np.clip(1 - np.floor(np.log10(error)), 2, 6))
    return rf"{value:.{digits}f} \pm {error:.{digits}f}"


def _edges(values: NDArray) -> NDArray:
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    margin = 0.05 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, PLANE_BINS + 1)


def probe_bars(results: Results) -> Figure | None:
    """R² of the linear probes, by target and input; nothing for too few jets."""
    if "latent_probes" not in results.tables:
        return None
    rows = results.tables["latent_probes"].records()
    targets = list(dict.fromkeys(row["target"] for row in rows))
    inputs = list(dict.fromkeys(row["input"] for row in rows))
    figure, axes = plt.subplots(figsize=(8.2, 4.6))
    width = 0.8 / len(inputs)
    colours = ("#0072B2", "#D55E00", "0.65")[-len(inputs) :]
    for number, (source, colour) in enumerate(zip(inputs, colours)):
        found = {row["target"]: row for row in rows if row["input"] == source}
        places = [targets.index(name) + (number - (len(inputs) - 1) / 2) * width for name in found]
        values = [row["r_squared"] for row in found.values()]
        errors = [row["r_squared_error"] for row in found.values()]
        axes.bar(places, np.clip(values, 0, None), width, yerr=errors, color=colour, label=source, capsize=2)
        for place, value, error in zip(places, values, errors):
            axes.text(place, max(value, 0) + error + 0.01, f"{value:.2f}", ha="center", fontsize=8)
    printed = {"tau_21": r"$\tau_{21}$", "tau_32": r"$\tau_{32}$", "jet pT": r"jet $p_\mathrm{T}$"}
    axes.set_xticks(range(len(targets)), [printed.get(str(name), str(name)) for name in targets])
    axes.set(ylabel="$R^2$ on jets that were not fitted", ylim=(0, 1.12))
    axes.axhline(1, color="0.8", linewidth=0.8, zorder=0)
    axes.tick_params(axis="x", length=0)
    legend_above(figure, axes, title="linear probe of")
    add_caption(figure, f"Values below zero are drawn as zero. {results.tables['latent_probes'].caption}")
    return figure


def traversal_images(results: Results) -> Figure | None:
    """The decoded jet after one latent was moved: a row for each of those that change it most."""
    names = [key.removeprefix("traversal/") for key in results.arrays if key.startswith("traversal/")]
    if not names:
        return None
    table = results.tables["latent_traversals"].records()
    truth, half = results.arrays["traversal_truth"], float(results.arrays["traversal_width"])
    columns = 1 + len(SHIFTS)
    figure, grid = plt.subplots(
        len(names), columns, figsize=(1.75 * columns + 1.6, 1.85 * len(names) + 1.9),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    for line, name in zip(grid, names):
        rows = [row for row in table if row["latent"] == name]
        mesh = _draw_image(line[0], truth, half)
        for axes, image, row in zip(line[1:], results.arrays[f"traversal/{name}"], rows):
            _draw_image(axes, image, half)
            move = f"× {row['value']:g}" if row["move"] == "factor" else f"{row['value']:+g} σ"
            axes.set_title(f"{symbol(name)} {move}\n{_numbers(row)}", fontsize=7.5, pad=3)
        line[0].set_ylabel(r"$\phi^\mathrm{rel}$ [rad]")
    grid[0, 0].set_title("true jet", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel(r"$\eta^\mathrm{rel}$")
    figure.colorbar(mesh, ax=grid, label=r"$p_\mathrm{T}^\mathrm{rel}$ per pixel", extend="both", shrink=0.7)
    add_caption(
        figure,
        "One jet, decoded after one latent was moved, around the axis and in units of the transverse momentum of "
        f"the true jet, pixels below {BOTTOM:g} white, cut at {VIEW:g}; the {len(names)} latents whose "
        "moves change it most. Above: signed mass M and pT of what is decoded, in GeV. "
        f"{results.tables['latent_traversals'].caption}",
    )
    return figure


def _numbers(row: Mapping) -> str:
    if isinstance(row["mass"], str):
        return "no finite jet"
    return f"$M$={row['mass']:.3g}, " + r"$p_\mathrm{T}$=" + f"{row['pt']:.4g}"


def _draw_image(axes: Axes, image: NDArray, half: float):
    palette = colormaps["viridis"].with_extremes(under="white", bad="0.85")
    ticks = [-0.1, 0.0, 0.1]
    axes.set(xticks=ticks, yticks=ticks)
    view = min(half, VIEW)
    axes.set(xlim=(-view, view), ylim=(-view, view))
    shown = np.ma.masked_invalid(np.maximum(image, BOTTOM / 10))
    return axes.imshow(
        shown, norm=LogNorm(BOTTOM, 1.0), cmap=palette, origin="lower",
        interpolation="nearest", extent=2 * (-half, half),
    )  # fmt: skip


def traversal_curves(results: Results) -> Figure | None:
    """Mass and transverse momentum of the decoded jet, and how much its image changes, against the moved value."""
    names = [key.removeprefix("traversal/") for key in results.arrays if key.startswith("traversal/")]
    rows = results.tables["latent_traversals"].records()
    kinds = list(dict.fromkeys(row["move"] for row in rows if row["latent"] in names))
    if not kinds:
        return None
    figure, grid = plt.subplots(
        3, len(kinds), figsize=(4.6 * len(kinds) + 2.4, 8.2), sharex="col", sharey="row", squeeze=False
    )
    colours = dict(zip(names, ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")))
    for column, kind in enumerate(kinds):
        for name in names:
            line = [row for row in rows if row["latent"] == name and row["move"] == kind]
            for axes, key in zip(grid[:, column], ("mass", "pt", "change")):
                points = [(row["value"], row[key]) for row in line if not isinstance(row[key], str)]
                if points:
                    marker = "os^Dv"[names.index(name) % 5]
                    axes.plot(
                        *zip(*points), marker=marker, color=colours[name], label=symbol(name),
                        markersize=10 - 1.5 * names.index(name), markerfacecolor="none",
                    )  # fmt: skip
        grid[-1, column].set_xlabel({"factor": "factor", "shift": "shift [standard deviations]"}[kind])
        for axes in grid[:, column]:
            axes.axvline({"factor": 1, "shift": 0}[kind], color="0.8", linewidth=0.8, zorder=0)
        grid[-1, column].legend()
    grid[0, 0].set_ylabel("signed mass [GeV]")
    grid[1, 0].set_ylabel(r"$p_\mathrm{T}$ [GeV]")
    grid[2, 0].set_ylabel(r"change of the image [$p_\mathrm{T}^\mathrm{jet}$]")
    for axes in grid[:2, 0]:
        _widen(axes)
    add_caption(figure, f"Grey line: the code as it is. {results.tables['latent_traversals'].caption}")
    return figure


def _widen(axes: Axes) -> None:
    """Makes the range of y at least a hundredth of its values, so that rounding errors do not fill it."""
    low, high = axes.get_ylim()
    least = 0.01 * max(abs(low), abs(high))
    if high - low < least:
        axes.set_ylim(low - least / 2, high + least / 2)


FIGURES = {
    "latent_sum_masses": if_table("latent_masses", sum_masses),
    "latent_vector_masses": if_table("latent_masses", vector_masses),
    "latent_correlations": correlation_map,
    "latent_momentum": momentum_planes,
    "latent_probes": probe_bars,
    "latent_traversal_images": traversal_images,
    "latent_traversal_curves": traversal_curves,
}
