"""Encoder and decoder of the GNNAE."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.utils import segment

from lgae_pyg.nn.graph_net_conv import GraphNetConv
from lgae_pyg.ops.graphs import dense_layout

#: How the features of all particles become the code of a jet; mix is one linear map over the slots.
JET_MAPS = ("mean", "max", "min", "mix")


class GraphNet(nn.Module):
    r"""Steps of message passing on complete graphs (arXiv:2212.07347, App. A.2).

    Args:
        node_sizes: for each step, the widths of the node features and of hidden layers of the node network.
        edge_sizes: for each step, the widths of the layers of the edge network.
        out_channels: width of the output.
        slope: of the leaky ReLU.
        last_activation: whether the last layer is followed by it.
        distance, neighbours, backend: see :class:`~lgae_pyg.nn.GraphNetConv`.

    Raises:
        ValueError: if the two lists of sizes are not equally long, or empty.

    Shapes:
        - **input:** features :math:`(n, k)` with :math:`k` at most ``node_sizes[0][0]``, ``ptr`` :math:`(B+1,)`
        - **output:** :math:`(n, \text{out\_channels})`
    """

    def __init__(
        self,
        node_sizes: Sequence[Sequence[int]],
        edge_sizes: Sequence[Sequence[int]],
        out_channels: int,
        slope: float,
        last_activation: bool,
        distance: str,
        neighbours: float,
        backend: str,
    ):
        super().__init__()
        if len(node_sizes) != len(edge_sizes) or not node_sizes:
            raise ValueError(
                "node_sizes and edge_sizes need an entry for each step, at least one, but have "
                f"{len(node_sizes)} and {len(edge_sizes)}"
            )
        self.in_channels = node_sizes[0][0]
        following = [sizes[0] for sizes in node_sizes[1:]] + [out_channels]
        self.convs = nn.ModuleList(
            GraphNetConv(
                nodes[0],
                edges,
                [*nodes, after],
                slope,
                last_activation or step < len(node_sizes),
                distance,
                neighbours,
                backend,
            )
            for step, (nodes, edges, after) in enumerate(zip(node_sizes, edge_sizes, following), 1)
        )

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x, ptr=ptr)
        return x


class JetEncoder(nn.Module):
    r"""One code per jet: message passing to :math:`L` features, then their mean (or ``max``, ``min``, ``mix``).

    Shapes:
        - **input:** features :math:`(n, 3)`, ``ptr`` :math:`(B+1,)`
        - **output:** :math:`(B, L)`
    """

    def __init__(self, network: GraphNet, latent: int, num_particles: int, aggregation: str):
        super().__init__()
        self.network, self.aggregation, self.num_particles = network, aggregation, num_particles
        self.mix = nn.Linear(num_particles * latent, latent, bias=False) if aggregation == "mix" else None

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        x = self.network(x, ptr)
        if self.mix is None:
            return segment(x, ptr, self.aggregation)
        return self.mix(dense_layout(ptr, self.num_particles, len(x)).scatter(x).flatten(1))


class ParticleEncoder(nn.Module):
    r"""A code for each particle: message passing, then a linear map to :math:`d` numbers; empty slots hold zeros.

    Shapes:
        - **input:** features :math:`(n, 3)`, ``ptr`` :math:`(B+1,)`
        - **output:** :math:`(B, N d)`, slot after slot
    """

    def __init__(self, network: GraphNet, width: int, latent: int, num_particles: int):
        super().__init__()
        self.network, self.num_particles = network, num_particles
        self.mix = nn.Linear(width, latent)

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        codes = self.mix(self.network(x, ptr))
        return dense_layout(ptr, self.num_particles, len(x)).scatter(codes).flatten(1)


class JetDecoder(nn.Module):
    r"""Particles from one code: a linear map to the features of :math:`N` slots, then message passing among the
    first slots, as many as the jet shall have particles.

    Shapes:
        - **input:** codes :math:`(B, L)`, ``ptr`` :math:`(B+1,)`
        - **output:** :math:`(n, 3)`
    """

    def __init__(self, network: GraphNet, latent: int, num_particles: int):
        super().__init__()
        self.network, self.num_particles = network, num_particles
        self.expand = nn.Linear(latent, num_particles * network.in_channels)

    def forward(self, codes: Tensor, ptr: Tensor) -> Tensor:
        slots = self.expand(codes).unflatten(-1, (self.num_particles, -1))
        return self.network(dense_layout(ptr, self.num_particles).gather(slots), ptr)


class ParticleDecoder(nn.Module):
    r"""Particles from codes of their own: a linear map of each, then message passing.

    Shapes:
        - **input:** codes :math:`(B, N d)`, ``ptr`` :math:`(B+1,)`
        - **output:** :math:`(n, 3)`
    """

    def __init__(self, network: GraphNet, latent: int, num_particles: int):
        super().__init__()
        self.network, self.num_particles = network, num_particles
        self.expand = nn.Linear(latent, network.in_channels)

    def forward(self, codes: Tensor, ptr: Tensor) -> Tensor:
        slots = codes.unflatten(-1, (self.num_particles, -1))
        return self.network(self.expand(dense_layout(ptr, self.num_particles).gather(slots)), ptr)


def full_offsets(jets: int, slots: int, device: torch.device) -> Tensor:
    """Offsets of jets that fill all slots, :math:`(B+1,)`."""
    return slots * torch.arange(jets + 1, device=device)
