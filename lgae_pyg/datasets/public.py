"""The public sets of jets with their published splits, from local files; whether these are all of them is said."""

from __future__ import annotations

import hashlib
import os
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from lgae_pyg.data import DataFileError, JetData, JetStore
from lgae_pyg.datasets.base import JetDataset
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.datasets.jet_files import CardJets, cache_folder
from lgae_pyg.datasets.public_files import JETCLASS_ARCHIVES, JETCLASS_FILES, PUBLISHED_MD5
from lgae_pyg.datasets.readers import open_reader
from lgae_pyg.datasets.reading import JetReading
from lgae_pyg.datasets.zenodo import address, fetch
from lgae_pyg.registry import check_choice, near
from lgae_pyg.vocabulary import SPLITS

_BLOCK = 1 << 20


class PublicJets(CardJets, ABC):
    """A public set of jets in the files of its Zenodo record, below ``root``.

    Each split is read from its own files, and only when it is asked for. A part of the files will do; what is
    missing is said on reading, in :attr:`summary` and in :attr:`origin`. A file with the published number of jets
    is compared with its published checksum, where one is known. The network is touched only with
    ``download=True``, and only for files that are missing.

    Args:
        root: folder of the files; the processed stores lie in ``.lgae_pyg`` there, or in the user's cache.
        num_particles: jets are cut to that many leading particles; all are kept when ``None``.
        order: ``"pt"`` sorts particles by falling pT where they are not; ``"kept"`` leaves them.
        bad_jets: ``"drop"`` leaves out jets that no network can read, and counts them; ``"stop"`` raises.
        unit: unit of the momenta in the store: GeV, TeV or PeV (the files are in GeV).
        classes: only these classes, by name; their order is that of the class numbers. All when ``None``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        fractions: shares of three splits of one's own, of all jets that are there; when ``None``, the published
            splits.
        seed: seed of such splits.
        max_jets: of each class of each split the first so many.
        download: fetch missing files from Zenodo through jetnet, which checks their checksums.
        transform: change applied to each jet when it is taken.
        force_reload: make the processed store again.

    Raises:
        FileNotFoundError: there is no file of the split; the message names them, and how to get them.
        DataFileError: a file is broken, or is not the one that was published.
        ValueError: for classes that there are not, or a download that is not offered.
    """

    card_name: ClassVar[str]
    record: ClassVar[int]
    published: ClassVar[Mapping[str, Mapping[str, int]]]
    """Files of each split, in their order, and how many jets each has.

    :meta hide-value:
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        num_particles: int | None = None,
        order: str = "pt",
        bad_jets: str = "drop",
        unit: str = "GeV",
        classes: Sequence[str] | None = None,
        split: str = "all",
        fractions: Sequence[float] | None = None,
        seed: int = 0,
        max_jets: int | None = None,
        download: bool = False,
        transform: Callable[[JetData], JetData] | None = None,
        force_reload: bool = False,
    ) -> None:
        check_choice("split", split, (*SPLITS, "all"))
        root = os.path.abspath(os.path.expanduser(root))
        card = replace(read_card(self.card_name), split={})
        for name in classes or ():
            check_choice(f"class of {type(self).__name__}", name, card.class_names)
        self._part = "all" if fractions is not None else split
        self._published = self.files_of(self._part, classes)
        if download:
            self._fetch(root)
        self._named = _present(root, self._published)
        if not self._named and not os.path.isdir(root):
            raise FileNotFoundError(self._missing(root))
        super().__init__(
            root,
            list(self._named),
            card,
            {},
            num_particles=num_particles,
            order=order,
            bad_jets=bad_jets,
            unit=unit,
            classes=classes,
            split=split,
            fractions=fractions,
            seed=seed,
            max_jets=max_jets,
            transform=transform,
            force_reload=force_reload,
        )

    @classmethod
    def usual_classes(cls, recipe: Mapping[str, Any]) -> Sequence[str]:
        """All that were published."""
        return read_card(cls.card_name).class_names

    @classmethod
    def files_of(cls, split: str, classes: Sequence[str] | None = None) -> dict[str, int]:
        """The published files of a split (of all where it is ``"all"``), relative to ``root``, and their jets."""
        parts = [cls.published[part] for part in SPLITS if split in (part, "all")]
        return {file: jets for part in parts for file, jets in part.items()}

    @property
    def raw_file_names(self) -> list[str]:
        """Absolute paths of the files that are there; of all where none are."""
        return super().raw_file_names or [os.path.join(self.recipe["root"], file) for file in self._published]

    @property
    def processed_dir(self) -> str:
        """Where the processed stores lie."""
        return os.path.join(cache_folder([self.recipe["root"]]), "processed")

    @property
    def file_recipe(self) -> dict[str, Any]:
        """What a processed store depends on: the split, too, since each has its own."""
        return super().file_recipe | {"card": self.card.to_dict(), "part": self._part}

    def split_ids(self, whole: JetStore) -> Tensor:
        """All jets of the split's files, or shares of each class where fractions are given."""
        own = "fractions" in self.recipe
        return JetDataset.split_ids(self, whole) if own else torch.arange(len(whole))

    def download(self) -> None:
        """Says what is missing: what may be fetched has been."""
        raise FileNotFoundError(self._missing(self.recipe["root"]))

    def write_store(self, path: Path) -> None:
        """Compares the files with what was published, and reads them."""
        self._notes, self._whole = self._compared()
        super().write_store(path)

    def _account(self, reading: JetReading, mixed: bool = False) -> dict[str, Any]:
        reading.notes += self._notes
        meta = super()._account(reading, mixed)
        about = self.card.about
        return meta if self._whole else {**meta, "origin": f"a part of, or other files in the layout of: {about}"}

    def _compared(self) -> tuple[list[str], bool]:
        """Sentences on files and jets that are missing and on checksums; whether all that was published is there.

        Raises:
            DataFileError: a file has the published number of jets, and other bytes.
        """
        missing = [file for file in self._published if file not in self._named.values()]
        what = "all splits" if self._part == "all" else f"the split {self._part}"
        count = f"{len(self._named)} of the {len(self._published)} published files of {what} are here"
        notes = [f"{count}: a subset; missing: {_listed(missing)}"] if missing else []
        other, verified, unknown = [], [], []
        for path, file in self._named.items():
            rows = open_reader(path, self.card.table, self.card.offsets, self.card.format).rows
            if rows != self._published[file]:
                other.append(f"{file} ({rows:,} jets, published: {self._published[file]:,})")
            elif wanted := PUBLISHED_MD5.get(self.record, {}).get(file):
                verified.append(file)
                if (found := _md5(path)) != wanted:
                    raise DataFileError(
                        f"{path} is not the published file: its md5 is {found}, that of {address(self.record)} is "
                        f"{wanted}. Download it again; if you wrote it anew, read it with "
                        f"JetFiles(path, card='{self.card_name}')."
                    )
            else:
                unknown.append(file)
        if other:
            notes.append(f"not the published files, or cut ones, so no checksums were compared: {_listed(other)}")
        if verified:
            notes.append(f"published checksums (md5) hold: {_listed(verified)}")
        if unknown:
            notes.append(f"no published checksums are known of {_listed(unknown)}: they were not compared")
        return notes, not (missing or other)

    def _fetch(self, root: str) -> None:
        """Downloads what is missing."""
        there = set(_present(root, self._published).values())
        for file in self._published:
            if file not in there:
                fetch(root, file, self.record)

    def _missing(self, root: str) -> str:
        """What to say where there are no files."""
        part = "" if self._part == "all" else f" of the split {self._part}"
        files = _listed([os.path.join(root, file) for file in self._published], 3)
        others = self._part != "all" and _present(root, self.files_of("all"))
        own = " Or give fractions, to split the files that are there." if others else ""
        where = f" ({said})" if (said := near(root)) else ""
        return f"no files{part} of {type(self).__name__} are there: {files}{where}. {self._commands(root)}{own}"

    def _commands(self, root: str) -> str:
        """How files are got."""
        first = next(iter(self._published))
        return (
            "Fetch them with download=True (data.download=true), which needs jetnet, or by hand from "
            f"{address(self.record)}: wget -P {root} {address(self.record)}/files/{first}"
        )


