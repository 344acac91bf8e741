"""Random massless jets, the same ones each time."""

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.benchmark.cases import Sizes
from lgae_pyg.data import JetData
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m

SEED = 0
#: Width of the jets in pseudorapidity and azimuth.
WIDTH = 0.15


def random_jet(particles: int, generator: torch.Generator) -> Tensor:
    """Four-momenta of massless particles around a random axis, ordered by transverse momentum, in TeV.

    Shapes:
        - **output:** :math:`(n, 4)`
    """
    pt = torch.rand(particles, generator=generator, dtype=torch.float64).sort(descending=True).values / particles
    axis = torch.randn(2, 1, generator=generator, dtype=torch.float64)
    eta, phi = axis + WIDTH * torch.randn(2, particles, generator=generator, dtype=torch.float64)
    return from_pt_eta_phi_m(pt, eta, phi)


def random_batch(jets: int, sizes: Sizes, seed: int = SEED) -> Batch:
    """A batch of random jets.

    Args:
        jets: number of jets :math:`B`.
        sizes: their numbers of particles.
        seed: of the generator.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(sizes.smallest, sizes.largest + 1, (jets,), generator=generator)
    return Batch.from_data_list([JetData(pos=random_jet(n, generator)) for n in counts.tolist()])


def write_class(path: Path, jets: int, sizes: Sizes, seed: int = SEED) -> None:
    """Writes random jets as a class file in JetNet's format (:func:`lgae_pyg.datasets.jetnet_format.read_class`).

    Args:
        path: the file, in a folder that is there.
        jets: number of jets.
        sizes: their numbers of particles.
        seed: of the generator.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(sizes.smallest, sizes.largest + 1, jets)
    features = np.zeros((jets, sizes.largest, 4), dtype=np.float32)
    present = np.arange(sizes.largest) < counts[:, None]
    features[..., :2] = rng.normal(0, WIDTH, (jets, sizes.largest, 2)) * present[..., None]
    pt = -np.sort(-rng.uniform(size=present.shape) * present, axis=1)
    features[..., 2] = pt / pt.sum(1, keepdims=True)
    features[..., 3] = present
    columns = rng.uniform(800, 1600, jets), rng.normal(0, 1, jets), rng.uniform(10, 200, jets), counts
    with h5py.File(path, "w") as file:
        file.create_dataset("particle_features", data=features)
        file.create_dataset("jet_features", data=np.stack(columns, axis=-1))
