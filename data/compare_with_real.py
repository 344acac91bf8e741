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
from lgae_pyg.evaluation.style import SETTINGS, STYLES, TRUTH_COLOUR, add_caption, legend_above
from lgae_pyg.files import write_atomically
from lgae_pyg.metrics.jet_shapes import JET_SHAPES, Shapes, jet_shapes, shape_distances
from lgae_pyg.tables import Table

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
        figure = distributions(samples, table)
        write_atomically(options.out / f"{preset}.png", lambda file: figure.savefig(file, format="png"))
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
    """A row of panels for each class, each with its distance above and the ratio to the real jets below."""
    rows, records = len(samples), iter(table.records())
    figure, axes = plt.subplots(2 * rows, len(PANELS), figsize=(13, 3.9 * rows + 0.7), height_ratios=(3, 1) * rows)
    for row, (name, (real, made)) in enumerate(samples.items()):
        for column, what in enumerate(PANELS):
            upper, lower = axes[2 * row : 2 * row + 2, column]
            _panel(upper, lower, what, real[what], made[what])
            record = next(record for record in records if record["class"] == name)
            words = f"{name}: $W_1$ {record['equal']:#.2g}, noise {record['halves']:#.2g}"
            upper.set_title(words, fontsize="medium")
            lower.set_xlabel(PANELS[what])
        for _ in range(len(JET_SHAPES) - len(PANELS)):  # pT and eta have no panel
            next(records)
        axes[2 * row, 0].set_ylabel("density")
        axes[2 * row + 1, 0].set_ylabel("ratio")
    legend_above(figure, axes[0, 0])
    words = "Bands and bars: statistical errors. Below, ratio to the real jets. Above, distance of half of the "
    words += "real jets to as many generated ones, and, as noise, to the other half. "
    add_caption(figure, words + table.caption)
    return figure


def _panel(upper: Axes, lower: Axes, what: str, real: np.ndarray, made: np.ndarray) -> None:
    low, high = np.quantile(np.concatenate([real, made]), SHOWN)
    spectrum = what == "particle_pt"
    edges = np.geomspace(low, high, BINS + 1) if spectrum else np.linspace(low, high, BINS + 1)
    if what == "particles":  # whole numbers: every bin holds as many of them
        step = max(1, round((high - low) / BINS))
        edges = np.arange(low, high + step, step) - 0.5
    centres = np.sqrt(edges[1:] * edges[:-1]) if spectrum else (edges[1:] + edges[:-1]) / 2
    (truth, error), (found, bars) = (_density(values, edges) for values in (real, made))
    upper.fill_between(edges, *(np.append(truth + sign * error, 0) for sign in (-1, 1)), step="post",
                       color=TRUTH_COLOUR, linewidth=0)
    upper.stairs(truth, edges, baseline=None, color="0.2", linewidth=1.2, label="real")
    upper.stairs(found, edges, baseline=None, label="generated", **STYLES[0])
    scale = np.where(truth > 0, truth, np.nan)
    lower.fill_between(edges, *(np.append(1 + sign * error / scale, 1) for sign in (-1, 1)), step="post",
                       color=TRUTH_COLOUR, linewidth=0)
    seen = truth > 0
    lower.errorbar(centres[seen], (found / scale)[seen], (bars / scale)[seen], fmt=".", markersize=4, linewidth=1,
                   color=STYLES[0]["color"])
    lower.axhline(1, color="0.4", linewidth=0.8)
    lower.set_ylim(*RATIOS)
    upper.sharex(lower)
    upper.tick_params(labelbottom=False)
    if spectrum:
        upper.set_xscale("log")
        upper.set_yscale("log")
    else:
        upper.set_ylim(bottom=0)


def _density(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density of the values in bins, and its statistical error."""
    counts = np.histogram(values, edges)[0]
    norm = np.diff(edges) * len(values)
    return counts / norm, np.sqrt(counts) / norm


if __name__ == "__main__":
    sys.exit(main())
