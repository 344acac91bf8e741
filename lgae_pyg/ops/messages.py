r"""The neighbour sum of Lorentz message passing on scalars and four-vectors, in closed form.

With :math:`p_{ij} = p_i - p_j`, invariants :math:`y_{ij} = p_{ij}^2` and complex radial factors
:math:`f^l_{ij,c} = f^l_c(|y_{ij}|)` of degree :math:`l = 0, 1` and channel :math:`c`, one level needs four sums,

.. math::
    \sum_j f^0_{ij} s_j, \quad \sum_j f^0_{ij} v_j, \quad
    \sum_j f^1_{ij} \langle p_{ij}, v_j \rangle, \quad \sum_j f^1_{ij}\, p_{ij}\, s_j ,

the only Clebsch-Gordan products of :math:`\{1, p_{ij}\}` with :math:`\{s_j, v_j\}` that are again scalars and
vectors. This is the one operation worth a kernel: :func:`neighbour_sum` defines it and picks a back-end.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.ops.backends.choice import choose_backend
from lgae_pyg.ops.backends.dense import dense_neighbour_sum
from lgae_pyg.ops.bells import Bells, bell_sum, self_factor
from lgae_pyg.ops.graphs import check_offsets, complete_graph
from lgae_pyg.ops.precision import without_autocast


class NeighbourSum(NamedTuple):
    r"""The four sums over the neighbours :math:`j` of each particle :math:`i` (complex).

    Shapes:
        - scalar_from_scalar: :math:`\sum_j f^0_{ij} s_j`, :math:`(n, \tau)`
        - vector_from_vector: :math:`\sum_j f^0_{ij} v_j`, :math:`(n, \tau, 4)`
        - scalar_from_vector: :math:`\sum_j f^1_{ij} \langle p_{ij}, v_j\rangle`, :math:`(n, \tau)`
        - vector_from_scalar: :math:`\sum_j f^1_{ij} p_{ij} s_j`, :math:`(n, \tau, 4)`
    """

    scalar_from_scalar: Tensor
    vector_from_vector: Tensor
    scalar_from_vector: Tensor
    vector_from_scalar: Tensor


def pair_messages(
    scalars: Tensor, vectors: Tensor, difference: Tensor, bells: Bells, present: Tensor | None = None
) -> NeighbourSum:
    r"""The four terms of one edge, before the sum: the plain definition of the messages.

    Args:
        scalars: scalars of the source, complex.
        vectors: four-vectors of the source, complex.
        difference: :math:`p_{ij} = p_i - p_j`, real or complex.
        bells: the radial functions, two degrees.
        present: edges whose bells are not masked; all when omitted.

    Shapes:
        - scalars: :math:`(e, \tau)`
        - vectors: :math:`(e, \tau, 4)`
        - difference: :math:`(e, 4)`
    """
    factors = bell_sum(minkowski_square(difference), bells, present)
    constant, linear = factors.unbind(-2)
    return NeighbourSum(
        constant * scalars,
        constant.unsqueeze(-1) * vectors,
        linear * minkowski_dot(difference.unsqueeze(-2), vectors),
        (linear * scalars).unsqueeze(-1) * difference.unsqueeze(-2),
    )


def edge_neighbour_sum(
    scalars: Tensor,
    vectors: Tensor,
    momenta: Tensor,
    bells: Bells,
    edge_index: Tensor,
    present: Tensor | None = None,
) -> NeighbourSum:
    r"""The neighbour sum over given edges: messages, then a sum by target. Memory :math:`O(e \tau)`.

    Shapes:
        - scalars: :math:`(n, \tau)`, vectors: :math:`(n, \tau, 4)`, momenta: :math:`(n, 4)`
        - edge_index: :math:`(2, e)`, source :math:`j` and target :math:`i`
        - present: :math:`(n,)`, nodes whose edges have bells
    """
    source, target = edge_index
    difference = momenta[target] - momenta[source]
    alive = None if present is None else present[source] & present[target]
    messages = pair_messages(scalars[source], vectors[source], difference, bells, alive)
    return NeighbourSum(
        *(
            torch.zeros(len(momenta), *part.shape[1:], dtype=part.dtype, device=part.device).index_add(
                0, target, part
            )
            for part in messages
        )
    )


def split_sums(packed: Tensor) -> NeighbourSum:
    r"""The four sums of a packed tensor, as views.

    Shapes:
        - packed: :math:`(n, 10\tau)`: scalars from scalars and from vectors, vectors from vectors and from scalars
    """
    channels = packed.shape[-1] // 10
    first, second, third, fourth = packed.split([channels, channels, 4 * channels, 4 * channels], -1)
    return NeighbourSum(first, third.unflatten(-1, (channels, 4)), second, fourth.unflatten(-1, (channels, 4)))


def add_self_loops(sums: NeighbourSum, scalars: Tensor, vectors: Tensor, bells: Bells) -> NeighbourSum:
    r"""Adds the terms :math:`j = i`, on which only :math:`f^0(0)` acts since :math:`p_{ii} = 0`."""
    origin = self_factor(bells)
    return sums._replace(
        scalar_from_scalar=sums.scalar_from_scalar + origin * scalars,
        vector_from_vector=sums.vector_from_vector + origin.unsqueeze(-1) * vectors,
    )


@without_autocast
def neighbour_sum(
    scalars: Tensor,
    vectors: Tensor,
    momenta: Tensor,
    bells: Bells,
    ptr: Tensor,
    self_loops: bool = False,
    backend: str = "auto",
    present: Tensor | None = None,
) -> NeighbourSum:
    r"""The neighbour sum on the complete graphs given by ``ptr``.

    Every back-end gives the same values and gradients; ``edge_list`` is the plain definition. Bells whose
    parameters have a lower precision than the features are evaluated in it, and so are their gradients;
    differences, invariants, messages and sums are not.

    Args:
        scalars: complex node scalars :math:`s_j`.
        vectors: complex node vectors :math:`v_j`.
        momenta: node momenta :math:`p_i` from which :math:`p_{ij}` is formed, real or complex.
        bells: the radial functions.
        ptr: offsets of the jets.
        self_loops: whether :math:`j = i` is part of the sum (:math:`p_{ii} = 0`, so only :math:`f^0(0)` acts).
        backend: ``"auto"``, ``"edge_list"``, ``"dense"`` or ``"fused"``; see
            :func:`~lgae_pyg.ops.backends.choice.choose_backend`.
        present: nodes whose edges have bells; edges of the others carry the bias alone, and the plain
            definition is used. All when omitted.

    Raises:
        ValueError: for an unknown back-end, or tensors that do not fit each other.
        BackendError: if the fused one was asked for and cannot run.

    Shapes:
        - scalars: :math:`(n, \tau)`, vectors: :math:`(n, \tau, 4)`, momenta: :math:`(n, 4)`, ptr: :math:`(B+1,)`
    """
    kind = (scalars.real.dtype, bells.weight.dtype, momenta.is_complex(), scalars.shape[-1])
    choice = choose_backend(backend, "neighbour sum", scalars.device.type, *kind)
    if choice == "compiled" and present is None:
        from lgae_pyg.ops.backends.compiled import compiled_neighbour_sum

        packed = torch.cat([scalars, vectors.flatten(-2)], -1)
        sums = split_sums(compiled_neighbour_sum(packed, momenta, bells, ptr))
        return add_self_loops(sums, scalars, vectors, bells) if self_loops else sums
    ptr = check_offsets(ptr, len(scalars), scalars.device)
    if choice == "edge_list" or present is not None:
        edges = complete_graph(ptr, self_loops)
        return edge_neighbour_sum(scalars, vectors, momenta, bells, edges, present)
    if choice == "dense":
        return NeighbourSum(*dense_neighbour_sum(scalars, vectors, momenta, bells, ptr, self_loops))
    from lgae_pyg.ops.backends.triton import triton_neighbour_sum

    return NeighbourSum(*triton_neighbour_sum(scalars, vectors, momenta, bells, ptr, self_loops))
