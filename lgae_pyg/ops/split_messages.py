r"""Messages of general irreps without the products of all pairs.

What a particle hears is :math:`\sum_j f_{ij}\, [(p_i - p_j) \otimes F_j]`, linear in :math:`p_i - p_j`. So the
products are those of particles,

.. math:: \Big[p_i \otimes \sum_j f_{ij} F_j\Big] - \sum_j f_{ij}\, [p_j \otimes F_j] ,

and the sums over neighbours are products of matrices, one for each channel.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from torch import Tensor

from lgae_pyg.lorentz.irreps import Irrep
from lgae_pyg.ops.graphs import DenseLayout
from lgae_pyg.ops.products import SCALAR, VECTOR, couple, zonal_functions


def split_messages(
    features: Mapping[Irrep, Tensor],
    pos: Tensor,
    factors: Tensor,
    couplings: Iterable[tuple[Irrep, Irrep, Irrep, int]],
    scalar_edge: complex,
    layout: DenseLayout,
) -> dict[Irrep, list[Tensor]]:
    r"""The messages of a level up to degree one, by irrep.

    Args:
        features: features of the particles by irrep.
        pos: momenta.
        factors: radial factors :math:`f^l_c` of all pairs :math:`(i, j)` of the dense layout, zero where there is
            no edge.
        couplings: edge, irrep of the features, irrep of the result, channels.
        scalar_edge: value of the zonal function of degree zero.
        layout: where the particles stand in the dense layout.

    Shapes:
        - features: :math:`(n, \tau, \dim)` each, pos: :math:`(n, 4)`, factors: :math:`(B, N, N, 2, \tau)`
        - **output:** :math:`(n, \tau, \dim)` for every coupling, in their order within an irrep
    """
    filters = factors.permute(3, 0, 4, 1, 2)
    momenta = zonal_functions(pos, 1)[VECTOR]

    def summed(values: Tensor, degree: int) -> Tensor:
        dense = layout.scatter(values.to(factors.dtype)).transpose(1, 2)
        return layout.gather((filters[degree][:, : values.shape[1]] @ dense).transpose(1, 2))

    blocks: dict[Irrep, list[Tensor]] = defaultdict(list)
    heard: dict[Irrep, Tensor] = {}
    for edge, irrep, out, channels in couplings:
        values = features[irrep][:, :channels]
        if edge == SCALAR:
            blocks[out].append(scalar_edge * summed(values, 0))
            continue
        if irrep not in heard:
            heard[irrep] = summed(values, 1)
        p = momenta.expand(-1, channels, -1)
        products = couple(p, values, edge, irrep, out)
        blocks[out].append(couple(p, heard[irrep], edge, irrep, out) - summed(products, 1))
    return blocks
