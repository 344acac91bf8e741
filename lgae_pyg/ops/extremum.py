r"""The node of smallest or largest invariant of each graph, channel by channel: the plain definition.

Features are blocks of channels of scalars (dimension 1) and four-vectors (dimension 4), complex; the choice is
made for the real and the imaginary part separately, by :math:`v^2` for vectors and by the value itself for
scalars.
:mod:`lgae_pyg.ops.backends.compiled_nodes` has the same as a compiled kernel, which other back-ends stand for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.backends.choice import choose_backend
from lgae_pyg.ops.graphs import check_offsets, graph_sizes, node_to_graph
from lgae_pyg.ops.precision import without_autocast

#: Relative difference of two invariants below which their particles tie.
TIE = 1e-9


class Choice(NamedTuple):
    """What is chosen.

    Attributes:
        largest: the largest invariant instead of the smallest.
        by_square: scalars are ordered by their square where the largest is chosen.
        rounding: rounding error of an invariant in units in the last place of its terms; in graphs of two nodes,
            invariants closer than that tie.
    """

    largest: bool
    by_square: bool
    rounding: float


@without_autocast
def extremum(
    x: Tensor, ptr: Tensor, blocks: Sequence[tuple[int, int]], choice: Choice, backend: str = "dense"
) -> Tensor:
    """The chosen features of each graph; those that tie are averaged.

    Args:
        x: packed features.
        ptr: offsets of the graphs.
        blocks: channels and dimension of each irrep.
        choice: what is chosen.
        backend: ``auto`` and ``fused`` use a compiled kernel on the CPU, the others this plain definition.

    Raises:
        ValueError: for an unknown back-end, or offsets that do not describe the nodes.
        BackendError: if the fused back-end was asked for and cannot run.

    Shapes:
        - x: :math:`(n, d)`, complex, ptr: :math:`(B+1,)`
        - **output:** :math:`(B, d)`, zero for graphs without nodes
    """
    if choose_backend(backend, "extremum", x.device.type, x.real.dtype) == "compiled":
        from lgae_pyg.ops.backends.compiled_nodes import compiled_extremum

        return compiled_extremum(x, ptr, blocks, choice)
    ptr = check_offsets(ptr, len(x), x.device)
    graph, graphs = node_to_graph(ptr, len(x)), len(ptr) - 1
    values = torch.view_as_real(x).split([channels * dim for channels, dim in blocks], 1)
    parts = [value.unflatten(1, size) for value, size in zip(values, blocks)]
    with torch.no_grad():
        shares = _shares(parts, graph, graph_sizes(ptr), choice)
    shares = shares.split([channels for channels, _ in blocks], 1)
    picked = [
        part.new_zeros(graphs, *part.shape[1:]).index_add(0, graph, share.unsqueeze(2) * part).flatten(1, 2)
        for part, share in zip(parts, shares)
    ]
    return torch.view_as_complex(torch.cat(picked, 1))


def _shares(parts: list[Tensor], graph: Tensor, sizes: Tensor, choice: Choice) -> Tensor:
    r"""The share of each node in the choice of its graph: 1 over the number of nodes that tie, or 0.

    Shapes:
        - parts: :math:`(n, \tau, \dim, 2)` for each irrep, real and imaginary parts
        - **output:** :math:`(n, \sum \tau, 2)`
    """
    key, terms = (torch.cat(found, 1) for found in zip(*(_key(part, choice) for part in parts)))
    rounding = choice.rounding * torch.finfo(key.dtype).eps * terms * (sizes == 2)[graph].view(-1, 1, 1)
    where = graph.view(-1, 1, 1).expand_as(key)

    def over_graphs(x: Tensor, start: float, reduce: str) -> Tensor:
        return x.new_full((len(sizes), *x.shape[1:]), start).scatter_reduce(0, where, x, reduce)

    limit = over_graphs(key, torch.inf, "amin") + over_graphs(TIE * key.abs() + rounding, 0.0, "amax")
    tied = (key <= limit[graph]).to(key.dtype)
    return tied / over_graphs(tied, 0.0, "sum").clamp(min=1)[graph]


def _key(part: Tensor, choice: Choice) -> tuple[Tensor, Tensor]:
    r"""What the nodes are ordered by, the first to be chosen, and the size of the terms that it consists of.

    Shapes:
        - part: :math:`(n, \tau, \dim, 2)`, real and imaginary parts
        - **output:** twice :math:`(n, \tau, 2)`
    """
    first, *others = (component.square() for component in part.unbind(2))
    if others:
        space = sum(others[1:], others[0])
        key, terms = first - space, first + space
    else:
        key, terms = first if choice.largest and choice.by_square else part.squeeze(2), first
    return -key if choice.largest else key, terms
