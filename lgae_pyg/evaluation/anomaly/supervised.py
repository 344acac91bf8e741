"""Taggers as the upper reference of the anomaly study: they know the signals, and score the very same jets."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lgae_pyg.checkpoint import load_checkpoint
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.study import of_taggers
from lgae_pyg.evaluation.subject import Subject, run_model

#: What the score of the first tagger is called; those of others are ``supervised_2``, ``supervised_3``, ...
SUPERVISED = "supervised"

#: Rows of jets in their files, by source (a file, or a folder of files of one class each) and class.
Rows = dict[tuple[str, str], NDArray[np.int64]]


@dataclass(frozen=True)
class Reference:
    """A tagger beside the scores of an autoencoder.

    Args:
        tagger: the trained tagger.
        class_names: names of the classes by their number.
        trained: the classes that its training jets are of; it may have logits for more.
        seen: the jets of its training and validation.
    """

    tagger: Subject
    class_names: Sequence[str]
    trained: frozenset[str]
    seen: Rows

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> "Reference":
        """The best tagger of a run, or a checkpoint.

        Raises:
            ValueError: for a model that is no tagger, and one whose training jets are not known or have no names
                of classes.
            OSError: if the checkpoint or the jets that it was trained on are not there.
        """
        found = load_checkpoint(source)
        if found.data is None:
            raise ValueError(
                f"{found.path} does not say which jets the tagger was trained on, so neither what its classes are "
                "called nor which jets it has seen: train a tagger here (lgae train), and name its run"
            )
        return cls.of(Subject.load(source))

    @classmethod
    def of(cls, tagger: Subject) -> "Reference":
        """As :meth:`load`, of a tagger at hand."""
        reason = of_taggers(tagger.facts)
        if reason:
            raise ValueError(f"supervised reference: {reason}")
        parts = [Sample.of(split, tagger.dataset(split)) for split in ("train", "val")]
        trained = _class_names(parts[0])
        if not trained:
            raise ValueError(f"supervised reference: the jets that {tagger.label} was trained on have no classes")
        return cls(tagger, tuple(parts[0].class_names), frozenset(trained), rows_of(parts))

    @property
    def label(self) -> str:
        """The printed name of the tagger."""
        return self.tagger.label

    def ordinary(self, background: Sample) -> list[str]:
        """The tagger's classes that the background is made of, matched by name.

        Raises:
            ValueError: if there are none, or no others.
        """
        wanted = _class_names(background) | {background.name}
        found = [name for name in self.class_names if name in wanted & self.trained]
        if not found or self.trained <= set(found):
            raise ValueError(
                f"the background is of the classes {_listed(wanted)}, {self.label} was trained on "
                f"{_listed(self.trained)}: a supervised reference needs some of the background's and others"
            )
        return found

    def score(
        self, sample: Sample, unit: str, background: Sample, batch_size: int, tick: Callable[[], object]
    ) -> NDArray[np.float64]:
        r"""The probability that a jet is of no class of the background,

        .. math:: s = 1 - \sum_{c \in \text{background}} p_c = \sum_{c \notin \text{background}} p_c

        the second form of which keeps its digits near 0.

        Args:
            sample: the jets.
            unit: their unit; they are brought to the tagger's.
            background: its classes are ordinary.
            batch_size: jets per batch.
            tick: called after each batch.

        Shapes:
            - **output**: :math:`(B,)`
        """
        store = sample.store.select(slice(None))  # a copy, whose unit is stated
        store.meta = {**store.meta, "unit": unit}
        found = run_model(self.tagger.model, store.in_unit(self.tagger.unit), batch_size, tick)
        shares = torch.cat([logits.double().softmax(-1) for _, logits in found])
        numbers = [self.class_names.index(name) for name in self.ordinary(background)]
        return shares[:, [one for one in range(shares.shape[1]) if one not in numbers]].sum(-1).numpy()

    def is_new(self, sample: Sample) -> NDArray[np.bool_] | None:
        """Which jets were in neither training nor validation; ``None`` if file and row cannot tell."""
        return not_among(self.seen, sample)

    def notes(self, background: Sample, signals: Sequence[Sample]) -> list[str]:
        """Sentences on what the score is, and on what the tagger does not know."""
        ordinary, checkpoint = self.ordinary(background), self.tagger.about.get("checkpoint")
        unknown = set().union(*map(_class_names, signals)) - self.trained
        unknown |= set() if background.name in ordinary else _class_names(background) - self.trained
        size, shown = (one.get("num_particles") for one in (self.tagger.recipe, background.recipe))
        about = [f"trained on {_listed(self.trained)}"]
        about += [f"not on {_listed(unknown)}"] if unknown else []
        about += [] if size == shown else [f"on up to {size} particles" if size else "on all particles"]
        return [
            f"Upper reference: the tagger {self.label}{f' of {checkpoint}' if checkpoint else ''}, "
            f"{', '.join(about)}; its score is 1 minus the probability of {' and '.join(ordinary)}, one for all "
            "signals: it is no bound for a single one."
        ]


def rows_of(samples: Iterable[Sample]) -> Rows:
    """Where the jets of some samples are found."""
    rows: dict[tuple[str, str], list[NDArray[np.int64]]] = {}
    for sample in samples:
        for key, places in _places(sample):
            rows.setdefault(key, []).append(sample.store.jet_field("jet_id").numpy()[places])
    return {key: np.concatenate(found) for key, found in rows.items()}


def not_among(known: Rows, sample: Sample) -> NDArray[np.bool_] | None:
    """Which jets of a sample are none of these; ``None`` if no file of the sample is one of theirs."""
    groups, sources = list(_places(sample)), {source for source, _ in known}
    if not sources & {source for (source, _), _ in groups}:
        return None
    new, rows = np.ones(len(sample), dtype=bool), sample.store.jet_field("jet_id").numpy()
    for key, places in groups:
        new[places] &= ~np.isin(rows[places], known.get(key, []))
    return new


def load_references(sources: Sequence[str | os.PathLike[str]]) -> dict[str, Reference]:
    """Taggers by the name of their score, see :data:`SUPERVISED`."""
    loaded = map(Reference.load, sources)
    return {SUPERVISED if n == 1 else f"{SUPERVISED}_{n}": one for n, one in enumerate(loaded, 1)}


def described(references: Mapping[str, Reference]) -> dict[str, dict[str, Any]]:
    """What is kept with the results of each tagger: its printed ``label``, ``checkpoint``, ``identity``."""
    labels = [one.label for one in references.values()]
    return {
        score: {
            "label": one.label if labels.count(one.label) == 1 else f"{one.label} {number}",
            **{key: one.tagger.about[key] for key in ("checkpoint", "identity") if key in one.tagger.about},
        }
        for number, (score, one) in enumerate(references.items(), 1)
    }


def without_seen(
    samples: Sequence[Sample], references: Mapping[str, Reference]
) -> tuple[list[Sample], list[str]]:
    """The jets that no tagger was trained or validated on, and sentences that say what was left out.

    Args:
        samples: of the background and of the signals.
        references: the taggers; with none, the samples stay as they are.

    Raises:
        ValueError: if nothing is left of a sample.
    """
    if not references:
        return list(samples), []
    left, seen, unknown = [], [], []
    for sample in samples:
        answers = [one.is_new(sample) for one in references.values()]
        known = [one for one in answers if one is not None]
        unknown += [sample.name] if len(known) < len(answers) else []
        new = np.logical_and.reduce([np.ones(len(sample), dtype=bool), *known])
        if not new.any():
            raise ValueError(
                f"all {len(sample)} jets of {sample.name} were in the training or validation of the supervised "
                "reference: ask for more (--jets), or train the tagger with a larger test split (data.fractions)"
            )
        if not new.all():
            seen.append(f"{(~new).sum()} of {len(new)} {sample.name}")
        left.append(replace(sample, store=sample.store.select(np.flatnonzero(new))))
    whose = "the training or validation of the upper reference"
    notes = [f"Left out of all scores, since {whose} had them: {', '.join(seen)}."] if seen else []
    if unknown:
        notes.append(f"Whether {whose} had jets of {', '.join(unknown)} cannot be told by file and row.")
    return left, notes


def _places(sample: Sample) -> Iterator[tuple[tuple[str, str], NDArray[np.int64]]]:
    """Jets whose ``jet_id`` counts in one source: (source, class), and the numbers of the jets in the sample.

    A file that holds all classes is a source without classes, a folder with a file of each class one with.
    Generated jets are the same in any folder: their settings and seed are a source, too.
    """
    store, recipe = sample.store, sample.recipe
    if "jet_id" not in store.jet_fields:
        return
    if files := store.meta.get("files"):
        numbers = store.jet_field("file_id").numpy() if "file_id" in store.jet_fields else np.zeros(len(store))
        for number in np.unique(numbers).astype(int):
            yield (os.path.realpath(files[number]), ""), np.flatnonzero(numbers == number)
        return
    sources = [os.path.realpath(recipe["root"])] if "root" in recipe else []
    if "settings" in recipe:
        sources.append(json.dumps([recipe["settings"], recipe.get("seed")], sort_keys=True))
    classes = sample.identities()["class"]
    for name in _class_names(sample):
        for source in sources:
            yield (source, name), np.flatnonzero(classes == name)


def _class_names(sample: Sample) -> set[str]:
    """The classes that there are jets of; none where the data do not tell."""
    known = sample.class_names and "y" in sample.store.jet_fields
    return set(sample.identities()["class"].tolist()) if known else set()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
