r"""Autoencoders on padded jets: the same modules as on graphs, in operations that a file of an export can hold.

Each function takes the model in evaluation mode, momenta :math:`(B, N, 4)` in its unit in float64 and the places
that hold a particle, and returns the rebuilt momenta, their places, and the invariants of the code
(:func:`~lgae_pyg.evaluation.latent.codes.latent_invariants`). Models with slots get as many places as they have.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lgae_pyg.applications.export.levels import mixed, padded_level, split
from lgae_pyg.applications.export.pairs import Pair, join
from lgae_pyg.evaluation.latent.codes import latent_invariants
from lgae_pyg.lorentz.frames import detach_invariant
from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square, relative_coordinates, transverse_momentum
from lgae_pyg.models import CNNAE, GNNAE, LGAE, LinearAE, ShellLGAE
from lgae_pyg.models.lgae_networks import LMPStack
from lgae_pyg.models.result import Latent
from lgae_pyg.models.shell_code import pack, rest_energy_order, unpack
from lgae_pyg.models.shell_lgae import _share
from lgae_pyg.nn.aggr import LinearAggregation, MixAggregation
from lgae_pyg.nn.graph_net_conv import GraphNetConv
from lgae_pyg.nn.lmp_conv import LMPConv
from lgae_pyg.ops.edge_networks import distance
from lgae_pyg.ops.images import pixel_edges, pixel_momenta


class Rebuilt(NamedTuple):
    """What a padded autoencoder gives.

    Attributes:
        p4: rebuilt momenta, :math:`(B, M, 4)`, zero in places without a particle.
        exists: which places hold one, :math:`(B, M)`.
        invariants: of the codes, :math:`(B, F)`.
        images: true and rebuilt images, :math:`(B, P, P)` each, of models of pixels.
    """

    p4: Tensor
    exists: Tensor
    invariants: Tensor
    images: tuple[Tensor, Tensor] | None = None


PaddedModel = Callable[[Any, Tensor, Tensor], Rebuilt]


def padded_linear(model: LinearAE, p4: Tensor, exists: Tensor) -> Rebuilt:
    """:class:`~lgae_pyg.models.LinearAE`."""
    p4 = p4.to(model.encoder.dtype)
    vectors = model.encoder.T @ p4
    found = model.decoder @ vectors
    if model.conserve_momentum:
        found = _restored(found, vectors[:, 0] / model.encoder[0, 0], exists)
    latent = Latent(vectors[:, :0, 0], vectors)
    return Rebuilt(found, exists, latent_invariants(latent))


def padded_gnnae(model: GNNAE, p4: Tensor, exists: Tensor) -> Rebuilt:
    """:class:`~lgae_pyg.models.GNNAE`, codes of jets and of particles."""
    axis, encoder, decoder = p4.sum(1, keepdim=True), cast(Any, model.encoder), cast(Any, model.decoder)
    native = relative_coordinates(p4, axis)
    native = torch.where((exists & (transverse_momentum(p4) != 0)).unsqueeze(-1), native, 0.0)
    weight = next(model.parameters())
    x = (native * model.scale.to(native.dtype)).to(weight.dtype)
    seen = torch.ones_like(exists) if model.padded else exists
    x = _graph_net(encoder.network, x, seen)
    if model.level == "particle":
        codes = torch.where(seen.unsqueeze(-1), encoder.mix(x), 0.0)
        inputs, code = decoder.expand(codes), codes.flatten(1)
    else:
        code = _pooled(encoder, x, seen)
        inputs = decoder.expand(code).unflatten(-1, (model.num_particles, -1))
    made = exists if model.decode_to == "jet" else torch.ones_like(exists)
    output = _graph_net(decoder.network, inputs, torch.ones_like(exists) if model.padded else made)
    output = output.tanh() if model.squash_output else output
    return Rebuilt(model.from_native(output, axis), made, code)


def padded_cnnae(model: CNNAE, p4: Tensor, exists: Tensor) -> Rebuilt:
    """:class:`~lgae_pyg.models.CNNAE`: images are sums over particles of products of pixels' indicators."""
    axis = p4.sum(1)
    weight, eta, phi = relative_coordinates(p4, axis.unsqueeze(1)).unbind(-1)
    edges = pixel_edges(model.pixels, model.max_radius).to(p4)
    rows, columns = (
        ((x.unsqueeze(-1) >= edges[:-1]) & (x.unsqueeze(-1) < edges[1:])).to(p4) for x in (phi, eta)
    )
    weight = torch.where(exists, weight, 0.0)
    target = (rows * weight.unsqueeze(-1)).transpose(1, 2) @ columns
    latent = model._encode(model._normalised(target))
    restored = model.decode(latent).to(p4.dtype) * target.sum((1, 2), keepdim=True)
    momenta = pixel_momenta(restored, axis, model.max_radius)
    everywhere = torch.ones_like(momenta[..., 0], dtype=torch.bool)
    return Rebuilt(momenta, everywhere, latent.scalars, (target, restored))