class TopTagging(PublicJets):
    """The top tagging reference set (Kasieczka et al., Zenodo 2603256): ``train.h5``, ``val.h5``, ``test.h5``.

    Tops and QCD jets of 550 to 650 GeV in a fast simulation of ATLAS, 1,211,000, 403,000 and 404,000 of them, up
    to 200 particles each; card ``top_tagging``. Arguments and errors are those of :class:`PublicJets`.

    Example:
        >>> train = TopTagging("data/top_tagging", split="train", num_particles=100, unit="TeV")
        >>> train.class_names, train.summary
    """

    card_name = "top_tagging"
    record = 2603256
    published: ClassVar = {
        "train": {"train.h5": 1_211_000},
        "val": {"val.h5": 403_000},
        "test": {"test.h5": 404_000},
    }


class QuarkGluon(PublicJets):
    """EnergyFlow's quark and gluon jets (Komiske, Metodiev, Thaler, Zenodo 3164691): ``QG_jets.npz``,
    ``QG_jets_1.npz``, ..., ``QG_jets_19.npz``, 100,000 jets each.

    Jets of light quarks and gluons of 500 to 550 GeV from Pythia, without a detector; card ``energyflow_qg``. The
    authors recommend 1.6 million, 200,000 and 200,000 jets for training, validation and test, without saying
    which; here they are the files in their order: 0 to 15, 16 and 17, 18 and 19. This is LorentzNet's split, 80,
    10 and 10 % without shuffling, and Particle Transformer's test jets are the same. With fewer files, give
    ``fractions``. Arguments and errors are those of :class:`PublicJets`.

    Example:
        >>> test = QuarkGluon("data/quark_gluon", split="test")
        >>> few = QuarkGluon("data/quark_gluon", split="train", fractions=(0.8, 0.1, 0.1))  # of QG_jets.npz alone
    """

    card_name = "energyflow_qg"
    record = 3164691
    published: ClassVar = {
        part: {f"QG_jets_{number}.npz" if number else "QG_jets.npz": 100_000 for number in numbers}
        for part, numbers in zip(SPLITS, (range(16), range(16, 18), range(18, 20)))
    }


