"""Weights of the published GNNAE code (zichunhao/gnn-jet-autoencoder) in our model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.models.gnnae import GNNAE

#: The original's latent maps of one code per jet, and ours.
_JET_MAPS = {"mean": "mean", "max": "max", "min": "min", "global mix": "mix", "global_mix": "mix"}
_PARTICLE_MAPS = ("local mix", "local_mix")
_REQUIRED = ("latent_map", "latent_node_size", "node_sizes", "edge_sizes")
_REFUSED = {"batch_norm": False, "dropout": 0.0, "metric": "euclidean"}


def load_gnn_autoencoder(
    encoder_state: Mapping[str, Tensor], decoder_state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> GNNAE:
    """Builds a :class:`~lgae_pyg.models.GNNAE` from the state dicts of the published code.

    The model gives the original's numbers on jets that fill all slots. The original fills other jets up with
    zeros, which take part like particles; add ``padded=True`` to ``config`` for the same behaviour. (The original
    adds 1e-16 to the differences of node features before it squares them, which is left out.)

    Args:
        encoder_state: the encoder's state dict, as the original saves it.
        decoder_state: the decoder's.
        config: the original's arguments: ``latent_map`` (``mean``, ``max``, ``min``, ``global mix``, or
            ``local mix`` and ``local_mix``, which differ in the width before the last map),
            ``latent_node_size``, ``node_sizes``, ``edge_sizes``, and where they differ from the defaults
            ``num_nodes`` (30), ``num_mps`` (the number of sizes), ``alpha`` (0.2), ``normalize_output`` (false);
            ``decoder_node_sizes`` and ``decoder_edge_sizes`` if they are not the encoder's.

    Returns:
        the model, float64, giving as many particles as came in.

    Raises:
        ValueError: for a missing argument or one that cannot be imported, or a missing, unexpected or misshapen
            weight (named).
    """
    states = {"encoder": dict(encoder_state), "decoder": dict(decoder_state)}
    model = GNNAE(**_arguments(config, states["encoder"])).double()
    weights = {}
    for name, parameter in model.state_dict().items():
        network, key = _original_name(name)
        if key not in states[network]:
            raise ValueError(f"the original {network} state dict has no key '{key}'")
        weight = torch.as_tensor(states[network].pop(key), dtype=torch.float64)
        if weight.shape != parameter.shape:
            raise ValueError(
                f"'{key}' of the original {network} has the shape {tuple(weight.shape)}, but the configuration "
                f"asks for {tuple(parameter.shape)}: do the state dicts and the configuration belong together?"
            )
        weights[name] = weight
    for network, rest in states.items():
        if rest:
            raise ValueError(f"the original {network} state dict has an unexpected key '{next(iter(rest))}'")
    model.load_state_dict(weights)
    return model


def _original_name(name: str) -> tuple[str, str]:
    """Network and key of the original for a name of ours."""
    network, part, *rest = name.split(".")
    if part == "mix":
        return network, f"mix_layer.{rest[0]}"
    if part == "expand":
        return network, f"linear.{rest[0]}"
    _, step, layers, number, kind = rest
    return network, f"{network}.{layers.removesuffix('_layers')}_net.{step}.{number}.{kind}"


def _arguments(config: Mapping[str, Any], encoder_state: Mapping[str, Tensor]) -> dict[str, Any]:
    if missing := [key for key in _REQUIRED if key not in config]:
        raise ValueError(f"the original's argument '{missing[0]}' is missing from the configuration")
    for key, value in _REFUSED.items():
        given = config.get(key, value)
        if str(given).split(" ")[0] != str(value) if key == "metric" else given != value:
            raise ValueError(f"only {key} = {value} can be imported, not {given}")
    for key in ("input_node_size", "output_node_size"):
        if config.get(key, 3) != 3:
            raise ValueError(f"only {key} = 3, relative coordinates, can be imported, not {config[key]}")
    names = ("node_sizes", "edge_sizes", "decoder_node_sizes", "decoder_edge_sizes")
    sizes = {name: _steps(config[name], config.get("num_mps")) for name in names if config.get(name)}
    return sizes | _latent(config, encoder_state) | {
        "latent": config["latent_node_size"],
        "num_particles": config.get("num_nodes", 30),
        "alpha": config.get("alpha", 0.2),
        "squash_output": config.get("normalize_output", False),
        "padded": config.get("padded", False),
    }


def _steps(sizes: Sequence[Sequence[int]], steps: int | None) -> list[list[int]]:
    """Sizes of each step; those of a single step stand for all."""
    if len(sizes) == 1 and steps:
        sizes = [sizes[0]] * steps
    if steps is not None and len(sizes) != steps:
        raise ValueError(f"num_mps = {steps} steps, but sizes for {len(sizes)}")
    return [list(step) for step in sizes]


def _latent(config: Mapping[str, Any], encoder_state: Mapping[str, Tensor]) -> dict[str, Any]:
    name = config["latent_map"]
    if name in _JET_MAPS:
        return {"level": "jet", "aggregation": _JET_MAPS[name]}
    if name not in _PARTICLE_MAPS:
        raise ValueError(f"unknown latent_map '{name}': choose one of {', '.join((*_JET_MAPS, *_PARTICLE_MAPS))}")
    mix = encoder_state.get("mix_layer.weight")
    return {"level": "particle", "mix_width": None if mix is None else int(mix.shape[-1])}
