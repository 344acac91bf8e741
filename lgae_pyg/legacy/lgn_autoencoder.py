"""Weights of the published LGAE code (zichunhao/lgn-autoencoder) in our model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.models.lgae import LGAE
from lgae_pyg.models.lgae_networks import LMPStack

# Channel blocks of a level, ours in terms of the original's: ours are [E0 S, E1 V, S, SS, VV] and
# [E0 V, E1 S, V, SV, VS], the original's [E1 V, E0 S, S, VV, SS] and [E0 V, E1 S, V, VS, SV].
_BLOCKS = {"(0, 0)": (1, 0, 2, 4, 3), "(1, 1)": (0, 1, 2, 4, 3)}
_NAMES = {"(0, 0)": "(0,0)", "(1, 1)": "(1/2,1/2)"}


def load_lgn_autoencoder(
    encoder_state: Mapping[str, Tensor], decoder_state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> LGAE:
    """Builds an :class:`~lgae_pyg.models.LGAE` in original behaviour from the state dicts of the published code.

    Args:
        encoder_state: the encoder's state dict, as the original saves it.
        decoder_state: the decoder's.
        config: the original's arguments: ``map_to_latent``, ``tau_latent_scalars``, ``tau_latent_vectors``,
            ``encoder_num_channels``, ``decoder_num_channels``, ``num_particles``, and where they differ from
            the defaults ``maxdim`` (2), ``num_basis_fn`` (10), ``mlp_depth`` (6), ``mlp_width`` (6),
            ``activation`` (leakyrelu), ``scale`` (1), ``get_real_method`` (sum).

    Returns:
        the model, float64, giving ``num_particles`` particles for each jet.

    Raises:
        ValueError: for a missing argument, a missing or misshapen weight (named), or another ``maxdim``.
    """
    model = LGAE(**_arguments(config))
    weights = _stack(encoder_state, "encoder", model.encoder.stack)
    weights |= _stack(decoder_state, "decoder", model.decoder.stack)
    latent = "encoder.aggregation.mix" if model.aggregation == "mix" else "encoder.to_latent"
    weights |= _mix(encoder_state, "encoder", "mix_reps", latent)
    weights |= _mix(decoder_state, "decoder", "latent_to_graph", "decoder.to_particles")
    weights |= _mix(decoder_state, "decoder", "mix_to_output", "decoder.output")
    for name, parameter in model.state_dict().items():
        if name not in weights:
            raise ValueError(f"the original state dicts hold nothing for our weight {name}")
        if weights[name].numel() != parameter.numel():
            raise ValueError(
                f"weight for {name} has {weights[name].numel()} numbers, but the configuration asks for "
                f"{parameter.numel()}: do the state dicts and the configuration belong together?"
            )
        weights[name] = weights[name].reshape(parameter.shape)
    model.load_state_dict(weights)
    return model


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        arguments = {
            "aggregation": config["map_to_latent"],
            "num_particles": config["num_particles"],
            "latent_vectors": config["tau_latent_vectors"],
            "latent_scalars": config["tau_latent_scalars"],
            "encoder_channels": config["encoder_num_channels"],
            "decoder_channels": config["decoder_num_channels"],
        }
    except KeyError as error:
        raise ValueError(f"the original's argument {error} is missing from the configuration") from None
    if config.get("maxdim", 2) != 2:
        raise ValueError(f"only maxdim = 2 can be imported, not {config['maxdim']}")
    return arguments | {
        "num_bells": 2 * config.get("num_basis_fn", 10),
        "mlp_depth": config.get("mlp_depth", 6),
        "mlp_width": config.get("mlp_width", 6),
        "activation": config.get("activation", "leakyrelu"),
        "scale": config.get("scale", 1.0),
        "readout": config.get("get_real_method", "sum"),
        "decode": "slots",
        "behaviour": "original",
    }


def _take(state: Mapping[str, Tensor], network: str, key: str) -> Tensor:
    if key not in state:
        raise ValueError(f"the original {network} state dict has no key '{key}'")
    return torch.as_tensor(state[key], dtype=torch.float64)


def _mix(state: Mapping[str, Tensor], network: str, old: str, new: str) -> dict[str, Tensor]:
    """Complex mixing matrices, (2, out, in) in the original and (out, in, 2) here."""
    return {
        f"{new}.weights.{name}": _take(state, network, f"{old}.weights.{irrep}").movedim(0, -1)
        for irrep, name in _NAMES.items()
    }


def _stack(state: Mapping[str, Tensor], network: str, stack: LMPStack) -> dict[str, Tensor]:
    """Input mixing and levels of one network."""
    weights = _mix(state, network, "input_func_node", f"{network}.stack.input")
    for level, conv in enumerate(stack.convs):
        prefix = f"{network}.stack.convs.{level}"
        old = f"rad_funcs.rad_funcs.{level}"
        for name in "abc":
            weights[f"{prefix}.radial.{name}"] = _take(state, network, f"{old}.{name}").flatten()
        for kind in ("weight", "bias"):
            parts = [_take(state, network, f"{old}.linear.{degree}.{kind}") for degree in (0, 1)]
            weights[f"{prefix}.radial.{kind}"] = torch.stack(parts)
        mixed = _mix(state, network, f"lgn_cg.node_levels.{level}.cat_mix.mix_reps", f"{prefix}.mix")
        for irrep, name in _NAMES.items():
            weight = mixed[f"{prefix}.mix.weights.{name}"]
            blocks = weight.unflatten(1, (5, -1))[:, list(_BLOCKS[irrep])]
            mixed[f"{prefix}.mix.weights.{name}"] = blocks.flatten(1, 2)
        weights |= mixed
        linears = [index for index, layer in enumerate(conv.mlp.layers) if isinstance(layer, torch.nn.Linear)]
        for number, index in enumerate(linears):
            for kind in ("weight", "bias"):
                key = f"lgn_cg.mlp_levels.{level}.linear.{number}.{kind}"
                weights[f"{prefix}.mlp.layers.{index}.{kind}"] = _take(state, network, key)
    return weights
