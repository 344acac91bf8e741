r"""The message passing layer of the graph neural network autoencoder."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import Adj

from lgae_pyg.nn.unchanged import as_kind, is_exactly, passes_messages_as
from lgae_pyg.ops.backends.choice import check_backend
from lgae_pyg.ops.edge_networks import EdgeNetwork, distance, edge_network_sum
from lgae_pyg.ops.graphs import complete_graph, edges_or_offsets
from lgae_pyg.ops.precision import without_autocast

DISTANCES = ("squared", "norm")


class GraphNetConv(MessagePassing):
    r"""One step of message passing of the GNNAE (Hao et al., arXiv:2212.07347, Eqs. (A.3) and (A.4)),

    .. math::
        m_i = \frac{1}{c} \sum_{j} \phi_e\big([x_i, x_j, d(x_i, x_j)]\big), \qquad
        x'_i = \phi_n\big([m_i, x_i]\big),

    with perceptrons :math:`\phi_e` and :math:`\phi_n` and a leaky ReLU after every linear layer, the last ones
    included. As in the published code, :math:`d` is the squared Euclidean distance (the paper speaks of the norm),
    the sum over a complete graph contains :math:`j = i`, and the message comes first in the input of
    :math:`\phi_n`.

    Features enter nonlinear functions as they are: bring them to order one (:math:`p_T` relative to the jet,
    logarithms), whatever the unit of the momenta.

    Complete graphs given by ``ptr`` or ``batch`` go through a back-end that never stores messages; any
    ``edge_index`` takes the ordinary path, ``message`` and ``aggregate``. The numbers are the same. A
    :math:`\phi_e` whose layers were replaced, adapted, pruned or given hooks takes the ordinary path too, which
    calls them as modules.

    Args:
        in_channels: width :math:`F` of the node features; narrower input is filled up with zeros.
        edge_channels: widths of the layers of :math:`\phi_e`, the message's width last.
        node_channels: widths of the layers of :math:`\phi_n`, the output's width last.
        slope: of the leaky ReLU for negative numbers.
        last_activation: whether :math:`\phi_n` ends with the leaky ReLU.
        distance: ``"squared"``, :math:`|x_j - x_i|^2`, or ``"norm"``, :math:`|x_j - x_i|`, with which the layer
            is linear in the scale of its input.
        neighbours: a fixed number :math:`c` by which the sums over neighbours are divided, so that messages are of
            the size of the features (1 gives the plain sum of the paper).
        backend: ``"fused"`` (compiled for the CPU), ``"dense"`` (PyTorch, in chunks of pairs), ``"edge_list"``
            (messages along edges) or ``"auto"``, the first of them that can run.

    Raises:
        ValueError: for an unknown back-end or distance, no layer, or input wider than ``in_channels``; when
            called, unless one of ``edge_index``, ``ptr`` and ``batch`` is given, and for nodes that are not sorted
            by jet.

    Shapes:
        - **input:** node features :math:`(n, k)`, :math:`k \le F`, and one of ``edge_index`` :math:`(2, e)` and,
          for complete graphs, ``ptr`` :math:`(B+1,)` or ``batch`` :math:`(n,)`, which may also stand in the place
          of ``edge_index``
        - **output:** :math:`(n, \text{node\_channels}[-1])`
    """

    def __init__(
        self,
        in_channels: int,
        edge_channels: Sequence[int],
        node_channels: Sequence[int],
        slope: float = 0.2,
        last_activation: bool = True,
        distance: str = "squared",
        neighbours: float = 1.0,
        backend: str = "auto",
    ):
        super().__init__(aggr="sum", node_dim=0)
        check_backend(backend)
        if distance not in DISTANCES:
            raise ValueError(f"unknown distance '{distance}': choose one of {', '.join(DISTANCES)}")
        if not edge_channels or not node_channels:
            raise ValueError("edge_channels and node_channels need one width at least")
        self.in_channels, self.out_channels = in_channels, node_channels[-1]
        self.slope, self.last_activation = float(slope), last_activation
        self.distance = distance
        self.neighbours, self.backend = float(neighbours), backend
        self.edge_channels, self.node_channels = list(edge_channels), list(node_channels)
        self.edge_layers = _linear_layers([2 * in_channels + 1, *edge_channels])
        self.node_layers = _linear_layers([edge_channels[-1] + in_channels, *node_channels])
        if distance == "norm":
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """He's initialisation (arXiv:1502.01852) where ``distance`` is ``"norm"``, so that the features keep their
        size from layer to layer; PyTorch's default otherwise, since squared distances would explode."""
        super().reset_parameters()
        for layer in as_kind(nn.Linear, (*self.edge_layers, *self.node_layers)):
            layer.reset_parameters()
            if self.distance == "norm":
                nn.init.kaiming_normal_(layer.weight, self.slope, nonlinearity="leaky_relu")
                nn.init.zeros_(layer.bias)

    @without_autocast
    def forward(
        self, x: Tensor, edge_index: Adj | None = None, ptr: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        if x.shape[-1] > self.in_channels:
            raise ValueError(f"{x.shape[-1]} features per node, but the layer takes {self.in_channels} at most")
        weight = next(self.parameters(), x)
        x = pad(x.to(torch.promote_types(x.dtype, weight.dtype)), (0, self.in_channels - x.shape[-1]))
        if x.dtype != weight.dtype:
            raise TypeError(f"features are {x.dtype}, but the layer is {weight.dtype}: bring them together")
        edge_index, ptr = edges_or_offsets(len(x), edge_index, ptr, batch)
        if edge_index is None and self.backend != "edge_list" and self._is_plain():
            messages = edge_network_sum(x, self.edge_network(), ptr, backend=self.backend)
        else:
            if edge_index is None:
                edge_index = complete_graph(ptr, self_loops=True)
            messages = self.propagate(edge_index, x=x, size=(len(x), len(x)))
        hidden = torch.cat([messages / self.neighbours, x], -1)
        return self._perceptron(self.node_layers, hidden, self.last_activation)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        pairs = torch.cat([x_i, x_j, distance(x_i, x_j, self.distance == "norm")], -1)
        return self._perceptron(self.edge_layers, pairs)

    def edge_network(self) -> EdgeNetwork:
        """The perceptron :math:`\\phi_e` as plain tensors."""
        layers = as_kind(nn.Linear, self.edge_layers)
        weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
        return EdgeNetwork(weights, biases, self.slope, self.distance == "norm")

    def _is_plain(self) -> bool:
        """Whether the sum over neighbours is that of the edge network's weights and biases, and nothing else."""
        layers = all(is_exactly(layer, nn.Linear) and layer.bias is not None for layer in self.edge_layers)
        return layers and self.slope >= 0 and passes_messages_as(self, GraphNetConv)

    def _perceptron(self, layers: nn.ModuleList, hidden: Tensor, last_activation: bool = True) -> Tensor:
        """Layers with a leaky ReLU after each; none after modules without parameters, such as dropout."""
        for number, layer in enumerate(layers, 1):
            hidden = layer(hidden)
            if (number < len(layers) or last_activation) and next(layer.parameters(), None) is not None:
                hidden = leaky_relu(hidden, self.slope)
        return hidden

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, edges={self.edge_channels}, nodes={self.node_channels})"


def _linear_layers(sizes: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(sizes))
