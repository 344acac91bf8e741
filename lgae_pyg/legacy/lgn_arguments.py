"""The arguments of the published LGAE code (zichunhao/lgn-autoencoder), read from its configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lgae_pyg.legacy.arguments import count, flag, get, required
from lgae_pyg.models.lgae import READOUTS
from lgae_pyg.nn.aggr import num_concatenated
from lgae_pyg.nn.scalar_mlp import ACTIVATIONS

#: Names under which the number of particles is found: the parity files', the argument parser's, the networks'.
PARTICLES = ("num_particles", "num_jet_particles", "num_input_particles", "num_output_particles")
PARTS = ("min", "max", "mean", "average")


@dataclass(frozen=True)
class LGNArguments:
    """What an LGAE of the published code looks like.

    Attributes:
        aggregation: ``map_to_latent``.
        num_particles: number of slots.
        latent_scalars: complex scalars of the code, of each concatenated part.
        latent_vectors: complex four-vectors of the code, of each concatenated part.
        encoder_channels: multiplicities after the input mixing and after each level.
        decoder_channels: the same of the decoder.
        max_weight: largest weight of the irreps of each level, one less than ``maxdim``; the last for all further
            levels.
        num_bells: bells of the radial functions, twice ``num_basis_fn``.
        mlp_depth: hidden layers of the scalar perceptrons, 0 where there are none (``mlp: False``).
        mlp_width: their width in units of :math:`2 \\tau`.
        activation: their activation.
        scale: factor of the momenta on their way into the encoder.
        readout: ``get_real_method``.
        jet_scalars: ``tau_jet_scalars``, input scalars of each particle, the mass first.
        jet_features: the jet is one more particle, and its squared mass a scalar of every particle.
    """

    aggregation: str
    num_particles: int
    latent_scalars: int
    latent_vectors: int
    encoder_channels: tuple[int, ...]
    decoder_channels: tuple[int, ...]
    max_weight: tuple[int, ...] = (1,)
    num_bells: int = 20
    mlp_depth: int = 6
    mlp_width: int = 6
    activation: str = "leakyrelu"
    scale: float = 1.0
    readout: str = "sum"
    jet_scalars: int = 1
    jet_features: bool = False

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "LGNArguments":
        """Reads and checks a configuration under the names of the original's command line.

        Raises:
            ValueError: a missing argument, or one that cannot be imported; the message names it.
        """
        _refuse_other_inputs(config)
        with_mlp = flag(config, "mlp", True)
        channels = {name: _channels(config, name) for name in ("encoder_num_channels", "decoder_num_channels")}
        return cls(
            aggregation=_aggregation(config),
            num_particles=count(config, *PARTICLES),
            latent_scalars=count(config, "tau_latent_scalars"),
            latent_vectors=count(config, "tau_latent_vectors"),
            encoder_channels=channels["encoder_num_channels"],
            decoder_channels=channels["decoder_num_channels"],
            max_weight=_max_weight(config, channels),
            num_bells=2 * count(config, "num_basis_fn", default=10),
            mlp_depth=count(config, "mlp_depth", default=6) if with_mlp else 0,
            mlp_width=count(config, "mlp_width", default=6),
            activation=_choice(config, "activation", "leakyrelu", ACTIVATIONS),
            scale=_scale(config),
            readout=_readout(config),
            jet_scalars=count(config, "tau_jet_scalars", default=1),
            jet_features=_jet_features(config),
        )

    @property
    def parts(self) -> int:
        """How many times the latent multiplicities appear in the code."""
        return num_concatenated(self.aggregation)

    def model_arguments(self) -> dict[str, Any]:
        """Arguments of :class:`~lgae_pyg.models.LGAE`; the scale is left to the weights."""
        other = {"scale", "jet_scalars", "jet_features"}  # names that the model has otherwise
        same = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in other}
        translated = {"extra_scalars": self.jet_scalars - 1, "jet_inputs": self.jet_features}
        if len(self.max_weight) == 1:
            translated["max_weight"] = self.max_weight[0]
        return {**same, **translated, "decode": "slots", "scale": 1.0, "behaviour": "original"}


def _channels(config: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = required(config, name)
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) < 2:
        raise ValueError(
            f"the original's argument '{name}' must be a list of at least two numbers of channels, not {value!r}"
        )
    return tuple(count({name: channels}, name) for channels in value)


def _choice(config: Mapping[str, Any], name: str, default: str, known: Any) -> str:
    value = str(get(config, name) or default).lower()
    if value not in known:
        raise ValueError(f"the original's argument '{name}' is '{value}', which is none of {', '.join(known)}")
    return value


def _aggregation(config: Mapping[str, Any]) -> str:
    name = str(required(config, "map_to_latent")).lower().replace(" ", "")
    if name == "mix":
        return name
    parts = name.replace("+", "&").split("&")
    if "sum" in parts:
        raise ValueError(
            f"map_to_latent '{name}' cannot be imported: in the original, the sum gives the latent features one "
            "axis too many, and its decoder fails on them, so no such model was ever trained"
        )
    if "mix" in parts:
        raise ValueError(f"map_to_latent '{name}' cannot be imported: the original combines mix with nothing")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        known = ", ".join(PARTS)
        raise ValueError(f"map_to_latent '{name}': '{unknown[0]}' is unknown; choose mix, or a+b, a&b of {known}")
    if "+" in name and "&" in name:
        raise ValueError(f"map_to_latent '{name}' mixes & and +, which do not fit together in the original")
    return name


def _max_weight(config: Mapping[str, Any], channels: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    value = get(config, "maxdim")
    values = list(value) if isinstance(value, list | tuple) else [2 if value is None else value]
    weights = tuple(count({"maxdim": number}, "maxdim") - 1 for number in values)
    for name, numbers in channels.items():
        if not 1 <= len(weights) <= len(numbers) - 1:
            raise ValueError(
                f"maxdim = {value} cannot be imported: the original takes a number for all levels or a list of at "
                f"most as many as there are levels, {len(numbers) - 1} for {name}, and fails on others"
            )
    if weights[-1] == 0:
        raise ValueError(
            f"maxdim = {value} cannot be imported: the last level makes no four-vectors, and the original fails"
        )
    return weights


def _refuse_other_inputs(config: Mapping[str, Any]) -> None:
    degrees = get(config, "max_zf")
    if any(degree not in (1, None) for degree in (degrees if isinstance(degrees, list | tuple) else [degrees])):
        raise ValueError(
            f"only max_zf = 1 (edges up to degree 1) can be imported, not {degrees}: the original's command line "
            "knows no other, and its networks fail on others"
        )
    if count(config, "tau_jet_vectors", default=1) != 1:
        raise ValueError(f"only tau_jet_vectors = 1 can be imported, not {config['tau_jet_vectors']}")


def _scale(config: Mapping[str, Any]) -> float:
    value = get(config, "scale")
    try:
        scale = 1.0 if value is None else float(value)
    except (TypeError, ValueError):
        scale = 0.0
    if not 0 < abs(scale) < float("inf"):
        raise ValueError(f"the original's argument 'scale' must be a number other than 0, not {value!r}")
    return scale


def _readout(config: Mapping[str, Any]) -> str:
    name = get(config, "get_real_method")
    if str(name).lower() == "norm":
        raise ValueError(
            "get_real_method 'norm' cannot be imported: the root of the summed squares of both parts of each "
            "component is no four-momentum, so the model is not equivariant; import it with another "
            f"read-out ({', '.join(READOUTS)}) and take complex_p4 of its result"
        )
    return _choice(config, "get_real_method", "sum", READOUTS)


def _jet_features(config: Mapping[str, Any]) -> bool:
    wanted = flag(config, "jet_features", False)
    if wanted and str(config.get("map_to_latent")).lower() == "mix":
        raise ValueError("jet_features with map_to_latent 'mix' cannot be imported: the original fails on it")
    if wanted and count(config, "tau_jet_scalars", default=1) != 1:
        raise ValueError("jet_features with tau_jet_scalars > 1 cannot be imported: the original fails on it")
    return wanted
