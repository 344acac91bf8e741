"""What is scored: files of jets in pieces, and the card that reads them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from lgae_pyg.applications.score_model import Scorer
from lgae_pyg.applications.score_table import Scored, joined
from lgae_pyg.checksums import fingerprint
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.datasets.cards import Card, read_card
from lgae_pyg.datasets.columns import CardColumns
from lgae_pyg.datasets.reading import JetReading, Piece
from lgae_pyg.datasets.recognition import recognise_card
from lgae_pyg.files import plain

#: Rows of a file that are one piece: what is scored again after a kill.
PIECE_ROWS = 5_000

#: Pieces that one process takes at a time, neighbours that are read in one go.
STRETCH = 8


@dataclass(frozen=True)
class ScoreJob:
    """Files that a model scores; with the same values the same bytes come out.

    Args:
        model: path of the checkpoint, or of the folder of a run.
        files: the files, in their order.
        card: what their columns are.
        latents: give the codes, too.
        codes: those of ordinary jets, for scores of the codes
            (:func:`~lgae_pyg.applications.score_model.reference_codes`).
        batch_size: jets per batch.
        piece_rows: rows of a piece.
        device: where the network computes, see :func:`~lgae_pyg.applications.score_model.choose_device`.
    """

    model: str
    files: tuple[str, ...]
    card: Card
    latents: bool = False
    codes: Tensor | None = None
    batch_size: int = 64
    piece_rows: int = PIECE_ROWS
    device: str = "cpu"

    def scorer(self) -> Scorer:
        """The model, loaded."""
        scorer = Scorer.of(self.model, self.latents, self.batch_size, self.device)
        return scorer if self.codes is None else scorer.fitted(self.codes)

    def recipe(self, scorer: Scorer) -> dict[str, Any]:
        """Plain values by which an interrupted job is known again."""
        codes = None if self.codes is None else hashlib.sha256(self.codes.numpy().tobytes()).hexdigest()
        about = {key: value for key, value in scorer.about().items() if key != "version"}
        inputs = {os.path.abspath(path): digest for path, digest in self.digests.items()}
        options: dict[str, Any] = {"latents": self.latents, "batch_size": self.batch_size}
        options["piece_rows"] = self.piece_rows
        if scorer.device != "cpu":  # whose roundings are others
            options["device"] = scorer.device
        job = {"model": about, "input files": inputs, "card": self.card.to_dict(), "reference": codes}
        return plain(job | {"options": options, "version": scorer.about()["version"]}, "job")

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file."""
        return {path: fingerprint(path) for path in self.files}

    def notes(self, scorer: Scorer) -> list[str]:
        """What is to be known of these jets and this model together, in sentences."""
        notes = scorer.notes()
        if not scorer.trained_on:
            return notes
        seen = [os.path.basename(path) for path, digest in self.digests.items() if digest in scorer.trained_on]
        if not seen:
            return notes
        listed = ", ".join(seen[:3]) + (f" and {len(seen) - 3} more" if len(seen) > 3 else "")
        return [
            *notes,
            f"{scorer.label} was trained on {listed}: what its scores of these jets are worth says little of new "
            "ones. `lgae evaluate` takes the jets that were kept aside."
        ]

    def pieces(self) -> list[Piece]:
        """The parts of the work: some rows of a file each; all of a file whose jets are linked to candidates.

        Raises:
            DataFileError: a file cannot be read, or lacks what the card names.
        """
        found = []
        for number, path in enumerate(self.files):
            rows = CardColumns(self.card, path).reader.rows
            step = rows or 1
            step = step if self.card.links else self.piece_rows
            found += [Piece(number, first, min(first + step, rows)) for first in range(0, rows, step)]
        return found

    def scored(self, scorer: Scorer, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Scored]]:
        """The scores of neighbouring pieces of one file, one after another."""
        first, path = pieces[0], self.files[pieces[0].file]
        stretch = Piece(first.file, first.first, pieces[-1].stop)
        reading = JetReading(self.files, self.card, scorer.rules, scorer.unit, scorer.seed, piece=stretch)
        chunks = (jets for _, jets in reading.unchecked())
        for piece, parts in [(first, chunks)] if self.card.links else cut(chunks, pieces):
            found = joined([scorer(jets, first.file, path) for jets in parts if len(jets)] or [Scored({})])
            yield piece, replace(found, class_names=reading.class_names, notes=reading.notes)


def cut(chunks: Iterable[FlatJets], pieces: Sequence[Piece]) -> Iterator[tuple[Piece, list[FlatJets]]]:
    """The jets of each piece, in at most one part, from chunks that were cut elsewhere."""
    waiting, held = list(pieces), []
    for jets in chunks:
        while len(jets):
            inside = jets.rows < waiting[0].stop
            held.append(jets if inside.all() else jets.take_jets(inside))
            if inside.all():
                break
            yield waiting.pop(0), [FlatJets.joined(held)]
            jets, held = jets.take_jets(~inside), []
    for piece in waiting:
        yield piece, [FlatJets.joined(held)] if held else []
        held = []


def choose_card(card: Any, files: Sequence[str], trained: Card | None, labels: bool = True) -> Card:
    """What is in the files: the card asked for; else that of the training, where it fits; else it is recognised.

    Args:
        card: name of a preset, file or entries of a card, or ``None``.
        files: the files.
        trained: the card of the training.
        labels: whether classes and published splits are read; without, files need not have them.

    Raises:
        DataFileError: none is given, none fits.
        ValueError: for a card that cannot be.
    """

    def as_asked(found: Card) -> Card:
        return found if labels else found.without_labels()

    if card is not None:
        return as_asked(read_card(card))
    if trained is not None and _fits(as_asked(trained), files[0]):
        return as_asked(trained)
    return recognise_card(files[0], labels)


def check_features(scorer: Scorer, card: Card) -> None:
    """Makes sure that a model which reads features of the particles gets those of its training.

    Raises:
        ValueError: the card has others, or in another order.
    """
    if not scorer.facts.config.get("extra_scalars") or scorer.card is None:
        return
    wanted, found = list(scorer.card.features), list(card.features)
    if wanted != found:
        raise ValueError(
            f"{scorer.label} was trained with the features {', '.join(wanted)}, and {card} gives "
            f"{', '.join(found) or 'none'}: name the same, in the same order, in a card of your own"
        )


def _fits(card: Card, path: str) -> bool:
    try:
        CardColumns(card, path)
        card.file_class(path)
    except ValueError:
        return False
    return True


def short_names(files: Sequence[str]) -> list[str]:
    """Names of files without folders; with as many folders as are needed where some are the same."""
    names = [os.path.basename(path) for path in files]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([os.path.abspath(path) for path in files])
    return [os.path.relpath(path, common) for path in files]


def stretches_of(missing: Sequence[int], pieces: Sequence[Piece], workers: int) -> list[list[int]]:
    """Numbers of pieces that are scored together: neighbours in one file, few where there are many processes."""
    longest = max(1, min(STRETCH, len(missing) // (4 * workers)))
    found: list[list[int]] = []
    for number in missing:
        last = found[-1] if found else []
        neighbour = last and last[-1] == number - 1 and pieces[last[-1]].file == pieces[number].file
        if neighbour and len(last) < longest:
            last.append(number)
        else:
            found.append([number])
    return found
