"""Opening HDF5 files: what goes wrong is said as it was shown to be, and nothing is called damaged by guess."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import h5py

from lgae_pyg.data import DataFileError

#: What the HDF5 library says of bytes that cannot be right, and not of locks, rights, memory or plugins.
_DAMAGE = re.compile(r"truncated|signature|corrupt|checksum|overflow|past end|exceeds|inflate\(\)")


@contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Opens a file to read; failures to read inside the block become clear errors, too.

    Raises:
        OSError: the system does not let it be read: it is missing, a folder, forbidden, or locked by a program
            that has it open for writing. The kind of the error is kept (:class:`FileNotFoundError`, ...).
        DataFileError: the file is no HDF5 file, is cut short, or cannot be read for a reason that is named.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not an HDF5 file.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        if not re.match(r"(\[Errno \d+\] )?\W?(Unable to|Can't) ", reason):  # not of the HDF5 library
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
