"""The common look of the figures. Importing this module selects matplotlib's file-only backend."""

import io
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter
from PIL import Image

from lgae_pyg.evaluation.png import write_few_colours
from lgae_pyg.evaluation.results import Results
from lgae_pyg.files import write_atomically

# Okabe and Ito's palette, which colour-blind readers can tell apart; line styles repeat the distinction.
STYLES = (
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": ":"},
    {"color": "#CC79A7", "linestyle": "-."},
    {"color": "#000000", "linestyle": "-"},
    {"color": "#E69F00", "linestyle": "--"},
    {"color": "#56B4E9", "linestyle": "-."},
)
TRUTH_COLOUR = "0.80"
#: Ratio of the ends of a logarithmic axis up to which numbers between the powers of ten are printed.
FEW_DECADES = 60
#: Styles of kinds of jets, the background first.
KINDS = ({"color": "0.6", "linestyle": "-"}, *STYLES)
SETTINGS: Any = {
    "font.size": 10, "axes.labelsize": 11, "axes.titlesize": 10, "legend.fontsize": 9,
    "legend.frameon": False, "lines.linewidth": 1.5,
    "figure.constrained_layout.use": True, "figure.constrained_layout.w_pad": 0.08,
    "xtick.direction": "in", "ytick.direction": "in", "xtick.top": True, "ytick.right": True,
    "mathtext.fontset": "dejavusans", "savefig.dpi": 160, "pdf.fonttype": 42,
}  # fmt: skip
LABELS = {
    "pt_rel": r"$p_\mathrm{T}^\mathrm{rel}$", "eta_rel": r"$\eta^\mathrm{rel}$",
    "phi_rel": r"$\phi^\mathrm{rel}$ [rad]", "mass": r"$M_\mathrm{jet}$ [GeV]",
    "pt": r"$p_\mathrm{T}^\mathrm{jet}$ [GeV]", "eta": r"$\eta^\mathrm{jet}$",
    "phi": r"$\phi^\mathrm{jet}$ [rad]",
}  # fmt: skip


def if_table(name: str, draw: Callable[[Results], Figure | None]) -> Callable[[Results], Figure | None]:
    """Draws a figure of results that have a table of that name, and nothing of others."""
    return lambda results: draw(results) if name in results.tables else None


def label_few_decades(axis: Axis) -> None:
    """Labels a logarithmic axis at 1, 2 and 5 too, where there would be less than three powers of ten on it."""
    low, high = sorted(axis.get_view_interval())
    if low > 0 and high < FEW_DECADES * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}" if low > 1e-3 else LogFormatterSciNotation(labelOnlyBase=False))
        axis.set_minor_formatter(NullFormatter())


def scale_axis(axes: Axes, scale: str) -> None:
    """Gives the horizontal axis a scale, ``linear``, ``log`` or ``logit``, with labels that do not crowd."""
    axes.set_xscale(scale)
    if scale == "log":
        label_few_decades(axes.xaxis)
    if scale != "linear":
        axes.xaxis.set_minor_formatter(NullFormatter())


def legend_above(figure: Figure, axes: Axes, ncols: int | None = None, **options: Any) -> None:
    """Writes the legend of one panel above all, in one line unless a number of columns is given."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=ncols or len(labels), **options)


def add_caption(figure: Figure, caption: str) -> None:
    """Writes a caption, wrapped to the width of the figure, below everything else."""
    text = textwrap.fill(caption, int(figure.get_figwidth() * 15))
    figure.supxlabel(text, fontsize=8, x=0.01, ha="left", color="0.25")


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes a figure as PNG and PDF, each completely or not at all, and closes it.

    Files are the same for the same figure: no date is written into them.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is found once, not again for each file
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    write_atomically(paths[0], lambda file: _write_png(figure, file))
    write_atomically(paths[1], lambda file: figure.savefig(file, format="pdf", metadata={"CreationDate": None}))
    plt.close(figure)
    return paths


def _write_png(figure: Figure, file: Any) -> None:
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    write_few_colours(Image.open(whole).convert("RGB"), file)