def padded_lgae(model: LGAE, p4: Tensor, exists: Tensor) -> Rebuilt:
    """:class:`~lgae_pyg.models.LGAE`, of codes that mix the places, or are sums or means over particles."""
    encoder, decoder = model.encoder, model.decoder
    p4 = p4.to(next(model.parameters()).dtype)
    total = p4.sum(1)
    x = _stacked(encoder.stack, *_inputs(model, model.scale * p4, model.scale * total), model.scale * p4, exists)
    scalars, vectors = _aggregated(encoder, x, exists)
    vectors = vectors.times(1 / model.scale)
    if model.conserve_momentum:
        vectors = Pair(torch.cat([total.unsqueeze(1), vectors.real[:, 1:]], 1), vectors.imag)
    latent = Latent(torch.cat([*scalars], -1), torch.cat([*vectors], 1))
    shown = vectors.times(model.scale)
    if model.conserve_momentum:
        first = model.num_particles**-0.5 * shown.real[:, :1]
        shown = Pair(torch.cat([first, shown.real[:, 1:]], 1), shown.imag)
    made = exists if model.decode_to == "jet" else torch.ones_like(exists)
    code = join([scalars, shown.map(lambda part: part.flatten(1))], -1)
    slots = model.num_particles
    packed = mixed(decoder.to_particles, code)
    places = packed.map(lambda part: part[:, slots:].unflatten(-1, (slots, 4)))
    inner = packed.map(lambda part: part[:, :slots].unsqueeze(-1))
    one = Pair.of(torch.ones_like(inner.real))
    if decoder.behaviour.constant_decoder_scalars:
        inner = one.times(1 + 1j)
    else:
        inner = join([one, inner], -1)
    out = mixed(decoder.output, _stacked(decoder.stack, inner, places, places, made))
    real, imag = out.map(lambda part: part[..., 1:] / model.scale)
    found = {"sum": real + imag, "mean": (real + imag) / 2, "real": real, "imag": imag}[model.readout]
    if model.conserve_momentum:
        found = _restored(found, total, made)
    return Rebuilt(found, made, latent_invariants(latent))


def padded_shell(model: ShellLGAE, p4: Tensor, exists: Tensor) -> Rebuilt:
    """:class:`~lgae_pyg.models.ShellLGAE`."""
    slots, total = p4.to(model.ranks.dtype), p4.to(model.ranks.dtype).sum(1)
    if model.order == "rest_energy":
        order = rest_energy_order(slots, total)
        slots = slots.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
        exists = exists.gather(1, order)
    light, _ = detach_invariant(slots, total.unsqueeze(1))
    learned = light.sum((1, 2)).unsqueeze(-1)[:, :0]
    ranks = model.ranks + 0 * light[..., :1]
    if model.encoder is not None:
        momenta = model.scale * light
        scalars = torch.cat([torch.ones_like(ranks[..., :1]), ranks], -1)
        x = _stacked(model.encoder, Pair.of(scalars), Pair.of(momenta), momenta, exists)
        learned = _mixture(model.to_learned, x, exists).real
    vectors, scalars = pack(light, total, learned, model.sizes)
    pairs = [torch.cat([part[:, 0::2], part[:, 1::2]], 1) for part in (scalars, vectors)]
    latent = Latent(*pairs)
    known, learned = unpack(model.scale * vectors, scalars, model.sizes)
    total = model.scale * total
    if model.decoder is None:
        return Rebuilt(_restored(known, total, exists) / model.scale, exists, latent_invariants(latent))
    others = _unknown(model, known, learned, total, ranks, exists)
    found = _restored(torch.cat([known, others], 1), total, exists)
    return Rebuilt(found / model.scale, exists, latent_invariants(latent))


