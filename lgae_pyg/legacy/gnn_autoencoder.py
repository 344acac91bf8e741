"""Weights of the published GNNAE code (zichunhao/gnn-jet-autoencoder) in our model."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from torch import Tensor

from lgae_pyg.legacy.arguments import count, flag
from lgae_pyg.legacy.state_dicts import checked_state, without_prefix
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
        ValueError: for a missing argument or one that cannot be imported (``batch_norm``, ``dropout``, another
            ``metric`` than ``euclidean``, other than three features per particle), and a missing, unknown,
            misshapen or not finite weight; the message names it.
    """
    states = {"encoder": encoder_state, "decoder": decoder_state}
    names = without_prefix(encoder_state) if isinstance(encoder_state, Mapping) else {}
    model = GNNAE(**_arguments(config, names)).double()
    places = {name: _original_name(name) for name in model.state_dict()}
    for network, state in states.items():
        shapes = {
            key: tuple(parameter.shape)
            for (owner, key), parameter in zip(places.values(), model.state_dict().values())
            if owner == network
        }
        states[network] = checked_state(state, shapes, network)
    model.load_state_dict({name: states[network][key] for name, (network, key) in places.items()})
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
    sizes = {name: _steps(config, name) for name in names if config.get(name)}
    return sizes | _latent(config, encoder_state) | {
        "latent": count(config, "latent_node_size"),
        "num_particles": count(config, "num_nodes", default=30),
        "alpha": _slope(config),
        "squash_output": flag(config, "normalize_output", False),
        "padded": flag(config, "padded", False),
    }


def _slope(config: Mapping[str, Any]) -> float:
    value = config.get("alpha", 0.2)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"the original's argument 'alpha' must be a number, not {value!r}")
    return float(value)


def _steps(config: Mapping[str, Any], name: str) -> list[list[int]]:
    """Sizes of each step; those of a single step stand for all."""
    sizes = config[name]
    if not _is_list(sizes) or not all(_is_list(step) and step for step in sizes):
        raise ValueError(
            f"the original's argument '{name}' must be a list of lists of widths, one for each step, not {sizes!r}"
        )
    steps = count(config, "num_mps", default=len(sizes))
    if len(sizes) == 1:
        sizes = [sizes[0]] * steps
    if len(sizes) != steps:
        raise ValueError(f"the original's argument 'num_mps' is {steps}, but '{name}' has sizes for {len(sizes)}")
    return [[count({name: width}, name) for width in step] for step in sizes]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _latent(config: Mapping[str, Any], encoder_state: Mapping[str, Tensor]) -> dict[str, Any]:
    name = config["latent_map"]
    if name in _JET_MAPS:
        return {"level": "jet", "aggregation": _JET_MAPS[name]}
    if name not in _PARTICLE_MAPS:
        raise ValueError(f"unknown latent_map '{name}': choose one of {', '.join((*_JET_MAPS, *_PARTICLE_MAPS))}")
    mix = encoder_state.get("mix_layer.weight")
    return {"level": "particle", "mix_width": None if mix is None else int(mix.shape[-1])}
