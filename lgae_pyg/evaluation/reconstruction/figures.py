"""The figures of the reconstruction study by name."""

from lgae_pyg.evaluation.reconstruction.histograms import (
    jet_histograms,
    jet_residuals,
    particle_histograms,
    particle_residuals,
)
from lgae_pyg.evaluation.reconstruction.images import average_images, single_images
from lgae_pyg.evaluation.style import if_table
from lgae_pyg.evaluation.symmetry.figures import equivariance_figure, precision_figure

PARTICLES = "particle_reconstruction"
FIGURES = {
    "jet_images": single_images,
    "average_images": average_images,
    "particle_histograms": if_table(PARTICLES, particle_histograms),
    "jet_histograms": jet_histograms,
    "particle_residuals": if_table(PARTICLES, particle_residuals),
    "jet_residuals": jet_residuals,
    "equivariance": if_table("equivariance", equivariance_figure),
    "equivariance_precision": if_table("equivariance_precision", precision_figure),
}
