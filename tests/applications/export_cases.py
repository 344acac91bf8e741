"""What the tests of exports share: the models that can be exported, jets, their padding."""

import torch
from tagger_cases import MODELS, model_of
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.applications.export.networks import NETWORKS
from lgae_pyg.ops.jets import pad_jets

NAMES = [name for name in MODELS if type(MODELS[name]()) in NETWORKS]


def small_model(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A model of the tests of taggers that takes momenta in TeV."""
    model = model_of(name).to(dtype)
    model.unit = "TeV"
    return model


def padded(batch: Batch, spare: int = 0, fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Momenta (B, N, 4) and counts (B,) of the jets of a batch, the places beyond filled with a number."""
    sizes = batch.ptr.diff()
    p4, exists = pad_jets(batch.pos, batch.ptr, int(sizes.max()) + spare)
    return torch.where(exists.unsqueeze(-1), p4, torch.full_like(p4, fill)), sizes
