"""Weights of the published LGAE code (zichunhao/lgn-autoencoder) in our model."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.legacy.lgn_arguments import LGNArguments
from lgae_pyg.legacy.lgn_basis import Label, irrep_of, key_of, label_of
from lgae_pyg.legacy.lgn_levels import IGNORED, as_ours, level_shapes, level_weights, walked
from lgae_pyg.legacy.state_dicts import checked_state
from lgae_pyg.models.lgae import LGAE
from lgae_pyg.models.lgae_networks import LMPStack
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.ops.products import SCALAR, VECTOR, reachable

_SCALAR, _VECTOR = label_of(SCALAR), label_of(VECTOR)
_NODES = "node_levels"
#: Weights of irreps other than scalars and four-vectors.
_TENSORS = re.compile(r"\.weights\.\((?!0, 0|1, 1)")

Shapes = dict[str, tuple[int, ...]]


def load_lgn_autoencoder(
    encoder_state: Mapping[str, Tensor], decoder_state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> LGAE:
    r"""Builds an :class:`~lgae_pyg.models.LGAE` in original behaviour from the state dicts of the published code.

    The network is that of Hao et al., arXiv:2212.07347, Sec. 3, as its code has it: each deviation is an option of
    :class:`~lgae_pyg.models.Behaviour`. The original multiplies the momenta by ``scale`` on their way into the
    encoder and divides by it nowhere; that factor goes into the weights of the encoder, so the imported model has
    ``scale`` 1. What the original does to jets before the network (``normalize``: each jet is divided by its
    largest component) is no part of it.

    With ``maxdim`` above 2, there are tensors among the features: the bases, couplings and orders of irreps of the
    original are translated (:mod:`lgae_pyg.legacy.lgn_basis`). Weights of irreps that the next level does not
    take, or that are dropped at the ends, are checked and left out: nothing depends on them.

    The original has :math:`N` rows per jet, of which those with zero energy are padding, and they take part in
    its messages and aggregations. The imported model does the same with the rows that it is given: pad the jets as
    the original did, to get its numbers.

    Args:
        encoder_state: the encoder's state dict, as the original saves it; any precision, any devices, with or
            without the prefix ``module.``.
        decoder_state: the decoder's.
        config: the original's arguments: ``map_to_latent``, ``tau_latent_scalars``, ``tau_latent_vectors``,
            ``encoder_num_channels``, ``decoder_num_channels``, ``num_particles`` (or ``num_jet_particles``),
            and where they differ from the defaults ``num_basis_fn`` (10), ``mlp`` (true), ``mlp_depth`` (6),
            ``mlp_width`` (6), ``activation`` (leakyrelu), ``scale`` (1), ``get_real_method`` (sum),
            ``tau_jet_scalars`` (1; others are read from ``batch.x``), ``jet_features`` (false), ``maxdim`` (2; or
            a list, one for each level, the last for all further ones), ``max_zf`` (1). Other keys are not looked
            at.

    Returns:
        the model, float64, giving ``num_particles`` particles for each jet.

    Raises:
        ValueError: for a missing argument, one that cannot be imported, and a missing, unknown, misshapen or not
            finite weight; the message names it.
    """
    arguments = LGNArguments.read(config)
    model = LGAE(**arguments.model_arguments())
    stacks = model.encoder.stack, model.decoder.stack
    shapes = encoder_shapes(arguments, stacks[0]), decoder_shapes(arguments, stacks[1])
    _refuse_lowered(shapes, (encoder_state, decoder_state))
    encoder = checked_state(encoder_state, shapes[0], "encoder", IGNORED)
    decoder = checked_state(decoder_state, shapes[1], "decoder", IGNORED)
    encoder = _scaled(encoder, arguments)
    weights = _stack(encoder, "encoder.stack", stacks[0]) | _stack(decoder, "decoder.stack", stacks[1])
    if model.encoder.to_latent is None:
        weights |= _mix(encoder, "mix_reps", "encoder.aggregation.mix", model.encoder.aggregation.mix)
    else:
        weights |= _mix(encoder, "mix_reps", "encoder.to_latent", model.encoder.to_latent)
    weights |= _mix(decoder, "latent_to_graph", "decoder.to_particles", model.decoder.to_particles)
    # Scalars of the output are read by nobody; we keep one of them.
    output = _mix(decoder, "mix_to_output", "decoder.output", model.decoder.output)
    weights |= {name: weight[:1] for name, weight in output.items()}
    model.load_state_dict(weights)
    return model


def _refuse_lowered(shapes: Iterable[Shapes], states: Iterable[Mapping[str, Tensor]]) -> None:
    """The code of spring 2021 took every ``maxdim`` for 2."""
    needed, found = (any(_TENSORS.search(str(key)) for one in many for key in one) for many in (shapes, states))
    if needed and not found:
        raise ValueError(
            "maxdim is above 2, but the state dicts hold no weights of tensors, such as (2, 2): the code that "
            "wrote them had lowered it; set maxdim to 2"
        )


def encoder_shapes(arguments: LGNArguments, stack: LMPStack) -> Shapes:
    """Names and shapes of the original encoder's weights."""
    channels, slots = arguments.encoder_channels, arguments.num_particles if arguments.aggregation == "mix" else 1
    shapes = _stack_shapes(stack, arguments.jet_scalars + int(arguments.jet_features), channels[0])
    latent = {_SCALAR: arguments.latent_scalars, _VECTOR: arguments.latent_vectors}
    return shapes | _end_shapes("mix_reps", stack, latent, slots * channels[-1])


