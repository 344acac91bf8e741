"""Jets from any files that a data card describes."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lgae_pyg.data import JetData, JetStore, JetStoreWriter
from lgae_pyg.data.admission import Admission
from lgae_pyg.data.gate import Rules
from lgae_pyg.datasets.base import JetDataset, tell
from lgae_pyg.datasets.cards import Card, read_card
from lgae_pyg.datasets.readers import find_files, recognise
from lgae_pyg.datasets.reading import JetReading, account_of, description, store_fields
from lgae_pyg.datasets.recognition import card_of_store, recognise_card
from lgae_pyg.vocabulary import SPLITS, STORE_INDEX

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

#: Jets of more bytes than this are not collected in memory, but written to a folder of shards.
IN_MEMORY_BYTES = 512 << 20


class _MixedPrecision(Exception):
    """Jets in another precision than those that were written before."""


class CardJets(JetDataset):
    """Jets of files with a data card: what :class:`JetFiles` and the public sets share, and their arguments.

    Args:
        root: folder of the data set.
        files: absolute paths of the files that are there.
        card: what is in them.
        where: entries of the recipe that say which files they are.
        split, transform, force_reload: as for :class:`JetFiles`, like the others.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        files: Sequence[str],
        card: Card,
        where: Mapping[str, Any],
        *,
        num_particles: int | None,
        order: str,
        bad_jets: str,
        unit: str,
        classes: Sequence[str] | None,
        split: str,
        fractions: Sequence[float] | None,
        seed: int,
        max_jets: int | None,
        transform: Callable[[JetData], JetData] | None,
        force_reload: bool,
    ) -> None:
        if max_jets is not None and max_jets < 1:
            raise ValueError(f"max_jets must be at least 1, not {max_jets}.")
        self._rules = Rules(num_particles, order, bad_jets)
        self._files, self.card = list(files), card
        recipe = {**where, "unit": unit, "seed": seed}
        given = {"num_particles": num_particles, "order": order, "bad_jets": bad_jets, "max_jets": max_jets}
        given |= {"classes": classes, "fractions": fractions}
        recipe |= {key: value for key, value in given.items() if value is not None}
        super().__init__(root, recipe, split, transform=transform, force_reload=force_reload)

    @property
    def files(self) -> list[str]:
        """Absolute paths of the files that are there."""
        return list(self._files)

    @property
    def raw_file_names(self) -> list[str]:
        """Absolute paths of the files; of a store in a folder, of what is written last."""
        return [os.path.join(path, STORE_INDEX) if os.path.isdir(path) else path for path in self._files]

    @property
    def summary(self) -> list[str]:
        """What was done to the jets on the way in, in sentences."""
        meta = self._store.meta
        return [*Admission.from_dict(meta.get("admission", {})).lines(), *meta.get("notes", [])]

    def write_store(self, path: Path) -> None:
        """Reads the files through the gate; more jets than memory should hold are written in shards.

        Where some files are in single and others in double precision, all are kept in double.
        """
        try:
            self._write(path)
        except _MixedPrecision:  # shards were written before it was seen
            self._write(path, double=True)

    def _write(self, path: Path, double: bool = False) -> None:
        with self._reading() as reading:
            parts, few, held = map(store_fields, reading), [], 0
            for part in parts:
                few.append(part)
                held += sum(field.nbytes for fields in part[1:] for field in fields.values())
                if held > IN_MEMORY_BYTES:
                    break
            if held <= IN_MEMORY_BYTES:
                mixed = len({particles["pos"].dtype for _, particles, _ in few}) > 1
                store = collect(few)
                store.meta = self._account(reading, mixed)
                if not store.meta["published_split"]:
                    store.jet_fields.pop("split", None)
                store.save(path)
                return
            first = torch.float64 if double else few[0][1]["pos"].dtype
            with JetStoreWriter(path) as writer:
                for sizes, particles, jets in chain((few.pop(0) for _ in range(len(few))), parts):
                    if not double and particles["pos"].dtype != first:
                        raise _MixedPrecision
                    writer.add(sizes, particles | {"pos": particles["pos"].to(first)}, jets)
                writer.close(**self._account(reading, double))

    @contextmanager
    def _reading(self) -> Iterator[JetReading]:
        """The reading of the files, with a bar."""
        with tqdm(total=len(self._files), unit="files", disable=None, leave=False) as bar:

            def show(path: str, done: int, rows: int) -> None:
                bar.set_description(os.path.basename(path), refresh=False)
                bar.n = self._files.index(path) + done / max(1, rows)
                bar.refresh()

            yield JetReading(
                self._files,
                self.card,
                self._rules,
                self.recipe["unit"],
                self.recipe["seed"],
                self.recipe.get("classes"),
                self.recipe.get("max_jets"),
                show,
            )

    def _account(self, reading: JetReading, mixed: bool = False) -> dict[str, Any]:
        """The meta of the jets that were read; what was done to them is told."""
        if mixed:
            reading.notes.append("some momenta are in single, others in double precision: all are kept in double")
        meta = description(self.card, account_of(reading)) | {"files": self._files}
        tell(self.recipe["name"], meta["admission"])
        for note in meta["notes"]:
            print(f"{self.recipe['name']}: {note}", file=sys.stderr)
        return self.described(meta)

    def split_ids(self, whole: JetStore) -> Tensor:
        """The published split where it is asked for and there, else shares of each class."""
        if "fractions" not in self.recipe and whole.meta.get("published_split"):
            return (whole.jet_field("split") == SPLITS.index(self.split)).nonzero().flatten()
        return super().split_ids(whole)

    def _raw_names(self) -> dict[str, str]:
        return {path: path for path in self.raw_paths}  # names may be the same in several folders


