r"""Taggers on padded jets: the same modules as on graphs, in operations that a file of an export can hold.

A graph of some jets has as many rows and edges as there are particles and pairs; files of exports want shapes that
follow from the shape of the input alone. So jets lie side by side, :math:`(B, N)` places with a mask of those that
hold a particle, and sums, neighbours and pairs are masked. No weight and no formula is written a second time: here
is only in which order the layers are called (tests compare every model with its graph form).
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from lgae_pyg.applications.export.levels import coupled, mixed, padded_level, split
from lgae_pyg.applications.export.pairs import Pair, join
from lgae_pyg.lorentz.frames import rest_frame
from lgae_pyg.models import PFN, LGNClassifier, LorentzNet, LorentzNetBase, ParticleNet, ParticleNetLite
from lgae_pyg.models.taggers.inputs import GeVTagger
from lgae_pyg.models.taggers.lorentz_net import LorentzNetStack
from lgae_pyg.nn import MixReps
from lgae_pyg.ops.jet_features import jet_features
from lgae_pyg.ops.jets import PaddedJets, on_rows
from lgae_pyg.ops.lorentz_features import log_feature, pair_feature, psi
from lgae_pyg.ops.neighbours import at_places, closeness, padded_neighbours
from lgae_pyg.ops.products import SCALAR
from lgae_pyg.ops.references import root_masses

PaddedNetwork = Callable[[Any, Tensor, PaddedJets, torch.dtype], Tensor]


def padded_pfn(model: PFN, p4: Tensor, jets: PaddedJets, given: torch.dtype) -> Tensor:
    """:class:`~lgae_pyg.models.PFN`; see :func:`padded_network`."""
    additions = _of_friends(model.patch, p4, jets, len(model.particle_layers))
    x = jet_features(p4, jets, model.features).x.to(model.dtype)
    for layer, addition in zip(model.particle_layers, additions):
        x = layer(x + addition).relu()
    return model.jet_layers(jets.sum(x))


def padded_particle_net(model: ParticleNet, p4: Tensor, jets: PaddedJets, given: torch.dtype) -> Tensor:
    """:class:`~lgae_pyg.models.ParticleNet`; see :func:`padded_network`."""
    features = jet_features(p4, jets, model.features)
    x, points, outputs = on_rows(model.norm, features.x.to(model.dtype)), features.points, []
    additions = _of_friends(model.patch, p4, jets, len(model.convs))
    for block, (conv, k, addition) in enumerate(zip(cast(Any, model.convs), model.k, additions)):
        places, found = padded_neighbours(closeness, points, jets.exists, k)
        edge_attr = None
        if model.pair_patch is not None:
            edge_attr = model.pair_patch.on_edges(block, p4.unsqueeze(2), at_places(p4, places))
        x = points = conv.padded(x + addition, places, found, edge_attr)
        outputs.append(x)
    if model.fusion is not None:
        x = on_rows(model.fusion, torch.cat(outputs, -1))
    return model.classifier(jets.mean(x))


def padded_lorentz_net(model: LorentzNet, p4: Tensor, jets: PaddedJets, given: torch.dtype) -> Tensor:
    """:class:`~lgae_pyg.models.LorentzNet`; see :func:`padded_network`."""
    references, batch = model.references.to(p4), p4.shape[0]
    count = len(references)
    p4 = torch.cat([references.expand(batch, -1, -1), p4], 1)
    jets = PaddedJets(torch.nn.functional.pad(jets.exists, (count, 0), value=True))
    scalars = psi(root_masses(p4, jets, model.masses == "resolved", given)).unsqueeze(-1)
    if count:
        is_reference = torch.arange(p4.shape[1], device=p4.device) < count
        scalars = scalars * torch.stack([~is_reference, is_reference], -1)
    return _stack(model.stack, scalars.to(model.dtype), p4, jets)


def padded_lorentz_net_base(model: LorentzNetBase, p4: Tensor, jets: PaddedJets, given: torch.dtype) -> Tensor:
    """:class:`~lgae_pyg.models.LorentzNetBase`; see :func:`padded_network`."""
    m = psi(root_masses(p4, jets, given=given)).unsqueeze(-1)
    scalars = torch.cat([jet_features(p4, jets).x, m], -1).to(model.dtype)
    edge_attr = None
    if model.pairs:
        feature = pair_feature(model.pairs, p4.unsqueeze(2), p4.unsqueeze(1))
        edge_attr = log_feature(feature).unsqueeze(-1).to(model.dtype)
    additions = _of_friends(model.patch, p4, jets, len(model.stack.convs))
    return _stack(model.stack, scalars, p4, jets, edge_attr, additions)


def padded_lgn(model: LGNClassifier, p4: Tensor, jets: PaddedJets, given: torch.dtype) -> Tensor:
    """:class:`~lgae_pyg.models.LGNClassifier`, complex numbers as pairs; see :func:`padded_network`."""
    total, references = jets.sum(p4).unsqueeze(1), model.references.to(p4)
    count = len(references)
    p4 = torch.cat([references.expand(p4.shape[0], -1, -1), p4], 1)
    jets = PaddedJets(torch.nn.functional.pad(jets.exists, (count, 0), value=True))
    columns = [root_masses(p4, jets, not model.original, given)]
    if count:
        is_reference = torch.arange(p4.shape[1], device=p4.device) < count
        columns.append(torch.where(is_reference, 1.0, -1.0).to(p4).expand_as(columns[0]))
    scalars = torch.stack(columns, -1).to(model.dtype)
    p4 = rest_frame(p4, total)
    if isinstance(model.input, MixReps):
        x = mixed(model.input, Pair.of(torch.cat([scalars.to(p4.dtype), p4], -1)))
    else:
        flat = model.input(scalars).unflatten(-1, (-1, 2))
        x = Pair(flat[..., 0], flat[..., 1])
    found = [split(x, model.levels[0])]
    for conv, irreps in zip(cast(Any, model.convs), model.levels[1:]):
        x = padded_level(conv, x, p4, jets.exists)
        found.append(split(x, irreps))
    parts = []
    for number, irrep in dict.fromkeys((number, irrep) for number, irrep, _ in model.invariant_channels()):
        part = found[number][irrep]
        square = part if irrep == SCALAR else coupled(part, part, irrep, irrep, SCALAR)
        parts.append(square.map(lambda one: one.squeeze(-1).to(p4.dtype)))
    pooled = join(parts, -1).map(lambda one: jets.sum(one) / model.neighbours)
    return model.output(torch.stack([*pooled], -1).flatten(-2).to(model.dtype))


def _of_friends(patch: Any, p4: Tensor, jets: PaddedJets, blocks: int) -> list:
    """What a patch adds to the input of each block; zeros without one."""
    return blocks * [0.0] if patch is None else patch.padded(p4, jets.exists)


def _stack(
    stack: LorentzNetStack,
    scalars: Tensor,
    x: Tensor,
    jets: PaddedJets,
    edge_attr: Tensor | None = None,
    additions: list | None = None,
) -> Tensor:
    h = stack.embedding(scalars)
    for number, conv in enumerate(cast(Any, stack.convs)):
        h = h if additions is None else h + additions[number]
        h, x = conv.padded(h, x, scalars, jets.exists, edge_attr)
    return stack.classifier(jets.sum(h) if stack.readout == "sum" else jets.mean(h))


#: What can be exported. A class derived from one of these may do anything, and is not taken for it.
NETWORKS: dict[type[GeVTagger], PaddedNetwork] = {
    PFN: padded_pfn,
    ParticleNet: padded_particle_net,
    ParticleNetLite: padded_particle_net,
    LorentzNet: padded_lorentz_net,
    LorentzNetBase: padded_lorentz_net_base,
    LGNClassifier: padded_lgn,
}


def padded_network(model: Any) -> PaddedNetwork:
    r"""The padded form of a model: a function of the model in evaluation mode, momenta in GeV times its scale
    :math:`(B, N, 4)` in float64, the jets, and the precision in which the momenta were given (by which resolved
    masses are told from rounding), which returns logits :math:`(B, C)`. Momenta in places without a particle
    change nothing as long as they are finite.

    Raises:
        ValueError: names what can be exported, and why this model cannot.
    """
    if type(model) not in NETWORKS:
        names = ", ".join(kind.__name__ for kind in NETWORKS)
        raise ValueError(
            f"{type(model).__name__} cannot be exported: its layers have no form for padded jets; these taggers "
            f"can be: {names}"
        )
    if getattr(model, "extra_scalars", 0):
        raise ValueError(
            f"this {type(model).__name__} reads {model.extra_scalars} extra_scalars of each particle; exported "
            "models are given momenta and nothing else: train one with extra_scalars=0"
        )
    if hasattr(model, "stack") and model.stack.readout == "padded_mean":
        raise ValueError(
            "readout='padded_mean' divides by the size of the largest jet of the batch, so that scores depend on "
            "the other jets: export a model with readout='mean'"
        )
    return NETWORKS[type(model)]
