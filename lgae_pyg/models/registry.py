"""Models by name or by where they are defined, for configurations and checkpoints."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.data.tensor_file import as_bytes
from lgae_pyg.models.base import Model, contract_of
from lgae_pyg.models.cluster_ae import ClusterAE
from lgae_pyg.models.cnnae import CNNAE
from lgae_pyg.models.gnnae import GNNAE
from lgae_pyg.models.lgae import LGAE
from lgae_pyg.models.linear_ae import LinearAE
from lgae_pyg.models.shell_lgae import ShellLGAE
from lgae_pyg.models.taggers.lgn import LGNClassifier
from lgae_pyg.models.taggers.lorentz_net import LorentzNet, LorentzNetBase
from lgae_pyg.models.taggers.particle_net import ParticleNet, ParticleNetLite
from lgae_pyg.models.taggers.peers import LGATrSlim, LLoCaTransformer, ParticleTransformer, Pelican
from lgae_pyg.models.taggers.pfn import PFN
from lgae_pyg.registry import choose, locate, suggestion

MODELS: dict[str, type[nn.Module]] = {
    "CNNAE": CNNAE,
    "ClusterAE": ClusterAE,
    "GNNAE": GNNAE,
    "LGAE": LGAE,
    "LGATrSlim": LGATrSlim,
    "LGNClassifier": LGNClassifier,
    "LLoCaTransformer": LLoCaTransformer,
    "LinearAE": LinearAE,
    "LorentzNet": LorentzNet,
    "LorentzNetBase": LorentzNetBase,
    "PFN": PFN,
    "ParticleNet": ParticleNet,
    "ParticleNetLite": ParticleNetLite,
    "ParticleTransformer": ParticleTransformer,
    "Pelican": Pelican,
    "ShellLGAE": ShellLGAE,
}

#: Attributes of modules that may differ from what a constructor makes without changing a number.
FREE = {"training", "config", "backend", "unit", "class_names"}
#: Modules that print precision and device, which are free, too; their shapes are compared.
LISTS = (nn.ParameterDict, nn.ParameterList)


def build_model(config: Mapping[str, Any]) -> nn.Module:
    """Builds a model from its plain configuration, ``{"name": ..., argument: value, ...}``.

    The inverse of a model's ``config`` attribute: ``build_model(model.config)`` has the same layers. A model of
    one's own is given as ``{"_target_": "my_package.MyNet", ...}``; it must derive from
    :class:`~lgae_pyg.models.Autoencoder` or :class:`~lgae_pyg.models.Tagger`.

    Raises:
        ValueError: for an unknown model or argument, naming those there are.
    """
    kind = model_class(config)
    arguments = {key: value for key, value in config.items() if key not in ("_target_", "name")}
    parameters = inspect.signature(kind).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        unknown = sorted(set(arguments) - set(parameters))
        if unknown:
            meant = suggestion(unknown[0], parameters)
            known = ", ".join(parameters) or "none"
            raise ValueError(f"{kind.__name__} has no argument {', '.join(unknown)}: it takes {known}{meant}")
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"{kind.__name__} cannot be built with {arguments}: {error}") from error


def model_class(config: Mapping[str, Any]) -> type[nn.Module]:
    """The class of a model's plain configuration; errors are those of :func:`build_model`."""
    target = config.get("_target_")
    return locate("model", target, Model) if target else choose("model", str(config.get("name")), MODELS)


def model_fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's configuration and of the names, types, shapes and bytes of its tensors."""
    digest = hashlib.sha256(json.dumps(contract_of(model).config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(as_bytes(tensor.cpu().resolve_conj()))
    return digest.hexdigest()


def check_config(model: nn.Module) -> None:
    """Makes sure that ``build_model(model.config)`` is the same network, weights aside.

    Compared are the classes of all submodules, what they print of themselves, their plain attributes, and the
    names and shapes of parameters and buffers. Random numbers are left as they were.

    Raises:
        ValueError: names the first difference and the mend.
    """
    config = contract_of(model).config
    mend = (
        "what is changed after construction is not in a checkpoint: make the change an argument of the "
        "constructor, in a class of your own that derives from lgae_pyg.models.Autoencoder or Tagger"
    )
    with torch.random.fork_rng(devices=[]):
        try:
            rebuilt = build_model(config)
        except ValueError as error:
            name = type(model).__name__
            raise ValueError(f"{name} cannot be saved: its config does not make it ({error})") from error
    difference = _first_difference(model, rebuilt)
    if difference:
        raise ValueError(f"{type(model).__name__} cannot be saved: {difference}; {mend}")


def _first_difference(model: nn.Module, rebuilt: nn.Module) -> str | None:
    """What tells two networks apart, the first of them as it is, the second as its configuration says."""
    mine, theirs = dict(model.named_modules()), dict(rebuilt.named_modules())
    for name in sorted(mine.keys() | theirs.keys(), key=lambda one: (one.count("."), one)):
        place = f"layer '{name}'" if name else "the model"
        one, other = mine.get(name), theirs.get(name)
        if one is None or other is None:
            return f"{place} is {'new' if other is None else 'missing'}"
        if type(one) is not type(other):
            return f"{place} is a {type(one).__name__}, its config makes a {type(other).__name__}"
        if not isinstance(one, LISTS) and one.extra_repr() != other.extra_repr():
            return f"{place} is {type(one).__name__}({one.extra_repr()}), its config makes ({other.extra_repr()})"
        if "forward" in vars(one):
            return f"{place} has a forward of its own"
        before, after = _plain_attributes(one), _plain_attributes(other)
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                return f"{place} has {key}={before.get(key)}, its config makes {after.get(key)}"
    states = model.state_dict(), rebuilt.state_dict()
    shapes, wanted = ({key: tuple(value.shape) for key, value in state.items()} for state in states)
    for key in sorted(shapes.keys() | wanted.keys()):
        if shapes.get(key) != wanted.get(key):
            return f"'{key}' has the shape {shapes.get(key)}, its config makes {wanted.get(key)}"
    return None


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    return {
        key: value
        for key, value in vars(module).items()
        if _is_plain(value) and not key.startswith("_") and key not in FREE
    }


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | tuple) and not _holds_tensors(value)


def _holds_tensors(value: Any) -> bool:
    """Tables of tensors follow from the configuration, and ``==`` does not compare them."""
    return isinstance(value, Tensor) or (isinstance(value, tuple) and any(map(_holds_tensors, value)))