def _unknown(
    model: Any, known: Tensor, learned: Tensor, total: Tensor, ranks: Tensor, exists: Tensor
) -> Tensor:
    """The particles that have no room in the code, :math:`(B, U, 4)`."""
    missing = (exists.sum(1) - model.sizes.known).clamp(min=0)
    unknown = torch.arange(model.unknown, device=exists.device) < missing.unsqueeze(-1)
    rest = (total - known.sum(1)).unsqueeze(1)
    logits = model.shares[(missing - 1).clamp(min=0)]
    first = torch.cat([known, _share(logits, unknown) * rest], 1)
    scalars = [torch.ones_like(ranks[..., :1]), ranks, learned.unsqueeze(1).expand(-1, ranks.shape[1], -1)]
    x = _stacked(model.decoder, Pair.of(torch.cat(scalars, -1)), Pair.of(first), first, exists)
    out = mixed(model.output, x).real[:, model.sizes.known :]
    shares = _share(logits + out[..., 0], unknown)
    change = out[..., 1:] * unknown.unsqueeze(-1)
    change = change - change.sum(1, keepdim=True) / missing.clamp(min=1).view(-1, 1, 1)
    return shares * rest + change * unknown.unsqueeze(-1)


def _inputs(model: LGAE, p4: Tensor, total: Tensor) -> tuple[Pair, Pair]:
    """Scalars and vectors of the particles, as the encoder's."""
    encoder = model.encoder
    squares = minkowski_square(p4).unsqueeze(-1)
    if encoder.behaviour.root_mass_input:
        scalars = squares.abs().sqrt()
    else:
        scalars = torch.cat([torch.ones_like(squares), squares], -1)
    if not encoder.jet_inputs:
        return Pair.of(scalars), Pair.of(p4)
    total = total.unsqueeze(1).expand_as(p4)
    invariants = torch.stack([minkowski_square(total), minkowski_dot(p4, total)], -1)
    vectors = torch.cat([p4, total / encoder.num_particles], -1)
    return Pair.of(torch.cat([scalars, invariants], -1)), Pair.of(vectors)


def _stacked(stack: LMPStack, scalars: Pair, vectors: Pair, momenta: Pair | Tensor, exists: Tensor) -> Pair:
    x = mixed(stack.input, join([scalars, vectors], -1))
    for conv in stack.convs:
        x = padded_level(cast(LMPConv, conv), x, momenta, exists)
    return x


def _aggregated(encoder: Any, x: Pair, exists: Tensor) -> tuple[Pair, Pair]:
    """The code of a jet from its particles: scalars :math:`(B, k)` and vectors :math:`(B, v, 4)`."""
    if encoder.to_latent is not None:
        x = mixed(encoder.to_latent, x)
        code = x.map(lambda part: torch.where(exists.unsqueeze(-1), part, 0.0).sum(1))
        if encoder.aggregation.mode == "mean":
            code = code.map(lambda part: part / exists.sum(1, keepdim=True).clamp(min=1))
    else:
        code = _mixture(encoder.aggregation, x, exists)
    count = code.real.shape[-1] * encoder.latent_scalars // encoder.latent_dim
    return code.map(lambda part: part[:, :count]), code.map(lambda part: part[:, count:].unflatten(-1, (-1, 4)))


