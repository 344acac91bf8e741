"""Columns that are kept as they are: labels, weights, features, and particles that the grid cannot hold."""

from __future__ import annotations

import zlib

import numpy as np

from lgae_pyg.applications.compression.streams import unpack

#: Types of columns that can be kept, as NumPy writes them.
KINDS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


def pack(values: np.ndarray) -> bytes:
    """Bytes of an array, (rows, ...): first bytes of all numbers, then second ones, ..., packed by zlib.

    Of whole numbers, their differences from row to row are kept where that is shorter.
    """
    variants = [values]
    if values.dtype.kind == "i":
        variants.append(np.diff(values, axis=0, prepend=np.zeros_like(values[:1])))
    packed = [bytes([number]) + zlib.compress(_planes(one), 9) for number, one in enumerate(variants)]
    return min(packed, key=len)


def restore(content: bytes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of that type and shape that :func:`pack` packed.

    Raises:
        ValueError: the bytes are not that array.
    """
    dtype = np.dtype(kind).newbyteorder("<")
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not content or content[0] > 1:
        raise ValueError("a packed column without its first byte")
    planes = np.frombuffer(unpack(content[1:], size), dtype=np.uint8).reshape(dtype.itemsize, -1)
    values = np.ascontiguousarray(planes.T).view(dtype).astype(kind).reshape(shape)
    return np.cumsum(values, axis=0, dtype=values.dtype) if content[0] else values


def _planes(values: np.ndarray) -> bytes:
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).reshape(-1)
    return little.view(np.uint8).reshape(-1, values.dtype.itemsize).T.tobytes()
