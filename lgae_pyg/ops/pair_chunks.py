r"""Which pairs of particles there are, and in which chunks they are walked.

Complete graphs need no stored edges: :func:`complete_pairs` derives any slice of their pairs from ``ptr``. A batch
is cut into groups of jets that share no pairs, and a group into chunks of pairs, so that what a chunk reads and
writes is small. The host learns the numbers of pairs once per batch; walking them never waits for the device.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.graphs import graph_sizes, pointers

#: Largest number of pairs handled at once unless told otherwise. On a CPU, a chunk of this size and of width 100
#: stays in the cache and is reused by the allocator; a GPU may want larger ones.
MAX_PAIRS = 1 << 14


def complete_pairs(ptr: Tensor, begin: int = 0, end: int | None = None, self_loops: bool = False) -> Tensor:
    """The pairs number ``begin`` to ``end`` of the complete graphs, source in row 0 and target in row 1.

    Pairs are numbered as :func:`~lgae_pyg.ops.graphs.complete_graph` orders them, of which this is a slice; the
    memory is that of the slice.

    Args:
        ptr: offsets of the graphs.
        begin: first pair.
        end: last pair, not included; all when omitted, at the price of waiting for the device.
        self_loops: whether the pairs :math:`j = i` are present.

    Shapes:
        - ptr: :math:`(B+1,)`
        - **output:** :math:`(2, \\text{end} - \\text{begin})`
    """
    sizes = graph_sizes(ptr)
    degrees = sizes if self_loops else sizes - 1
    firsts = pointers(sizes * degrees)
    number = torch.arange(begin, int(firsts[-1]) if end is None else end, device=ptr.device)
    graph = torch.searchsorted(firsts, number, right=True) - 1
    number, degree, first = number - firsts[graph], degrees[graph], ptr[graph]
    target = number // degree
    source = number - target * degree
    if not self_loops:
        source = source + (source >= target)
    return torch.stack([first + source, first + target])


class CompleteGroup(NamedTuple):
    """Consecutive jets that are walked together; every particle of a jet is paired with every other.

    Attributes:
        nodes: number of particles.
        pairs: number of pairs.
        ptr: offsets of the jets, from 0 to ``nodes``.
        self_loops: whether the pairs :math:`j = i` are present.
    """

    nodes: int
    pairs: int
    ptr: Tensor
    self_loops: bool

    def indices(self, begin: int, end: int) -> Tensor:
        """Sources and targets of a slice of the pairs, :math:`(2, e)`."""
        return complete_pairs(self.ptr, begin, end, self.self_loops)

    def degrees(self) -> Tensor:
        """Number of neighbours of each particle, :math:`(n,)`."""
        sizes = graph_sizes(self.ptr)
        return torch.repeat_interleave(sizes if self.self_loops else sizes - 1, sizes, output_size=self.nodes)


class EdgeGroup(NamedTuple):
    """Nodes with given edges.

    Attributes:
        nodes: number of nodes.
        pairs: number of edges.
        edge_index: sources and targets.
    """

    nodes: int
    pairs: int
    edge_index: Tensor

    def indices(self, begin: int, end: int) -> Tensor:
        """Sources and targets of a slice of the edges, :math:`(2, e)`."""
        return self.edge_index[:, begin:end]

    def degrees(self) -> Tensor:
        """Number of neighbours of each node, :math:`(n,)`."""
        target = self.edge_index[1]
        return target.new_zeros(self.nodes).index_add(0, target, torch.ones_like(target))


class Pairs(NamedTuple):
    """Which pairs are walked, and in which chunks. Made once per batch, it serves every layer.

    Attributes:
        groups: the nodes in order, in groups that share no pairs.
        max_pairs: largest number of pairs of a chunk; no limit when none.
    """

    groups: tuple[CompleteGroup | EdgeGroup, ...]
    max_pairs: int | None

    @property
    def count(self) -> int:  # type: ignore[override]  # nobody counts groups as in a tuple
        """The number of pairs."""
        return sum(group.pairs for group in self.groups)

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return sum(group.nodes for group in self.groups)

    @property
    def offsets(self) -> Tensor | None:
        """The offsets of all jets where these are the pairs :math:`j \\ne i` of complete graphs, and none else."""
        groups = [one for one in self.groups if isinstance(one, CompleteGroup) and not one.self_loops]
        if len(groups) < len(self.groups):
            return None
        first, *others = (group.ptr for group in groups)
        begins = accumulate(group.nodes for group in groups)
        return torch.cat([first, *(ptr[1:] + begin for ptr, begin in zip(others, begins))])

    def chunks(self) -> list[list[tuple[int, int]]]:
        """The chunks of each group, as slices of its pairs; at least one, which may be empty."""
        return [_slices(group.pairs, self.max_pairs) for group in self.groups]


def _slices(pairs: int, max_pairs: int | None) -> list[tuple[int, int]]:
    parts = 1 if max_pairs is None else max(1, -(-pairs // max_pairs))
    return list(pairwise(pairs * part // parts for part in range(parts + 1)))


def all_pairs(
    ptr: Tensor, self_loops: bool = False, max_pairs: int | None = MAX_PAIRS, sizes: Sequence[int] | None = None
) -> Pairs:
    """The pairs of complete graphs: small jets are grouped up to ``max_pairs``, larger ones walked in chunks.

    Args:
        ptr: offsets of the jets, on the device of the features.
        self_loops: whether the pairs :math:`j = i` are present.
        max_pairs: largest number of pairs handled at once; ``None`` handles the whole batch at once.
        sizes: sizes of the jets, if the host knows them; they are otherwise fetched from ``ptr``, for which a
            GPU has to be waited for once.

    Raises:
        ValueError: if ``max_pairs`` is not positive.

    Shapes:
        - ptr: :math:`(B+1,)`
    """
    if max_pairs is not None and max_pairs < 1:
        raise ValueError(f"a chunk holds at least one pair, not {max_pairs}")
    sizes = graph_sizes(ptr).tolist() if sizes is None else sizes
    groups, first, nodes, pairs = [], 0, 0, 0
    for jet, size in enumerate(sizes):
        own = size * size if self_loops else size * (size - 1)
        if max_pairs is not None and pairs and pairs + own > max_pairs:
            groups.append(CompleteGroup(nodes, pairs, ptr[first : jet + 1] - ptr[first], self_loops))
            first, nodes, pairs = jet, 0, 0
        nodes, pairs = nodes + size, pairs + own
    groups.append(CompleteGroup(nodes, pairs, ptr[first:] - ptr[first], self_loops))
    return Pairs(tuple(groups), max_pairs)


def edge_pairs(edge_index: Tensor, num_nodes: int, max_pairs: int | None = MAX_PAIRS) -> Pairs:
    """The pairs of given edges, source :math:`j` in row 0 and target :math:`i` in row 1.

    Every chunk may reach every node, so the backward pass adds up one gradient of all nodes per chunk.

    Args:
        edge_index: the edges, in any order.
        num_nodes: number of nodes.
        max_pairs: largest number of edges handled at once; ``None`` handles all at once.

    Raises:
        ValueError: if ``max_pairs`` is not positive.

    Shapes:
        - edge_index: :math:`(2, e)`
    """
    if max_pairs is not None and max_pairs < 1:
        raise ValueError(f"a chunk holds at least one pair, not {max_pairs}")
    return Pairs((EdgeGroup(num_nodes, edge_index.shape[1], edge_index),), max_pairs)