def _mixture(layer: MixAggregation, x: Pair, exists: Tensor) -> Pair:
    """One matrix per irrep over the channels of all places."""
    x = x.map(lambda part: torch.where(exists.unsqueeze(-1), part, 0.0))
    parts = split(x, layer.irreps_in)
    flat = join([parts[irrep].map(lambda part: part.flatten(1)) for _, irrep in layer.irreps_in], -1)
    return mixed(layer.mix, flat)


def _graph_net(network: Any, x: Tensor, exists: Tensor) -> Tensor:
    for conv in network.convs:
        x = _graph_conv(conv, x, exists)
    return x


def _graph_conv(conv: GraphNetConv, x: Tensor, exists: Tensor) -> Tensor:
    """:class:`~lgae_pyg.nn.GraphNetConv` on complete graphs, self-loops included."""
    x = pad(x, (0, conv.in_channels - x.shape[-1]))
    here, there = x.unsqueeze(2), x.unsqueeze(1)
    shape = (-1, x.shape[1], x.shape[1], x.shape[2])
    pairs = [here.expand(shape), there.expand(shape), distance(here, there, conv.distance == "norm")]
    messages = conv._perceptron(conv.edge_layers, torch.cat(pairs, -1))
    messages = torch.where(exists[:, None, :, None], messages, 0.0).sum(2)
    return conv._perceptron(conv.node_layers, torch.cat([messages / conv.neighbours, x], -1), conv.last_activation)


def _pooled(encoder: Any, x: Tensor, exists: Tensor) -> Tensor:
    """The code of a jet from the features of its particles."""
    real = exists.unsqueeze(-1)
    if encoder.mix is not None:
        return encoder.mix(torch.where(real, x, 0.0).flatten(1))
    if encoder.aggregation in ("max", "min"):
        beyond = torch.finfo(x.dtype).min * (1 if encoder.aggregation == "max" else -1)
        x = torch.where(real, x, beyond)
        return x.amax(1) if encoder.aggregation == "max" else x.amin(1)
    return torch.where(real, x, 0.0).sum(1) / exists.sum(1, keepdim=True).clamp(min=1)


def _restored(p4: Tensor, total: Tensor, exists: Tensor) -> Tensor:
    """Momenta shifted by equal parts to their total, as :func:`~lgae_pyg.ops.jets.restore_total`."""
    real = exists.unsqueeze(-1)
    share = (total - torch.where(real, p4, 0.0).sum(1)) / exists.sum(1, keepdim=True).clamp(min=1)
    return p4 + share.unsqueeze(1)


#: What can be exported. A class derived from one of these may do anything, and is not taken for it.
MODELS: dict[type[nn.Module], PaddedModel] = {
    LinearAE: padded_linear,
    ShellLGAE: padded_shell,
    LGAE: padded_lgae,
    GNNAE: padded_gnnae,
    CNNAE: padded_cnnae,
}


def padded_autoencoder(model: nn.Module) -> PaddedModel:
    """The padded form of an autoencoder.

    Raises:
        ValueError: names what can be exported, and why this model cannot.
    """
    if type(model) not in MODELS:
        names = ", ".join(kind.__name__ for kind in MODELS)
        raise ValueError(f"{type(model).__name__} has no form for padded jets; these autoencoders do: {names}")
    if getattr(model, "extra_scalars", 0):
        raise ValueError("exported models are given momenta and nothing else: train one with extra_scalars=0")
    if isinstance(model, LGAE):
        kind = model.encoder.aggregation
        if not isinstance(kind, MixAggregation | LinearAggregation):
            raise ValueError(
                f"LGAE with the aggregation '{model.aggregation}' cannot be exported: particles that tie within "
                "rounding are averaged, which no file repeats on another machine; mix, mean and sum can"
            )
        if model.encoder.behaviour.masked_padding or model.encoder.jet_particle:
            raise ValueError("LGAE with behaviour='original' (masked_padding, jet_as_particle) cannot be exported")
    return MODELS[type(model)]
