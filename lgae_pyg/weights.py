"""Weights as safetensors: files that hold a model for others, and those that are shipped with the package."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lgae_pyg.data.errors import DataFileError
from lgae_pyg.data.tensor_file import metadata_of, read_tensors, write_tensors
from lgae_pyg.files import plain
from lgae_pyg.places import CARD, MODEL, SHIPPED, shipped_model, shipped_models  # noqa: F401

#: Entry of the metadata that holds the header, as JSON.
ENTRY = "lgae_pyg"
#: No header of ours is longer, in bytes.
LONGEST = 1 << 24


def is_weights(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a model in safetensors, by its header; of stores of jets it says no."""
    if Path(path).suffix != Path(MODEL).suffix:
        return False
    try:
        return ENTRY in metadata_of(path)
    except DataFileError:
        return False


def write_weights(path: str | os.PathLike[str], header: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
    """Writes tensors and what they are of into one safetensors file with a checksum, atomically.

    Args:
        path: the file.
        header: plain values.
        state: tensors by name.
    """
    write_tensors(path, state, {"format": "pt", ENTRY: json.dumps(plain(header, ENTRY), sort_keys=True)})
    return Path(path)


def read_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and tensors of a file that :func:`write_weights` wrote.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no such file, cut short or damaged.
    """
    try:
        tensors, metadata = read_tensors(path)
    except DataFileError as error:
        reason = error.__cause__ or "its checksum does not match"
        raise ValueError(f"{path}: damaged, cut short or no safetensors file ({reason})") from error
    text = metadata.get(ENTRY, "")
    if not 0 < len(text) <= LONGEST:
        raise ValueError(f"{path}: no weights of lgae_pyg, the entry '{ENTRY}' is missing in the metadata")
    try:
        header = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: the header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path}: the header is no mapping")
    return header, {name: tensor.clone() for name, tensor in tensors.items()}
