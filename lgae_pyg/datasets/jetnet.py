"""The public JetNet data set."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lgae_pyg.data import JetData
from lgae_pyg.datasets.jetnet_format import SHORT_FILE, JetNetFormat
from lgae_pyg.datasets.zenodo import address, fetch
from lgae_pyg.files import write_atomically
from lgae_pyg.registry import near

SHORT_RECORD, LONG_RECORD = 6975118, 6975117
"""Zenodo's records of the files with 30 and with 150 particles per jet."""


class JetNet(JetNetFormat):
    r"""JetNet (Kansal et al., arXiv:2106.11535): jets of about 1 TeV in five classes, 177,000 of each.

    Reads ``root/raw/{g,q,t,w,z}.hdf5``, or ``{g,...}150.hdf5`` for more than 30 particles, as
    :func:`~lgae_pyg.datasets.jetnet_format.read_class` describes. The network is touched only with
    ``download=True``, and only for files that are missing.

    Args:
        root: Folder of the data set.
        classes: Which of g, q, t, w, z; their order does not matter.
        num_particles: How many of the leading particles of a jet are kept (up to 150).
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        fractions: Shares of the three splits.
        seed: Seed of the jets' azimuths, which the files lack, and of the splits.
        max_jets: Read only that many jets of each class, the first ones.
        unit: Unit of the momenta: GeV, TeV or PeV (the files are in GeV).
        origin: What the jets are called in captions. When omitted it is ``JetNet`` for files that were downloaded
            here, and ``jets in JetNet's format`` for others: state ``JetNet`` if you fetched them by hand.
        download: Fetch missing files from Zenodo through jetnet, which checks their checksums.
        transform: Change applied to each jet when it is taken.
        force_reload: Make the processed file again.

    Raises:
        FileNotFoundError: if a file is missing and must not be downloaded.
        DataFileError: if a file is broken or holds impossible numbers; no processed file is left behind.

    Example:
        >>> train = JetNet("data/jetnet", classes=("g", "q"), split="train")
        >>> for batch in train.loader(batch_size=512, shuffle=True):
        ...     batch.p4, batch.ptr, batch.y
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        classes: Sequence[str] = ("g", "q"),
        num_particles: int = 30,
        split: str = "all",
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        seed: int = 0,
        max_jets: int | None = None,
        unit: str = "TeV",
        origin: str | None = None,
        download: bool = False,
        transform: Callable[[JetData], JetData] | None = None,
        force_reload: bool = False,
    ) -> None:
        self._may_download = download
        options = {"transform": transform, "force_reload": force_reload}
        more = {} if origin is None else {"origin": origin}
        super().__init__(root, classes, num_particles, split, fractions, seed, max_jets, unit, more, **options)

    def _origin(self) -> str:
        """``JetNet`` only for files that are JetNet's: as they were downloaded."""
        own = all(was_fetched(Path(path)) for path in self.raw_paths)
        return "JetNet" if own else "jets in JetNet's format"

    def download(self) -> None:
        """Fetches the missing files.

        Raises:
            FileNotFoundError: that is not allowed; the message says how to get them.
        """
        missing = self.missing_classes()
        long = self.recipe["num_particles"] > SHORT_FILE
        record = LONG_RECORD if long else SHORT_RECORD
        names = [f"{letter}150" if long else letter for letter in missing]
        if not self._may_download:
            files, missing_root = ", ".join(f"{name}.hdf5" for name in names), near(self.recipe["root"])
            raise FileNotFoundError(
                f"{files} not found in {self.raw_dir}{missing_root and f' ({missing_root})'}. Download JetNet "
                f"with download=True, or by hand from {address(record)} into that folder; or make jets of that "
                "format yourself with `lgae generate`."
            )
        for name in names:
            fetch_class(self.raw_dir, name, record)


def fetch_class(folder: str | os.PathLike[str], name: str, record: int) -> None:
    """Downloads one file of JetNet (:func:`~lgae_pyg.datasets.zenodo.fetch`), and notes that it did.

    Args:
        folder: Folder of the file.
        name: Name of the file without ``.hdf5``.
        record: Number of the Zenodo record.

    Raises:
        ImportError: if jetnet is missing or broken.
        OSError: if the file cannot be fetched.
    """
    file = fetch(folder, f"{name}.hdf5", record)
    note = _note(file)
    known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    text = json.dumps({**known, file.name: _facts(file, record)}, indent=1)
    write_atomically(note, lambda out: out.write(text.encode()))


def was_fetched(file: Path) -> bool:
    """Whether a file is the one that :func:`fetch_class` downloaded and whose checksum was right."""
    note = _note(file)
    known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    return file.name in known and known[file.name] == _facts(file, known[file.name].get("record"))


def _note(file: Path) -> Path:
    return file.absolute().parent.parent / "downloaded.json"


def _facts(file: Path, record: int) -> dict[str, int]:
    return {"record": record, "bytes": file.stat().st_size}
