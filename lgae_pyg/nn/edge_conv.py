r"""The edge convolution of ParticleNet."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import MeanAggregation
from torch_geometric.typing import Adj, OptTensor

from lgae_pyg.nn.joint_batch_norm import JointBatchNorm
from lgae_pyg.nn.unchanged import as_kind, is_exactly, passes_messages_as
from lgae_pyg.ops.backends.choice import check_backend, choose_backend
from lgae_pyg.ops.jets import on_rows
from lgae_pyg.ops.joint import is_joint
from lgae_pyg.ops.neighbours import at_places
from lgae_pyg.ops.pair_norm import fixed_statistics, follow_statistics
from lgae_pyg.ops.precision import without_autocast


class ParticleNetConv(MessagePassing):
    r"""An edge convolution block (Qu and Gouskos, arXiv:1902.08570),

    .. math::
        x'_i = \mathrm{ReLU}\Big( S(x_i) + \frac{1}{|N_i|} \sum_{j \in N_i} \phi\big([x_i, x_j - x_i]\big) \Big),

    where :math:`\phi` are linear layers without bias, each with batch normalisation and ReLU, and :math:`S` is a
    linear layer with batch normalisation, or the identity where the widths agree. The neighbours are whatever
    ``edge_index`` says, such as :func:`~lgae_pyg.ops.neighbours.nearest_neighbours`.

    The first layer is linear in :math:`x_i` and :math:`x_j` and is computed once per particle. On the CPU, what
    stands between the products of matrices goes through compiled kernels. Layers of :math:`\phi` that were
    replaced, adapted, pruned or given hooks are called as modules.

    Args:
        in_channels: width of the features.
        channels: widths of the layers of :math:`\phi`, the output's width last.
        backend: ``"fused"`` (compiled for the CPU), ``"dense"`` or ``"edge_list"`` (both PyTorch), or ``"auto"``,
            the first of them that can run.

    Raises:
        ValueError: without a layer, or for an unknown back-end; when called, for features of another width.

    Shapes:
        - **input:** x :math:`(n, F)`, ``edge_index`` :math:`(2, e)`, and ``edge_attr`` :math:`(e, 2F)`, added to
          :math:`[x_i, x_j - x_i]` where it is given
        - **output:** :math:`(n, \text{channels}[-1])`
    """

    def __init__(self, in_channels: int, channels: Sequence[int], backend: str = "auto"):
        super().__init__(aggr="mean", node_dim=0)
        check_backend(backend)
        self.backend = backend
        if not channels:
            raise ValueError("channels needs one width at least")
        self.in_channels, self.channels = in_channels, list(channels)
        sizes = [2 * in_channels, *channels]
        self.layers = nn.ModuleList(nn.Linear(*pair, bias=False) for pair in pairwise(sizes))
        self.norms = nn.ModuleList(JointBatchNorm(width) for width in channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != channels[-1]:
            linear = nn.Linear(in_channels, channels[-1], bias=False)
            self.shortcut = nn.Sequential(linear, JointBatchNorm(channels[-1]))

    @without_autocast
    def forward(self, x: Tensor, edge_index: Adj, edge_attr: Tensor | None = None) -> Tensor:
        if x.shape[-1] != self.in_channels:
            raise ValueError(f"ParticleNetConv takes {self.in_channels} features, not {x.shape[-1]}")
        shortcut = self.shortcut(x)
        joint = self.training and is_joint()  # other processes wait for the statistics of this one
        if edge_index.shape[1] == 0 and not joint:  # nothing to normalise: the mean over no neighbours is zero
            return shortcut.relu()
        terms, edge_attr = self._terms(x, edge_attr)
        if not joint and self._runs_compiled(x, edge_index):
            mean = self._compiled_mean(terms["target"], terms["source"], edge_attr, edge_index)
        else:
            mean = self.propagate(edge_index, **terms, edge_attr=edge_attr, size=(len(x), len(x)))
        return (shortcut + mean).relu()

    def _terms(self, x: Tensor, edge_attr: Tensor | None) -> tuple[dict[str, Tensor], Tensor | None]:
        """The first layer of particles as targets and as sources, and of the features of edges."""
        weight = as_kind(nn.Linear, self.layers)[0].weight
        own, difference = weight.split(self.in_channels, 1)
        terms = {"target": x @ (own - difference).T, "source": x @ difference.T}
        return terms, None if edge_attr is None else edge_attr @ weight.T

    def padded(self, x: Tensor, places: Tensor, found: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        """The same block on padded jets, in evaluation.

        Args:
            x: features of the places of each jet.
            places: the places of the neighbours of each (:func:`~lgae_pyg.ops.neighbours.padded_neighbours`).
            found: which of these are neighbours.
            edge_attr: see the layer.

        Shapes:
            - x: :math:`(B, N, F)`, places and found: :math:`(B, N, k)`, edge_attr: :math:`(B, N, k, 2F)`
            - **output:** :math:`(B, N, \\text{channels}[-1])`
        """
        terms, edge_attr = self._terms(x, edge_attr)
        target = terms["target"].unsqueeze(2).expand(-1, -1, places.shape[2], -1)
        edges = [target, at_places(terms["source"], places), *(() if edge_attr is None else (edge_attr,))]
        hidden = self.message(*(part.reshape(-1, part.shape[-1]) for part in edges), *(3 - len(edges)) * [None])
        hidden = torch.where(found.unsqueeze(-1), hidden.view(*places.shape, -1), 0.0)
        mean = hidden.sum(2) / found.sum(2, keepdim=True).clamp(min=1).to(hidden.dtype)
        return (on_rows(self.shortcut, x) + mean).relu()

    def _runs_compiled(self, x: Tensor, edge_index: Adj) -> bool:
        """Whether the kernel runs: it was not unwanted, there is one, and it does what the modules would."""
        if self.backend in ("dense", "edge_list") or not isinstance(edge_index, Tensor) or edge_index.is_sparse:
            return False
        plain = (
            passes_messages_as(self, ParticleNetConv, MeanAggregation)
            and all(is_exactly(layer, nn.Linear) and layer.bias is None for layer in self.layers)
            and all(is_exactly(norm, JointBatchNorm) and norm.weight is not None for norm in self.norms)
        )
        return plain and choose_backend(self.backend, "edge convolution", x.device.type, x.dtype) == "compiled"

    def _compiled_mean(self, target: Tensor, source: Tensor, edge_attr: OptTensor, edge_index: Tensor) -> Tensor:
        """The mean of the messages, from the parameters."""
        from lgae_pyg.ops.backends.compiled_convolution import EdgeNorm, compiled_edge_convolution

        count, norms = edge_index.shape[1], as_kind(JointBatchNorm, self.norms)
        kept = [EdgeNorm(norm.weight, norm.bias, norm.eps, fixed_statistics(norm, count)) for norm in norms]
        weights = [layer.weight for layer in as_kind(nn.Linear, self.layers)[1:]]
        mean, found = compiled_edge_convolution(target, source, edge_attr, edge_index, kept, weights)
        for norm, terms, (centre, variance) in zip(norms, kept, found):
            if terms.statistics is None:
                follow_statistics(norm, centre, variance, count)
        return mean

    def message(self, target_i: Tensor, source_j: Tensor, edge_attr: OptTensor) -> Tensor:
        hidden = target_i + source_j if edge_attr is None else target_i + source_j + edge_attr
        hidden = self.norms[0](hidden).relu()
        for layer, norm in zip(self.layers[1:], self.norms[1:]):
            hidden = norm(layer(hidden)).relu()
        return hidden

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.channels})"
