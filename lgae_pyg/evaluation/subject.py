"""A trained model, and the samples of jets that a study asks it about."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lgae_pyg.checkpoint import load_checkpoint, package_versions
from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets import build_dataset
from lgae_pyg.evaluation.labels import describe_model

#: What jets are called that come from gluons and light quarks.
QCD = ("g", "q")


@dataclass(frozen=True)
class Sample:
    """Jets of one kind.

    Args:
        name: printed name: the letter of the class, or ``QCD``.
        store: the jets, in the unit of the model.
        origin: where they come from, for captions.
    """

    name: str
    store: JetStore
    origin: str

    def __len__(self) -> int:
        return len(self.store)

    def choose(self, jets: int | None) -> "Sample":
        """A random choice of that many jets, the same each time; all of them for ``None``."""
        return Sample(self.name, choose(self.store, jets), self.origin)


@dataclass(frozen=True)
class Subject:
    """A trained model that is studied, in float64 (or mixed precision, if it is built so).

    Args:
        model: an autoencoder in evaluation mode.
        label: its printed name.
        unit: the unit of the momenta that it takes.
        recipe: what it was trained on, for :func:`lgae_pyg.datasets.build_dataset`.
        about: plain values that are kept with the results: ``checkpoint``, ``epoch``, ``config``.
    """

    model: torch.nn.Module
    label: str
    unit: str
    recipe: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> "Subject":
        """The best model of a run, or a checkpoint.

        Raises:
            ValueError: if the checkpoint does not say what it was trained on.
            OSError: if it is not there.
        """
        found = load_checkpoint(source)
        if found.data is None:
            raise ValueError(
                f"{found.path} does not say which data the model was trained on (entry 'data'), as imported ones "
                "do not: make a Subject in Python, with load_model and the recipe of a data set"
            )
        about = {"checkpoint": os.fspath(found.path), "epoch": found.epoch, "config": found.config}
        model = found.model.eval().double()
        return cls(model, describe_model(model), found.unit, found.data, about)

    @property
    def unit_in_gev(self) -> float:
        """The unit of the model in GeV."""
        return UNITS_IN_GEV[self.unit]

    @property
    def classes(self) -> tuple[str, ...]:
        """Letters of the classes that the model was trained on."""
        return tuple(self.recipe.get("classes", ()))

    def dataset(self, split: str = "test", root: str | os.PathLike[str] | None = None) -> Any:
        """Jets of the kind that the model was trained on.

        Args:
            split: which of them; the test split was not seen in the training.
            root: root folder of other jets of the same recipe.

        Raises:
            ValueError: if their unit is not the model's.
            OSError: if they are not there.
        """
        return self._checked(build_dataset(self.recipe, split, **_elsewhere(root)))

    def background(
        self, jets: int | None = None, split: str = "test", root: str | os.PathLike[str] | None = None
    ) -> Sample:
        """A sample of jets of the kind that the model was trained on, see :meth:`dataset`."""
        found = self.dataset(split, root)
        return Sample(sample_name(self.classes), found.store, found.origin).choose(jets)

    def signals(
        self, classes: Sequence[str] | None = None, jets: int = 20_000, root: str | os.PathLike[str] | None = None
    ) -> list[Sample]:
        """Samples of other classes, one each, all of whose jets are new to the model.

        Args:
            classes: letters; :meth:`other_classes` when omitted.
            jets: so many of each class, the first ones. Missing files of :class:`~lgae_pyg.datasets.PythiaJets`
                are generated if the folder of the data is there.
            root: root folder of other jets of the same recipe.

        Raises:
            ValueError: for a class that the model was trained on.
            OSError: if the jets are not there.
        """
        chosen = list(classes or self.other_classes())
        known = sorted(set(chosen) & set(self.classes))
        if known:
            raise ValueError(f"the model was trained on {', '.join(known)}: choose other signals")
        few = {"jets": jets} if "jets" in self.recipe else {"max_jets": jets}
        there = Path(root or self.recipe.get("root", "")).is_dir()  # else nothing is made, in nobody's folder
        samples = []
        for letter in chosen:
            recipe = {**self.recipe, "classes": [letter], **few}
            jets_of_class = self._checked(build_dataset(recipe, "all", generate=there, **_elsewhere(root)))
            samples.append(Sample(letter, jets_of_class.store, jets_of_class.origin))
        return samples

    def other_classes(self) -> tuple[str, ...]:
        """What is anomalous by default: t, W and Z to a model of QCD jets, QCD jets to all others."""
        return ("t", "w", "z") if set(self.classes) <= set(QCD) else QCD

    def caption(self, samples: Sequence[Sample]) -> str:
        """The sentences that name data and model."""
        counts = ", ".join(f"{len(sample)} {sample.name}" for sample in samples)
        particles = self.recipe.get("num_particles")
        cut = f", up to {particles} particles" if particles else ""
        precision = "mixed precision" if getattr(self.model, "config", {}).get("mixed_precision") else "float64"
        trained = f"trained on {sample_name(self.classes)}" if self.classes else "trained"
        return (
            f"Data: {samples[0].origin}, {counts} jets{cut}. "
            f"Model: {self.label}, {trained}, {precision}, unit {self.unit}."
        )

    def description(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """What every study keeps with its results."""
        return {
            "caption": self.caption(samples),
            "label": self.label,
            "unit": self.unit,
            "recipe": dict(self.recipe),
            "jets": {sample.name: len(sample) for sample in samples},
            "versions": package_versions(),
            **self.about,
        }

    def _checked(self, dataset: Any) -> Any:
        if dataset.unit != self.unit:
            raise ValueError(f"the model works in {self.unit}, the data set in {dataset.unit}")
        return dataset


def sample_name(classes: Sequence[str]) -> str:
    """The printed name of jets of these classes."""
    return "QCD" if set(classes) == set(QCD) else "+".join(classes)


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


def _elsewhere(root: str | os.PathLike[str] | None) -> dict[str, str]:
    if root is None:
        return {}
    if not Path(root).is_dir():
        raise FileNotFoundError(f"there is no data folder {root}: nothing is evaluated")
    return {"root": os.fspath(root)}
