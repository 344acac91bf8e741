"""Weights of the ParticleNet and PFN of weaver-core and of the particle transformer's examples in our models."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from lgae_pyg.legacy.arguments import count, flag, required
from lgae_pyg.legacy.state_dicts import checked_state
from lgae_pyg.models.taggers.particle_net import ParticleNet
from lgae_pyg.models.taggers.pfn import PFN
from lgae_pyg.ops.jet_features import FEATURE_SETS

IGNORED = (r".*\.num_batches_tracked",)
#: What weaver's wrapper puts before every key.
WRAPPER = "mod."


def load_particle_net(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> ParticleNet:
    """Builds a :class:`~lgae_pyg.models.ParticleNet` from a state dict of weaver's.

    The numbers are weaver's on jets of more than ``k`` particles; smaller ones get neighbours without particles
    there, and fewer neighbours here. The classes keep their order, which in weaver's top tagging begins with top.
    Momenta are in GeV (``model.unit``).

    Args:
        state: the state dict, of any precision, with or without the prefixes ``module.`` and ``mod.``.
        config: the original's arguments: ``conv_params``, such as ``[[16, [64, 64, 64]], ...]``, ``fc_params``,
            such as ``[[256, 0.1]]``, ``input_dims`` (7, the kinematic features; 4, the logarithmic ones),
            ``num_classes`` (2), ``use_fusion`` (false) and ``use_fts_bn`` (true).

    Returns:
        the model, float64, in evaluation mode.

    Raises:
        ValueError: for a missing or wrong argument, and a missing, unknown, misshapen or not finite weight; the
            message names it.
    """
    blocks, hidden = _pairs(config, "conv_params"), _pairs(config, "fc_params")
    dropouts = {float(dropout) for _, dropout in hidden}
    if len(dropouts) > 1:
        raise ValueError(f"the original's argument 'fc_params' has several dropouts: {sorted(dropouts)}")
    model = ParticleNet(
        num_classes=count(config, "num_classes", default=2),
        features=_features(config),
        k=[count({"conv_params": k}, "conv_params") for k, _ in blocks],
        channels=[_widths({"conv_params": block}, "conv_params") for _, block in blocks],
        hidden=[count({"fc_params": width}, "fc_params") for width, _ in hidden],
        dropout=dropouts.pop() if dropouts else 0.0,
        input_norm=flag(config, "use_fts_bn", True),
        fusion=flag(config, "use_fusion", False),
    )
    linear = [place for place, layer in enumerate(model.classifier) if isinstance(layer, nn.Linear)]
    return _loaded(model, state, lambda name: _particle_net_name(name, linear), "ParticleNet")


def load_pfn(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> PFN:
    """Builds a :class:`~lgae_pyg.models.PFN` from a state dict of the particle transformer's example.

    The classes keep their order, which in weaver's top tagging begins with top. Momenta are in GeV
    (``model.unit``).

    Args:
        state: the state dict, of any precision, with or without the prefixes ``module.`` and ``mod.``.
        config: the original's arguments: ``Phi_sizes``, ``F_sizes``, ``input_dims`` (7, the kinematic features; 4,
            the logarithmic ones; 3, EnergyFlow's), ``num_classes`` (2).

    Returns:
        the model, float64, in evaluation mode.

    Raises:
        ValueError: for a missing or wrong argument (``use_bn`` cannot be imported), and a missing, unknown,
            misshapen or not finite weight; the message names it.
    """
    if flag(config, "use_bn", False):
        raise ValueError("only use_bn = False can be imported, not True")
    model = PFN(
        num_classes=count(config, "num_classes", default=2),
        features=_features(config),
        particle_widths=_widths(config, "Phi_sizes"),
        jet_widths=_widths(config, "F_sizes"),
    )
    last = len(model.jet_layers) - 1

    def original_name(name: str) -> str:
        part, place, kind = name.split(".")
        if part == "particle_layers":
            return f"phi.{place}.0.{kind}"
        return f"fc.{int(place) // 2}.{kind}" if int(place) == last else f"fc.{int(place) // 2}.0.{kind}"

    return _loaded(model, state, original_name, "PFN")


def _particle_net_name(name: str, linear: list[int]) -> str:
    """The original's key for a name of ours; ``linear`` are the places of the perceptron's linear layers."""
    part, *rest = name.split(".")
    if part == "norm":
        return f"bn_fts.{rest[0]}"
    if part == "fusion":
        return ".".join(["fusion_block", *rest])
    if part == "classifier":
        number = linear.index(int(rest[0]))
        return f"fc.{number}.{rest[1]}" if number == len(linear) - 1 else f"fc.{number}.0.{rest[1]}"
    block, layer, *last = rest
    if layer == "shortcut":
        return f"edge_convs.{block}.{('sc', 'sc_bn')[int(last[0])]}.{last[1]}"
    return ".".join([f"edge_convs.{block}", {"layers": "convs", "norms": "bns"}[layer], *last])


def _loaded(model: Any, state: Mapping[str, Tensor], original_name: Any, network: str) -> Any:
    """The model with the weights of a state dict; convolutions of width 1 are linear layers."""
    model = model.double()
    places = {name: original_name(name) for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    flat = state
    if isinstance(state, Mapping):
        keys = {str(key): value for key, value in state.items()}
        prefix = next((p for p in (WRAPPER, "module." + WRAPPER) if all(k.startswith(p) for k in keys)), "")
        flat = {key.removeprefix(prefix): _without_trailing_ones(value) for key, value in keys.items()}
    shapes = {places[name]: tuple(model.state_dict()[name].shape) for name in places}
    found = checked_state(flat, shapes, network, IGNORED)
    model.load_state_dict({name: found[key] for name, key in places.items()}, strict=False)
    model.unit = "GeV"
    return model.eval()


def _without_trailing_ones(value: Any) -> Any:
    """A weight of a convolution, (out, in, 1, ...), as one of a linear layer."""
    shape = getattr(value, "shape", ())
    return value.reshape(shape[:2]) if len(shape) > 2 and set(shape[2:]) == {1} else value


def _features(config: Mapping[str, Any]) -> str:
    wanted = count(config, "input_dims", default=7)
    names = {number: name for name, number in FEATURE_SETS.items()}
    if wanted not in names:
        raise ValueError(
            f"the original's argument 'input_dims' is {wanted}, for which there are no features: "
            f"{', '.join(f'{number} ({name})' for number, name in names.items())}"
        )
    return names[wanted]


def _widths(config: Mapping[str, Any], name: str) -> list[int]:
    value = required(config, name)
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"the original's argument '{name}' must be a list of widths, not {value!r}")
    return [count({name: width}, name) for width in value]


def _pairs(config: Mapping[str, Any], name: str) -> list[Sequence[Any]]:
    value = required(config, name)
    lists = isinstance(value, Sequence) and all(
        isinstance(one, Sequence) and not isinstance(one, str) and len(one) == 2 for one in value
    )
    if not lists:
        raise ValueError(f"the original's argument '{name}' must be a list of pairs, not {value!r}")
    return list(value)
