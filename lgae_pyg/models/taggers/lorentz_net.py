r"""LorentzNet, and the network of its blocks without Lorentz symmetry."""

from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.data.rounding import given_of
from lgae_pyg.models.taggers.inputs import (
    READOUTS,
    GeVTagger,
    ReferencedTagger,
    classifier,
    extra_scalars,
    read_out,
)
from lgae_pyg.nn.lorentz_net_conv import LorentzNetConv, pairs_of
from lgae_pyg.nn.lorentz_patch import LorentzPatch
from lgae_pyg.nn.unchanged import as_kind
from lgae_pyg.ops.jet_features import FEATURE_SETS, jet_features
from lgae_pyg.ops.lorentz_features import PAIR_FEATURES, log_feature, pair_feature, psi
from lgae_pyg.ops.pair_chunks import complete_pairs
from lgae_pyg.ops.precision import without_autocast
from lgae_pyg.ops.references import check_scale, reference_vectors, root_masses, with_references
from lgae_pyg.registry import check_choice


class LorentzNet(ReferencedTagger):
    r"""LorentzNet (Gong et al., arXiv:2201.08187): blocks of message passing between all particles
    (:class:`~lgae_pyg.nn.LorentzNetConv`) on Lorentz scalars and four-vectors, the mean of the scalars, a
    perceptron.

    The logits are Lorentz invariant, exactly in exact arithmetic, unless reference vectors break the symmetry: the
    ``beams`` and the direction of time enter as particles :math:`(\sqrt 2, 0, 0, \pm 1)` and
    :math:`(1, 0, 0, 0)`. The scalars of a particle are :math:`\psi(m_i)`, in one column for particles and, where
    there are reference vectors, another for those, and what ``extra_scalars`` of the field ``x`` there are.

    The mean is over the particles of the jet (reference vectors included), so that a jet does not depend on its
    batch mates, and nothing is clamped. The release does otherwise in both; ``readout="padded_mean"`` and
    ``clamp=100`` are what it does, and ``masses="absolute"`` what its weights were trained on.

    Momenta are taken in ``unit``, TeV unless said otherwise; the network sees them in GeV times ``scale``.

    Args:
        num_classes: number of classes.
        hidden: width of the scalars.
        layers: number of blocks; the last one moves no coordinates.
        step: the constant :math:`c` of the coordinates' update (0.005 for tops, 0.001 for quarks and gluons).
        dropout: in the perceptron, in training.
        beams: whether the beams are seen.
        time_direction: whether the direction of time is.
        reference_length: what these are multiplied by.
        masses: ``"resolved"``, ``"absolute"`` (:func:`~lgae_pyg.ops.references.root_masses`) or ``"none"``.
        extra_scalars: number of further scalars of each particle (charge, particle type), columns of ``x``.
        clamp: see :class:`~lgae_pyg.nn.LorentzNetConv`.
        readout: ``"mean"``, ``"sum"`` or ``"padded_mean"``.
        scale: what momenta in GeV are multiplied by.
        backend: of the blocks, see :class:`~lgae_pyg.nn.LorentzNetConv`.

    Raises:
        ValueError: for unknown choices, less than two classes, or particles without any scalar.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        hidden: int = 72,
        layers: int = 6,
        step: float = 0.005,
        dropout: float = 0.2,
        beams: bool = False,
        time_direction: bool = False,
        reference_length: float = 1.0,
        masses: str = "resolved",
        extra_scalars: int = 0,
        clamp: float | None = None,
        readout: str = "mean",
        scale: float = 1.0,
        backend: str = "auto",
    ):
        super().__init__()
        check_choice("masses", masses, ("resolved", "absolute", "none"))
        self.num_classes, self.masses, self.extra_scalars = num_classes, masses, extra_scalars
        self.scale = check_scale(scale)
        vectors = reference_vectors(beams, time_direction, reference_length)
        self.see(vectors)
        columns = (0 if masses == "none" else 1 + (len(vectors) > 0)) + extra_scalars
        if columns < 1:
            raise ValueError("masses='none' leaves particles without a scalar: give extra_scalars")
        options: dict[str, Any] = {"step": step, "clamp": clamp, "backend": backend}
        self.stack = LorentzNetStack(columns, hidden, layers, num_classes, dropout, readout, **options)

    def node_scalars(self, batch: Any, p4: Tensor, ptr: Tensor, is_reference: Tensor) -> Tensor:
        """The scalars that every block sees, of particles and reference vectors. Momenta are in GeV times
        ``scale``.

        Shapes:
            - p4: :math:`(m, 4)`, ptr: :math:`(B+1,)` and is_reference: :math:`(m,)`, reference vectors included
            - **output:** :math:`(m, S)`
        """
        columns = []
        if self.masses != "none":
            m = psi(root_masses(p4, ptr, self.masses == "resolved", *given_of(batch))).unsqueeze(-1)
            kinds = torch.stack([~is_reference, is_reference], -1) if len(self.references) else 1.0
            columns.append((m * kinds).to(self.dtype))
        if self.extra_scalars:
            given = extra_scalars(batch, self.extra_scalars).to(self.dtype)
            padded = given.new_zeros(len(p4), self.extra_scalars)
            columns.append(padded.masked_scatter(~is_reference.unsqueeze(-1), given))
        return torch.cat(columns, -1)

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr, is_reference = with_references(*self.momenta(batch), self.references)
        return self.stack(self.node_scalars(batch, p4, ptr, is_reference), p4, ptr)


class LorentzNetBase(GeVTagger):
    r"""The blocks of LorentzNet on features without Lorentz symmetry (C. Li et al., arXiv:2208.07814): the seven
    kinematic features of a particle and :math:`\psi(m_i)`, no invariants of pairs, no beams.

    Lorentz features are added where they are asked for: one of each ``pairs`` to the input of the messages, or the
    mass of the ``friends`` of each particle (:class:`~lgae_pyg.nn.LorentzPatch`) to the scalars before each block.

    Momenta are taken in ``unit``, TeV unless said otherwise.

    Args:
        num_classes: number of classes.
        hidden: width of the scalars.
        layers: number of blocks.
        dropout: in the perceptron, in training.
        pairs: ``"mass"``, ``"delta_r"``, ``"delta_r_pt"`` or ``"energy"``; nothing when omitted.
        friends: ``"mass"`` or ``"energy"`` of the friends of each particle; nothing when omitted.
        num_friends: number of friends.
        coordinates: keep the networks that move the coordinates, which nothing depends on, so that parameters are
            counted as published; they get no gradients.
        readout: ``"mean"``, ``"sum"`` or ``"padded_mean"``.
        backend: of the blocks, see :class:`~lgae_pyg.nn.LorentzNetConv`; with ``pairs`` it is not the fused one.

    Raises:
        ValueError: for unknown choices, or less than two classes.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        hidden: int = 72,
        layers: int = 6,
        dropout: float = 0.2,
        pairs: str | None = None,
        friends: str | None = None,
        num_friends: int = 16,
        coordinates: bool = False,
        readout: str = "mean",
        backend: str = "auto",
    ):
        super().__init__()
        if pairs:
            check_choice("pair feature", pairs, PAIR_FEATURES)
        self.num_classes, self.pairs = num_classes, pairs
        self.patch = LorentzPatch(layers * [hidden], friends, num_friends) if friends else None
        options: dict[str, Any] = {"invariants": False, "edge_dim": int(bool(pairs)), "backend": backend}
        scalars = FEATURE_SETS["kinematic"] + 1
        sizes = (scalars, hidden, layers, num_classes)
        self.stack = LorentzNetStack(*sizes, dropout, readout, coordinates, **options)

    @property
    def label(self) -> str:
        """Its printed name."""
        pairs = [f"{self.pairs} of pairs"] if self.pairs else []
        friends = [] if self.patch is None else [f"{self.patch.feature} of friends"]
        return " + ".join(["LorentzNet base", *pairs, *friends])

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr = self.momenta(batch)
        m = psi(root_masses(p4, ptr, True, *given_of(batch))).unsqueeze(-1)
        scalars = torch.cat([jet_features(p4, ptr).x, m], -1).to(self.dtype)
        edge_attr = None
        if self.pairs:
            source, target = complete_pairs(ptr)
            edge_attr = log_feature(pair_feature(self.pairs, p4[target], p4[source])).unsqueeze(-1).to(self.dtype)
        additions = None if self.patch is None else self.patch(p4, ptr)
        return self.stack(scalars, p4, ptr, edge_attr, additions)


