r"""Taggers of other packages as models of this one: the same graphs, recipes, checkpoints and studies.

The networks are those of ``lgatr``, ``pelican-lite`` and ``lloca`` (extra ``peers``), unchanged; here is
what they are given: momenta in GeV times a ``scale``, masses, and reference vectors where they are asked for.
"""

import functools
import importlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.data.rounding import given_of
from lgae_pyg.lorentz.kinematics import minkowski_dot
from lgae_pyg.models.taggers.inputs import GeVTagger, ReferencedTagger, read_out
from lgae_pyg.ops.graphs import complete_graph, dense_layout, graph_sizes, node_to_graph, pointers
from lgae_pyg.ops.jet_features import jet_features
from lgae_pyg.ops.jets import jet_sum
from lgae_pyg.ops.lorentz_features import psi
from lgae_pyg.ops.precision import without_autocast
from lgae_pyg.ops.references import check_scale, reference_vectors, root_masses, with_references


class _Peer(ReferencedTagger):
    """What both adapters begin with."""

    def __init__(self, num_classes: int, beams: bool, time_direction: bool, scale: float):
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"a tagger needs two classes at least, not num_classes={num_classes}")
        self.num_classes, self.scale = num_classes, check_scale(scale)
        self.see(reference_vectors(beams, time_direction))


class LGATrSlim(_Peer):
    r"""L-GATr-slim, a transformer of vectors and scalars (Brehmer et al., arXiv:2411.00446; ``lgatr`` 2).

    Every particle brings its momentum and the reference vectors as vectors, :math:`\psi(m_i)` and 1 as scalars
    (of zeros the network makes zeros); the scalars that come out, one per class, are averaged over the jet.
    Lorentz invariant without reference vectors.

    Momenta are taken in ``unit``, TeV unless said otherwise.

    Args:
        num_classes: number of classes.
        blocks: number of blocks.
        vectors: hidden vectors of a particle.
        scalars: hidden scalars of a particle.
        heads: heads of the attention.
        dropout: in the blocks, in training.
        beams: show the beams to every particle, which breaks the symmetry.
        time_direction: show it the direction of time.
        scale: what momenta in GeV are multiplied by.

    Raises:
        ImportError: if ``lgatr`` is not installed.
        ValueError: for less than two classes or a scale that is not positive.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        blocks: int = 6,
        vectors: int = 16,
        scalars: int = 32,
        heads: int = 4,
        dropout: float = 0.0,
        beams: bool = False,
        time_direction: bool = False,
        scale: float = 0.05,
    ):
        super().__init__(num_classes, beams, time_direction, scale)
        self.network = _wanted("lgatr", "LGATrSlim")(
            num_blocks=blocks,
            in_v_channels=1 + len(self.references),
            out_v_channels=0,
            hidden_v_channels=vectors,
            in_s_channels=2,
            out_s_channels=num_classes,
            hidden_s_channels=scalars,
            num_heads=heads,
            dropout_prob=dropout or None,
        )

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr = self.momenta(batch)
        m = psi(root_masses(p4, ptr, True, *given_of(batch))).unsqueeze(-1)
        scalars = torch.cat([m, torch.ones_like(m)], -1)
        vectors = torch.cat([p4.unsqueeze(1), self.references.expand(len(p4), -1, -1)], 1)
        dense = dense_layout(ptr)
        there = dense.scatter(torch.ones_like(m, dtype=torch.bool)).view(dense.graphs, 1, 1, dense.slots)
        mask = there | ~there.any(-1, keepdim=True)  # a jet without particles attends to its empty places
        inputs = dense.scatter(vectors.to(self.dtype)), dense.scatter(scalars.to(self.dtype))
        _, logits = self.network(*inputs, attn_mask=mask)
        return read_out(dense.gather(logits), ptr)


class Pelican(_Peer):
    r"""PELICAN, which passes messages between pairs (Bogatskiy et al., arXiv:2211.00454; ``pelican-lite``).

    Pairs bring :math:`\psi(p_i \cdot p_j)`, particles :math:`\psi(m_i)` and whether they are reference vectors,
    which stand beside the particles. Lorentz invariant without reference vectors.

    Momenta are taken in ``unit``, TeV unless said otherwise.

    Args:
        num_classes: number of classes.
        blocks: number of blocks.
        hidden: channels of a pair.
        factorize: maps and channels are mixed one after another, with fewer parameters.
        dropout: in the blocks, in training.
        beams: put the beams beside the particles, which breaks the symmetry.
        time_direction: put the direction of time beside them.
        scale: what momenta in GeV are multiplied by.

    Raises:
        ImportError: if ``pelican-lite`` is not installed.
        ValueError: for less than two classes or a scale that is not positive.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        blocks: int = 5,
        hidden: int = 16,
        factorize: bool = False,
        dropout: float = 0.0,
        beams: bool = False,
        time_direction: bool = False,
        scale: float = 1.0,
    ):
        super().__init__(num_classes, beams, time_direction, scale)
        self.network = _wanted("pelican", "PELICAN")(
            in_channels_rank2=1,
            in_channels_rank1=1 + (len(self.references) > 0),
            in_channels_rank0=0,
            out_rank=0,
            out_channels=num_classes,
            num_blocks=blocks,
            hidden_channels=hidden,
            factorize=factorize,
            dropout_prob=dropout or None,
        )

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr, is_reference = with_references(*self.momenta(batch), self.references)
        m = psi(root_masses(p4, ptr, True, *given_of(batch))).unsqueeze(-1)
        nodes = torch.cat([m, is_reference.to(m).unsqueeze(-1)], -1) if len(self.references) else m
        edges = complete_graph(ptr, self_loops=True)
        pairs = psi(minkowski_dot(p4[edges[1]], p4[edges[0]])).unsqueeze(-1)
        inputs = {"in_rank2": pairs.to(self.dtype), "in_rank1": nodes.to(self.dtype)}
        return self.network(edges.flip(0), node_to_graph(ptr), **inputs, num_graphs=len(ptr) - 1)


