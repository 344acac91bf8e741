"""Fixtures shared by the tests: random physical jets, and the seeds that make failures repeatable."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m


def _massless_jet(particles: int, generator: torch.Generator) -> Tensor:
    """A jet of massless particles with falling pT around a random axis, total pT near 1 TeV; unit TeV."""
    axis_eta = torch.randn((), generator=generator, dtype=torch.float64)
    axis_phi = 2 * torch.pi * torch.rand((), generator=generator, dtype=torch.float64)
    spread = 0.15 * torch.randn(2, particles, generator=generator, dtype=torch.float64)
    fractions = torch.rand(particles, generator=generator, dtype=torch.float64).pow(3) + 1e-3
    pt = (fractions / fractions.sum()).sort(descending=True).values
    return from_pt_eta_phi_m(pt, axis_eta + spread[0], axis_phi + spread[1])


@pytest.fixture(scope="session")
def massless_jet() -> Callable[[int, torch.Generator], Tensor]:
    """The function that makes a jet: ``massless_jet(particles, generator)``, (n, 4) in TeV."""
    return _massless_jet


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded source of random numbers."""
    return torch.Generator().manual_seed(20221214)


@pytest.fixture
def jets(generator: torch.Generator) -> Batch:
    """A batch of twelve jets of 1 to 30 massless particles, unit TeV."""
    sizes = [30, 1, 12, 30, 2, 7, 30, 19, 3, 25, 30, 8]
    return Batch.from_data_list([JetData(pos=_massless_jet(size, generator)) for size in sizes])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
