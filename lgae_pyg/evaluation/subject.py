"""A trained model, and the samples of jets that a study asks it about."""

import copy
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lgae_pyg.checkpoint import load_checkpoint, package_versions
from lgae_pyg.checksums import fingerprint
from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.datasets import build_dataset
from lgae_pyg.evaluation.sample import Sample, sample_name
from lgae_pyg.models import contract_of
from lgae_pyg.models.base import BACKGROUND
from lgae_pyg.registry import check_choice
from lgae_pyg.vocabulary import QCD, SIGNALS, UNITS_IN_GEV

#: Jets of each sample, unless another number is asked for.
JETS = 20_000


class LeftOut(ValueError):
    """A study that cannot be made of this model or of these jets; the message says why."""


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
        elsewhere: recipe of the jets that the model is shown, where they are others than its own kind (its
            training split stays what it was); see :func:`files_recipe`.
        classes_shown: of a tagger the names that its classes, in the order of its logits, have in the jets that it
            is shown; its own when omitted.
    """

    model: torch.nn.Module
    label: str
    unit: str
    recipe: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    generate: bool = False
    elsewhere: Mapping[str, Any] | None = None
    classes_shown: Sequence[str] = ()

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        generate: bool = False,
        jets: str | os.PathLike[str] | None = None,
        card: str | os.PathLike[str] | None = None,
        classes: Sequence[str] = (),
    ) -> "Subject":
        """The best model of a run, or a checkpoint.

        Args:
            source: folder of a run, or a checkpoint file.
            generate: whether jets that are not there may be generated.
            jets: files of jets that the model is shown instead of its own kind, see :func:`files_recipe`.
            card: what is in these files.
            classes: see :attr:`classes_shown`.

        Raises:
            ValueError: if the checkpoint does not say what it was trained on, and no files are given.
            OSError: if it is not there.
        """
        found = load_checkpoint(source)
        if found.data is None and jets is None:
            raise ValueError(
                f"{found.path} does not say which data the model was trained on (entry 'data'), as imported ones "
                "do not: say with --data FILES which jets it is to be shown"
            )
        about = {"checkpoint": os.fspath(found.path), "epoch": found.epoch}
        about["identity"] = f"sha256:{fingerprint(found.path)}"
        model, recipe = found.model.eval().double(), found.data or {}
        facts = contract_of(model)
        slots = facts.num_particles or recipe.get("num_particles")
        elsewhere = None if jets is None else files_recipe(jets, card, found.unit, slots)
        about["config"] = found.config
        more = {"generate": generate, "elsewhere": elsewhere, "classes_shown": tuple(classes)}
        return cls(model, facts.label, found.unit, recipe, about, **more)

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
        """Names of the classes that the model was trained on; none where it was trained on all of its data."""
        return tuple(self.recipe.get("classes") or ())

    @property
    def kind(self) -> str:
        """The printed name of the jets that the model was trained on."""
        return self.named(self.classes)

    def named(self, classes: Sequence[str]) -> str:
        """The printed name of jets of some classes together; to a tagger they are named class by class."""
        is_tagger = self.facts.task == "classification"
        return "+".join(classes) if is_tagger and classes else sample_name(classes)

    def dataset(self, split: str | None = None, root: str | os.PathLike[str] | None = None) -> Any:
        """Jets of the kind that the model was trained on, or those that it is to be shown instead.

        Args:
            split: which of them; when omitted, the test split, which was not seen in the training, and all of
                other kinds. ``train`` is always that of the training.
            root: root folder of other jets of the same recipe.

        Raises:
            ValueError: if their unit is not the model's, and the data set has no ``in_unit`` by which it would be
                converted (with a warning).
            FileNotFoundError: if nothing is known of the training jets.
            OSError: if they are not there.
        """
        split = split or ("test" if self.elsewhere is None else "all")
        if split in self.given:
            return self._checked(self.given[split])
        recipe = self.recipe if self.elsewhere is None or split == "train" else self.elsewhere
        if not recipe:
            raise FileNotFoundError(f"the checkpoint of {self.label} does not say which jets it was trained on")
        return self._checked(self._build(recipe, split, root))

    def background(
        self, jets: int | None = None, split: str | None = None, root: str | os.PathLike[str] | None = None
    ) -> Sample:
        """A sample of the jets of :meth:`dataset`, all classes together."""
        dataset = self.dataset(split, root)
        classes = self.classes if self.elsewhere is None else dataset.class_names
        return self.numbered(Sample.of(self.named(classes), dataset)).choose(jets)

    def numbered(self, sample: Sample) -> Sample:
        """Jets whose classes are numbered as the logits of a tagger are, by their names.

        Where names are given (:attr:`classes_shown`), jets of other classes are left out. Where the tagger does
        not say what its classes are called, the numbers are taken as they are, of jets in files with a warning.

        Raises:
            ValueError: names of the jets' classes are none of the tagger's.
        """
        names = tuple(self.classes_shown or getattr(self.model, "class_names", ()))
        if self.facts.task != "classification" or "y" not in sample.store.jet_fields:
            return sample
        if not names:
            if self.elsewhere is not None:
                text = f"{self.label} does not name its classes: its logits are taken for"
                listed = ", ".join(sample.class_names) or "the numbers in the files"
                warnings.warn(f"{text} {listed}, in this order; another: --classes A,B", stacklevel=3)
            return sample
        if self.classes_shown and len(names) != self.facts.num_classes:
            raise ValueError(f"--classes {','.join(names)}: {self.label} has {self.facts.num_classes} logits")
        try:
            return sample.of_classes(names, leave_out=bool(self.classes_shown))
        except ValueError as error:
            mend = f"say with --classes what they call {', '.join(names)}, in this order"
            raise ValueError(f"{error}, which {self.label} knows: {mend}") from error

    def contrast(
        self,
        signals: Sequence[str] | None = None,
        jets: int = JETS,
        split: str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> tuple[Sample, list[Sample]]:
        """Ordinary jets, and samples of anomalous ones, all of which are new to the model.

        Args:
            signals: names of classes, or files of jets (each a sample, named after the file). By default t, W and
                Z to a model of JetNet's QCD jets, QCD jets to its other models; and of files (``elsewhere``, or
                those of the training), all classes but those that the model was trained on.
            jets: at most so many of each sample; of other classes of a generated set the first ones.
            split: which of the ordinary jets.
            root: root folder of other jets of the same recipe.

        Raises:
            LeftOut: if the data do not tell which jets are anomalous.
            ValueError: for a class that there is not, or that the model was trained on.
            OSError: if the jets are not there.
        """
        files = [one for one in signals or () if Path(one).suffix or os.sep in one]
        named = [one for one in signals or () if one not in files]
        if self.elsewhere is not None:
            background, samples = self._parted(named, bool(files), jets, split)
        else:
            samples = [] if files and not named else self.signals(named, jets, root)
            background = self._ordinary(jets, split, root)
        samples += [self.in_files(file, Path(file).stem).choose(jets) for file in files]
        return background, samples

    def in_files(self, jets: str | os.PathLike[str], name: str) -> Sample:
        """All jets of files (see :func:`files_recipe`) as a sample of this name."""
        return Sample.of(name, self._build(files_recipe(jets, None, self.unit, self.slots), "all", None))

    def _ordinary(self, jets: int, split: str | None, root: str | os.PathLike[str] | None) -> Sample:
        """Jets of the training's kind, of a tagger those of the class that it takes for the background."""
        if self.facts.background_class is None:
            return self.background(jets, split, root)
        return self.background(None, split, root).only([BACKGROUND]).choose(jets)

    def _parted(
        self, named: Sequence[str], alone: bool, jets: int, split: str | None
    ) -> tuple[Sample, list[Sample]]:
        """Ordinary and anomalous jets of the files that the model is shown."""
        dataset = self.dataset(split)
        everything, known = Sample.of("jets", dataset), tuple(dataset.class_names)
        for name in named:
            check_choice("class", name, known)
        ordinary = {*self.classes, sample_name(self.classes)}
        anomalous = named or ([] if alone else [name for name in known if name not in ordinary])
        told = "y" in everything.store.jet_fields  # a card may know more classes than the files hold
        there = set(everything.identities()["class"]) if told else known
        rest = [name for name in known if name not in anomalous and name in there]
        if (known and not rest) or not (anomalous or alone):
            raise LeftOut(
                f"of its jets ({', '.join(known) or 'without classes'}) none are known to be anomalous, or all: "
                "say which with --signals"
            )
        background = everything.only(rest) if anomalous else everything
        background = replace(background, name=sample_name(rest)).choose(jets)
        return background, [everything.only([name]).choose(jets) for name in anomalous]

    def signals(
        self, classes: Sequence[str] = (), jets: int = JETS, root: str | os.PathLike[str] | None = None
    ) -> list[Sample]:
        """Samples of other classes of the set that the model was trained on, see :meth:`other_classes`.

        Raises:
            ValueError: the model was trained on one of these classes.
        """
        classes = classes or self.other_classes(root)
        known = sorted(set(classes) & set(self.classes or self._all_classes(root)))
        if known:
            raise ValueError(f"the model was trained on {', '.join(known)}: choose other signals")
        few = {"jets": jets} if "jets" in self.recipe else {"max_jets": jets}
        recipes = {name: {**self.recipe, "classes": [name], **few} for name in classes}
        return [Sample.of(name, self._checked(self._build(one, "all", root))) for name, one in recipes.items()]

    def other_classes(self, root: str | os.PathLike[str] | None = None) -> Sequence[str]:
        """What is anomalous by default.

        Raises:
            LeftOut: nothing is: the model was trained without signals, on all classes, or on some without names.
        """
        if self.classes and set(self.classes) <= {*QCD, *SIGNALS}:
            return SIGNALS if set(self.classes) <= set(QCD) else QCD
        known = self._all_classes(root)
        if self.facts.background_class is not None:
            raise LeftOut(f"{self.label} was trained without signals: say with --signals FILES what they are")
        if not known:
            raise LeftOut("its data have no classes by name, of which some could be signals")
        others = [name for name in known if name not in self.classes] if self.classes else []
        if not others:
            raise LeftOut(
                f"the model was trained on all classes of its data, {', '.join(known)}: train it on the ordinary "
                "ones (data.classes=[...]), or show it other files (--data)"
            )
        return others

    def _all_classes(self, root: str | os.PathLike[str] | None = None) -> Sequence[str]:
        """Names of all classes of the set that the model was trained on, if it can choose among them."""
        if "classes" not in self.recipe:
            return ()
        few = {} if {"jets", "_target_"} & set(self.recipe) else {"max_jets": 1}  # for their names alone
        return tuple(self._build({**self.recipe, "classes": None, **few}, "all", root).class_names)

    @property
    def slots(self) -> int | None:
        """Particles of the largest jet that the model takes; ``None`` for any number."""
        return self.facts.num_particles or self.recipe.get("num_particles")

    def caption(self, samples: Sequence[Sample]) -> str:
        """The sentences that name data and model."""
        counts = ", ".join(f"{len(one)} {one.name}".removesuffix(" jets") for one in samples)
        particles = (self.elsewhere or self.recipe).get("num_particles")
        cut = f", up to {particles} particles" if particles else ""
        known = self.kind if self.classes else "all classes" if "classes" in self.recipe else ""
        trained = f"trained on {known}" if known else "trained"
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
            "recipe": dict(self.recipe if self.elsewhere is None else self.elsewhere),
            "jets": {sample.name: len(sample) for sample in samples},
            "versions": package_versions(),
            **self.about,
        }

    def _build(self, recipe: Mapping[str, Any], split: str, root: str | os.PathLike[str] | None) -> Any:
        """The one place where data sets are made; jets are generated if they may, into a folder that is there: a
        checkpoint, which may come from anywhere, makes none."""
        changes: dict[str, Any] = {} if root is None else {"root": os.fspath(root)}
        named = Path(recipe.get("root") or "")
        if root is None and not named.is_dir():
            if "path" not in recipe:
                what = f"the jets of the training were in {named}, which is not there"
                raise FileNotFoundError(f"{what}: say with --data where they are")
            recipe = {key: value for key, value in recipe.items() if key != "root"}  # a cache beside the files
        if self.generate and Path({**recipe, **changes}.get("root", "")).is_dir():
            changes["generate"] = True
        return build_dataset(recipe, split, **changes)

    def _checked(self, dataset: Any) -> Any:
        """The data set in the unit of the model, converted if need be."""
        if dataset.unit == self.unit:
            return dataset
        if not hasattr(dataset, "in_unit"):
            raise ValueError(f"the model works in {self.unit}, the data set in {dataset.unit}")
        warnings.warn(f"the jets are in {dataset.unit}, the model works in {self.unit}: converted", stacklevel=3)
        return dataset.in_unit(self.unit)


