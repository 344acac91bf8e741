"""Readers of files with jets: ROOT, HDF5, Parquet, NumPy and our own stores, recognised by what is in them."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.readers.arrays import NumpyReader
from lgae_pyg.datasets.readers.base import ROWS, Column, Reader, refuse
from lgae_pyg.datasets.readers.hdf5 import Hdf5Reader
from lgae_pyg.datasets.readers.parquet import ParquetReader
from lgae_pyg.datasets.readers.root import RootReader
from lgae_pyg.datasets.readers.store import StoreReader
from lgae_pyg.places import check_inputs
from lgae_pyg.vocabulary import STORE_INDEX

__all__ = ["FORMATS", "ROWS", "Column", "Reader", "find_files", "open_reader", "recognise", "refuse"]

FORMATS = {"root": RootReader, "hdf5": Hdf5Reader, "parquet": ParquetReader, "npz": NumpyReader}
FORMATS |= {"store": StoreReader}
_MAGIC = {
    b"root": "root",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"PAR1": "parquet",
    b"PK\x03\x04": "npz",
    b"\x93NUMPY": "npz",
}
_WORDS = {"root": "ROOT", "hdf5": "HDF5", "parquet": "Parquet", "npz": "NumPy", "store": "jet store"}
_FOREIGN = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"(\xb5/\xfd": "zstandard",
    b"version https://git": "a pointer of git LFS, not the file itself:",
    b"<!DOCTYPE": "a web page,",
    b"<html": "a web page,",
}


def recognise(path: str | os.PathLike[str]) -> str:
    """The format of a file by its first bytes, not by its suffix: ``root``, ``hdf5``, ``parquet``, ``npz`` or
    ``store``, which may be a folder.

    Raises:
        OSError: if the system does not let it be read.
        DataFileError: if it is none of them.
    """
    if os.path.isfile(os.path.join(path, STORE_INDEX)):
        return "store"
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not a file of jets.")
    with open(path, "rb") as file:
        head = file.read(64)
        if head[8:9] == b"{" and b'"lgae_pyg.JetStore"' in head:
            return "store"
        for magic, name in _MAGIC.items():
            if head.startswith(magic):
                return name
        for place in (512, 1024, 2048):  # an HDF5 file may begin with a block of the user's
            file.seek(place)
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return "hdf5"
    words = next((word for magic, word in _FOREIGN.items() if head.startswith(magic)), "")
    if words:
        mend = "unpack it first" if " " not in words else "download it again"
        raise DataFileError(f"{os.fspath(path)} is {words}{'' if ' ' in words else '-compressed:'} {mend}.")
    what = f"begins with {head[:8]!r}" if head else "is empty"
    raise DataFileError(
        f"{os.fspath(path)} {what}: it is no ROOT, HDF5, Parquet or NumPy file, or cut short at its very "
        "beginning. Fetch or make it again."
    )


def open_reader(
    path: str | os.PathLike[str],
    table: str = "",
    offsets: str = "",
    formats: Sequence[str] = (),
    expected_by: str = "the card",
) -> Reader:
    """Opens a file with the reader of its format.

    Args:
        path: the file.
        table: tree or group; the only one when empty.
        offsets: see :class:`Reader`.
        formats: which formats are expected; any when empty.
        expected_by: who expects them, for messages.

    Raises:
        OSError: if the system does not let it be read.
        DataFileError: if it is of another format, cut short or damaged.
    """
    found = recognise(path)
    if formats and found not in formats:
        wanted = " or ".join(_WORDS[one] for one in formats)
        raise DataFileError(
            f"{os.fspath(path)} is a {_WORDS[found]} file, where {expected_by} expects {wanted}: choose another "
            "card, or leave it out and the file is recognised by what is in it. Files that are read together have "
            "one card, which is recognised by the first of them: give those of another layout by themselves."
        )
    return FORMATS[found](path, table, offsets)


def find_files(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """Absolute paths of the files that are meant by paths, patterns (``*``, ``**``) and folders.

    Folders give what lies in them and below and is of a known format, hidden files and folders and stores aside; a
    store is meant where it is named itself. The order is that of the arguments, sorted by name within each; a file
    is taken once.

    Raises:
        FileNotFoundError: if one of them gives no file.
    """
    found: dict[str, None] = {}
    for one in [paths] if isinstance(paths, str | os.PathLike) else paths:
        one = os.path.abspath(os.path.expanduser(os.fspath(one)))
        if _is_one(one):
            files = [one]
        elif os.path.isdir(one):
            inside = (path for path in Path(one).rglob("*") if path.is_file())
            shown = (path for path in inside if not any(p.startswith(".") for p in path.relative_to(one).parts))
            files = sorted(str(path) for path in shown if _is_known(path))
        else:
            files = sorted(path for path in glob.glob(one, recursive=True) if _is_one(path))
        if not files:
            check_inputs(files=[one])
            raise FileNotFoundError(f"{one}: no files of jets in there.")
        found |= dict.fromkeys(files)
    return list(found)


def _is_one(path: str) -> bool:
    """Whether this is a file, or the folder of a store."""
    return os.path.isfile(path) or os.path.isfile(os.path.join(path, STORE_INDEX))


def _is_known(path: Path) -> bool:
    try:
        return recognise(path) != "store"
    except OSError:
        return False