class JetFiles(CardJets):
    r"""Jets from ROOT, HDF5, Parquet or NumPy files.

    A data card says which columns are what (:class:`~lgae_pyg.datasets.cards.Card`): a preset by name, a YAML
    file, a mapping (``{"base": "pfnano", "names": {"jet": "Jet"}}``), or none, and the files are recognised by
    what is in them. All jets pass the gate (:func:`~lgae_pyg.data.gate.admit`); what it did is printed and kept
    in ``store.meta["admission"]`` (:attr:`summary`). The jets are read once, into a store under
    ``root/processed``, and again when a file or the card has changed.

    A store of jets (``lgae data convert``, :meth:`~lgae_pyg.data.JetStore.save`) is such a file, too, and says
    itself what is in it. Alone, it is used where it lies, unless its jets have to be cut, sorted or chosen.

    Args:
        path: a file, a folder, a pattern (``*``, ``**``), a store, or several.
        card: the data card.
        root: folder of the processed store; by default ``.lgae_pyg`` beside the files, or where nothing can be
            written there, a folder of the user's cache.
        num_particles: jets are cut to that many leading particles; all are kept when ``None``.
        order: ``"pt"`` sorts particles by falling pT where they are not; ``"kept"`` leaves them.
        bad_jets: ``"drop"`` leaves out jets that no network can read, and counts them; ``"stop"`` raises.
        unit: unit of the momenta in the store: GeV, TeV or PeV; the card says what the files have.
        classes: only these classes, by name; their order is that of the class numbers. All when ``None``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        fractions: shares of the three splits; when ``None``, the split that was published with the jets, where the
            card knows it and all three are there, else 0.6, 0.2, 0.2.
        seed: seed of the splits, and of the azimuths of jets that have none.
        max_jets: of each class (of all jets where there are no labels) the first so many.
        transform: change applied to each jet when it is taken.
        force_reload: make the processed store again.

    Raises:
        FileNotFoundError: there are no such files, and no store that was made of them.
        DataFileError: a file is broken or does not fit the card; it names file, column and mend.
        ValueError: for a card that cannot be, or classes that are not in it.

    Example:
        >>> jets = JetFiles("top/*.h5", card="top_tagging", num_particles=100, split="train")
        >>> jets.class_names, jets.unit, len(jets)
    """

    def __init__(
        self,
        path: Paths,
        card: str | os.PathLike[str] | Mapping[str, Any] | Card | None = None,
        root: str | os.PathLike[str] | None = None,
        num_particles: int | None = None,
        order: str = "pt",
        bad_jets: str = "drop",
        unit: str = "GeV",
        classes: Sequence[str] | None = None,
        split: str = "all",
        fractions: Sequence[float] | None = None,
        seed: int = 0,
        max_jets: int | None = None,
        transform: Callable[[JetData], JetData] | None = None,
        force_reload: bool = False,
    ) -> None:
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        paths = [os.path.abspath(os.path.expanduser(os.fspath(one))) for one in paths]
        files = _files_of(paths)
        if card is None:
            first = (files or find_files(paths))[0]
            card = recognise_card(first)
            print(f"{first} is read with the card '{card.name}'", file=sys.stderr)
        card = read_card(card)
        self._ready = ""
        if len(files) == 1 and not force_reload and recognise(files[0]) == "store":
            rules = Rules(num_particles, order, bad_jets)
            if max_jets is None and card == card_of_store(files[0]) and _is_ready(files[0], rules, classes):
                self._ready = files[0]
        super().__init__(
            cache_folder(paths) if root is None else root,
            files,
            card,
            {"path": paths if len(paths) > 1 else paths[0], "card": card.to_dict()},
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
        if self._ready and self._store.unit != unit:
            self._store = self._store.in_unit(unit)

    @property
    def raw_file_names(self) -> list[str]:
        """Absolute paths of the files; the paths asked for where there are none."""
        paths = self.recipe["path"]
        return super().raw_file_names or ([paths] if isinstance(paths, str) else paths)

    @property
    def processed_file_names(self) -> list[str]:
        """The store that was given, where it can be used as it is; else the one that is made."""
        return [self._ready] if self._ready else super().processed_file_names

    @classmethod
    def usual_classes(cls, recipe: Mapping[str, Any]) -> Sequence[str]:
        """Those of the card, if it names them; others are in the files."""
        return read_card(recipe["card"]).class_names if recipe.get("card") else ()

    def download(self) -> None:
        """Says what is missing."""
        find_files(self.recipe["path"])

    def _process(self) -> None:
        if not self._ready:
            super()._process()


def collect(parts: Iterable[tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]]) -> JetStore:
    """A store in memory of the parts that :func:`~lgae_pyg.datasets.reading.store_fields` gives."""
    sizes, particles, jets = zip(*parts)
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(sizes).cumsum(0)])
    kind = torch.float64 if any(one["pos"].dtype == torch.float64 for one in particles) else torch.float32
    fields = {name: torch.cat([one[name] for one in particles]) for name in particles[0]}
    fields["pos"] = fields["pos"].to(kind)
    return JetStore(ptr, fields, {name: torch.cat([one[name] for one in jets]) for name in jets[0]})


