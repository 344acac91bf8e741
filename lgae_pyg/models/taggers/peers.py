r"""Taggers of other packages as models of this one: the same graphs, recipes, checkpoints and studies.

The networks are those of the packages ``lgatr`` and ``pelican-lite`` (extra ``peers``), unchanged; here is what
they are given: the momenta in GeV times a ``scale``, the masses, and reference vectors where they are asked for.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.data.jet import given_precision
from lgae_pyg.lorentz.kinematics import minkowski_dot
from lgae_pyg.models.taggers.inputs import ReferencedTagger, read_out
from lgae_pyg.ops.graphs import complete_graph, dense_layout, node_to_graph
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
        m = psi(root_masses(p4, ptr, given=given_precision(batch))).unsqueeze(-1)
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
        m = psi(root_masses(p4, ptr, given=given_precision(batch))).unsqueeze(-1)
        nodes = torch.cat([m, is_reference.to(m).unsqueeze(-1)], -1) if len(self.references) else m
        edges = complete_graph(ptr, self_loops=True)
        pairs = psi(minkowski_dot(p4[edges[1]], p4[edges[0]])).unsqueeze(-1)
        inputs = {"in_rank2": pairs.to(self.dtype), "in_rank1": nodes.to(self.dtype)}
        return self.network(edges.flip(0), node_to_graph(ptr), **inputs, num_graphs=len(ptr) - 1)


def _wanted(package: str, name: str) -> type[nn.Module]:
    """A class of a package that is needed only for this model."""
    try:
        return getattr(importlib.import_module(package), name)
    except ImportError as error:
        raise ImportError(f"{name} needs a package that is not here: pip install 'lgae-pyg[peers]'") from error
