"""The products of a level of message passing on features of any irreps."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.ops.products import products_within, square_vanishes


class Coupling(NamedTuple):
    """One product of irreps, ``left`` x ``right`` -> ``out``, with its number of channels."""

    left: Irrep
    right: Irrep
    out: Irrep
    channels: int


def message_couplings(irreps: Irreps, max_degree: int, max_weight: int) -> list[Coupling]:
    """Products of the zonal functions up to a degree with features, of weight ``max_weight`` at most."""
    edges = [Irrep(degree / 2, degree / 2) for degree in range(max_degree + 1)]
    return [
        Coupling(edge, irrep, out, channels)
        for edge in edges
        for channels, irrep in irreps
        for out in products_within(edge, irrep, max_weight)
    ]


def self_couplings(irreps: Irreps, max_weight: int, ordered: bool) -> list[Coupling]:
    """Products of features with themselves; ``ordered``: in both orders, and those that vanish too."""
    couplings = []
    for first, (channels, a) in enumerate(irreps):
        for second, (others, b) in enumerate(irreps):
            if second < first and not ordered:
                continue
            for out in products_within(a, b, max_weight):
                if ordered or a != b or not square_vanishes(a, out):
                    couplings.append(Coupling(a, b, out, min(channels, others)))
    return couplings


def irreps_of(couplings: Iterable[Coupling]) -> Irreps:
    """Total multiplicities of the outputs of some products, lowest irreps first."""
    return concatenated(*(Irreps([(coupling.channels, coupling.out)]) for coupling in couplings))


def concatenated(*parts: Irreps) -> Irreps:
    """Total multiplicities of several features, lowest irreps first."""
    total: dict[Irrep, int] = defaultdict(int)
    for irreps in parts:
        for channels, irrep in irreps:
            total[irrep] += channels
    return Irreps([(total[irrep], irrep) for irrep in sorted(total, key=_order)])


def _order(irrep: Irrep) -> tuple[int, int, int]:
    first, second = irrep.doubled
    return irrep.weight, -first, -second
