"""Jets of 1 to 40 particles for taggers."""

import sys
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch

from lgae_pyg.data import JetData

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def some_jets(massless_jet, generator) -> Batch:
    """Six jets of massive particles, unit TeV; one of them has a single particle."""
    from tagger_cases import massive

    sizes = (30, 1, 2, 5, 40, 17)
    return Batch.from_data_list([JetData(pos=massive(massless_jet(n, generator))) for n in sizes])


@pytest.fixture
def large_jet(massless_jet, generator) -> JetData:
    """A jet of 200 particles."""
    return JetData(pos=massless_jet(200, generator), ptr=torch.tensor([0, 200]))
