"""Figures of an evaluation, drawn from its results alone.

This package is the only place where matplotlib is imported; import it where figures are drawn.
"""

import os
from pathlib import Path

from matplotlib import pyplot as plt

from lgae_pyg.evaluation.reconstruction.histograms import (
    jet_histograms,
    jet_residuals,
    particle_histograms,
    particle_residuals,
)
from lgae_pyg.evaluation.reconstruction.images import average_images, single_images
from lgae_pyg.evaluation.results import EvaluationResults
from lgae_pyg.evaluation.style import SETTINGS, save_figure
from lgae_pyg.evaluation.symmetry.precision_figure import precision_figure
from lgae_pyg.evaluation.symmetry.scan_figures import equivariance_figure

FIGURES = {
    "jet_images": single_images,
    "average_images": average_images,
    "particle_histograms": particle_histograms,
    "jet_histograms": jet_histograms,
    "particle_residuals": particle_residuals,
    "jet_residuals": jet_residuals,
    "equivariance": equivariance_figure,
    "equivariance_precision": precision_figure,
}
#: Figures of a table of the same name, which not all results have.
OPTIONAL = ("equivariance", "equivariance_precision")
#: Figures of particles, which models of pixels have not.
OF_PARTICLES = ("particle_histograms", "particle_residuals")


def draw_figures(
    results: EvaluationResults, folder: str | os.PathLike[str], progress: bool = True
) -> list[Path]:
    """Draws all figures as PNG and PDF.

    Args:
        results: fresh results, or those read back with :meth:`EvaluationResults.load`.
        folder: where the files go; it is made if need be.
        progress: show a progress bar.

    Returns:
        The files written. A scan that is not in the results has no figure, and particles have none if there is no
        table of them.
    """
    from tqdm import tqdm

    names = [name for name in FIGURES if name not in OPTIONAL or name in results.tables]
    if "particle_reconstruction" not in results.tables:
        names = [name for name in names if name not in OF_PARTICLES]
    paths = []
    with plt.rc_context(SETTINGS):
        for name in tqdm(names, desc="draw", unit="figure", disable=None if progress else True, leave=False):
            paths += save_figure(FIGURES[name](results), Path(folder), name)
    return paths


__all__ = ["FIGURES", "OF_PARTICLES", "OPTIONAL", "draw_figures"]
