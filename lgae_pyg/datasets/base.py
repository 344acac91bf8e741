"""What all jet data sets share: one flat file made once, stratified splits, a recipe that rebuilds them."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Dataset

from lgae_pyg.data import JetData, JetLoader, JetStore
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets.pythia import read_recipe

SPLITS = ("train", "val", "test")

# Streams of random numbers that depend on the same seed and class must not be the same numbers.
AZIMUTH_STREAM, SPLIT_STREAM, SUBSET_STREAM = 0, 1, 2

_PROCESSING = 1
_FINGERPRINT_BYTES = 1 << 20


class JetDataset(Dataset, ABC):
    """Jets in one flat file under ``root/processed``, made from the files under ``root/raw``.

    The file holds the jets of all splits, so that they share it; its name carries a hash of everything it
    depends on. It is written whole or not at all, contains no pickles, and is made again when a raw file has
    changed. Where it exists, neither the raw files nor the network are needed.

    Args:
        root: Folder of the data set.
        recipe: Plain values that define the data set, without its name and root.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        transform: Change applied to each jet when it is taken.
        force_reload: Make the processed file again.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        recipe: Mapping[str, Any],
        split: str,
        transform: Callable[[JetData], JetData] | None = None,
        force_reload: bool = False,
    ) -> None:
        _check_recipe(recipe, split)
        self.recipe: dict[str, Any] = {"name": type(self).__name__, "root": os.fspath(root), **recipe}
        self.split = split
        super().__init__(os.fspath(root), transform, log=False, force_reload=force_reload)
        whole = JetStore.load(self.processed_paths[0])
        self._store = whole if split == "all" else whole.select(self.split_ids(whole))

    @property
    @abstractmethod
    def raw_file_names(self) -> list[str]:
        """Names of the files under ``root/raw``."""

    @abstractmethod
    def download(self) -> None:
        """Brings the missing raw files into place, or says how to get them."""

    @abstractmethod
    def build_store(self) -> JetStore:
        """Reads the raw files."""

    @property
    def unit(self) -> str:
        """The unit of the momenta: GeV, TeV or PeV."""
        return self.recipe["unit"]

    @property
    def file_recipe(self) -> dict[str, Any]:
        """What the processed file depends on: the recipe without the root and the shares of the splits."""
        content = {key: value for key, value in self.recipe.items() if key not in ("root", "fractions")}
        return {**content, "processing": _PROCESSING}

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
        """Where the jets come from, for captions: the name of the set, and whether its files were generated."""
        generated = self._store.meta.get("generated", False)
        return f"{self.recipe['name']} (generated with Pythia 8)" if generated else self.recipe["name"]

    @property
    def num_classes(self) -> int:
        """The largest class number plus one."""
        return int(self.store.jet_field("y").max()) + 1

    def len(self) -> int:
        """Number of jets of the split."""
        return len(self._store)

    def get(self, idx: int) -> JetData:
        """The jet of that number in the split."""
        return self._store.jet(idx)

    def loader(
        self, batch_size: int, shuffle: bool = False, seed: int = 0, drop_last: bool = False
    ) -> JetLoader:
        """A fast loader of these jets; its batches are those of PyTorch Geometric's ``DataLoader``."""
        return JetLoader(self.store, batch_size, shuffle, seed, drop_last, self.transform)

    def split_ids(self, whole: JetStore) -> Tensor:
        """Numbers of the jets of this split among all jets of the processed file."""
        return stratified_split(
            whole.jet_field("y"), self.split, self.recipe["fractions"], self.recipe["seed"]
        )

    def process(self) -> None:
        """Makes the processed file."""
        store = self.build_store()
        store.meta = {"recipe": self.file_recipe, "unit": self.unit, "raw": self._fingerprints()}
        store.meta["generated"] = any(
            path.endswith(".hdf5") and read_recipe(path) is not None for path in self.raw_paths
        )
        store.save(self.processed_paths[0])

    def _download(self) -> None:
        """Fetches raw files only where they are needed."""
        needed = self.force_reload or not Path(self.processed_paths[0]).is_file()
        if needed and not all(Path(path).is_file() for path in self.raw_paths):
            self.download()

    def _process(self) -> None:
        """Replaces PyTorch Geometric's version, which keeps pickles beside the processed file."""
        path = Path(self.processed_paths[0])
        if self.force_reload or not path.is_file() or self._is_outdated(path):
            self.process()

    def _is_outdated(self, path: Path) -> bool:
        """Whether raw files are there that differ from those the processed file was made of."""
        if not all(Path(raw).is_file() for raw in self.raw_paths):
            return False
        return JetStore.load(path).meta["raw"] != self._fingerprints()

    def _fingerprints(self) -> dict[str, str]:
        return {Path(path).name: fingerprint(path) for path in self.raw_paths}


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
    place = SPLITS.index(split)
    bounds = np.concatenate([[0.0], np.cumsum(fractions)])
    chosen = []
    for number in y.unique().tolist():
        jets = (y == number).nonzero().flatten()
        order = np.random.default_rng([seed, number, SPLIT_STREAM]).permutation(len(jets))
        first, last = np.rint(bounds[place : place + 2] * len(jets)).astype(int)
        chosen.append(jets[np.sort(order[first:last])])
    return torch.cat(chosen).sort().values


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
        order = np.random.default_rng([seed, number, SUBSET_STREAM]).permutation(len(members))
        places[members[order]] = (torch.arange(len(members)) + 0.5).double() / len(members)
    return places.argsort(stable=True)[:jets].sort().values


def fingerprint(path: str | os.PathLike[str]) -> str:
    """A hash of a file's size, beginning and end: enough to notice that it has been made again."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(_FINGERPRINT_BYTES)
        file.seek(max(0, size - _FINGERPRINT_BYTES))
        return hashlib.sha256(str(size).encode() + head + file.read()).hexdigest()


def plain(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a recipe in lists and dicts, as JSON would give it back."""
    return json.loads(json.dumps(dict(recipe)))


def _check_recipe(recipe: Mapping[str, Any], split: str) -> None:
    if split not in (*SPLITS, "all"):
        raise ValueError(f"split must be one of train, val, test, all, not '{split}'.")
    if recipe["unit"] not in UNITS_IN_GEV:
        raise ValueError(f"unit must be one of {', '.join(UNITS_IN_GEV)}, not '{recipe['unit']}'.")
    if recipe["seed"] < 0:
        raise ValueError(f"seed must not be negative, but is {recipe['seed']}.")
    fractions = recipe["fractions"]
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be three shares (train, val, test) with sum 1, not {fractions}.")
