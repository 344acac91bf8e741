"""Jet images: single jets and averages, true and reconstructed."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure

from lgae_pyg.evaluation.reconstruction.pixels import example_jets
from lgae_pyg.evaluation.reconstruction.rebuilt import Jets, Rebuilt, stored
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.style import add_caption
from lgae_pyg.ops.images import jet_images
from lgae_pyg.ops.jets import jet_sum

#: Pixels along each side and half the width of the images, unless a model has images of its own.
GRID = (40, 0.5)
CHUNK = 2000
BOTTOM = 1e-3
#: Half the width of what is shown of single jets.
VIEW = 0.5
AVERAGE_RANGE = 1e4


def single_images(results: Results) -> Figure:
    """Images of a few jets, evenly spread over the sample: the truth above, each reconstruction below."""
    target, rebuilt = stored(results)
    chosen = example_jets(len(target)).tolist()
    rows = {"truth": None} | {one.label: one for one in rebuilt}
    grid = image_grid(rebuilt)
    view = min(grid[1], VIEW)
    figure, axes = plt.subplots(
        len(rows), len(chosen), figsize=(2.0 * len(chosen) + 1.4, 1.75 * len(rows) + 1.0),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    norm = LogNorm(BOTTOM, 1.0, clip=False)
    for line, (label, one) in zip(axes, rows.items()):
        for jet, place in zip(chosen, line):
            image = _image_of(target, one, jet, grid)
            mesh = _draw(place, image, norm, "viridis", grid)
            place.set(xlim=(-view, view), ylim=(-view, view))
        line[0].set_ylabel(f"{_broken(label)}\n" + r"$\phi^\mathrm{rel}$ [rad]")
    for place in axes[-1]:
        place.set_xlabel(r"$\eta^\mathrm{rel}$")
    for jet, place in zip(chosen, axes[0]):
        place.set_title(f"jet {jet}")
    figure.colorbar(mesh, ax=axes, label=r"$p_\mathrm{T}^\mathrm{rel}$ per pixel", extend="min", shrink=0.8)
    add_caption(
        figure,
        "Transverse momenta in units of the true jet's, around the true jet's axis; pixels below "
        f"{BOTTOM:g} are white{_cut(grid)}. {results.caption}",
    )
    return figure


def average_images(results: Results) -> Figure:
    """The mean image of all jets: truth, reconstructions, and the ratios of these to the truth."""
    target, rebuilt = stored(results)
    grid = image_grid(rebuilt)
    truth = mean_image(target, grid)
    found = {one.label: _mean_of(one, grid) for one in rebuilt}
    columns = 1 + len(found)
    figure, axes = plt.subplots(
        2, columns, figsize=(2.7 * columns + 1.3, 5.9), sharex=True, sharey=True, squeeze=False
    )
    norm = LogNorm(truth.max() / AVERAGE_RANGE, truth.max())
    for place, (label, image) in zip(axes[0], {"truth": truth, **found}.items()):
        mesh = _draw(place, image, norm, "viridis", grid)
        place.set_title(_broken(label))
    figure.colorbar(mesh, ax=axes[0], label=r"mean $p_\mathrm{T}^\mathrm{rel}$ per pixel", extend="min")
    axes[1, 0].set_axis_off()
    ratio_norm = TwoSlopeNorm(1.0, 0.0, 2.0)
    for place, image in zip(axes[1, 1:], found.values()):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(truth > 0, image / truth, np.nan)
        mesh = _draw(place, ratio, ratio_norm, "RdBu_r", grid)
    figure.colorbar(mesh, ax=axes[1], label="ratio to truth", extend="max")
    for place in (axes[0, 0], axes[1, 1]):
        place.set_ylabel(r"$\phi^\mathrm{rel}$ [rad]")
    axes[1, 1].tick_params(labelleft=True)
    for place in (axes[0, 0], *axes[1, 1:]):
        place.set_xlabel(r"$\eta^\mathrm{rel}$")
    axes[0, 0].tick_params(labelbottom=True)
    own = ", ".join(one.label for one in rebuilt if one.pixels is not None)
    add_caption(
        figure,
        "Mean images, each jet around its own axis and in units of its own transverse momentum"
        + (f" ({own}: around the true axis, in units of the true one)" if own else "")
        + "; below, the ratio to the truth, white where it is one, grey where the truth is empty. "
        + results.caption,
    )
    return figure


def _cut(grid: tuple[int, float]) -> str:
    return f", and the images, which reach to {grid[1]:g}, are cut at {VIEW:g}" if grid[1] > VIEW else ""


def image_grid(rebuilt: Sequence[Rebuilt]) -> tuple[int, float]:
    """Pixels along each side and half the width: those of a model that works in pixels, if there is one."""
    return next((one.pixels.grid for one in rebuilt if one.pixels is not None), GRID)


def mean_image(jets: Jets, grid: tuple[int, float] = GRID) -> np.ndarray:
    """The mean of the images of all jets, computed in portions so that memory stays small."""
    total = torch.zeros(grid[0], grid[0], dtype=jets.p4.dtype)
    for first in range(0, len(jets), CHUNK):
        ptr = jets.ptr[first : first + CHUNK + 1]
        total += jet_images(jets.p4[ptr[0] : ptr[-1]], ptr - ptr[0], *grid).sum(0)
    return (total / len(jets)).numpy()


def _mean_of(one: Rebuilt, grid: tuple[int, float]) -> np.ndarray:
    return mean_image(one.jets, grid) if one.pixels is None else one.pixels.mean.numpy()


def _image_of(target: Jets, one: Rebuilt | None, jet: int, grid: tuple[int, float]) -> np.ndarray:
    """The image of one jet, reconstructed or true (``None``), around the true jet's axis."""
    if one is not None and one.pixels is not None:
        return one.pixels.examples[one.pixels.numbers == jet][0].numpy()
    true = _take(target, jet)
    own = true if one is None else _take(one.jets, jet)
    return jet_images(own.p4, own.ptr, *grid, jet_sum(true.p4, true.ptr))[0].numpy()


def _take(jets: Jets, number: int) -> Jets:
    first, last = jets.ptr[number], jets.ptr[number + 1]
    return Jets(jets.p4[first:last], torch.stack([first - first, last - first]))


def _draw(axes: Axes, image: np.ndarray, norm: plt.Normalize, colours: str, grid: tuple[int, float]):
    empty = "0.8" if colours == "RdBu_r" else "white"
    palette = colormaps[colours].with_extremes(under="white", bad=empty)
    visible = np.ma.masked_invalid(image)
    options = {"origin": "lower", "interpolation": "nearest", "extent": 2 * (-grid[1], grid[1])}
    axes.set(xticks=[-0.4, 0.0, 0.4], yticks=[-0.4, 0.0, 0.4])
    return axes.imshow(visible, norm=norm, cmap=palette, **options)


def _broken(label: str) -> str:
    """A long label on two lines."""
    return label.replace(", ", ",\n", 1)
