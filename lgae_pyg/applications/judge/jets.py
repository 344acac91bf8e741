"""Scored jets, cleaned: every number that is judged is of the same jets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: What may be known of a jet beside its scores, and how it is called when it is a score itself.
QUANTITIES = {"mass": "jet mass", "num_particles": "number of particles", "pt": "jet pT"}
#: A column with more values than this does not hold classes.
MOST_CLASSES = 200


@dataclass(frozen=True)
class Columns:
    """What was given, row by row, before anything is left out.

    Args:
        scores: each score by its name.
        labels: class of each row, a number, a name or a truth value.
        quantities: some of :data:`QUANTITIES`, mass and pT in GeV.
        class_names: names of the classes by their number; empty if labels are names, or have none.
        status: why a row has no score, where that is known; empty text for rows that have one.
        printed: what a column is called in messages, by ``labels`` or the name of a quantity.
        unknown: whether the number -1 says that the class is not known.
    """

    scores: Mapping[str, ArrayLike]
    labels: ArrayLike
    quantities: Mapping[str, ArrayLike] = field(default_factory=dict)
    class_names: Sequence[str] = ()
    status: ArrayLike | None = None
    printed: Mapping[str, str] = field(default_factory=dict)
    unknown: bool = False

    def name(self, role: str) -> str:
        """How a column is called in messages."""
        return self.printed.get(role, role)


@dataclass(frozen=True)
class ScoredJets:
    """Jets with finite numbers and known classes.

    Args:
        scores: each score by its name.
        y: number of the class of each jet, a place in ``class_names``.
        class_names: names of the classes that there are.
        numbers: what stood for these classes in the labels.
        quantities: some of :data:`QUANTITIES`.
        notes: sentences on what was left out.
    """

    scores: Mapping[str, Array]
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    numbers: tuple[Any, ...]
    quantities: Mapping[str, Array]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def of(cls, given: Columns) -> ScoredJets:
        """The jets whose scores, class and quantities are all known.

        A score without any number is left out. Of the rest, rows in which anything is missing are left out of all
        figures, and counted.

        Raises:
            ValueError: if columns differ in length, hold no numbers, or no jets or only one class are left; the
                message names column and row.
        """
        if not given.scores:
            raise ValueError("there is no score to judge")
        scores = {name: as_numbers(values, name) for name, values in given.scores.items()}
        quantities = {role: as_numbers(values, given.name(role)) for role, values in given.quantities.items()}
        labels, names, numbers = classes_of(given.labels, given)
        _check_lengths(scores | {given.name(role): one for role, one in quantities.items()}, labels, given)
        empty = [name for name, values in scores.items() if np.isnan(values).all()]
        if len(empty) == len(scores):
            raise ValueError(f"score '{empty[0]}' is NaN in all {len(labels):,} rows: there is nothing to judge")
        scores = {name: values for name, values in scores.items() if name not in empty}
        notes = [f"Score '{name}' is left out: it is NaN in every row." for name in empty]
        missing = {f"'{name}' is NaN": np.isnan(values) for name, values in scores.items()}
        missing |= {
            f"'{given.name(role)}' is not finite": ~np.isfinite(values) for role, values in quantities.items()
        }
        missing[f"the class in '{given.name('labels')}' is unknown"] = labels < 0
        kept = ~np.logical_or.reduce(list(missing.values()))
        notes += _left_out(missing, kept, given.status)
        found = np.unique(labels[kept])
        if len(found) < 2:
            _refuse_one_class(found, names, given, kept)
        return cls(
            {name: values[kept] for name, values in scores.items()},
            np.searchsorted(found, labels[kept]),
            tuple(names[one] for one in found),
            tuple(numbers[one] for one in found),
            {role: values[kept] for role, values in quantities.items()},
            tuple(notes),
        )


def as_numbers(values: ArrayLike, name: str) -> Array:
    """A column as numbers; what is missing is NaN.

    Raises:
        ValueError: names the first row that is no number.
    """
    array = np.ma.filled(np.ma.asarray(values, dtype=None), np.nan) if np.ma.isMaskedArray(values) else values
    array = np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"'{name}' has the shape {array.shape}: a column has one number in each row")
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    found = np.full(len(array), np.nan)
    for row, value in enumerate(array.tolist()):
        try:
            found[row] = np.nan if value is None or value in ("", b"") else float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"row {row} (from 0) of '{name}' is {_short(value)}, no number: choose another column, or mend it"
            ) from None
    return found


def classes_of(labels: ArrayLike, given: Columns) -> tuple[NDArray[np.int64], list[str], list[Any]]:
    """The class of each row as a place in a list of names, -1 where it is unknown; names; values in the labels.

    Raises:
        ValueError: if the column holds no classes.
    """
    column = given.name("labels")
    array = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"'{column}' has the shape {array.shape}: labels are one class for each jet")
    if array.dtype.kind not in "biuf":
        texts = np.array([_text(value) for value in array.tolist()], dtype=object)
        try:
            array = np.array([float(text) if text else np.nan for text in texts])
        except ValueError:
            return _named(texts, given)
    values = array.astype(np.float64)
    known = np.isfinite(values)
    odd = np.flatnonzero(known & (values != np.round(values)))
    if odd.size:
        raise ValueError(
            f"row {odd[0]} (from 0) of '{column}' is {values[odd[0]]:g}: labels are numbers of classes (0, 1, "
            "...) or their names; choose another column"
        )
    found = np.unique(values[known])
    if given.unknown or len(found) > 2:
        known, found = known & (values != -1), found[found != -1]
    _check_classes(found, column)
    numbers = [int(one) for one in found]
    known_names = given.class_names
    names = [known_names[one] if 0 <= one < len(known_names) else f"class {one}" for one in numbers]
    return np.where(known, np.searchsorted(found, np.where(known, values, 0)), -1), names, numbers


def _named(texts: NDArray, given: Columns) -> tuple[NDArray[np.int64], list[str], list[Any]]:
    names = sorted(set(texts) - {""}, key=lambda name: (_place(name, given.class_names), name))
    _check_classes(names, given.name("labels"))
    places = {name: place for place, name in enumerate(names)} | {"": -1}
    return np.array([places[text] for text in texts], dtype=np.int64), names, list(names)


def _place(name: str, names: Sequence[str]) -> int:
    return list(names).index(name) if name in names else len(names)


def _text(value: Any) -> str:
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return "" if value is None or value != value else str(value).strip()


def _check_classes(found: Sequence[Any], column: str) -> None:
    if len(found) > MOST_CLASSES:
        raise ValueError(
            f"'{column}' has {len(found):,} different values: it does not hold classes; choose another column"
        )


def _check_lengths(columns: Mapping[str, Array], labels: NDArray, given: Columns) -> None:
    lengths = {name: len(values) for name, values in columns.items()} | {given.name("labels"): len(labels)}
    if len(set(lengths.values())) > 1:
        inside = ", ".join(f"'{name}' {size:,}" for name, size in lengths.items())
        raise ValueError(f"columns differ in length: {inside}; each must have one number for each jet")
    if not len(labels):
        raise ValueError("there are no jets: the columns are empty")


def _left_out(missing: Mapping[str, NDArray], kept: NDArray, status: ArrayLike | None) -> list[str]:
    """A sentence on the rows that are left out, if there are any."""
    if kept.all():
        return []
    parts = [
        f"{reason} in {int(rows.sum()):,} (first in row {int(rows.argmax())})"
        for reason, rows in missing.items() if rows.any()
    ]  # fmt: skip
    text = f"{int((~kept).sum()):,} of {len(kept):,} jets are left out of all figures: {', '.join(parts)}."
    reasons = [] if status is None else [_text(one) for one in np.asarray(status)[~kept].tolist()]
    counts = {one: reasons.count(one) for one in dict.fromkeys(reasons) if one}
    if counts:
        text += f" Their status: {', '.join(f'{one} ({count:,})' for one, count in counts.items())}."
    return [text]


def _refuse_one_class(found: NDArray, names: Sequence[str], given: Columns, kept: NDArray) -> None:
    column = given.name("labels")
    if not len(found):
        if not len(names):
            raise ValueError(
                f"'{column}' gives none of the {len(kept):,} jets a class: to judge a score takes the truth; name "
                "the column that holds it (--label; labels=), or score jets with labels"
            )
        raise ValueError(f"no jets are left: in each of the {len(kept):,} rows a score or the class is missing")
    lost = "" if kept.all() else f" of the {int(kept.sum()):,} of {len(kept):,} rows in which nothing is missing"
    raise ValueError(
        f"all jets{lost} are of one class, '{names[found[0]]}' in '{column}': to judge a score takes background "
        "and signal; add jets of another class, or choose another label"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