def files_recipe(
    jets: str | os.PathLike[str], card: str | os.PathLike[str] | None, unit: str, num_particles: int | None
) -> dict[str, Any]:
    """The recipe of jets in files (:class:`~lgae_pyg.datasets.JetFiles`) as a model takes them.

    Args:
        jets: a file, a folder or a pattern.
        card: name of a preset or file of a data card; recognised from the files when omitted.
        unit: of the model.
        num_particles: of the model; the particles beyond are cut, and the cut is said.
    """
    recipe: dict[str, Any] = {"name": "JetFiles", "path": os.fspath(jets), "unit": unit}
    recipe |= {} if card is None else {"card": os.fspath(card)}
    return recipe | ({} if num_particles is None else {"num_particles": num_particles})


def run_model(
    model: torch.nn.Module,
    store: JetStore,
    batch_size: int = 64,
    tick: Callable[[], object] = lambda: None,
    device: str = "cpu",
) -> Iterator[tuple[Any, Any]]:
    """Batches of jets and what the model makes of them, in order, without gradients, both on the CPU.

    Args:
        model: takes a batch.
        store: the jets.
        batch_size: jets per batch; small batches stay in the processor's cache.
        tick: called after each batch.
        device: where the model is.
    """
    for batch in JetLoader(store, batch_size):
        with torch.inference_mode():
            if device == "cpu":
                result = model(batch)
            else:  # moved as a copy: PyG moves a batch in place
                result = _on_cpu(model(copy.copy(batch).to(device)))
        yield batch, result
        tick()


def _on_cpu(result: Any) -> Any:
    """What a model returned, with all of its tensors on the CPU."""
    if isinstance(result, torch.Tensor):
        return result.cpu()
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*map(_on_cpu, result))
    if is_dataclass(result):
        return replace(result, **{one.name: _on_cpu(getattr(result, one.name)) for one in fields(result)})
    return result
