"""Weights of the published LGN code (fizisist/LorentzGroupNetwork), the top tagger, in our model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.legacy.arguments import count, flag, get, number, required
from lgae_pyg.legacy.lgn_basis import Label, irrep_of, key_of, label_of, square_factor
from lgae_pyg.legacy.lgn_levels import IGNORED, as_ours, level_shapes, level_weights, original_shape, walked
from lgae_pyg.legacy.state_dicts import checked_state
from lgae_pyg.models.taggers.lgn import LGNClassifier
from lgae_pyg.nn.scalar_mlp import ACTIVATIONS
from lgae_pyg.ops.products import SCALAR, VECTOR

_SCALAR: Label = (0, 0)
_NODES = "atom_levels"


def load_lgn(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> LGNClassifier:
    """Builds an :class:`~lgae_pyg.models.LGNClassifier` from a state dict of the published code.

    The numbers are the original's on single jets without padding, which leaks into them there. Momenta are in GeV
    (``model.unit``).

    The original keeps irreps in the order in which Python walks through a set of their labels; that order, the
    same in every Python from 3.8 on, is followed.

    Args:
        state: the state dict, of any precision, with or without the prefix ``module.``.
        config: the original's arguments: ``num_channels``, and where they differ from the defaults
            ``num_cg_levels`` (one less than there are channels), ``maxdim`` (3), ``max_zf`` (1), ``num_basis_fn``
            (10), ``mlp`` (true), ``mlp_depth`` (3), ``mlp_width`` (2), ``activation`` (leakyrelu), ``pmu_in``
            (false), ``add_beams`` (true), ``beam_mass`` (1), ``scale`` (0.005), ``top`` (linear).

    Returns:
        the model, float64, in evaluation mode.

    Raises:
        ValueError: for a missing argument or one that cannot be imported, and a missing, unknown, misshapen or not
            finite weight; the message names it.
    """
    model = LGNClassifier(**_arguments(config)).double()
    mlp, momenta = model.convs[0].mlp is not None, not isinstance(model.input, nn.Linear)
    orders = [walked([irrep for _, irrep in model.levels[0]])]
    orders += [walked([irrep for _, irrep in irreps], scalar_last=mlp) for irreps in model.levels[1:]]
    places = {"output.weight": "output_layer_atom.lin.weight", "output.bias": "output_layer_atom.lin.bias"}
    if momenta:
        places |= {f"input.weights.{irrep}": f"input_func_atom.weights.{key_of(label_of(irrep))}"
                   for irrep in (SCALAR, VECTOR)}  # fmt: skip
    else:
        places |= {f"input.{kind}": f"input_func_atom.lin.{kind}" for kind in ("weight", "bias")}
    shapes = {key: original_shape(model.get_parameter(name)) for name, key in places.items()}
    for level, conv in enumerate(model.convs):
        shapes |= level_shapes(conv, level, orders[level], _NODES)
    found = checked_state(state, shapes, "LGN", IGNORED)
    weights = {name: as_ours(found[key]) for name, key in places.items()}
    weights["output.weight"] = _output(found["output_layer_atom.lin.weight"], model, orders)
    for level, conv in enumerate(model.convs):
        translated = level_weights(found, conv, level, orders[level], _NODES)
        weights |= {f"convs.{level}.{name}": weight for name, weight in translated.items()}
    model.load_state_dict(weights)
    model.unit = "GeV"
    return model.eval()


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    channels = required(config, "num_channels")
    if isinstance(channels, str) or not isinstance(channels, Sequence) or len(channels) < 2:
        raise ValueError(f"the original's argument 'num_channels' must be a list of numbers, not {channels!r}")
    levels = count(config, "num_cg_levels", default=len(channels) - 1)
    channels = [count({"num_channels": one}, "num_channels") for one in channels]
    channels = (channels + levels * channels[-1:])[: levels + 1]
    degree, momenta = _same(config, "max_zf", 1), flag(config, "pmu_in", False)
    if momenta and degree > 1:
        raise ValueError(f"pmu_in with max_zf = {degree} cannot be imported: its input holds powers of momenta")
    top = str(get(config, "top") or "linear").lower()
    if not top.startswith("lin"):
        raise ValueError(f"only top = linear can be imported, not {top}")
    if flag(config, "add_beams", True) and number(config, "beam_mass", 1.0) != 1:
        raise ValueError(f"only beam_mass = 1 can be imported, not {config['beam_mass']}")
    activation = str(get(config, "activation") or "leakyrelu").lower().partition("(")[0]
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"the original's argument 'activation' is '{activation}', none of {known}")
    return {
        "channels": channels,
        "max_weight": _same(config, "maxdim", 3) - 1,
        "max_degree": degree,
        "num_bells": 2 * count(config, "num_basis_fn", default=10),
        "mlp_depth": count(config, "mlp_depth", default=3) if flag(config, "mlp", True) else 0,
        "mlp_width": count(config, "mlp_width", default=2),
        "activation": activation,
        "momenta_input": momenta,
        "beams": flag(config, "add_beams", True),
        "scale": number(config, "scale", 0.005),
        "original": True,
    }


def _same(config: Mapping[str, Any], name: str, default: int) -> int:
    """A number that may be given once for each level, but is the same for all."""
    value = get(config, name)
    values = list(value) if isinstance(value, list | tuple) and value else [value]
    if len(set(map(str, values))) > 1:
        raise ValueError(f"only one '{name}' for all levels can be imported, not {value}")
    return count({name: values[0]}, name, default=default)


def _output(weight: Tensor, model: LGNClassifier, orders: list[list[Label]]) -> Tensor:
    """The last linear map, its columns in our order and for our invariant squares."""
    others = [label for label in set().union(*orders) if label != _SCALAR]
    theirs = []
    for irrep in map(irrep_of, [_SCALAR, *others]):
        for level, irreps in enumerate(model.levels):
            theirs += [(level, irrep, channel) for channel in range(irreps.multiplicity(irrep))]
    real, imag = weight.unflatten(1, (-1, 2)).unbind(-1)
    columns = []
    for one in model.invariant_channels():
        place, ratio = theirs.index(one), 1.0 if one[1] == SCALAR else square_factor(one[1])
        # w . (Re, Im)(ratio s) as a function of (Re, Im)(s)
        turned = torch.complex(real[:, place], -imag[:, place]) * ratio
        columns += [turned.real, -turned.imag]
    return torch.stack(columns, 1)
