"""Random inputs of the neighbour sum, degenerate ones among them."""

import torch

from lgae_pyg.nn import LorentzianBell
from lgae_pyg.ops.graphs import pointers


def random_case(sizes: list[int], channels: int, complex_momenta: bool, seed: int) -> tuple:
    """Random features on ragged jets; the first two particles of each jet are equal, the third collinear."""
    generator = torch.Generator().manual_seed(seed)
    ptr = pointers(torch.tensor(sizes))
    n = int(ptr[-1])
    momenta = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    for begin, size in zip(ptr.tolist(), sizes):
        if size > 2:
            momenta[begin + 1] = momenta[begin]
            momenta[begin + 2] = 0.3 * momenta[begin]
    if complex_momenta:
        momenta = torch.complex(momenta, torch.randn(n, 4, generator=generator, dtype=torch.float64))
    scalars = torch.randn(n, channels, generator=generator, dtype=torch.complex128)
    vectors = torch.randn(n, channels, 4, generator=generator, dtype=torch.complex128)
    bells = LorentzianBell(channels, num_bells=4, complex_argument=complex_momenta).double()
    return scalars, vectors, momenta, bells, ptr
