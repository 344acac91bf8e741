"""A trained model, and the samples of jets that a study asks it about."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lgae_pyg.checkpoint import load_checkpoint, package_versions
from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets import build_dataset
from lgae_pyg.datasets.base import fingerprint
from lgae_pyg.models import contract_of

#: The convention of these studies: jets of gluons and light quarks together are QCD, which a model is trained on;
#: other jets are the signals. Printed names of the classes that have one.
QCD, SIGNALS = ("g", "q"), ("t", "w", "z")
NAMES = {"t": "top", "w": "W", "z": "Z", "g": "gluon", "q": "light quark"}
#: Jets of each sample, unless another number is asked for.
JETS = 20_000


class LeftOut(ValueError):
    """A study that cannot be made of this model or of these jets; the message says why."""


@dataclass(frozen=True)
class Sample:
    """Jets of one kind.

    Args:
        name: printed name: the letter of the class, or ``QCD``.
        store: the jets, in the unit of the model.
        origin: where they come from, for captions.
        class_names: names of the classes by their number; empty if unknown.
    """

    name: str
    store: JetStore
    origin: str
    class_names: Sequence[str] = ()

    @classmethod
    def of(cls, name: str, dataset: Any) -> "Sample":
        """The jets of a data set."""
        return cls(name, dataset.store, origin_of(dataset), getattr(dataset, "class_names", ()))

    def __len__(self) -> int:
        return len(self.store)

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


@dataclass(frozen=True)
class Subject:
    """A trained model that is studied, in float64 (or mixed precision, if it is built so).

    Args:
        model: an autoencoder in evaluation mode.
        label: its printed name.
        unit: the unit of the momenta that it takes.
        recipe: what it was trained on, for :func:`lgae_pyg.datasets.build_dataset`.
        about: plain values that are kept with the results: ``checkpoint``, ``identity``, ``epoch``, ``config``.
        given: data sets at hand by split, which are not built from the recipe.
        generate: whether jets that are not there may be generated.
    """

    model: torch.nn.Module
    label: str
    unit: str
    recipe: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    generate: bool = False

    @classmethod
    def load(cls, source: str | os.PathLike[str], generate: bool = False) -> "Subject":
        """The best model of a run, or a checkpoint.

        Args:
            source: folder of a run, or a checkpoint file.
            generate: whether jets that are not there may be generated.

        Raises:
            ValueError: if the checkpoint does not say what it was trained on.
            OSError: if it is not there.
        """
        found = load_checkpoint(source)
        if found.data is None:
            raise ValueError(
                f"{found.path} does not say which data the model was trained on (entry 'data'), as imported ones "
                "do not: evaluate it in Python, with load_model and lgae_pyg.evaluation.evaluate_model"
            )
        about = {"checkpoint": os.fspath(found.path), "identity": fingerprint(found.path), "epoch": found.epoch}
        model = found.model.eval().double()
        label = contract_of(model).label
        return cls(model, label, found.unit, found.data, {**about, "config": found.config}, generate=generate)

    @property
    def facts(self) -> Any:
        """What the model offers, see :func:`~lgae_pyg.models.contract_of`."""
        return contract_of(self.model)

    @property
    def pixels(self) -> bool:
        """Whether the model gives back pixels, not particles."""
        return self.facts.output_kind == "pixels"

    @property
    def precision(self) -> str:
        """The precision of the arithmetic, for captions."""
        return "mixed precision" if self.facts.mixed_precision else "float64"

    @property
    def unit_in_gev(self) -> float:
        """The unit of the model in GeV."""
        return UNITS_IN_GEV[self.unit]

    @property
    def classes(self) -> tuple[str, ...]:
        """Letters of the classes that the model was trained on."""
        return tuple(self.recipe.get("classes", ()))

    @property
    def kind(self) -> str:
        """The printed name of the jets that the model was trained on; those of a tagger are named class by class."""
        is_tagger = self.facts.task == "classification"
        return "+".join(self.classes) if is_tagger and self.classes else sample_name(self.classes)

    def dataset(self, split: str = "test", root: str | os.PathLike[str] | None = None) -> Any:
        """Jets of the kind that the model was trained on.

        Args:
            split: which of them; the test split was not seen in the training.
            root: root folder of other jets of the same recipe.

        Raises:
            ValueError: if their unit is not the model's.
            OSError: if they are not there.
        """
        return self._checked(self.given[split] if split in self.given else self._build(self.recipe, split, root))

    def background(
        self, jets: int | None = None, split: str = "test", root: str | os.PathLike[str] | None = None
    ) -> Sample:
        """A sample of jets of the kind that the model was trained on, see :meth:`dataset`."""
        return Sample.of(self.kind, self.dataset(split, root)).choose(jets)

    def signals(
        self, classes: Sequence[str] | None = None, jets: int = JETS, root: str | os.PathLike[str] | None = None
    ) -> list[Sample]:
        """Samples of other classes, one each, all of whose jets are new to the model.

        Args:
            classes: letters; :meth:`other_classes` when omitted.
            jets: so many of each class, the first ones.
            root: root folder of other jets of the same recipe.

        Raises:
            LeftOut: if the data have no classes by name.
            ValueError: for a class that the model was trained on.
            OSError: if the jets are not there.
        """
        if not self.classes:
            raise LeftOut("its data have no classes by name, of which some could be signals")
        chosen = list(classes or self.other_classes())
        known = sorted(set(chosen) & set(self.classes))
        if known:
            raise ValueError(f"the model was trained on {', '.join(known)}: choose other signals")
        few = {"jets": jets} if "jets" in self.recipe else {"max_jets": jets}
        samples = []
        for letter in chosen:
            recipe = {**self.recipe, "classes": [letter], **few}
            samples.append(Sample.of(letter, self._checked(self._build(recipe, "all", root))))
        return samples

    def other_classes(self) -> tuple[str, ...]:
        """What is anomalous by default: t, W and Z to a model of QCD jets, QCD jets to all others."""
        return SIGNALS if set(self.classes) <= set(QCD) else QCD

    def caption(self, samples: Sequence[Sample]) -> str:
        """The sentences that name data and model."""
        counts = ", ".join(f"{len(sample)} {sample.name}" for sample in samples)
        particles = self.recipe.get("num_particles")
        cut = f", up to {particles} particles" if particles else ""
        trained = f"trained on {self.kind}" if self.classes else "trained"
        return (
            f"Data: {samples[0].origin}, {counts} jets{cut}. "
            f"Model: {self.label}, {trained}, {self.precision}, unit {self.unit}."
        )

    def description(self, samples: Sequence[Sample], caption: str | None = None) -> dict[str, Any]:
        """What every study keeps with its results; the caption names data and model, see :meth:`caption`."""
        return {
            "caption": caption or self.caption(samples),
            "label": self.label,
            "task": self.facts.task,
            "unit": self.unit,
            "recipe": dict(self.recipe),
            "jets": {sample.name: len(sample) for sample in samples},
            "versions": package_versions(),
            **self.about,
        }

    def _build(self, recipe: Mapping[str, Any], split: str, root: str | os.PathLike[str] | None) -> Any:
        """The one place where data sets are made; jets are generated if they may, into a folder that is there."""
        changes: dict[str, Any] = {} if root is None else {"root": os.fspath(root)}
        if self.generate and Path({**recipe, **changes}.get("root", "")).is_dir():
            changes["generate"] = True
        return build_dataset(recipe, split, **changes)

    def _checked(self, dataset: Any) -> Any:
        if dataset.unit != self.unit:
            raise ValueError(f"the model works in {self.unit}, the data set in {dataset.unit}")
        return dataset


def sample_name(classes: Sequence[str]) -> str:
    """The printed name of jets of these classes."""
    return "QCD" if set(classes) == set(QCD) else "+".join(classes) or "jets"


def run_model(
    model: torch.nn.Module, store: JetStore, batch_size: int = 64, tick: Callable[[], object] = lambda: None
) -> Iterator[tuple[Any, Any]]:
    """Batches of jets and what the model makes of them, in order, without gradients.

    Args:
        model: takes a batch.
        store: the jets.
        batch_size: jets per batch; small batches stay in the processor's cache.
        tick: called after each batch.
    """
    for batch in JetLoader(store, batch_size):
        with torch.inference_mode():
            result = model(batch)
        yield batch, result
        tick()


def choose(store: JetStore, jets: int | None) -> JetStore:
    """A random choice of that many jets, the same each time; all of them for ``None``."""
    if jets is None or jets >= len(store):
        return store
    return store.select(np.sort(np.random.default_rng(0).permutation(len(store))[:jets]))


def batches_of(samples: Iterable[Sample], batch_size: int) -> int:
    """The number of batches of all samples, for progress bars."""
    return sum(-(-len(sample) // batch_size) for sample in samples)


def origin_of(dataset: Any) -> str:
    """Where the jets of a data set come from, for captions; one made by hand has its name."""
    return getattr(dataset, "origin", dataset.recipe["name"])
