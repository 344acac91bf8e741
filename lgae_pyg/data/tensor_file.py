"""Tensors in a safetensors file that notices when a byte of it has changed."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lgae_pyg.data.errors import DataFileError
from lgae_pyg.files import write_atomically

#: Names of the types in a safetensors file.
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

MEND = "Delete it if a data set made it: it is made again from the raw files when it is next needed."

_EMPTY = "00000000"
_BLOCK = 1 << 20


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[int, dict[str, int]]:
    """Writes a safetensors file: all of it under its name, or nothing.

    The same tensors and metadata always give the same bytes. The metadata gets one more entry, ``crc32``: the
    checksum of the whole file, taken with eight zeros in that place.

    Args:
        path: file to write; its folder is made if need be.
        tensors: tensors by name.
        metadata: texts by name.

    Returns:
        The size of the file in bytes, and the checksum of each tensor (:func:`checksum`).
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    blocks = {name: as_bytes(tensors[name]) for name in names}
    header: dict[str, dict[str, Any]] = {"__metadata__": {**metadata, "crc32": _EMPTY}}
    place = 0
    for name in names:
        shape, end = list(tensors[name].shape), place + len(blocks[name])
        header[name] = {"dtype": dtype_name(name, tensors[name]), "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text = (len(text) + -len(text) % 8).to_bytes(8, "little") + text + b" " * (-len(text) % 8)
    whole = zlib.crc32(text)
    for block in blocks.values():
        whole = zlib.crc32(block, whole)
    text = text.replace(_entry(_EMPTY), _entry(f"{whole:08x}"), 1)
    path = write_atomically(path, lambda file: file.writelines((text, *blocks.values())))
    return len(text) + place, {name: zlib.crc32(block) for name, block in blocks.items()}


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, mapped, and its metadata, compared with its checksum if it has one.

    Comparing reads the file once, about two gigabytes a second from the memory of the system; files of older
    versions have no checksum.

    Raises:
        DataFileError: the file is no such file, cut short, or not what was written.
    """
    open(path, "rb").close()  # what the system forbids is said in its own words, with the file's name
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            crc = metadata.pop("crc32", None)
            if crc is not None and crc != whole_checksum(path, crc):
                raise DataFileError(f"{path} is damaged: its checksum does not match. {MEND}")
            return {name: file.get_tensor(name) for name in file.keys()}, metadata
    except SafetensorError as error:
        raise DataFileError(f"{path} is no jet store, or cut short or damaged ({error}). {MEND}") from error


def dtype_name(name: str, tensor: Tensor) -> str:
    """The type of a tensor as files name it, ``F32`` for ``torch.float32``.

    Raises:
        ValueError: files do not hold this type; the message names the tensor.
    """
    if tensor.dtype not in DTYPES:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ValueError(f"'{name}' is of type {tensor.dtype}, which is not stored: convert it to one of {known}.")
    return DTYPES[tensor.dtype]


def as_bytes(tensor: Tensor) -> memoryview:
    """The numbers of a tensor as they lie in memory."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data


def checksum(tensor: Tensor) -> int:
    """CRC-32 of the bytes of a tensor: it differs whenever up to 32 neighbouring bits have changed."""
    return zlib.crc32(as_bytes(tensor))


def whole_checksum(path: str | os.PathLike[str], stored: str) -> str:
    """The checksum of a file whose metadata hold ``stored`` in its place."""
    with open(path, "rb") as file:
        size = file.read(8)
        text = file.read(int.from_bytes(size, "little")).replace(_entry(stored), _entry(_EMPTY), 1)
        crc = zlib.crc32(text, zlib.crc32(size))
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return f"{crc:08x}"


def _entry(crc: str) -> bytes:
    """The entry as the header holds it; inside a text the quotation marks would be escaped."""
    return f'"crc32":"{crc}"'.encode()


def metadata_of(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a safetensors file, not compared with its checksum.

    Raises:
        DataFileError: the file is no such file, or cut short.
    """
    try:
        with safe_open(Path(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise DataFileError(f"{path} is no jet store, or cut short or damaged ({error}). {MEND}") from error