class LLoCaTransformer(_Peer):
    r"""A transformer made equivariant by local frames (Spinner et al., arXiv:2505.20280; ``lloca`` 2).

    A small network of pairs predicts a frame :math:`L_i` for every particle, a Lorentz transformation that turns
    with the jet. What the transformer sees of a particle are scalars, :math:`\psi(m_i)` and
    :math:`\psi(p_i \cdot P)`, and :math:`\psi` of the components of :math:`L_i p_i`; vectors that it exchanges are
    taken from frame to frame. The scalars that come out, one per class, are averaged over the jet. Lorentz
    invariant without reference vectors.

    A frame is made of the sums of a particle and each other one, and takes three of them: jets of less than four
    particles, reference vectors counted, have none, and are judged by their scalars alone. Particles that are
    exactly collinear get frames out of noise, drawn with the same seed in every call.

    Momenta are taken in ``unit``, TeV unless said otherwise.

    Args:
        num_classes: number of classes.
        blocks: number of blocks.
        heads: heads of the attention.
        representation: what a head exchanges, in ``lloca``'s words: ``8x0n+2x1n`` are 8 scalars and 2 vectors.
        hidden: width of the network that predicts the frames.
        dropout: in the blocks, in training.
        beams: put the beams beside the particles, which breaks the symmetry.
        time_direction: put the direction of time beside them.
        scale: what momenta in GeV are multiplied by.

    Raises:
        ImportError: if ``lloca`` is not installed.
        ValueError: for less than two classes or a scale that is not positive.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        blocks: int = 4,
        heads: int = 4,
        representation: str = "8x0n+2x1n",
        hidden: int = 32,
        dropout: float = 0.0,
        beams: bool = False,
        time_direction: bool = False,
        scale: float = 0.05,
    ):
        super().__init__(num_classes, beams, time_direction, scale)
        kind = {"num_scalars": 3, "hidden_channels": hidden, "num_layers_mlp": 2}
        vectors = functools.partial(_wanted("lloca.equivectors", "MLPVectors"), **kind)
        frames: Any = _wanted("lloca.framesnet.equi_frames", "LearnedPDFrames")(vectors)
        pairs = frames.equivectors.block  # ln m_ij^2 of pairs of a jet, whatever jets come first
        pairs.edge_mean.fill_(2 * math.log(5 * self.scale))
        pairs.edge_std.fill_(3.0)
        pairs.edge_inited.fill_(True)
        self.frames = frames
        self.network = _wanted("lloca.backbone", "Transformer")(
            in_channels=7,
            attn_reps=representation,
            out_channels=num_classes,
            num_blocks=blocks,
            num_heads=heads,
            dropout_prob=dropout or None,
        )

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr, is_reference = with_references(*self.momenta(batch), self.references)
        owner, total, framed = node_to_graph(ptr), jet_sum(p4, ptr), graph_sizes(ptr) > 3
        m, energy = root_masses(p4, ptr, True, *given_of(batch)), minkowski_dot(p4, total[owner])
        scalars = torch.stack([psi(m), psi(energy), is_reference.to(m)], -1)
        matrices = self._frames(p4, scalars, ptr, framed)
        local = psi((matrices @ p4.unsqueeze(-1)).squeeze(-1)) * framed[owner].unsqueeze(-1)
        dense, eye = dense_layout(ptr), torch.eye(4).to(p4)
        there = dense.scatter(torch.ones_like(m, dtype=torch.bool)).view(dense.graphs, 1, 1, dense.slots)
        mask = there | ~there.any(-1, keepdim=True)  # a jet without particles attends to its empty places
        inputs = dense.scatter(torch.cat([scalars, local], -1)).to(self.dtype)
        filled = torch.where(there.view(dense.graphs, dense.slots, 1, 1), dense.scatter(matrices), eye)
        frames: Any = _wanted("lloca.framesnet.frames", "Frames")
        reference = torch.where(framed.unsqueeze(-1), total, eye[0])
        return read_out(dense.gather(self.network(inputs, frames(filled), p_ref=reference, attn_mask=mask)), ptr)

    def _frames(self, p4: Tensor, scalars: Tensor, ptr: Tensor, framed: Tensor) -> Tensor:
        """The frames of all particles in float64, :math:`(n, 4, 4)`; the laboratory in jets that have none."""
        rows = framed[node_to_graph(ptr)].nonzero().squeeze(-1)
        matrices = torch.eye(4).to(p4).repeat(len(p4), 1, 1)
        if not len(rows):
            return matrices
        with torch.random.fork_rng([p4.device] if p4.is_cuda else []):
            torch.manual_seed(0)
            found = self.frames(p4[rows], scalars[rows].to(self.dtype), pointers(graph_sizes(ptr)[framed]))
        return matrices.index_copy(0, rows, found.matrices)


class ParticleTransformer(GeVTagger):
    r"""ParT, a transformer that sees features of pairs (Qu, Li and Qian, arXiv:2202.03772), as ``lloca`` has it.

    Particles bring weaver's seven ``kinematic`` features (:func:`~lgae_pyg.ops.jet_features.jet_features`), pairs
    :math:`\ln m_{ij}^2`, :math:`\ln k_T`, :math:`\ln z` and :math:`\ln \Delta R`, which are added to what the
    heads of the attention make of them. Not Lorentz invariant. As in the original, the first batch normalisation
    sees the empty places of a batch as zeros in training, and no gradients of momenta go through the pairs.

    Momenta are taken in ``unit``, TeV unless said otherwise.

    Args:
        num_classes: number of classes.
        blocks: number of blocks of particles.
        class_blocks: number of blocks in which the class token looks at them.
        heads: heads of the attention.
        head_width: width of a head.
        pair_widths: widths of the hidden layers for pairs.

    Raises:
        ImportError: if ``lloca`` is not installed.
        ValueError: for less than two classes.

    Shapes:
        - **input:** a PyG batch with ``pos`` :math:`(n, 4)` and ``ptr`` :math:`(B+1,)`
        - **output:** logits :math:`(B, C)`
    """

    def __init__(
        self,
        num_classes: int = 2,
        blocks: int = 8,
        class_blocks: int = 2,
        heads: int = 8,
        head_width: int = 16,
        pair_widths: Sequence[int] = (64, 64, 64),
    ):
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"a tagger needs two classes at least, not num_classes={num_classes}")
        self.num_classes = num_classes
        width = heads * head_width
        self.network = _wanted("lloca.backbone", "ParticleTransformer")(
            input_dim=7,
            attn_reps=f"{head_width}x0n",
            num_classes=num_classes,
            embed_dims=(width, 4 * width, width),
            pair_embed_dims=tuple(pair_widths),
            num_heads=heads,
            num_layers=blocks,
            num_cls_layers=class_blocks,
        )

    @without_autocast
    def forward(self, batch: Any) -> Tensor:
        p4, ptr = self.momenta(batch)
        dense = dense_layout(ptr)
        there = dense.scatter(torch.ones_like(p4[:, 0], dtype=torch.bool))
        there[:, :1] |= ~there.any(-1, keepdim=True)  # a jet without particles attends to an empty place
        x = dense.scatter(jet_features(p4, ptr).x.to(self.dtype)).transpose(1, 2)
        momenta = dense.scatter(p4[:, [1, 2, 3, 0]].detach().to(self.dtype)).transpose(1, 2)
        shape = {"shape": there.shape, "device": p4.device, "dtype": self.dtype}
        frames: Any = _wanted("lloca.framesnet.frames", "Frames")
        return self.network(x, frames(is_identity=True, **shape), v=momenta, mask=there.unsqueeze(1))


def _wanted(package: str, name: str) -> type[nn.Module]:
    """A class of a package that is needed only for this model."""
    try:
        return getattr(importlib.import_module(package), name)
    except ImportError as error:
        raise ImportError(f"{name} needs a package that is not here: pip install 'lgae-pyg[peers]'") from error
