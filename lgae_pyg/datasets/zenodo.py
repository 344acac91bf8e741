"""Fetching files of Zenodo's records, through jetnet, which compares them with Zenodo's checksums."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def address(record: int) -> str:
    """The page of a record."""
    return f"https://zenodo.org/records/{record}"


def fetch(folder: str | os.PathLike[str], name: str, record: int) -> Path:
    """Downloads a file, compares it with its checksum, and moves it into place: all of it, or nothing.

    Args:
        folder: Folder of the file; it is made if missing.
        name: Name of the file.
        record: Number of the Zenodo record.

    Returns:
        The file.

    Raises:
        ImportError: if jetnet is missing or broken.
        OSError: if the file cannot be fetched.
    """
    by_hand = f"{name} by hand from {address(record)} into {folder}."
    try:
        from jetnet.datasets.utils import checkDownloadZenodoDataset
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"Downloading needs jetnet ({error}): pip install 'lgae-pyg[jetnet]' (numpy 1.26, Python up to 3.12), "
            f"or fetch {by_hand}"
        ) from error
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
        try:
            path = checkDownloadZenodoDataset(temporary, Path(name).stem, record, name, download=True)
        except (OSError, RuntimeError, KeyError, StopIteration) as error:
            raise OSError(f"{name} could not be downloaded ({error}): try again, or fetch {by_hand}") from error
        os.replace(path, file := Path(folder, name))
    return file