class JetClass(PublicJets):
    """JetClass (Qu, Li, Qian, Zenodo 6619768): ``train_100M/HToBB_000.root``, ..., ``val_5M``, ``test_20M``.

    Ten classes of jets of 500 to 1000 GeV in a fast simulation of CMS, up to 128 particles with masses, charges
    and displacements; 100,000 jets of one class in each file, 100, 5 and 20 files of each class for training,
    validation and test; card ``jetclass``. Files of classes that are not asked for are not opened, and the first
    files of all classes come before the second ones. The record holds archives (:data:`archives`), which are not
    fetched here; checksums are known of them, not of the files in them. Arguments and errors are those of
    :class:`PublicJets`.

    Example:
        >>> val = JetClass("data/jetclass", split="val", classes=["QCD", "Hbb"], max_jets=10_000)
    """

    card_name = "jetclass"
    record = 6619768
    published: ClassVar = {
        part: {f"{folder}/{name}_{number:03d}.root": 100_000 for number in numbers for name in JETCLASS_FILES}
        for part, folder, numbers in zip(
            SPLITS, ("train_100M", "val_5M", "test_20M"), (range(100), range(120, 125), range(100, 120))
        )
    }
    archives = JETCLASS_ARCHIVES
    """The archives of each split, with their md5."""

    @classmethod
    def files_of(cls, split: str, classes: Sequence[str] | None = None) -> dict[str, int]:
        """The published files of a split and of some classes."""
        wanted = [file for file, name in JETCLASS_FILES.items() if classes is None or name in classes]
        files = super().files_of(split)
        return {file: jets for file, jets in files.items() if Path(file).stem.rpartition("_")[0] in wanted}

    def _fetch(self, root: str) -> None:
        raise ValueError(f"JetClass is not downloaded here, since its archives are large. {self._commands(root)}")

    def _commands(self, root: str) -> str:
        part = "val" if self._part == "all" else self._part
        archive, md5 = next(iter(self.archives[part].items()))
        into = os.path.join(root, "train_100M") if part == "train" else root
        others = len(self.archives[part]) - 1
        page = address(self.record)
        return (
            f"Fetch and unpack the archives of {page}: wget {page}/files/{archive}; "
            f"echo '{md5}  {archive}' | md5sum -c; mkdir -p {into}; tar -xf {archive} -C {into}"
            + (f"; and so {others} more, see JetClass.archives" if others else "")
        )


def _present(root: str, published: Mapping[str, int]) -> dict[str, str]:
    """Absolute paths of the files that are there, and their published names; suffixes may be in capitals."""
    there: dict[str, dict[str, str]] = {}
    found = {}
    for file in published:
        folder = os.path.join(root, os.path.dirname(file))
        if folder not in there:
            names = os.listdir(folder) if os.path.isdir(folder) else []
            there[folder] = {os.path.splitext(name)[0] + os.path.splitext(name)[1].lower(): name for name in names}
        if name := there[folder].get(os.path.basename(file)):
            found[os.path.join(folder, name)] = file
    return found


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _md5(path: str) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
