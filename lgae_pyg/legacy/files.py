"""Files of the original implementations: weights saved by PyTorch, arguments as JSON; no code is run."""

import json
import os
import pickle
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lgae_pyg.checksums import check_archive
from lgae_pyg.legacy.gnn_autoencoder import load_gnn_autoencoder
from lgae_pyg.legacy.lgn_autoencoder import load_lgn_autoencoder
from lgae_pyg.legacy.lgn_classifier import load_lgn
from lgae_pyg.legacy.lorentz_net import load_lorentz_net
from lgae_pyg.legacy.weaver import load_particle_net, load_pfn
from lgae_pyg.registry import choose

#: Kinds of models, and the functions that build them.
LOADERS = {"lgae": load_lgn_autoencoder, "gnn": load_gnn_autoencoder}
#: Those of taggers, whose weights are in one file.
TAGGER_LOADERS = {
    "lorentz_net": load_lorentz_net,
    "particle_net": load_particle_net,
    "pfn": load_pfn,
    "lgn": load_lgn,
}
#: Where some originals keep the state dict among other things.
STATES = ("state_dict", "model_state")


class OriginalFileError(ValueError):
    """A file of an original implementation that cannot be imported; the message says which and why."""


def load_original(
    kind: str, encoder: str | os.PathLike[str], decoder: str | os.PathLike[str], config: str | os.PathLike[str]
) -> tuple[nn.Module, dict[str, Any]]:
    """Builds our model from the files that an original implementation wrote.

    Args:
        kind: ``"lgae"`` (lgn-autoencoder) or ``"gnn"`` (gnn-jet-autoencoder).
        encoder: file of the encoder's state dict, as :func:`torch.save` wrote it.
        decoder: file of the decoder's.
        config: JSON file of the original's arguments.

    Returns:
        the model and the arguments.

    Raises:
        OSError: a file cannot be read.
        OriginalFileError: it holds something else, or the three do not belong together; the message begins with
            the file and names the key.
        ValueError: for an unknown kind.
    """
    load = choose("kind", kind, LOADERS)
    arguments = read_arguments(config)
    states = read_state_dict(encoder), read_state_dict(decoder)
    try:
        return load(*states, arguments), arguments
    except ValueError as error:
        found = re.search(r"the original (encoder|decoder)\b", str(error))
        file = {"encoder": encoder, "decoder": decoder}[found.group(1)] if found else config
        raise OriginalFileError(f"{os.fspath(file)}: {error}") from error


def load_original_tagger(
    kind: str, weights: str | os.PathLike[str], config: str | os.PathLike[str]
) -> tuple[nn.Module, dict[str, Any]]:
    """Builds our tagger from the files that an original implementation wrote.

    Args:
        kind: ``"lorentz_net"``, ``"particle_net"``, ``"pfn"`` or ``"lgn"``.
        weights: file of the state dict, as :func:`torch.save` wrote it.
        config: JSON file of the original's arguments.

    Returns:
        the model and the arguments.

    Raises:
        OSError: a file cannot be read.
        OriginalFileError: it holds something else, or the two do not belong together; the message begins with the
            file and names the key.
        ValueError: for an unknown kind.
    """
    load = choose("kind", kind, TAGGER_LOADERS)
    arguments, state = read_arguments(config), read_state_dict(weights)
    try:
        return load(state, arguments), arguments
    except ValueError as error:
        file = weights if "of the original " in str(error) or "state dict" in str(error) else config
        raise OriginalFileError(f"{os.fspath(file)}: {error}") from error


def read_state_dict(path: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    """Reads a state dict with ``weights_only=True``: tensors and plain values, never code.

    Raises:
        OSError: there is no such file.
        OriginalFileError: it holds something other than a mapping of names to tensors, or is damaged.
    """
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except pickle.UnpicklingError as error:
        raise OriginalFileError(
            f"{os.fspath(path)}: not a state dict; it holds something other than tensors and plain values, "
            "which is not read because it could run code"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError) as error:
        raise OriginalFileError(f"{os.fspath(path)}: damaged, or no file of torch.save") from error
    if not isinstance(state, Mapping):
        raise OriginalFileError(f"{os.fspath(path)}: holds a {type(state).__name__}, not a state dict")
    return next((state[name] for name in STATES if isinstance(state.get(name), Mapping)), state)


def read_arguments(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the arguments of an original implementation from a JSON file, one object of names and values.

    Raises:
        OSError: there is no such file.
        OriginalFileError: it is not JSON, or something other than an object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            arguments = json.load(file)
    except ValueError as error:
        raise OriginalFileError(f"{os.fspath(path)}: no JSON ({error})") from error
    if not isinstance(arguments, dict):
        raise OriginalFileError(f"{os.fspath(path)}: holds a {type(arguments).__name__}, not names and values")
    return arguments
