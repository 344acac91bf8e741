"""What all jet data sets share: one flat file made once, stratified splits, a recipe that rebuilds them."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import os
import shutil
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Dataset

from lgae_pyg.checksums import fingerprint
from lgae_pyg.data import DataFileError, JetData, JetLoader, JetStore
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Admission, Rules, admit
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets import streams
from lgae_pyg.datasets.code import PACKAGE, code_fingerprint
from lgae_pyg.files import plain, remove_partial
from lgae_pyg.lock import in_turn
from lgae_pyg.registry import check_choice
from lgae_pyg.vocabulary import SPLITS

FRACTIONS = (0.6, 0.2, 0.2)


class JetDataset(Dataset, ABC):
    """Jets in one flat file under ``root/processed``, made from the files under ``root/raw``.

    The file holds the jets of all splits, so that they share it; its name carries a hash of everything it
    depends on. It is written whole or not at all, contains no pickles, and is made again when a raw file or the
    code of :meth:`build_store` has changed. Where it exists, neither the raw files nor the network are needed.
    More jets than memory holds are written to a folder of that name (:meth:`write_store`).

    A data set of one's own derives from this class, in a module that can be imported. Where its constructor takes
    the entries of its recipe (``unit``, ``seed`` and ``fractions`` may be fixed by the class), training and
    evaluation rebuild it from its name: ``lgae train data._target_=my_package.MyJets``.

    Args:
        root: Folder of the data set; the recipe keeps the absolute path.
        recipe: Plain values that define the data set, without its name and root: ``unit``, which it must have,
            ``seed`` (0 if left out) and ``fractions`` of the splits (0.6, 0.2, 0.2), and its own.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        transform: Change applied to each jet when it is taken.
        force_reload: Make the processed file again.
    """

    version = 1
    """Version of :meth:`build_store`, part of the name of the processed file: raised when other jets come out."""

    _unit: str | None = None

    def __init__(
        self,
        root: str | os.PathLike[str],
        recipe: Mapping[str, Any],
        split: str,
        transform: Callable[[JetData], JetData] | None = None,
        force_reload: bool = False,
    ) -> None:
        kind = type(self)
        recipe = plain(recipe, f"recipe of {kind.__name__}")
        _check_recipe(kind.__name__, recipe, split)
        root, place = os.path.abspath(root), f"{kind.__module__}.{kind.__qualname__}"
        where = {} if place.startswith(PACKAGE) else {"_target_": place}
        self.recipe: dict[str, Any] = {"name": kind.__name__, **where, "root": root, **recipe}
        self.split = split
        super().__init__(root, transform, log=False, force_reload=force_reload)
        whole = JetStore.load(self.processed_paths[0])
        self._store = whole if split == "all" else whole.select(self.split_ids(whole))

    @property
    @abstractmethod
    def raw_file_names(self) -> list[str]:
        """Names of the files under ``root/raw``."""

    @abstractmethod
    def download(self) -> None:
        """Brings the missing raw files into place, or says how to get them."""

    def build_store(self) -> JetStore:
        """Reads the raw files. Its ``meta`` may name the classes (``class_names``) and the jets (``origin``).

        A data set defines this, or :meth:`write_store` if memory may not hold its jets.

        Raises:
            NotImplementedError: here.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither build_store nor write_store.")

    def write_store(self, path: Path) -> None:
        """Writes the processed jets: those of :meth:`build_store` to one file.

        A data set that may be larger than memory replaces this method, and writes the jets as they come::

            with JetStoreWriter(path, self.described({"class_names": ["QCD", "top"]})) as writer:
                for sizes, p4, labels in chunks:
                    writer.add(sizes, {"pos": p4}, {"y": labels})

        Args:
            path: What :meth:`JetStore.load` is to open; nothing is there, or what an interrupted writer left.
        """
        store = self.build_store()
        if "admission" not in store.meta:
            store = through_gate(store, self.unit, self.recipe["name"])
        tell(self.recipe["name"], store.meta["admission"])
        store.meta = self.described(store.meta)
        store.save(path)

    def described(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        """The meta of the processed jets: ``meta``, and by what they are recognised when they are outdated."""
        named = {"class_names": [], "origin": self.recipe["name"], **meta}
        return {**named, "recipe": self.file_recipe, "unit": self.unit, **self._made_of()}

    @property
    def unit(self) -> str:
        """The unit of the momenta: GeV, TeV or PeV."""
        return self.recipe["unit"] if self._unit is None else self._unit

    def in_unit(self, unit: str) -> JetDataset:
        """The same jets in another unit, converted when they are taken; the recipe stays as it is."""
        converted = copy.copy(self)
        converted._store, converted._unit = self._store.in_unit(unit), unit
        return converted

    def with_classes(self, names: Sequence[str]) -> JetDataset:
        """The same jets, their classes numbered by the place of their names among these
        (:meth:`~lgae_pyg.data.JetStore.with_classes`); the recipe stays as it is."""
        converted = copy.copy(self)
        converted._store = self._store.with_classes(names)
        return converted

    @classmethod
    def usual_classes(cls, recipe: Mapping[str, Any]) -> Sequence[str]:
        """Names of the classes that jets of a recipe are of which names none, as far as they are known without
        files: the default of the constructor."""
        default = getattr(inspect.signature(cls).parameters.get("classes"), "default", None)
        return default if isinstance(default, list | tuple) else ()

    @property
    def file_recipe(self) -> dict[str, Any]:
        """What the processed file depends on: the recipe without the places and the shares of the splits."""
        free = ("root", "fractions", "_target_", "origin")
        return {key: value for key, value in self.recipe.items() if key not in free} | {"processing": self.version}

    @property
    def processed_file_names(self) -> list[str]:
        """The one processed file, named after a hash of what it depends on."""
        text = json.dumps(self.file_recipe, sort_keys=True)
        return [f"{self.recipe['name']}_{hashlib.sha256(text.encode()).hexdigest()[:12]}.safetensors"]

    @property
    def store(self) -> JetStore:
        """The jets of this data set (of this split, of this slice) as a flat store."""
        return self._store if self._indices is None else self._store.select(self._indices)

    @property
    def origin(self) -> str:
        """Where the jets come from, for captions; the name of the set if it says nothing else."""
        return self.recipe.get("origin") or self._store.meta.get("origin", self.recipe["name"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, the place being the class number; empty if the set gives none."""
        return tuple(self._store.meta.get("class_names", ()))

    @property
    def num_classes(self) -> int:
        """The largest class number plus one; 0 without labels."""
        labels = self.store.jet_fields.get("y", torch.empty(0))
        return int(self.store.jet_field("y").max()) + 1 if len(labels) else 0

    def len(self) -> int:
        """Number of jets of the split."""
        return len(self._store)

    def get(self, idx: int) -> JetData:
        """The jet of that number in the split."""
        return self._store.jet(idx)

    def loader(
        self,
        batch_size: int,
        shuffle: bool = False,
        seed: int | None = None,
        drop_last: bool = False,
        rank: int = 0,
        num_replicas: int = 1,
    ) -> JetLoader:
        """A fast loader of these jets; its batches are those of PyTorch Geometric's ``DataLoader``.

        The arguments are those of :class:`~lgae_pyg.data.JetLoader`.
        """
        return JetLoader(self.store, batch_size, shuffle, seed, drop_last, self.transform, rank, num_replicas)

    def split_ids(self, whole: JetStore) -> Tensor:
        """Numbers of the jets of this split among all jets of the processed file, shape (J,)."""
        labels = whole.jet_field("y") if "y" in whole.jet_fields else torch.zeros(len(whole), dtype=torch.long)
        fractions, seed = self.recipe.get("fractions", FRACTIONS), self.recipe.get("seed", 0)
        return stratified_split(labels, self.split, fractions, seed)

    def process(self) -> None:
        """Makes the processed file, in the place of an older one."""
        path = Path(self.processed_paths[0])
        if path.is_dir() and JetStore.is_at(path):
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and type(self).write_store is not JetDataset.write_store:
            path.unlink(missing_ok=True)
        self.write_store(path)

    def lacks_raw_files(self) -> bool:
        """Whether a raw file is missing."""
        return not all(Path(path).is_file() for path in self.raw_paths)

    def check_download(self) -> None:
        """Raises where missing raw files are not to be made, before any folder is."""

    def _download(self) -> None:
        """Fetches raw files only where they are needed; of processes that want the same, one does it."""
        needed = self.force_reload or not JetStore.is_at(self.processed_paths[0])
        if needed and self.lacks_raw_files():
            self.check_download()
            with in_turn(Path(self.root), ".raw.lock"):
                if self.lacks_raw_files():
                    self.download()

    def _process(self) -> None:
        """Replaces PyTorch Geometric's version, which keeps pickles beside the processed file."""
        path = Path(self.processed_paths[0])
        if self.force_reload or self._is_missing(path):
            with in_turn(path.parent, f".{path.name}.lock"):
                remove_partial(path.parent, path.name)
                if self.force_reload or self._is_missing(path):
                    self.process()

    def _is_missing(self, path: Path) -> bool:
        return not JetStore.is_at(path) or self._is_outdated(path)

    def _is_outdated(self, path: Path) -> bool:
        """Whether the processed file was made of other raw files or by other code, and can be made again."""
        meta, code = JetStore.read_meta(path), code_fingerprint(type(self), JetDataset)
        if all(Path(raw).is_file() for raw in self.raw_paths):
            if "class_names" not in meta or meta.get("code") != code:
                return True
            return meta.get("raw_seen") != self._raw_seen() and meta.get("raw") != self._fingerprints()
        if meta.get("code", "") != code:
            warnings.warn(
                f"{path} was made by other code than that of {self.recipe['name']} now, and is used all the same, "
                f"because the raw files are not in {self.raw_dir}",
                stacklevel=2,
            )
        return False

    def _made_of(self) -> dict[str, Any]:
        """What the processed file must be made again for when it changes.

        Raw files are read whole to be told apart; only where the system says that nobody has touched them since
        (``raw_seen``), they are not read again.
        """
        seen = self._raw_seen()
        made_of = {"raw": self._fingerprints(), "raw_seen": seen}
        return made_of | {"code": code_fingerprint(type(self), JetDataset)}

    def _fingerprints(self) -> dict[str, str]:
        return {name: fingerprint(path) for name, path in self._raw_names().items()}

    def _raw_seen(self) -> dict[str, list[int]]:
        """Number on its disk, size and times of each raw file; the last changes with whatever is done to it."""
        found = {name: os.stat(path) for name, path in self._raw_names().items()}
        return {key: [one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns] for key, one in found.items()}

    def _raw_names(self) -> dict[str, str]:
        """Paths of the raw files by name."""
        return {Path(path).name: path for path in self.raw_paths}


def through_gate(store: JetStore, unit: str, name: str) -> JetStore:
    """The jets that a network can read, in the order of particles that they came in, with the gate's report in
    ``meta["admission"]`` (see :func:`~lgae_pyg.data.gate.admit`).

    Raises:
        DataFileError: what cannot be mended, such as energies in the last column.
    """
    particles, jets = store.particle_fields, store.jet_fields
    columns = {key: value.numpy() for key, value in particles.items() if key != "pos"}
    rows = store.jet_field("jet_id").numpy() if "jet_id" in jets else None
    jet_columns = {key: value.numpy() for key, value in jets.items()}
    whole = FlatJets(particles["pos"].numpy(), store.ptr.numpy(), columns, jet_columns, rows, unit)
    sound, report = admit(whole, Rules(order="kept"), name)
    meta = {**store.meta, "admission": report.to_dict()}
    if sound is whole:
        return JetStore(store.ptr, particles, jets, meta, store.dtype)
    fields = {"pos": torch.from_numpy(sound.p4)} | {key: torch.from_numpy(v) for key, v in sound.particles.items()}
    jet_fields = {key: torch.from_numpy(value) for key, value in sound.jets.items()}
    return JetStore(torch.from_numpy(sound.ptr), fields, jet_fields, meta, store.dtype)


def tell(name: str, admission: Mapping[str, Any]) -> None:
    """Prints what the gate did, on standard error.

    Raises:
        DataFileError: it left none of the jets.
    """
    report = Admission.from_dict(admission)
    for line in report.lines():
        print(f"{name}: {line}", file=sys.stderr, flush=True)
    if report.read and not report.kept:
        raise DataFileError(f"{name}: {report.lines()[0]}: look whether these are the files and columns of jets.")


def stratified_split(y: Tensor, split: str, fractions: Sequence[float], seed: int) -> Tensor:
    """Numbers of the jets of one split, every class cut by the same fractions.

    The jets of each class are permuted by a generator of their own, seeded with (seed, class), and cut; so
    the splits are disjoint, cover all jets, and those of a class do not depend on the other classes.

    Args:
        y: Class number of each jet.
        split: ``"train"``, ``"val"`` or ``"test"``.
        fractions: Shares of the three splits; their sum is 1.
        seed: Seed of the permutations.

    Shapes:
        - **y**: :math:`(J,)`
        - **returns**: the numbers in rising order
    """
    check_choice("split", split, SPLITS)
    place = SPLITS.index(split)
    bounds = np.concatenate([[0.0], np.cumsum(fractions)])
    chosen = torch.zeros(len(y), dtype=torch.bool)
    for number in y.unique().tolist():
        jets = (y == number).nonzero().flatten()
        order = np.random.default_rng([seed, number, streams.SPLIT]).permutation(len(jets))
        first, last = np.rint(bounds[place : place + 2] * len(jets)).astype(int)
        chosen[jets[order[first:last]]] = True
    return chosen.nonzero().flatten()


def stratified_choice(y: Tensor, jets: int, seed: int) -> Tensor:
    """Numbers of a random choice of jets with the same shares of the classes, to within one jet of each.

    The smaller of two choices with the same seed is contained in the larger.

    Args:
        y: Class number of each jet.
        jets: How many are chosen.
        seed: Seed of the choice.

    Raises:
        ValueError: if there are fewer jets, or more classes, than that.

    Shapes:
        - **y**: :math:`(J,)`
        - **returns**: the numbers in rising order
    """
    classes = y.unique().tolist()
    if not len(classes) <= jets <= len(y):
        raise ValueError(
            f"{jets} jets cannot be chosen out of {len(y)} jets of {len(classes)} classes: choose at least one of "
            "each class, and not more than there are"
        )
    places = torch.empty(len(y), dtype=torch.float64)
    for number in classes:
        members = (y == number).nonzero().flatten()
        order = np.random.default_rng([seed, number, streams.SUBSET]).permutation(len(members))
        places[members[order]] = (torch.arange(len(members)) + 0.5).double() / len(members)
    return places.argsort(stable=True)[:jets].sort().values


def _check_recipe(name: str, recipe: Mapping[str, Any], split: str) -> None:
    check_choice("split", split, (*SPLITS, "all"))
    if "unit" not in recipe:
        raise ValueError(f"the recipe of {name} lacks 'unit': the unit of the momenta, {', '.join(UNITS_IN_GEV)}.")
    check_choice("unit", recipe["unit"], UNITS_IN_GEV)
    if recipe.get("seed", 0) < 0:
        raise ValueError(f"seed must not be negative, but is {recipe['seed']}.")
    fractions = recipe.get("fractions", FRACTIONS)
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be three shares (train, val, test) with sum 1, not {fractions}.")
