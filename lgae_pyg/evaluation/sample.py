"""Jets of one kind that a model is asked about."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lgae_pyg.data import JetStore
from lgae_pyg.vocabulary import QCD

#: Printed names of the classes that have one.
NAMES = {"t": "top", "w": "W", "z": "Z", "g": "gluon", "q": "light quark"}


@dataclass(frozen=True)
class Sample:
    """Jets of one kind.

    Args:
        name: printed name: the letter of the class, or ``QCD``.
        store: the jets, in the unit of the model.
        origin: where they come from, for captions.
        class_names: names of the classes by their number; empty if unknown.
        recipe: of the data set that they are of.
    """

    name: str
    store: JetStore
    origin: str
    class_names: Sequence[str] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, dataset: Any) -> "Sample":
        """The jets of a data set, in the precision of the studies."""
        names, recipe = getattr(dataset, "class_names", ()), getattr(dataset, "recipe", {})
        return cls(name, dataset.store.to(torch.float64), origin_of(dataset), names, recipe)

    def __len__(self) -> int:
        return len(self.store)

    def only(self, classes: Sequence[str]) -> "Sample":
        """The jets of some classes, named after them."""
        numbers = [self.class_names.index(name) for name in classes]
        chosen = np.flatnonzero(np.isin(self.store.jet_field("y").flatten().numpy(), numbers))
        return replace(self, name=sample_name(classes), store=self.store.select(chosen))

    def of_classes(self, names: Sequence[str], leave_out: bool = False) -> "Sample":
        """The same jets, their classes numbered by the place of their names among these.

        Args:
            names: in the order of the numbers.
            leave_out: leave out the jets of other classes, with a word.

        Raises:
            ValueError: a jet is of another class.
        """
        store, y = self.store, self.store.jet_field("y").flatten().numpy()
        known = self.class_names or tuple(map(str, range(int(y.max()) + 1)))
        if leave_out:
            numbers = [number for number, name in enumerate(known) if name in names]
            chosen = np.flatnonzero(np.isin(y, numbers))
            if others := len(self) - len(chosen):
                warnings.warn(f"{others} jets of other classes than {', '.join(names)} are left out", stacklevel=3)
            store = store.select(chosen)
        return replace(self, store=store.with_classes(names, known), class_names=tuple(names))

    def choose(self, jets: int | None) -> "Sample":
        """A random choice of that many jets, the same each time; all of them for ``None``."""
        return replace(self, store=choose(self.store, jets))

    def identities(self) -> dict[str, np.ndarray]:
        """Class and ``jet_id`` (row in the file of the class) of each jet, by which it is found again.

        What the data do not tell is the name of the sample, and the number of the jet in it.
        """
        known, everything = self.store.jet_fields, len(self)
        numbers = self.store.jet_field("y").tolist() if self.class_names and "y" in known else []
        names = [self.class_names[number] for number in numbers] or [self.name] * everything
        rows = self.store.jet_field("jet_id").numpy() if "jet_id" in known else np.arange(everything)
        return {"class": np.array(names, dtype=str), "jet_id": rows}


def sample_name(classes: Sequence[str]) -> str:
    """The printed name of jets of these classes."""
    return "QCD" if set(classes) == set(QCD) else "+".join(classes) or "jets"


def choose(store: JetStore, jets: int | None) -> JetStore:
    """A random choice of that many jets, the same each time; all of them for ``None``."""
    if jets is None or jets >= len(store):
        return store
    return store.select(np.sort(np.random.default_rng(0).permutation(len(store))[:jets]))


def batches_of(samples: Iterable[Sample], batch_size: int) -> int:
    """The number of batches of all samples, for progress bars."""
    return sum(-(-len(sample) // batch_size) for sample in samples)


def origin_of(dataset: Any) -> str:
    """Where the jets of a data set come from, for captions: what they are (of one made by hand, its name), the
    split, and the names of the files or of the folder."""
    paths = dataset.recipe.get("path") or dataset.recipe.get("root") or ()
    names = [Path(one).name for one in ([paths] if isinstance(paths, str) else paths)]
    files = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    split = getattr(dataset, "split", None)
    part = "all splits" if split == "all" else f"{split} split" if split else ""
    place = " of ".join(one for one in (part, files) if one)
    return ", ".join(one for one in (getattr(dataset, "origin", dataset.recipe["name"]), place) if one)