def cache_folder(paths: Sequence[str]) -> str:
    """Where processed stores go when nobody says: beside the data, else in the user's cache.

    A folder that nobody may write in is left alone, also by the superuser, who could.
    """
    folder = Path(paths[0])
    while not folder.is_dir():
        folder = folder.parent
    try:
        if folder.stat().st_mode & 0o222:
            (folder / ".lgae_pyg").mkdir(exist_ok=True)
            if os.access(folder / ".lgae_pyg", os.W_OK):
                return str(folder / ".lgae_pyg")
    except OSError:
        pass
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(base / "lgae_pyg" / hashlib.sha256(str(folder).encode()).hexdigest()[:12])


def _files_of(paths: Sequence[str]) -> list[str]:
    try:
        return find_files(paths)
    except FileNotFoundError:  # a store that was made of them will do
        return []


def _is_ready(path: str, rules: Rules, classes: Sequence[str] | None) -> bool:
    """Whether the jets of a store are as they are wanted."""
    meta = JetStore.read_meta(path)
    if "admission" not in meta or (classes is not None and list(classes) != list(meta.get("class_names", []))):
        return False
    if rules.order == "pt" and Admission.from_dict(meta["admission"]).unsorted:
        return False
    return rules.num_particles is None or JetStore.load(path).max_particles <= rules.num_particles
