r"""Lorentz features for networks that know nothing of Lorentz symmetry: of groups of particles, and of pairs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lgae_pyg.data.units import unit_factor
from lgae_pyg.nn.joint_batch_norm import JointBatchNorm
from lgae_pyg.ops.graphs import graph_offsets, graph_sizes, node_slots, node_to_graph, pointers
from lgae_pyg.ops.jets import on_rows
from lgae_pyg.ops.joint import is_joint
from lgae_pyg.ops.lorentz_features import (
    GROUP_FEATURES,
    PAIR_FEATURES,
    group_feature,
    log_feature,
    padded_group_feature,
    pair_feature,
)
from lgae_pyg.ops.pair_chunks import complete_pairs
from lgae_pyg.ops.precision import without_autocast
from lgae_pyg.registry import check_choice


class LorentzPatch(nn.Module):
    r"""One Lorentz feature of each particle, brought to the width of every block of a network and added there
    (C. Li et al., arXiv:2208.07814),

    .. math:: x^{(b)}_i \leftarrow x^{(b)}_i + P_b\big(\phi(\ln m_{G_i})\big) .

    :math:`G_i` are the ``k`` friends of the particle, the others with the largest
    :math:`\langle p_i, p_j \rangle`, and :math:`m_{G_i}` the mass of their sum
    (:func:`~lgae_pyg.ops.lorentz_features.group_feature`); :math:`\phi` is a perceptron that all blocks share and
    :math:`P_b` a linear layer with batch normalisation. Use it in any PyG model::

        self.patch = LorentzPatch([16, 64])                       # widths of the inputs of two blocks
        first, second = self.patch(batch.pos, batch=batch.batch)
        x = conv1(x + first, edge_index)
        x = conv2(x + second, edge_index)

    Parameters: :math:`8834 + 66 \sum_b d_b` for the width of 64.

    Args:
        widths: widths :math:`d_b` of the inputs of the blocks.
        feature: ``"mass"``, or ``"energy"``, which is not invariant, for comparison.
        k: number of friends.
        include_self: whether a particle is in its own group.
        activation: whether a ReLU follows each :math:`P_b` (as in the published PFN).
        hidden: width of the perceptron.
        scale: unit of the momenta, or the number that brings them to GeV.

    Raises:
        ValueError: for an unknown feature or unit, no block; when called, unless one of ``ptr`` and ``batch`` is
            given, or for nodes that are not sorted by jet.

    Shapes:
        - **input:** momenta ``p4`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)` or ``batch`` :math:`(n,)`
        - **output:** one :math:`(n, d_b)` per block, in the precision of the parameters
    """

    def __init__(
        self,
        widths: Sequence[int],
        feature: str = "mass",
        k: int = 16,
        include_self: bool = False,
        activation: bool = False,
        hidden: int = 64,
        scale: float | str = 1.0,
    ):
        super().__init__()
        check_choice("group feature", feature, GROUP_FEATURES)
        if not widths or k < 1:
            raise ValueError(f"a patch needs a block and a friend at least, not widths={list(widths)}, k={k}")
        self.feature, self.k, self.include_self = feature, k, include_self
        self.scale = unit_factor(scale, "GeV") if isinstance(scale, str) else float(scale)
        self.embedding = nn.Sequential(JointBatchNorm(1), *_perceptron(hidden, bias=True))
        self.projections = _projections(hidden, widths, activation)

    @without_autocast
    def forward(self, p4: Tensor, ptr: Tensor | None = None, batch: Tensor | None = None) -> list[Tensor]:
        ptr = graph_offsets(len(p4), ptr, batch)
        values = log_feature(group_feature(self.feature, self.scale * p4.double(), ptr, self.k, self.include_self))
        embedded = self.embedding(values.to(_precision(self.embedding)).unsqueeze(-1))
        return [projection(embedded) for projection in self.projections]

    def padded(self, p4: Tensor, exists: Tensor) -> list[Tensor]:
        """The same for padded jets, in evaluation; momenta are in the unit of ``scale``.

        Shapes:
            - p4: :math:`(B, N, 4)`, exists: :math:`(B, N)`
            - **output:** one :math:`(B, N, d_b)` per block
        """
        group = padded_group_feature(self.feature, self.scale * p4, exists, self.k, self.include_self)
        values = log_feature(group).to(_precision(self.embedding)).unsqueeze(-1)
        embedded = on_rows(self.embedding, values)
        return [on_rows(projection, embedded) for projection in self.projections]


class PairPatch(nn.Module):
    r"""One feature of each pair of particles, brought to the width of the edges of every block of a network
    (arXiv:2208.07814): :math:`P_b(\phi(\ln q_{ij}))`.

    The perceptron sees every unordered pair of a jet once, whatever the edges of the network, and its batch
    normalisation all of them; memory therefore grows with the number of pairs.

    Parameters: :math:`8640 + 66 \sum_b d_b` for the width of 64.

    Args:
        widths: widths :math:`d_b` of the edges of the blocks.
        feature: see :func:`~lgae_pyg.ops.lorentz_features.pair_feature`.
        hidden: width of the perceptron.

    Raises:
        ValueError: for an unknown feature.

    Shapes:
        - **input:** momenta ``p4`` :math:`(n, 4)` in GeV, ``ptr`` :math:`(B+1,)`
        - **output:** one :math:`(\sum_b n_b (n_b - 1) / 2, d_b)` per block; :func:`pair_numbers` finds the rows
    """

    def __init__(self, widths: Sequence[int], feature: str = "mass", hidden: int = 64):
        super().__init__()
        check_choice("pair feature", feature, PAIR_FEATURES)
        self.feature, self.widths = feature, list(widths)
        self.embedding = nn.Sequential(*_perceptron(hidden, bias=False))
        self.projections = _projections(hidden, widths, activation=False)

    @without_autocast
    def forward(self, p4: Tensor, ptr: Tensor) -> list[Tensor]:
        source, target = complete_pairs(ptr)
        once = source < target
        dtype = _precision(self.embedding)
        values = log_feature(pair_feature(self.feature, *(p4.double()[end[once]] for end in (source, target))))
        if not len(values) and not (self.training and is_joint()):
            return [values.new_empty(0, width, dtype=dtype) for width in self.widths]
        embedded = self.embedding(values.to(dtype).unsqueeze(-1))
        return [projection(embedded) for projection in self.projections]

    def on_edges(self, block: int, p: Tensor, q: Tensor) -> Tensor:
        """The same for some edges of one block, given by the momenta at their ends, in evaluation.

        Shapes:
            - p, q: :math:`(*, 4)`
            - **output:** :math:`(*, d_b)`
        """
        values = log_feature(pair_feature(self.feature, p, q)).to(_precision(self.embedding))
        layers = nn.Sequential(self.embedding, self.projections[block])
        return on_rows(layers, values.unsqueeze(-1))


def pair_numbers(edge_index: Tensor, ptr: Tensor) -> Tensor:
    r"""The number of the unordered pair that each edge joins, as :class:`PairPatch` counts them: jet after jet,
    and in a jet by the larger and then the smaller of the two places, :math:`a (a - 1) / 2 + b` for :math:`a > b`.

    Shapes:
        - edge_index: :math:`(2, e)` without self-loops, ptr: :math:`(B+1,)`
        - **output:** :math:`(e,)`
    """
    sizes = graph_sizes(ptr)
    first = pointers(sizes * (sizes - 1) // 2)[:-1][node_to_graph(ptr)[edge_index[0]]]
    places = node_slots(ptr)[edge_index]
    larger, smaller = places.amax(0), places.amin(0)
    return first + larger * (larger - 1) // 2 + smaller


def _precision(layers: nn.Sequential) -> torch.dtype:
    """That of the first linear layer."""
    return next(layer.weight.dtype for layer in layers if isinstance(layer, nn.Linear))


def _perceptron(hidden: int, bias: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in (1, hidden, hidden):
        layers += [nn.Linear(width, hidden, bias=bias), JointBatchNorm(hidden), nn.ReLU()]
    return layers


def _projections(hidden: int, widths: Sequence[int], activation: bool) -> nn.ModuleList:
    last = [nn.ReLU()] if activation else []
    return nn.ModuleList(
        nn.Sequential(nn.Linear(hidden, width, bias=False), JointBatchNorm(width), *last) for width in widths
    )
