"""Complete graphs given by ``ptr``: sizes, node-to-graph maps, dense layouts and edges.

A batch of jets is a flat tensor of nodes and ``ptr``, the offsets at which each jet begins (the compressed
row pointers of PyG's :class:`~torch_geometric.data.Batch`). Every particle of a jet talks to every other, so
the edges follow from ``ptr`` and are never stored.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


def graph_sizes(ptr: Tensor) -> Tensor:
    """Number of nodes of each graph, :math:`n_b = \\text{ptr}_{b+1} - \\text{ptr}_b`.

    Shapes:
        - ptr: :math:`(B+1,)`
        - **output:** :math:`(B,)`
    """
    return ptr[1:] - ptr[:-1]


def check_offsets(ptr: Tensor, nodes: int, device: torch.device | None = None) -> Tensor:
    """Offsets as all operations take them, int64, if they describe the nodes.

    A GPU is not waited for: there, and under ``torch.compile``, the check of the values is an assertion in the
    stream of operations, on a GPU once for each tensor.

    Args:
        ptr: offsets of the graphs, integers of any type.
        nodes: the number of nodes.
        device: where the nodes are; wherever ``ptr`` is when omitted.

    Raises:
        ValueError: if they are not integers that begin with 0, never fall and end with the number of nodes, or are
            on another device than the nodes.

    Shapes:
        - ptr, **output:** :math:`(B+1,)`
    """
    _check_vector("ptr", ptr)
    if device is not None and ptr.device != device:
        raise ValueError(f"ptr must be on {device} as the nodes are, not on {ptr.device}: move the batch")
    if not len(ptr):
        raise ValueError(f"the offsets in ptr do not fit {nodes} nodes: there are none, and 0 is always one")
    ptr = ptr.long()
    if ptr.is_cpu and not torch.compiler.is_compiling():
        values = ptr.numpy()  # a third of the time that tensors take for so little
        if values[0] != 0 or values[-1] != nodes or (values[1:] < values[:-1]).any():
            raise ValueError(f"ptr must rise from 0 to the number of nodes, {nodes}, but is {_begin(ptr)}")
    elif not _known(ptr, nodes):
        fits = (ptr[0] == 0) & (ptr[-1] == nodes) & (ptr[1:] >= ptr[:-1]).all()
        torch._assert_async(fits, "ptr must rise from 0 to the number of nodes")
    return ptr


def _check_vector(name: str, value: Tensor) -> None:
    if value.dim() != 1 or value.is_floating_point() or value.is_complex():
        raise ValueError(f"{name} must be a vector of integers, not {tuple(value.shape)} {value.dtype}")


def _known(ptr: Tensor, nodes: int) -> bool:
    """Whether offsets on a GPU have been checked for as many nodes before, and not been changed since."""
    if torch.compiler.is_compiling() or ptr.is_inference():
        return False
    state = nodes, ptr._version
    known = getattr(ptr, "_describes", None) == state
    ptr._describes = state  # type: ignore[attr-defined]  # tensors keep what they are given
    return known


def node_to_graph(ptr: Tensor, nodes: int | None = None) -> Tensor:
    """Graph number of each node (PyG's ``batch`` vector).

    Args:
        ptr: offsets of the graphs.
        nodes: the number of nodes, if known; a GPU need not be waited for then.

    Shapes:
        - ptr: :math:`(B+1,)`
        - **output:** :math:`(n,)`
    """
    sizes = graph_sizes(ptr)
    graphs = torch.arange(len(sizes), device=ptr.device)
    return torch.repeat_interleave(graphs, sizes, output_size=nodes)


def node_slots(ptr: Tensor, nodes: int | None = None) -> Tensor:
    """Position of each node inside its own graph, :math:`0 \\ldots n_b - 1`.

    Shapes:
        - ptr: :math:`(B+1,)`
        - **output:** :math:`(n,)`
    """
    graph = node_to_graph(ptr, nodes)
    return torch.arange(len(graph), device=ptr.device) - ptr[:-1][graph]


def pointers(sizes: Tensor) -> Tensor:
    """The offsets ``ptr`` of graphs with the given sizes; the inverse of :func:`graph_sizes`.

    Shapes:
        - sizes: :math:`(B,)`
        - **output:** :math:`(B+1,)`
    """
    return torch.nn.functional.pad(torch.cumsum(sizes, 0), (1, 0))


def graph_offsets(
    nodes: int, ptr: Tensor | None = None, batch: Tensor | None = None, graphs: int | None = None
) -> Tensor:
    """The offsets ``ptr`` of a batch of graphs, checked, from either of the two ways in which PyG names it.

    Args:
        nodes: number of nodes.
        ptr: offsets of the graphs.
        batch: graph number of each node; beside ``ptr`` it must say the same.
        graphs: number of graphs; graphs without nodes at the end are not seen in ``batch`` alone.

    Raises:
        ValueError: if neither is given, the nodes are not sorted by graph, or what is given does not fit
            together. On a GPU, and under ``torch.compile``, some of this is an assertion in the stream of
            operations.

    Shapes:
        - ptr: :math:`(B+1,)`, batch: :math:`(n,)`, of integers
        - **output:** :math:`(B+1,)`
    """
    if batch is not None:
        _check_vector("batch", batch)
        if len(batch) != nodes:
            raise ValueError(f"batch names the graphs of {len(batch)} nodes, but there are {nodes}")
    if ptr is None:
        if batch is None:
            raise ValueError("which node is in which graph? Pass batch or ptr (of one graph torch.tensor([0, n]))")
        return pointers(torch.bincount(_rising(batch, graphs).long(), minlength=graphs or 0))
    ptr = check_offsets(ptr, nodes)
    if graphs not in (None, len(ptr) - 1):
        raise ValueError(f"{len(ptr)} offsets in ptr do not fit {graphs} graphs")
    if batch is not None:
        _require(
            (node_to_graph(ptr, nodes) == batch).all(),
            lambda: f"ptr {_begin(ptr)} and batch {_begin(batch)} sort the nodes into graphs differently: "
            "leave out the one that is out of date",
        )
    return ptr


def _rising(batch: Tensor, graphs: int | None) -> Tensor:
    falls = batch[1:] < batch[:-1]
    if falls.any():
        node = int(falls.nonzero()[0]) + 1
        raise ValueError(
            f"the nodes must be sorted by graph, but batch falls at node {node}: sort all that belongs to them by "
            "order = batch.argsort(stable=True), as in x[order], pos[order], batch[order]"
        )
    if len(batch) and (batch[0] < 0 or (graphs is not None and batch[-1] >= graphs)):
        raise ValueError(f"batch names graphs from {batch[0]} to {batch[-1]}, but there are {graphs}")
    return batch


def _begin(numbers: Tensor) -> str:
    return f"{numbers[:10].tolist()}{'...' if len(numbers) > 10 else ''}"


def _require(condition: Tensor, message: Callable[[], str]) -> None:
    """Raises :class:`ValueError`, or, where one would have to wait for the condition, an assertion later."""
    if condition.is_cuda or torch.compiler.is_compiling():
        torch._assert_async(condition, "the offsets of the graphs do not fit the nodes")
    elif not condition:
        raise ValueError(message())


def edges_or_offsets(
    nodes: int, edge_index: Tensor | None, ptr: Tensor | None, batch: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """What a layer passes messages along: the edges, or else the checked offsets of complete graphs.

    PyG's ``Sequential`` passes by position: a vector in the place of ``edge_index`` is ``batch``.

    Raises:
        ValueError: unless exactly one of the three is given, and fits the nodes.
    """
    if edge_index is not None and edge_index.dim() == 1 and batch is None:
        edge_index, batch = None, edge_index
    given = {"edge_index": edge_index, "ptr": ptr, "batch": batch}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            f"pass one of edge_index, ptr and batch, not {' and '.join(names) or 'none'}: jets of a PyG batch are "
            f"told apart by batch=batch.batch or ptr=batch.ptr; one jet is ptr=torch.tensor([0, {nodes}])"
        )
    return edge_index, None if edge_index is not None else graph_offsets(nodes, ptr, batch)


def complete_graph(ptr: Tensor | None = None, self_loops: bool = False, batch: Tensor | None = None) -> Tensor:
    """Edges of the complete graph of each jet, source :math:`j` in row 0 and target :math:`i` in row 1.

    Edges are sorted by target. A graph of one node has no edge (or its self-loop).

    Args:
        ptr: offsets of the graphs.
        self_loops: whether the edges :math:`j = i` are present.
        batch: the graph of each node, in the place of ``ptr``.

    Raises:
        ValueError: if neither is given, or the nodes are not sorted by graph.

    Shapes:
        - ptr: :math:`(B+1,)`, batch: :math:`(n,)`
        - **output:** :math:`(2, \\sum_b n_b (n_b - 1))`, or :math:`(2, \\sum_b n_b^2)` with self-loops
    """
    if ptr is None or batch is not None:
        ptr = graph_offsets(0 if batch is None else len(batch), ptr, batch)
    graph = node_to_graph(ptr)
    degree = graph_sizes(ptr)[graph]
    target = torch.repeat_interleave(torch.arange(len(graph), device=ptr.device), degree)
    offset = torch.arange(len(target), device=ptr.device) - pointers(degree)[:-1][target]
    edges = torch.stack([ptr[:-1][graph][target] + offset, target])
    return edges if self_loops else edges[:, edges[0] != edges[1]]


class DenseLayout(NamedTuple):
    """Where the nodes of a ragged batch stand in a dense one of shape :math:`(B, N)`.

    Attributes:
        place: flat position :math:`b N + k` of each node, shape :math:`(n,)`.
        graphs: the number of graphs :math:`B`.
        slots: the number of slots :math:`N` of each graph.
    """

    place: Tensor
    graphs: int
    slots: int

    def scatter(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Spreads node values over the dense layout.

        Shapes:
            - values: :math:`(n, *)`
            - **output:** :math:`(B, N, *)`, empty slots holding ``fill``
        """
        dense = values.new_full((self.graphs * self.slots, *values.shape[1:]), fill)
        dense = dense.index_copy(0, self.place, values)
        return dense.view(self.graphs, self.slots, *values.shape[1:])

    def gather(self, dense: Tensor) -> Tensor:
        """Collects node values from the dense layout, the inverse of :meth:`scatter`.

        Shapes:
            - dense: :math:`(B, N, *)`
            - **output:** :math:`(n, *)`
        """
        return dense.flatten(0, 1).index_select(0, self.place)


def dense_layout(ptr: Tensor, slots: int | None = None, nodes: int | None = None) -> DenseLayout:
    """The dense layout of a ragged batch.

    Args:
        ptr: offsets of the graphs.
        slots: the number of slots :math:`N`; the size of the largest graph when omitted, for which a GPU is
            waited for.
        nodes: the number of nodes, if known; a GPU need not be waited for then.

    Raises:
        ValueError: if a graph has more nodes than there are slots. On a GPU, and under ``torch.compile``, this is
            an assertion in the stream of operations.

    Shapes:
        - ptr: :math:`(B+1,)`
    """
    sizes = graph_sizes(ptr)
    if slots is None:
        slots = int(sizes.max()) if len(sizes) else 0
    elif ptr.is_cuda or torch.compiler.is_compiling():
        torch._assert_async((sizes <= slots).all(), f"a jet has more particles than the model has slots, {slots}")
    else:
        _check_sizes(sizes, slots)
    return DenseLayout(node_to_graph(ptr, nodes) * slots + node_slots(ptr, nodes), len(sizes), slots)


def _check_sizes(sizes: Tensor, slots: int) -> None:
    largest = int(sizes.max()) if len(sizes) else 0
    if largest > slots:
        jet = int(sizes.argmax())
        raise ValueError(
            f"jet {jet} of the batch has {largest} particles, but the model has {slots} slots: keep the "
            f"{slots} leading constituents (num_particles={slots} of the data set) or build a larger model"
        )
