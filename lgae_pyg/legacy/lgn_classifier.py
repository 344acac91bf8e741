"""Weights of the published LGN code (fizisist/LorentzGroupNetwork), the top tagger, in our model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.legacy.arguments import count, flag, get, number, required
from lgae_pyg.legacy.lgn_basis import Label, factor, irrep_of, key_of, label_of, square_factor
from lgae_pyg.legacy.state_dicts import checked_state
from lgae_pyg.lorentz.irreps import Irrep
from lgae_pyg.models.taggers.lgn import LGNClassifier
from lgae_pyg.nn.lmp_conv import LMPConv
from lgae_pyg.nn.scalar_mlp import ACTIVATIONS
from lgae_pyg.ops.products import SCALAR, VECTOR

#: Constants that modules of the original may carry along.
IGNORED = (r"(.*\.)?cg_dict\..*", r"(.*\.)?zonal_fns(_in)?\..*", r"(.*\.)?zero")
_SCALAR: Label = (0, 0)


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
    orders = [_walked([irrep for _, irrep in model.levels[0]])]
    orders += [_walked([irrep for _, irrep in irreps], scalar_last=mlp) for irreps in model.levels[1:]]
    places = {"output.weight": "output_layer_atom.lin.weight", "output.bias": "output_layer_atom.lin.bias"}
    if momenta:
        places |= {f"input.weights.{irrep}": f"input_func_atom.weights.{key_of(label_of(irrep))}"
                   for irrep in (SCALAR, VECTOR)}  # fmt: skip
    else:
        places |= {f"input.{kind}": f"input_func_atom.lin.{kind}" for kind in ("weight", "bias")}
    shapes = {key: _shape(model.get_parameter(name)) for name, key in places.items()}
    for level, conv in enumerate(model.convs):
        shapes |= _level_shapes(conv, level)
    found = checked_state(state, shapes, "LGN", IGNORED)
    weights = {name: _ours(found[key]) for name, key in places.items()}
    weights["output.weight"] = _output(found["output_layer_atom.lin.weight"], model, orders)
    for level, conv in enumerate(model.convs):
        weights |= _level(found, conv, level, orders[level])
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


def _walked(irreps: Sequence[Irrep], scalar_last: bool = False) -> list[Label]:
    """The order in which the original walks through irreps; its perceptrons put the scalars last."""
    order = list(set(sorted(map(label_of, irreps))))  # noqa: C414, the order of insertion counts where labels collide
    if scalar_last:
        order.remove(_SCALAR)
        order.append(_SCALAR)
    return order


def _shape(weight: Tensor) -> tuple[int, ...]:
    """The original's shape of a weight: complex ones begin with their two parts."""
    shape = tuple(weight.shape)
    return (2, *shape[:2]) if len(shape) == 3 else shape


def _ours(weight: Tensor) -> Tensor:
    return weight.movedim(0, -1) if weight.dim() == 3 else weight


def _linears(conv: LMPConv) -> list[int]:
    layers = [] if conv.mlp is None else list(conv.mlp.layers)
    return [place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear)]


def _level_shapes(conv: LMPConv, level: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of a level."""
    radial, mixing = f"rad_funcs.rad_funcs.{level}", f"lgn_cg.atom_levels.{level}.cat_mix.mix_reps.weights"
    channels, bells = conv.radial.bias.shape[1], len(conv.radial.a)
    shapes: dict[str, tuple[int, ...]] = {f"{radial}.{name}": (1, 1, 1, bells) for name in "abc"}
    for degree in range(conv.max_degree + 1):
        shapes[f"{radial}.linear.{degree}.weight"] = (2 * channels, bells)
        shapes[f"{radial}.linear.{degree}.bias"] = (2 * channels,)
    for _, irrep in conv.irreps_out:
        shapes[f"{mixing}.{key_of(label_of(irrep))}"] = _shape(conv.mix.weights[str(irrep)])
    for hidden, place in enumerate(_linears(conv)):
        for kind, value in conv.mlp.layers[place].named_parameters():
            shapes[f"lgn_cg.mlp_levels.{level}.linear.{hidden}.{kind}"] = tuple(value.shape)
    return shapes


def _level(state: Mapping[str, Tensor], conv: LMPConv, level: int, order: list[Label]) -> dict[str, Tensor]:
    """The weights of a level; ``order`` is that of the irreps that come in."""
    radial, ours = f"rad_funcs.rad_funcs.{level}", f"convs.{level}"
    weights = {f"{ours}.radial.{name}": state[f"{radial}.{name}"].flatten() for name in "abc"}
    for kind in ("weight", "bias"):
        parts = [state[f"{radial}.linear.{degree}.{kind}"] for degree in range(conv.max_degree + 1)]
        weights[f"{ours}.radial.{kind}"] = torch.stack(parts).reshape(getattr(conv.radial, kind).shape)
    for _, irrep in conv.irreps_out:
        key = f"lgn_cg.atom_levels.{level}.cat_mix.mix_reps.weights.{key_of(label_of(irrep))}"
        weights[f"{ours}.mix.weights.{irrep}"] = _mixing(_ours(state[key]), conv, irrep, order)
    for hidden, place in enumerate(_linears(conv)):
        for kind in ("weight", "bias"):
            key = f"lgn_cg.mlp_levels.{level}.linear.{hidden}.{kind}"
            weights[f"{ours}.mlp.layers.{place}.{kind}"] = state[key]
    return weights


def _mixing(weight: Tensor, conv: LMPConv, out: Irrep, order: list[Label]) -> Tensor:
    """The mixing matrix of an irrep, its blocks of channels in our order and for our couplings.

    Shapes:
        - weight, **output:** (out, in, 2)
    """
    irreps = [irrep_of(label) for label in order]
    edges = [Irrep(degree / 2, degree / 2) for degree in range(conv.max_degree + 1)]
    theirs: list[tuple] = [("message", edge, a) for a in irreps for edge in edges if out in a * edge]
    theirs += [("own",)] * (out in irreps)
    theirs += [("square", a, b) for a in irreps for b in irreps if out in a * b]
    blocks = [("message", one.left, one.right) for one in conv.message_couplings if one.out == out]
    blocks += [("own",)] * (out in irreps)
    blocks += [("square", one.left, one.right) for one in conv.self_couplings if one.out == out]
    parts = torch.view_as_complex(weight.contiguous()).unflatten(1, (len(theirs), -1))
    columns = [_block_factor(block, out) * parts[:, theirs.index(block)] for block in blocks]
    return torch.view_as_real(torch.cat(columns, 1))


def _block_factor(block: tuple, out: Irrep) -> complex:
    kind, *pair = block
    if kind == "own":
        return 1.0
    if kind == "square":
        return factor(*pair, out)
    edge, node = pair
    return factor(node, edge, out, swapped=True) * _zonal_factor(edge)


def _zonal_factor(edge: Irrep) -> complex:
    """The original's zonal function of an edge over ours."""
    product = 1.0
    for degree in range(2, edge.weight + 1):
        product *= factor(Irrep((degree - 1) / 2, (degree - 1) / 2), VECTOR, Irrep(degree / 2, degree / 2))
    return product


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
