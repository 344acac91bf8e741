"""Pictures for the dashboard."""

import pytest
import torch

from lgae_pyg.models import Latent, Reconstruction
from lgae_pyg.training.panels import residual_figure


def axes_of(jets, size, dtype):
    """Whether each axis with a title holds a histogram, and its words, for results with errors of that size."""
    torch.manual_seed(0)
    jets.pos = jets.pos.to(dtype)
    p4 = jets.pos * (1 + size * torch.randn(jets.pos.shape, dtype=dtype))
    figure = residual_figure(jets, Reconstruction(p4=p4, ptr=jets.ptr, latent=Latent(p4[:0], p4[:0])))
    axes = {axis.get_title().partition(", ")[2]: axis for axis in figure.axes if axis.get_title()}
    words = {name: "".join(text.get_text() for text in axis.texts) for name, axis in axes.items()}
    return {name: (len(axis.patches), words[name]) for name, axis in axes.items()}


@pytest.mark.parametrize(("dtype", "noise", "error"), [(torch.float64, 1e-15, 1e-6), (torch.float32, 1e-7, 1e-2)])
def test_rounding_is_said_and_errors_are_drawn(jets, dtype, noise, error):
    rounding, real = (axes_of(jets.clone(), size, dtype) for size in (noise, error))
    assert {name.split()[0] for name in rounding} == {"jet", "particle"}
    for name in (name for name in rounding if "pt" in name):
        bars, words = rounding[name]
        assert bars == 0 and words.startswith("conserved to rounding"), rounding
        assert real[name] == (60, ""), real
