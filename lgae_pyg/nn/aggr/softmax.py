r"""Sums of features whose weights are made of Lorentz invariants: PyG's softmax and attention on irreps."""

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation, AttentionalAggregation, SoftmaxAggregation
from torch_geometric.typing import OptTensor
from torch_geometric.utils import softmax

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.lorentz.kinematics import minkowski_square
from lgae_pyg.ops.graphs import graph_offsets, node_to_graph
from lgae_pyg.ops.products import SCALAR, VECTOR, as_complex, unpack


class InvariantSoftmax(Aggregation):
    r"""Sum of the particles of a jet with weights that add up to one,

    .. math:: F'_c = \sum_i \alpha_{ic}\, F_{ic}, \qquad \alpha_{ic} = \operatorname{softmax}_i\, g_c(I_i) .

    PyG's own softmax and attention weight each component by functions of all, which mixes frames. Here they see
    the invariants :math:`I_i` alone: real and imaginary part of each scalar, and the square :math:`v^2` of real
    and of imaginary part of each four-vector. So the result is equivariant, and permutation invariant. From
    ``SoftmaxAggregation`` comes :math:`g = t I`, each part of a channel weighted by its own invariant (a soft
    ``max``, or ``min`` for negative :math:`t`); from ``AttentionalAggregation`` its ``gate_nn``, with one output
    or one for each of the :math:`2\tau` parts.

    Invariants are not linear: see ``scale`` of :class:`~lgae_pyg.nn.LMPConv` for the unit.

    Args:
        irreps: irreps of the features, scalars and four-vectors.
        aggregation: PyG's module, whose parameters are used.

    Raises:
        ValueError: for other irreps, ``channels`` that are not 1 or the number of parts, or an attention with
            ``nn``, which would act on components.

    Shapes:
        - **input:** packed features :math:`(n, \text{irreps.dim})` and ``index`` or ``ptr``
        - **output:** :math:`(B, \text{irreps.dim})`, complex, in the unit of the input; zero for jets without
          particles
    """

    def __init__(self, irreps: Irreps | str, aggregation: SoftmaxAggregation | AttentionalAggregation):
        super().__init__()
        self.irreps, self.aggregation = Irreps(irreps), aggregation
        channels = [irrep.dim for count, irrep in self.irreps for _ in range(count)]
        if {irrep for _, irrep in self.irreps} - {SCALAR, VECTOR}:
            raise ValueError(f"invariants are known of scalars and four-vectors, not of all of {self.irreps}")
        if getattr(aggregation, "channels", 1) not in (1, 2 * len(channels)):
            raise ValueError(f"channels must be 1 or the number of invariants, {2 * len(channels)}")
        if any(getattr(aggregation, name, None) is not None for name in ("nn", "mlp")):
            raise ValueError("the nn of AttentionalAggregation acts on components, not invariants: leave it out")
        #: The channel of each column.
        self.columns = [channel for channel, dim in enumerate(channels) for _ in range(dim)]

    def reset_parameters(self) -> None:
        """Resets those of PyG's module."""
        self.aggregation.reset_parameters()

    def invariants(self, x: Tensor) -> Tensor:
        r"""The invariants of each particle, :math:`(n, 2\tau)` for :math:`\tau` channels, real part first."""
        features = unpack(torch.view_as_real(x).transpose(-2, -1), self.irreps)
        parts = [minkowski_square(part) if irrep == VECTOR else part[..., 0] for irrep, part in features.items()]
        return torch.cat(parts, -1).transpose(-2, -1).flatten(-2)

    def forward(
        self, x: Tensor, index: OptTensor = None, ptr: OptTensor = None, dim_size: int | None = None, dim: int = -2
    ) -> Tensor:
        x, ptr = as_complex(x), graph_offsets(len(x), ptr, index, dim_size)
        graph, invariants = node_to_graph(ptr, len(x)), self.invariants(x)
        weights = softmax(self._logits(invariants, graph, len(ptr) - 1), graph, num_nodes=len(ptr) - 1)
        if getattr(self.aggregation, "semi_grad", False):
            weights = weights.detach()
        if weights.shape[1] > 1:
            weights = weights.unflatten(1, (-1, 2))[:, self.columns].flatten(1)
        values = weights * torch.view_as_real(x).flatten(1)
        sums = values.new_zeros(len(ptr) - 1, values.shape[1]).index_add(0, graph, values)
        return torch.view_as_complex(sums.unflatten(1, (-1, 2)))

    def _logits(self, invariants: Tensor, graph: Tensor, graphs: int) -> Tensor:
        own = self.aggregation
        if isinstance(own, SoftmaxAggregation):
            return own.t * invariants
        if own.gate_mlp is not None:
            return own.gate_mlp(invariants, batch=graph, batch_size=graphs)
        return own.gate_nn(invariants)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps}, {self.aggregation})"
