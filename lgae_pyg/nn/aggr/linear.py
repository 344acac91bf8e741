"""Mean and sum of packed complex features over the particles of each jet."""

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.typing import OptTensor

from lgae_pyg.ops.graphs import graph_offsets, node_to_graph
from lgae_pyg.ops.products import as_complex


class LinearAggregation(Aggregation):
    r"""Mean or sum of complex features over the particles of a jet, :math:`\frac{1}{n}\sum_i F_i` or
    :math:`\sum_i F_i`: linear, hence equivariant, and permutation invariant.

    PyG's own aggregations reduce real tensors; this one reduces the real and imaginary parts through them.

    Args:
        mode: ``"mean"`` or ``"sum"``.

    Shapes:
        - **input:** packed features :math:`(n, d)` and ``index`` or ``ptr``
        - **output:** :math:`(B, d)`, complex, in the unit of the input; zero for jets without particles
    """

    def __init__(self, mode: str = "mean"):
        super().__init__()
        if mode not in ("mean", "sum"):
            raise ValueError(f"unknown mode '{mode}': choose mean or sum")
        self.mode = mode

    def forward(
        self, x: Tensor, index: OptTensor = None, ptr: OptTensor = None, dim_size: int | None = None, dim: int = -2
    ) -> Tensor:
        if ptr is not None:
            # As an index: without torch-scatter, PyG's reduction by offsets has no second derivative.
            ptr = graph_offsets(len(x), ptr, index, dim_size)
            index, dim_size = node_to_graph(ptr, len(x)), len(ptr) - 1
        flat = torch.view_as_real(as_complex(x)).flatten(-2)
        reduced = self.reduce(flat, index, None, dim_size, dim, reduce=self.mode)
        return torch.view_as_complex(reduced.unflatten(-1, (-1, 2)).contiguous())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.mode})"
