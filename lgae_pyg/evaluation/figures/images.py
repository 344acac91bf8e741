"""Jet images: single jets and averages, true and reconstructed."""

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure

from lgae_pyg.evaluation.figures.style import add_caption
from lgae_pyg.evaluation.reconstruction import Jets
from lgae_pyg.evaluation.results import EvaluationResults
from lgae_pyg.losses.padding import jet_sum
from lgae_pyg.ops.images import jet_images

PIXELS, RADIUS = 40, 0.5
SINGLE_JETS = 5
CHUNK = 2000
BOTTOM = 1e-3
AVERAGE_RANGE = 1e4


def single_images(results: EvaluationResults, jets: int = SINGLE_JETS) -> Figure:
    """Images of a few jets, evenly spread over the sample: the truth above, each reconstruction below."""
    total = len(results.target)
    chosen = np.unique(np.linspace(0, total - 1, min(jets, total)).round().astype(int))
    rows = {"truth": results.target} | {one.label: one.jets for one in results.reconstructions}
    figure, axes = plt.subplots(
        len(rows), len(chosen), figsize=(2.0 * len(chosen) + 1.4, 1.75 * len(rows) + 1.0),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    norm = LogNorm(BOTTOM, 1.0, clip=False)
    for line, (label, source) in zip(axes, rows.items()):
        for jet, place in zip(chosen, line):
            true = _take(results.target, int(jet))
            axis = jet_sum(true.p4, true.ptr)
            own = _take(source, int(jet))
            image = jet_images(own.p4, own.ptr, PIXELS, RADIUS, axis)[0].numpy()
            mesh = _draw(place, image, norm, "viridis")
        line[0].set_ylabel(f"{_broken(label)}\n" + r"$\phi^\mathrm{rel}$ [rad]")
    for place in axes[-1]:
        place.set_xlabel(r"$\eta^\mathrm{rel}$")
    for jet, place in zip(chosen, axes[0]):
        place.set_title(f"jet {jet}")
    figure.colorbar(mesh, ax=axes, label=r"$p_\mathrm{T}^\mathrm{rel}$ per pixel", extend="min", shrink=0.8)
    add_caption(
        figure,
        "Transverse momenta in units of the true jet's, around the true jet's axis; pixels below "
        f"{BOTTOM:g} are white. {results.caption}",
    )
    return figure


def average_images(results: EvaluationResults) -> Figure:
    """The mean image of all jets: truth, reconstructions, and the ratios of these to the truth."""
    truth = mean_image(results.target)
    found = {one.label: mean_image(one.jets) for one in results.reconstructions}
    columns = 1 + len(found)
    figure, axes = plt.subplots(
        2, columns, figsize=(2.7 * columns + 1.3, 5.9), sharex=True, sharey=True, squeeze=False
    )
    norm = LogNorm(truth.max() / AVERAGE_RANGE, truth.max())
    for place, (label, image) in zip(axes[0], {"truth": truth, **found}.items()):
        mesh = _draw(place, image, norm, "viridis")
        place.set_title(_broken(label))
    figure.colorbar(mesh, ax=axes[0], label=r"mean $p_\mathrm{T}^\mathrm{rel}$ per pixel", extend="min")
    axes[1, 0].set_axis_off()
    ratio_norm = TwoSlopeNorm(1.0, 0.0, 2.0)
    for place, image in zip(axes[1, 1:], found.values()):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(truth > 0, image / truth, np.nan)
        mesh = _draw(place, ratio, ratio_norm, "RdBu_r")
    figure.colorbar(mesh, ax=axes[1], label="ratio to truth", extend="max")
    for place in (axes[0, 0], axes[1, 1]):
        place.set_ylabel(r"$\phi^\mathrm{rel}$ [rad]")
    axes[1, 1].tick_params(labelleft=True)
    for place in (axes[0, 0], *axes[1, 1:]):
        place.set_xlabel(r"$\eta^\mathrm{rel}$")
    axes[0, 0].tick_params(labelbottom=True)
    add_caption(
        figure,
        "Mean images, each jet around its own axis and in units of its own transverse momentum; below, the "
        f"ratio to the truth, white where it is one, grey where the truth is empty. {results.caption}",
    )
    return figure


def mean_image(jets: Jets) -> np.ndarray:
    """The mean of the images of all jets, computed in portions so that memory stays small."""
    total = torch.zeros(PIXELS, PIXELS, dtype=jets.p4.dtype)
    for first in range(0, len(jets), CHUNK):
        ptr = jets.ptr[first : first + CHUNK + 1]
        total += jet_images(jets.p4[ptr[0] : ptr[-1]], ptr - ptr[0], PIXELS, RADIUS).sum(0)
    return (total / len(jets)).numpy()


def _take(jets: Jets, number: int) -> Jets:
    first, last = jets.ptr[number], jets.ptr[number + 1]
    return Jets(jets.p4[first:last], torch.stack([first - first, last - first]))


def _draw(axes: Axes, image: np.ndarray, norm: plt.Normalize, colours: str):
    empty = "0.8" if colours == "RdBu_r" else "white"
    palette = colormaps[colours].with_extremes(under="white", bad=empty)
    visible = np.ma.masked_invalid(image)
    options = {"origin": "lower", "interpolation": "nearest", "extent": (-RADIUS, RADIUS, -RADIUS, RADIUS)}
    axes.set_xticks([-0.4, 0.0, 0.4])
    axes.set_yticks([-0.4, 0.0, 0.4])
    return axes.imshow(visible, norm=norm, cmap=palette, **options)


def _broken(label: str) -> str:
    """A long label on two lines."""
    return label.replace(", ", ",\n", 1)
