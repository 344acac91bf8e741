"""Compares generated jets with real ones of the same classes: distributions, and distances beside the noise.

    lgae generate --preset top_tagging --jets 2000 --out DIR
    python data/compare_with_real.py --generated DIR --real FILES --out docs/figures

Classes go by name. The table is printed as Markdown and written, like the figure, as OUT/PRESET.*.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lgae_pyg.data import JetStore
from lgae_pyg.datasets import JetFiles, PythiaJets
from lgae_pyg.datasets.pythia import GeneratorSettings, read_recipe
from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption, save_figure
from lgae_pyg.metrics.jet_shapes import Shapes, jet_shapes, shape_distances
from lgae_pyg.tables import Table
from lgae_pyg.training.drawing import BAND, draw_steps, mark_outside

PANELS = {
    "particles": "particles per jet",
    "mass": r"$M_\mathrm{jet}$ [GeV]",
    "particle_pt": r"$p_\mathrm{T}^\mathrm{particle}$ [GeV]",
    "tau21": r"$\tau_{21}$",
    "tau32": r"$\tau_{32}$",
}
COLUMNS = {"class": "class", "observable": "observable", "real": "mean, real", "generated": "mean, generated",
           "distance": "W1, all", "equal": "W1, equal sizes", "halves": "W1, real halves",
           "halves_95": "their 95 % quantile", "verdict": "beyond noise"}
BINS, SHOWN = 20, (0.003, 0.997)
RATIOS = (0, 2)

Samples = Mapping[str, tuple[Shapes, Shapes]]
"""Of each class the real and the generated jets."""


def main(words: list[str] | None = None) -> int:
    """Runs the comparison; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--generated", required=True, metavar="DIR", help="the --out of lgae generate")
    parser.add_argument("--real", required=True, nargs="+", metavar="FILE", help="files of the real jets")
    parser.add_argument("--card", help="data card of the real jets; recognised if left out")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figure and the table")
    options = parser.parse_args(words)
    try:
        preset, samples = read_samples(options.generated, options.real, options.card)
    except (OSError, ValueError) as error:
        print(f"compare_with_real.py: {error}", file=sys.stderr)
        return 1
    table = distance_table(preset, samples)
    options.out.mkdir(parents=True, exist_ok=True)
    table.save(options.out)
    with plt.rc_context(SETTINGS):
        save_figure(distributions(samples, table), options.out, preset)
    print(table.to_markdown())
    return 0


def read_samples(generated: str, real: list[str], card: str | None) -> tuple[str, Samples]:
    """Preset of the generated jets, and the jets of each of its classes.

    Raises:
        FileNotFoundError: there are no generated jets.
        ValueError: the real jets have other classes.
    """
    files = sorted(Path(generated, "raw").glob("*.hdf5"))
    if not files:
        raise FileNotFoundError(f"no jets in {generated}/raw: make some with lgae generate")
    recipe = read_recipe(files[0])
    settings = GeneratorSettings.from_dict(recipe["settings"])
    with tempfile.TemporaryDirectory() as folder:
        made = PythiaJets(generated, None, recipe["jets"], recipe["particles"], seed=recipe["seed"], unit="GeV",
                          settings=settings, generate=False).store
        found = JetFiles(real, card, root=folder, unit="GeV", classes=list(settings.classes)).store
    samples = {}
    for name in settings.classes:
        pair = (shapes_of(found, name, settings.jet_radius), shapes_of(made, name, settings.jet_radius))
        samples[name] = pair
    return settings.preset, samples


def shapes_of(store: JetStore, name: str, radius: float) -> Shapes:
    """The observables of the jets of one class."""
    chosen = store.jet_field("y") == store.meta["class_names"].index(name)
    jets = store.batch(torch.nonzero(chosen).flatten())
    return jet_shapes(jets.p4, jets.ptr, radius)


def distance_table(preset: str, samples: Samples) -> Table:
    """Means and distances of each observable and class."""
    rows = []
    for name, (real, made) in samples.items():
        for row in shape_distances(real, made):
            what = row["observable"]
            values = [row[key] for key in ("distance", "equal", "halves", "halves_95")]
            beyond = "yes" if row["equal"] > row["halves_95"] else "no"
            unit = f" [{row['unit']}]" if row["unit"] else ""
            means = [float(sample[what].mean()) for sample in (real, made)]
            rows.append((name, f"{what}{unit}", *means, *values, beyond))
    counts = "; ".join(f"{name}: {len(real['mass']):,} real, {len(made['mass']):,} generated"
                       for name, (real, made) in samples.items())
    return Table(preset, f"Generated with the preset {preset}. Jets: {counts}.", COLUMNS, tuple(rows))


