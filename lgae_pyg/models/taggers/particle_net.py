r"""ParticleNet, a dynamic graph network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.models.taggers.inputs import GeVTagger, classifier, read_out
from lgae_pyg.nn.edge_conv import ParticleNetConv
from lgae_pyg.nn.joint_batch_norm import JointBatchNorm
from lgae_pyg.nn.lorentz_patch import LorentzPatch, PairPatch, pair_numbers
from lgae_pyg.ops.jet_features import FEATURE_SETS, jet_features
from lgae_pyg.ops.neighbours import nearest_neighbours
from lgae_pyg.ops.precision import without_autocast
from lgae_pyg.registry import choose

CHANNELS = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
LITE_CHANNELS = ((32, 32, 32), (64, 64, 64))


class ParticleNet(GeVTagger):
    r"""ParticleNet (Qu and Gouskos, arXiv:1902.08570): blocks of edge convolution
    (:class:`~lgae_pyg.nn.ParticleNetConv`) among the :math:`k` nearest particles, found by
    :math:`(\Delta\eta, \Delta\phi)` for the first block and by the features themselves for the others; then the
    mean over the particles and a perceptron. A particle of a small jet has :math:`\min(k, n - 1)` neighbours.

    Permutation invariant, not Lorentz invariant. The batch normalisation of the edges is that of all edges of a
    batch, so large jets weigh more. Lorentz features (arXiv:2208.07814) are added where they are asked for: one of
    each ``pairs`` to the edges (:class:`~lgae_pyg.nn.PairPatch`), the mass of the ``friends`` of each particle to
    the input of each block (:class:`~lgae_pyg.nn.LorentzPatch`), after the neighbours have been found.

    Momenta are taken in ``unit``, TeV unless said otherwise.

    Args:
        num_classes: number of classes.
        features: features of particles, see :func:`~lgae_pyg.ops.jet_features.jet_features`.
        k: number of neighbours, of all blocks or of each.
        channels: for each block, the widths of its layers.
        hidden: widths of the hidden layers of the perceptron.
        dropout: in the perceptron, in training.
        input_norm: whether the features are batch-normalised first.
        fusion: whether the outputs of all blocks are joined, and mixed by one more layer, before the mean.
        pairs: ``"mass"``, ``"delta_r"``, ``"delta_r_pt"`` or ``"energy"``; nothing when omitted.
        friends: ``"mass"`` or ``"energy"`` of the friends of each particle; nothing when omitted.
        num_friends: number of friends.
        backend: of the blocks, see :class:`~lgae_pyg.nn.ParticleNetConv`.

    Raises:
        ValueError: for unknown choices, less than two classes, no block, or not one ``k`` per block.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        features: str = "kinematic",
        k: int | Sequence[int] = 16,
        channels: Sequence[Sequence[int]] = CHANNELS,
        hidden: Sequence[int] = (256,),
        dropout: float = 0.1,
        input_norm: bool = True,
        fusion: bool = False,
        pairs: str | None = None,
        friends: str | None = None,
        num_friends: int = 16,
        backend: str = "auto",
    ):
        super().__init__()
        ks = len(channels) * [k] if isinstance(k, int) else list(k)
        if not channels or len(ks) != len(channels) or min(ks) < 1:
            raise ValueError(f"channels needs a block at least, and k={k} a number for each of {len(channels)}")
        self.num_classes, self.features, self.k = num_classes, features, tuple(ks)
        first = choose("feature set", features, FEATURE_SETS)
        widths = [first, *(block[-1] for block in channels)]
        self.norm = JointBatchNorm(first) if input_norm else nn.Identity()
        self.convs = nn.ModuleList(ParticleNetConv(*sizes, backend) for sizes in zip(widths, channels))
        self.pair_patch = PairPatch([2 * width for width in widths[:-1]], pairs) if pairs else None
        self.patch = LorentzPatch(widths[:-1], friends, num_friends) if friends else None
        joined = widths[-1]
        self.fusion = None
        if fusion:  # weaver's width: a multiple of 128 from 128 to 1024
            total = sum(widths[1:])
            joined = min(max(total // 128 * 128, 128), 1024)
            self.fusion = nn.Sequential(nn.Linear(total, joined, bias=False), JointBatchNorm(joined), nn.ReLU())
        self.classifier = classifier([joined, *hidden], num_classes, dropout)

    @property
    def label(self) -> str:
        """Its printed name."""
        pairs = [] if self.pair_patch is None else [f"{self.pair_patch.feature} of pairs"]
        friends = [] if self.patch is None else [f"{self.patch.feature} of friends"]
        return " + ".join([type(self).__name__, *pairs, *friends])

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr = self.momenta(batch)
        features = jet_features(p4, ptr, self.features)
        x, points, outputs = self.norm(features.x.to(self.dtype)), features.points, []
        additions = len(self.convs) * [0.0] if self.patch is None else self.patch(p4, ptr)
        tables = len(self.convs) * [None] if self.pair_patch is None else self.pair_patch(p4, ptr)
        for conv, k, addition, table in zip(self.convs, self.k, additions, tables):
            edges = nearest_neighbours(points, ptr, k)
            edge_attr = None if table is None else table[pair_numbers(edges, ptr)]
            x = points = conv(x + addition, edges, edge_attr)
            outputs.append(x)
        if self.fusion is not None:
            x = self.fusion(torch.cat(outputs, -1))
        return self.classifier(read_out(x, ptr))


class ParticleNetLite(ParticleNet):
    """The small ParticleNet (arXiv:1902.08570): seven neighbours, two blocks; see :class:`ParticleNet`."""

    def __init__(
        self,
        num_classes: int = 2,
        features: str = "kinematic",
        k: int | Sequence[int] = 7,
        channels: Sequence[Sequence[int]] = LITE_CHANNELS,
        hidden: Sequence[int] = (128,),
        dropout: float = 0.1,
        pairs: str | None = None,
        friends: str | None = None,
        num_friends: int = 16,
        backend: str = "auto",
    ):
        super().__init__(
            num_classes, features, k, channels, hidden, dropout, True, False, pairs, friends, num_friends, backend
        )
