"""Weights of the published LGAE code (zichunhao/lgn-autoencoder) in our model."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.legacy.lgn_arguments import LGNArguments
from lgae_pyg.legacy.state_dicts import checked_state
from lgae_pyg.models.lgae import LGAE
from lgae_pyg.models.lgae_networks import LMPStack

# Channel blocks of a level, ours in terms of the original's: ours are [E0 S, E1 V, S, SS, VV] and
# [E0 V, E1 S, V, SV, VS], the original's [E1 V, E0 S, S, VV, SS] and [E0 V, E1 S, V, VS, SV].
_BLOCKS = {"(0, 0)": (1, 0, 2, 4, 3), "(1, 1)": (0, 1, 2, 4, 3)}
_NAMES = {"(0, 0)": "(0,0)", "(1, 1)": "(1/2,1/2)"}

# Constants that modules of the original may carry along: Clebsch-Gordan coefficients, zonal functions, zeros.
_IGNORED = (r"(.*\.)?cg_dict\..*", r"(.*\.)?zonal_fns(_in)?\..*", r"(.*\.)?zero")

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
            ``tau_jet_scalars`` (1; others are read from ``batch.x``), ``jet_features`` (false), ``maxdim`` (2),
            ``max_zf`` (1). Other keys are not looked at.

    Returns:
        the model, float64, giving ``num_particles`` particles for each jet.

    Raises:
        ValueError: for a missing argument, one that cannot be imported, and a missing, unknown, misshapen or not
            finite weight; the message names it.
    """
    arguments = LGNArguments.read(config)
    encoder = checked_state(encoder_state, encoder_shapes(arguments), "encoder", _IGNORED)
    decoder = checked_state(decoder_state, decoder_shapes(arguments), "decoder", _IGNORED)
    model = LGAE(**arguments.model_arguments())
    encoder = _scaled(encoder, arguments)
    weights = _stack(encoder, "encoder", model.encoder.stack)
    weights |= _stack(decoder, "decoder", model.decoder.stack)
    latent = "encoder.aggregation.mix" if model.aggregation == "mix" else "encoder.to_latent"
    weights |= _mix(encoder, "mix_reps", latent)
    weights |= _mix(decoder, "latent_to_graph", "decoder.to_particles")
    # Scalars of the output are read by nobody; we keep one of them.
    output = _mix(decoder, "mix_to_output", "decoder.output")
    weights |= {name: weight[:1] for name, weight in output.items()}
    model.load_state_dict(weights)
    return model


def encoder_shapes(arguments: LGNArguments) -> Shapes:
    """Names and shapes of the original encoder's weights."""
    channels = arguments.encoder_channels
    scalars = arguments.jet_scalars + int(arguments.jet_features)
    slots = arguments.num_particles if arguments.aggregation == "mix" else 1
    shapes = _stack_shapes(arguments, channels, scalars, 2)
    latent = (arguments.latent_scalars, arguments.latent_vectors)
    return shapes | _mix_shapes("mix_reps", latent, (slots * channels[-1],) * 2)


def decoder_shapes(arguments: LGNArguments) -> Shapes:
    """Names and shapes of the original decoder's weights."""
    channels, slots, parts = arguments.decoder_channels, arguments.num_particles, arguments.parts
    latent = (parts * arguments.latent_scalars, parts * arguments.latent_vectors)
    shapes = _mix_shapes("latent_to_graph", (slots, slots), latent)
    shapes |= _stack_shapes(arguments, channels, 1, 1)
    return shapes | _mix_shapes("mix_to_output", (arguments.jet_scalars, 1), (channels[-1],) * 2)


def _mix_shapes(name: str, outputs: tuple[int, int], inputs: tuple[int, int]) -> Shapes:
    return {f"{name}.weights.{irrep}": (2, o, i) for irrep, o, i in zip(_NAMES, outputs, inputs)}


def _stack_shapes(arguments: LGNArguments, channels: tuple[int, ...], scalars: int, parts: int) -> Shapes:
    """Input mixing and levels; the radial functions have ``parts`` outputs for each channel."""
    shapes = _mix_shapes("input_func_node", (channels[0],) * 2, (scalars, 1))
    bells, depth = arguments.num_bells, arguments.mlp_depth
    for level, (before, after) in enumerate(pairwise(channels)):
        radial = f"rad_funcs.rad_funcs.{level}"
        shapes |= {f"{radial}.{name}": (1, 1, 1, bells) for name in "abc"}
        for degree in (0, 1):
            shapes[f"{radial}.linear.{degree}.weight"] = (parts * before, bells)
            shapes[f"{radial}.linear.{degree}.bias"] = (parts * before,)
        shapes |= _mix_shapes(f"lgn_cg.node_levels.{level}.cat_mix.mix_reps", (after,) * 2, (5 * before,) * 2)
        sizes = [2 * after] + depth * [2 * after * arguments.mlp_width] + [2 * after]
        for number in range(depth + 1 if depth else 0):
            key = f"lgn_cg.mlp_levels.{level}.linear.{number}"
            shapes |= {f"{key}.weight": (sizes[number + 1], sizes[number]), f"{key}.bias": (sizes[number + 1],)}
    return shapes


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


def _mix(state: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    """Complex mixing matrices, (2, out, in) in the original and (out, in, 2) here."""
    return {
        f"{new}.weights.{name}": state[f"{old}.weights.{irrep}"].movedim(0, -1) for irrep, name in _NAMES.items()
    }


def _stack(state: Mapping[str, Tensor], network: str, stack: LMPStack) -> dict[str, Tensor]:
    """Input mixing and levels of one network."""
    weights = _mix(state, "input_func_node", f"{network}.stack.input")
    for level, conv in enumerate(stack.convs):
        prefix = f"{network}.stack.convs.{level}"
        old = f"rad_funcs.rad_funcs.{level}"
        for name in "abc":
            weights[f"{prefix}.radial.{name}"] = state[f"{old}.{name}"].flatten()
        for kind in ("weight", "bias"):
            parts = torch.stack([state[f"{old}.linear.{degree}.{kind}"] for degree in (0, 1)])
            weights[f"{prefix}.radial.{kind}"] = parts.reshape(getattr(conv.radial, kind).shape)
        mixed = _mix(state, f"lgn_cg.node_levels.{level}.cat_mix.mix_reps", f"{prefix}.mix")
        for irrep, name in _NAMES.items():
            weight = mixed[f"{prefix}.mix.weights.{name}"]
            blocks = weight.unflatten(1, (5, -1))[:, list(_BLOCKS[irrep])]
            mixed[f"{prefix}.mix.weights.{name}"] = blocks.flatten(1, 2)
        weights |= mixed
        layers = [] if conv.mlp is None else list(conv.mlp.layers)
        linears = [index for index, layer in enumerate(layers) if isinstance(layer, torch.nn.Linear)]
        for number, index in enumerate(linears):
            for kind in ("weight", "bias"):
                key = f"lgn_cg.mlp_levels.{level}.linear.{number}.{kind}"
                weights[f"{prefix}.mlp.layers.{index}.{kind}"] = state[key]
    return weights
