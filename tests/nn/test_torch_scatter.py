"""With and without torch-scatter, through PyG's own switch, the numbers are the same."""

import pytest
import torch
import torch_geometric.typing
import torch_geometric.utils._segment
from torch_geometric.data import Batch

from lgae_pyg.models import LGAE


def gradients(model: LGAE, jets: Batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    model.zero_grad()
    p4 = model(jets).p4
    p4.square().sum().backward()
    return p4.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("aggregation", ["mean", "sum", "min&max&mean"])
@pytest.mark.parametrize("backend", ["dense", "edge_list"])
def test_both_ways(aggregation: str, backend: str, jets: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_scatter")
    assert torch_geometric.typing.WITH_TORCH_SCATTER
    model = LGAE(aggregation=aggregation, backend=backend, encoder_channels=(2, 2), decoder_channels=(2, 2))
    with_scatter = gradients(model, jets)
    monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", False)
    without = gradients(model, jets)
    torch.testing.assert_close(with_scatter, without, rtol=1e-11, atol=1e-12)