def distributions(samples: Samples, table: Table) -> Figure:
    """A panel for each observable with all classes, and the ratio of generated to real jets below it."""
    figure, axes = plt.subplots(4, 3, figsize=(9.6, 9.4), height_ratios=(3, 1.1) * 2)
    places = [(2 * (number // 3), number % 3) for number in range(len(PANELS))]
    for (row, column), what in zip(places, PANELS):
        upper, lower = axes[row : row + 2, column]
        _panel(upper, lower, what, {name: (one[what], two[what]) for name, (one, two) in samples.items()})
        records = [one for one in table.records() if one["observable"].split(" ")[0] == what]
        words = (f"{one['class']}: {one['equal']:#.2g} ({one['halves']:#.2g})" for one in records)
        upper.set_title(", ".join(words), fontsize=8.5)
        lower.set_xlabel(PANELS[what])
        if column == 0:
            upper.set_ylabel("density")
            lower.set_ylabel("ratio")
    for spare in axes[2:, 2]:
        spare.set_axis_off()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[2, 2].legend(handles, labels, loc="center left", fontsize=10)
    words = "Bands and bars: statistical errors of real and of generated jets; below: ratio of generated to real "
    words += "jets, arrows where it is beyond the axis. Above the panels: Wasserstein distance of half of the "
    words += "real jets to as many generated ones, in brackets to the other half of the real jets (noise). "
    add_caption(figure, words + table.caption)
    return figure


def _panel(upper: Axes, lower: Axes, what: str, samples: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Densities of one observable, of each class real jets as a line with a band and generated ones as steps."""
    low, high = np.quantile(np.concatenate([one for pair in samples.values() for one in pair]), SHOWN)
    edges = bin_edges(low, high, what)
    spectrum = what == "particle_pt"
    centres = np.sqrt(edges[1:] * edges[:-1]) if spectrum else (edges[1:] + edges[:-1]) / 2
    lower.set(ylim=RATIOS, xlim=(edges[0], edges[-1]))
    for number, (name, (real, made)) in enumerate(samples.items()):
        colour, width = STYLES[number]["color"], 0.16 * (2 * number - 1)
        (truth, error), (found, bars) = (_density(values, edges) for values in (real, made))
        truth, error = (np.where(truth > 0, one, np.nan) for one in (truth, error))
        draw_steps(upper, truth, error, edges, baseline=None, color=colour, linewidth=1.0, label=f"{name}, real")
        upper.errorbar(centres, found, bars, fmt="os"[number], markersize=2.6, elinewidth=1, color=colour,
                       label=f"{name}, generated")  # fmt: skip
        shifted = centres * (edges[1] / edges[0]) ** width if spectrum else centres + width * np.diff(edges)
        ratio = found / truth
        band = np.append(error / truth, np.nan)
        lower.fill_between(edges, 1 - band, 1 + band, step="post", color=colour, **BAND)
        lower.errorbar(shifted, ratio, bars / truth, fmt="os"[number], markersize=2.6, elinewidth=1, color=colour)
        mark_outside(lower, shifted, ratio, colour)
    lower.axhline(1, color="0.4", linewidth=0.8)
    upper.sharex(lower)
    upper.tick_params(labelbottom=False)
    if spectrum:
        upper.set(xscale="log", yscale="log")
    else:
        upper.set_ylim(bottom=0)


def bin_edges(low: float, high: float, what: str) -> np.ndarray:
    """Edges of :data:`BINS` bins: of a spectrum in the logarithm; of whole numbers each with as many of them."""
    if what == "particle_pt":
        return np.geomspace(low, high, BINS + 1)
    if what == "particles":
        step = max(1, round((high - low) / BINS))
        return np.arange(np.floor(low), high + step, step) - 0.5
    return np.linspace(low, high, BINS + 1)


def _density(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density of the values in bins, and its statistical error."""
    counts = np.histogram(values, edges)[0]
    norm = np.diff(edges) * len(values)
    return counts / norm, np.sqrt(counts) / norm


if __name__ == "__main__":
    sys.exit(main())