class LorentzNetStack(nn.Module):
    """Embedding, blocks, read-out and perceptron of both networks.

    Shapes:
        - **input:** scalars :math:`(n, S)`, x :math:`(n, 4)`, ptr :math:`(B+1,)`, ``edge_attr`` :math:`(e, D)`,
          and ``additions``, a :math:`(n, H)` for each block that is added to its input
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_scalars: int,
        hidden: int,
        layers: int,
        num_classes: int,
        dropout: float,
        readout: str,
        move: bool = True,
        **options: Any,
    ):
        super().__init__()
        check_choice("readout", readout, READOUTS)
        if layers < 1:
            raise ValueError(f"LorentzNet needs a block at least, not layers={layers}")
        self.readout = readout
        self.embedding = nn.Linear(num_scalars, hidden)
        moves = [move and number < layers for number in range(1, layers + 1)]
        self.convs = nn.ModuleList(LorentzNetConv(hidden, num_scalars, move=one, **options) for one in moves)
        self.classifier = classifier([hidden, hidden], num_classes, dropout)

    def forward(
        self,
        scalars: Tensor,
        x: Tensor,
        ptr: Tensor,
        edge_attr: Tensor | None = None,
        additions: list[Tensor] | None = None,
    ) -> Tensor:
        pairs, h = pairs_of(ptr), self.embedding(scalars)
        for number, conv in enumerate(as_kind(LorentzNetConv, self.convs)):
            h = h if additions is None else h + additions[number]
            h, x = conv.pass_along(h, x, scalars, pairs, edge_attr)
        return self.classifier(read_out(h, ptr, self.readout))