def decoder_shapes(arguments: LGNArguments, stack: LMPStack) -> Shapes:
    """Names and shapes of the original decoder's weights."""
    channels, slots, parts = arguments.decoder_channels, arguments.num_particles, arguments.parts
    latent = (parts * arguments.latent_scalars, parts * arguments.latent_vectors)
    shapes = _mix_shapes("latent_to_graph", (slots, slots), latent)
    shapes |= _stack_shapes(stack, 1, channels[0])
    return shapes | _end_shapes("mix_to_output", stack, {_SCALAR: arguments.jet_scalars, _VECTOR: 1}, channels[-1])


def _mix_shapes(name: str, outputs: tuple[int, int], inputs: tuple[int, int]) -> Shapes:
    labels = (_SCALAR, _VECTOR)
    return {f"{name}.weights.{key_of(label)}": (2, o, i) for label, o, i in zip(labels, outputs, inputs)}


def _end_shapes(name: str, stack: LMPStack, outputs: Mapping[Label, int], inputs: int) -> Shapes:
    """Those of the mixing after the last level: one channel of each irrep that is not asked for."""
    return {f"{name}.weights.{key_of(label)}": (2, outputs.get(label, 1), inputs) for label in _orders(stack)[-1]}


def _stack_shapes(stack: LMPStack, scalars: int, channels: int) -> Shapes:
    """Input mixing and levels."""
    shapes = _mix_shapes("input_func_node", (channels, channels), (scalars, 1))
    for level, (conv, order) in enumerate(zip(stack.convs, _orders(stack))):
        shapes |= level_shapes(conv, level, order, _NODES)
    return shapes


def _orders(stack: LMPStack) -> list[list[Label]]:
    """The irreps that each level takes, as the original walks through them, and what the last one makes."""
    orders = [walked([SCALAR, VECTOR])]
    for conv in stack.convs:
        orders[-1] = [label for label in orders[-1] if max(label) <= conv.max_weight]
        made = reachable(list(map(irrep_of, orders[-1])), conv.max_weight, conv.max_degree)
        orders.append(walked(made, scalar_last=conv.mlp is not None))
    return orders


def _scaled(state: dict[str, Tensor], arguments: LGNArguments) -> dict[str, Tensor]:
    r"""The encoder's weights for momenta that are not multiplied by the scale :math:`s`.

    Masses and momenta enter linearly, the squared mass of the jet as :math:`s^2`, invariants in
    :math:`c_k^2 p_{ij}^2`, and edges of degree 1 carry one :math:`p_{ij}`.
    """
    scale, factors = arguments.scale, {}
    for level in range(len(arguments.encoder_channels) - 1):
        radial = f"rad_funcs.rad_funcs.{level}"
        factors |= {f"{radial}.{name}": scale for name in ("c", "linear.1.weight", "linear.1.bias")}
    columns = [scale] + (arguments.jet_scalars - 1) * [1.0] + arguments.jet_features * [scale**2]
    factors["input_func_node.weights.(0, 0)"] = torch.tensor(columns, dtype=torch.float64)
    factors["input_func_node.weights.(1, 1)"] = scale
    return state | {key: factor * state[key] for key, factor in factors.items()}


def _mix(state: Mapping[str, Tensor], old: str, new: str, module: MixReps) -> dict[str, Tensor]:
    """Complex mixing matrices of the irreps that a module of ours has."""
    return {
        f"{new}.weights.{irrep}": as_ours(state[f"{old}.weights.{key_of(label_of(irrep))}"])
        for _, irrep in module.irreps_out
    }


def _stack(state: Mapping[str, Tensor], name: str, stack: LMPStack) -> dict[str, Tensor]:
    """Input mixing and levels of one network."""
    weights = _mix(state, "input_func_node", f"{name}.input", stack.input)
    for level, (conv, order) in enumerate(zip(stack.convs, _orders(stack))):
        translated = level_weights(state, conv, level, order, _NODES)
        weights |= {f"{name}.convs.{level}.{key}": weight for key, weight in translated.items()}
    return weights
