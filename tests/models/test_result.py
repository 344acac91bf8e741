"""What results print."""

import pytest
import torch
from torch_geometric.data import Batch

from lgae_pyg.models import CNNAE, GNNAE, LGAE, ShellLGAE
from lgae_pyg.models.result import Latent


@pytest.mark.parametrize("model", [LGAE, ShellLGAE, GNNAE, lambda: CNNAE(pixels=8)])
def test_results_print_shapes_and_no_numbers(model, jets: Batch) -> None:
    result = model()(jets)
    for part in filter(None, (result, result.latent, result.native, result.images)):
        text = repr(part)
        assert "\n" not in text and "tensor(" not in text and len(text) < 500
        assert text.startswith(type(part).__name__ + "(")
    assert f"p4={list(result.p4.shape)} float64" in repr(result)
    assert f"latent={result.latent!r}" in repr(result) and "ptr=[13] int64" in repr(result)
    assert ("images=" in repr(result)) is (result.images is not None)


def test_precision_and_device_are_told() -> None:
    on_meta = Latent(torch.zeros(2, 1, dtype=torch.complex64), torch.zeros(2, 3, 4, device="meta"))
    assert repr(on_meta) == "Latent(scalars=[2, 1] complex64, vectors=[2, 3, 4] float32 meta)"
