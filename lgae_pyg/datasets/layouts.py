"""How the particles of jets lie in the rows of a file: lists, padded arrays, candidates linked to jets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.columns import CardColumns


def layout_of(source: CardColumns, chunk: Mapping[str, Any], template: Any, first: int) -> RowJets | LinkedJets:
    """The layout of a chunk; ``template`` is a column of the particles."""
    return (LinkedJets if source.card.links else RowJets)(source, chunk, template, first)


class RowJets:
    """Every row is a jet; its particles are a list, or an array filled up with padding.

    Attributes:
        jets: number of jets.
        ptr: first place of each jet among all places, and their number.
        padded: all rows have the same number of places.
    """

    def __init__(self, source: CardColumns, chunk: Mapping[str, Any], template: Any, first: int) -> None:
        self.source, self.first = source, first
        self.padded = isinstance(template, np.ndarray)
        if getattr(template, "ndim", 0) != 2:
            raise DataFileError(
                f"{source.path}, {source.card}: the momenta have {getattr(template, 'ndim', 0)} axes, where a row "
                "(a jet) must hold a list of particles. For particles one after another, name the `offsets`; for "
                "numbered columns, a `series`; for an array of several numbers per particle, its `axes`."
            )
        self.jets = len(template)
        sizes = np.full(self.jets, template.shape[1]) if self.padded else counts(template)
        self.ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @cached_property
    def owner(self) -> np.ndarray:
        """The jet of each place."""
        return np.repeat(np.arange(self.jets), np.diff(self.ptr))

    def of_particles(self, values: Any, name: str) -> np.ndarray:
        """A column with a value per particle, flat; one with a value per jet is repeated.

        Raises:
            DataFileError: if a jet has another number of values than of momenta.
        """
        if getattr(values, "ndim", 0) < 2:
            return np.broadcast_to(np.asarray(values), self.jets)[self.owner]
        padded = isinstance(values, np.ndarray)
        sizes = np.full(len(values), values.shape[1]) if padded else counts(values)
        wrong = sizes != np.diff(self.ptr)
        if wrong.any():
            bad = int(np.flatnonzero(wrong)[0])
            raise DataFileError(
                f"{self.source.path}, jet {self.first + bad} (from 0): {name} in {self.source.card} has "
                f"{sizes[bad]} values for {int(np.diff(self.ptr)[bad])} particles: they do not fit together."
            )
        if values.ndim != 2:
            raise DataFileError(
                f"{self.source.path}: {name} in {self.source.card} holds more than one number per "
                "particle; name the places on its last axis (`axes`), or give a formula"
            )
        return values.reshape(-1) if padded else flat(values)

    def of_jets(self, values: Any, name: str) -> np.ndarray:
        """A column with a value per jet.

        Raises:
            DataFileError: if it has another shape.
        """
        values = values if isinstance(values, np.ndarray) or np.isscalar(values) else _numpy(values)
        if values is None or np.ndim(values) > 1:
            raise DataFileError(
                f"{self.source.path}: {name} in {self.source.card} holds lists, not one value per jet"
            )
        return np.broadcast_to(values, self.jets).copy()


class LinkedJets(RowJets):
    """Every row is an event, with lists of candidates and of jets, and links that say which belong together."""

    def __init__(self, source: CardColumns, chunk: Mapping[str, Any], template: Any, first: int) -> None:
        self.source, self.first, self.padded = source, first, False
        value = {key: source.value(text, chunk) for key, text in source.card.links.items()}
        for name, lists in (("momenta", template), *value.items()):
            if getattr(lists, "ndim", 0) < 2:
                raise DataFileError(
                    f"{source.path}: links need a list in each event; {name} in {source.card} is none"
                )
        self._candidates = counts(template)
        first_candidate = np.concatenate([[0], np.cumsum(self._candidates)])
        if "references" in value:
            self._jets = counts(value["references"])
            jet, candidate = self._by_reference(value["references"], value["ids"], first_candidate)
        else:
            self._jets = counts(value["jets"])
            jet, candidate = self._by_number(value["particle"], value["jet"], first_candidate)
        self.jets = int(self._jets.sum())
        order = np.argsort(jet, kind="stable")
        self._candidate = candidate[order]
        self.ptr = np.concatenate([[0], np.cumsum(np.bincount(jet, minlength=self.jets))]).astype(np.int64)

    @property
    def event(self) -> np.ndarray:
        """The event of each jet, counted in the chunk."""
        return np.repeat(np.arange(len(self._jets)), self._jets)

    @property
    def jet_in_event(self) -> np.ndarray:
        """The place of each jet among those of its event."""
        return np.arange(self.jets) - np.repeat(np.cumsum(self._jets) - self._jets, self._jets)

    def of_particles(self, values: Any, name: str) -> np.ndarray:
        """A column with a value per candidate, for the candidates of each jet in turn."""
        if getattr(values, "ndim", 0) < 2:
            return self.of_jets(values, name)[self.owner]
        if not np.array_equal(counts(values), self._candidates):
            raise DataFileError(
                f"{self.source.path}: {name} in {self.source.card} has not one value per candidate"
            )
        return flat(values)[self._candidate]

    def of_jets(self, values: Any, name: str) -> np.ndarray:
        """A column with a value per jet, or per event, whose jets then share it."""
        if getattr(values, "ndim", 0) == 2:
            if not np.array_equal(counts(values), self._jets):
                raise DataFileError(f"{self.source.path}: {name} in {self.source.card} has not one value per jet")
            return flat(values)
        values = np.broadcast_to(values if np.isscalar(values) else _numpy(values), len(self._jets))
        return np.repeat(values, self._jets)

    def _by_number(self, particle: Any, jet: Any, first_candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of jet and candidate, over all events, of each link; negative numbers mean no jet."""
        links = counts(particle)
        if not np.array_equal(links, counts(jet)):
            raise DataFileError(
                f"{self.source.path}: the links of {self.source.card} have not as many jets as "
                "candidates in an event"
            )
        event = np.repeat(np.arange(len(links)), links)
        particle, jet = flat(particle).astype(np.int64), flat(jet).astype(np.int64)
        linked = (jet >= 0) & (particle >= 0)
        event, particle, jet = event[linked], particle[linked], jet[linked]
        wrong = (particle >= self._candidates[event]) | (jet >= self._jets[event])
        if wrong.any():
            bad = int(np.flatnonzero(wrong)[0])
            raise DataFileError(
                f"{self.source.path}: a link of {self.source.card} leads to candidate {particle[bad]} and jet "
                f"{jet[bad]} of an event with {self._candidates[event[bad]]} candidates and "
                f"{self._jets[event[bad]]} jets: the columns do not belong together, or the file is damaged."
            )
        first_jet = np.concatenate([[0], np.cumsum(self._jets)])
        return first_jet[event] + jet, first_candidate[event] + particle

    def _by_reference(
        self, references: Any, ids: Any, first_candidate: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same for references, which are numbers that are unique within an event."""
        import awkward as ak

        sizes = ak.to_numpy(ak.num(ak.flatten(references, axis=1), axis=1)).astype(np.int64)
        jet = np.repeat(np.arange(len(sizes)), sizes)
        event = np.repeat(np.arange(len(self._jets)), self._jets)[jet]
        if not np.array_equal(counts(ids), self._candidates):
            raise DataFileError(
                f"{self.source.path}: links.ids of {self.source.card} are not those of the momenta"
            )
        number = _numpy(ak.flatten(references, axis=None)).astype(np.int64) & 0xFFFFFF
        known = flat(ids).astype(np.int64) & 0xFFFFFF
        known += np.repeat(np.arange(len(self._candidates)), self._candidates) << 24
        wanted = number + (event << 24)
        order = np.argsort(known, kind="stable")
        place = np.searchsorted(known[order], wanted)
        found = place < len(known)
        found[found] = known[order][place[found]] == wanted[found]
        if not found.all():
            raise DataFileError(
                f"{self.source.path}: {int((~found).sum())} of {len(found)} constituents are not among "
                f"{self.source.card.links['ids'].rpartition('.')[0]}. Name the collection that the jets are made "
                "of (names: {particle: ...}); jets of several collections (EFlowTrack, EFlowPhoton, "
                "EFlowNeutralHadron at once) are not read."
            )
        return jet, order[place]


def counts(lists: Any) -> np.ndarray:
    """Length of the list in each row."""
    if isinstance(lists, np.ndarray):
        return np.full(len(lists), lists.shape[1])
    import awkward as ak

    return ak.to_numpy(ak.num(lists, axis=1)).astype(np.int64)


def flat(lists: Any) -> np.ndarray:
    """The lists of all rows, one after another."""
    if isinstance(lists, np.ndarray):
        return lists.reshape(-1)
    import awkward as ak

    return ak.to_numpy(ak.flatten(lists, axis=1))


def _numpy(values: Any) -> np.ndarray | None:
    if isinstance(values, np.ndarray):
        return values
    import awkward as ak

    try:
        return ak.to_numpy(values)
    except ValueError:
        return None
