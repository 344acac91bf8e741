"""Opening HDF5 files: what goes wrong is said as it was shown to be, and nothing is called damaged by guess."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import h5py

from lgae_pyg.data import DataFileError

#: Bytes of one row of a table (of a jet), at most; bytes that may be declared beyond what is there, and how many
#: times less space compressed numbers may take.
ROW_BYTES, SPARE_BYTES, PACKED = 1 << 26, 1 << 26, 2000

#: How messages of the HDF5 library begin.
_OF_HDF5 = re.compile(r"(\[Errno \d+\] )?\W?(Unable to|Can't|\w+ visitation failed) ")

#: What the HDF5 library says of bytes that cannot be right, and not of locks, rights, memory or plugins.
_DAMAGE = re.compile(r"truncated|signature|corrupt|checksum|overflow|past end|exceeds|inflate\(\)")


@contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Opens a file to read; failures to read inside the block become clear errors, too.

    Raises:
        OSError: the system does not let it be read: it is missing, a folder, forbidden, or locked by a program
            that has it open for writing. The kind of the error is kept (:class:`FileNotFoundError`, ...).
        DataFileError: the file is no HDF5 file, is cut short, or cannot be read for a reason that is named; or it
            leads to other files, or declares far more numbers than it holds.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not an HDF5 file.")
    try:
        with h5py.File(path, "r") as file:
            _check_contents(path, file)
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        if not _OF_HDF5.match(reason):
            raise
        if "unable to lock" in reason or "already open" in reason:
            raise BlockingIOError(
                f"{path} is open for writing in another program ({reason}): wait until that is done. On a file "
                "system without locks, set HDF5_USE_FILE_LOCKING=FALSE."
            ) from error
        if number := re.search(r"errno = (\d+)", reason):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        if "file signature not found" in reason:
            raise DataFileError(
                f"{path} cannot be read as HDF5 ({reason}): it is another kind of file, or cut short or damaged "
                "at its very beginning. Put the right file in its place, downloaded or generated again."
            ) from error
        if _DAMAGE.search(reason):
            raise DataFileError(
                f"{path} is cut short or damaged ({reason}): remove it, and download or generate it again."
            ) from error
        raise DataFileError(f"{path} cannot be read as HDF5 ({reason}).") from error


def _check_contents(path: str | os.PathLike[str], file: h5py.File) -> None:
    """Refuses what leads out of the file, and tables that are declared and not there."""
    links: list[str] = []
    datasets: list[tuple[str, h5py.Dataset]] = []

    def look(name: bytes, link: h5py.h5l.LinkInfo) -> None:
        links.extend([name.decode(errors="replace")] if link.type == h5py.h5l.TYPE_EXTERNAL else [])

    file.id.links.visit(look, info=True)
    file.visititems(lambda name, item: datasets.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    for name in links:
        raise DataFileError(f"{path}: '{name}' is a link to another file, which is not followed.")
    for name, table in datasets:
        _check_table(path, name, table)


def _check_table(path: str | os.PathLike[str], name: str, table: h5py.Dataset) -> None:
    properties = table.id.get_create_plist()
    if properties.get_external_count() or properties.get_layout() == h5py.h5d.VIRTUAL:
        raise DataFileError(f"{path}: the numbers of '{name}' lie in other files, which are not opened.")
    shape = table.shape or ()
    row = math.prod(shape[1:]) * table.id.get_type().get_size()
    declared, held = row * (shape[0] if shape else 1), table.id.get_storage_size()
    if row > ROW_BYTES or declared > SPARE_BYTES + PACKED * held:
        raise DataFileError(
            f"{path}: '{name}' declares {declared:,} bytes of shape {shape}, and holds {held:,}: it is damaged "
            "or was never filled. Nothing is read."
        )
