"""``judge``: what a score is worth, from scores and labels alone."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lgae_pyg.applications.judge.comparisons import Comparison, compare
from lgae_pyg.applications.judge.jets import QUANTITIES, Columns, ScoredJets
from lgae_pyg.applications.judge.numbers import Numbers, judge_numbers
from lgae_pyg.applications.judge.tables import verdict_tables
from lgae_pyg.applications.judge.words import verdict_of
from lgae_pyg.tables import Table

FORMAT = 1
#: Classes whose numbers of jets are listed.
MOST_LISTED = 8
#: Characters of a line of text.
WIDTH = 110


@dataclass(frozen=True)
class Verdict:
    """What scores are worth; printed, it is one page.

    Attributes:
        words: the verdict in words: sentences on each score.
        tables: ``separation``, and where the quantities are known ``explanation`` and ``sculpting``.
        notes: what was guessed, and what was left out.
        numbers: of each comparison, and of the quantities alone.
        jets: the jets that they are of.
        comparisons: which of them are background and signal.
        about: plain values: where the jets come from.
    """

    words: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Table]
    notes: tuple[str, ...]
    numbers: tuple[Numbers, ...]
    jets: ScoredJets
    comparisons: tuple[Comparison, ...]
    about: Mapping[str, Any]

    def __str__(self) -> str:
        wrap = functools.partial(textwrap.fill, width=WIDTH)
        notes = "\n".join(wrap(note) for note in self.notes)
        words = [
            "\n".join([name, *(wrap(one, initial_indent="  - ", subsequent_indent="    ") for one in sentences)])
            for name, sentences in self.words.items()
        ]
        return "\n\n".join([notes, *words, *(table.compact().to_text(WIDTH) for table in self.tables.values())])

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON; ``None`` stands for a number that is not known, ``"inf"`` for an
        infinite one."""
        content = {
            "format": FORMAT,
            **self.about,
            "jets": {
                name: int((self.jets.y == place).sum()) for place, name in enumerate(self.jets.class_names)
            },
            "notes": list(self.notes),
            "verdict": self.words,
            "scores": [asdict(one) for one in self.numbers],
        }
        return _plain(content)

    def save(self, folder: Any) -> Any:
        """Writes ``verdict.html`` (one self-contained page), ``verdict.json``, tables and figures into a folder.

        Args:
            folder: made if missing; an older verdict in it is replaced.

        Returns:
            The path of the page.
        """
        from lgae_pyg.applications.judge.page import save_verdict

        return save_verdict(self, folder)


def judge(
    scores: Any,
    labels: ArrayLike,
    *,
    mass: ArrayLike | None = None,
    num_particles: ArrayLike | None = None,
    pt: ArrayLike | None = None,
    background: Any = (),
    signals: Any = (),
    class_names: Sequence[str] = (),
    resamples: int = 200,
    progress: bool = False,
) -> Verdict:
    r"""What scores are worth: what they separate, how much of it is the jet mass or the number of particles.

    Args:
        scores: one score, several by name, or one for each class. Larger should mean signal; both ways are judged.
        labels: class of each jet: truth values, numbers or names.
        mass: jet mass in GeV.
        num_particles: number of particles of each jet.
        pt: transverse momentum of each jet in GeV.
        background: name or number of the class that is background, or several; guessed when left out, and said.
        signals: the same of the signals; all other classes when left out.
        class_names: names of the classes by their number.
        resamples: bootstrap samples behind each error.
        progress: show it.

    Returns:
        The verdict. ``print`` it, or ``verdict.save(folder)``.

    Raises:
        ValueError: if columns differ in length, a column holds no numbers, no score or only one class is left; the
            message names column and row.

    Shapes:
        - **scores**: :math:`(n,)` each, or :math:`(n, C)`
        - **labels**, **mass**, **num_particles**, **pt**: :math:`(n,)`
    """
    given = {"mass": mass, "num_particles": num_particles, "pt": pt}
    columns = Columns(
        scores=named_scores(scores, class_names),
        labels=labels,
        quantities={role: values for role, values in given.items() if values is not None},
        class_names=tuple(class_names),
    )
    return judge_columns(columns, background, signals, resamples, progress)


def judge_columns(
    columns: Columns,
    background: Any = (),
    signals: Any = (),
    resamples: int = 200,
    progress: bool = False,
    about: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Verdict:
    """The verdict on columns; errors as those of :func:`judge`.

    Args:
        columns: what is judged.
        background, signals, resamples, progress: as in :func:`judge`.
        about: plain values that are kept: where the columns come from.
        notes: sentences that stand before all others.
    """
    if resamples < 2:
        raise ValueError(f"an error needs at least 2 bootstrap samples, not {resamples}")
    jets = ScoredJets.of(columns)
    comparisons, guessed = compare(jets, _names(background), _names(signals))
    numbers = judge_numbers(jets, comparisons, resamples, progress)
    words = {}
    for one in numbers:
        same = [ref for ref in numbers if (ref.background, ref.signal) == (one.background, one.signal)]
        if one.headline and not one.quantity:
            words[one.score] = verdict_of(one, [ref for ref in same if ref.quantity])
    counts = _counts(jets, comparisons)
    caption = f"Jets: {counts}. Background: {', '.join(dict.fromkeys(one.background for one in comparisons))}."
    missing = [QUANTITIES[role] for role in QUANTITIES if role not in jets.quantities]
    lost = [f"Not judged, since it is not given: {', '.join(missing)}."] if missing else []
    return Verdict(
        words=words,
        tables=verdict_tables(numbers, caption),
        notes=(*notes, f"Jets: {counts}.", *jets.notes, *guessed, *lost),
        numbers=tuple(numbers),
        jets=jets,
        comparisons=tuple(comparisons),
        about=about or {},
    )


def _counts(jets: ScoredJets, comparisons: Sequence[Comparison]) -> str:
    """How many jets there are of each class that is compared, the larger classes by name."""
    asked = np.any([one.is_background | one.is_signal for one in comparisons], axis=0)
    sizes = {name: int((asked & (jets.y == place)).sum()) for place, name in enumerate(jets.class_names)}
    words = [f"{size:,} {name}" for name, size in sizes.items() if size]
    if len(words) <= MOST_LISTED:
        return ", ".join(words)
    return f"{int(asked.sum()):,} of {len(words)} classes, {', '.join(words[:MOST_LISTED])}, ..."


def named_scores(scores: Any, class_names: Sequence[str] = (), name: str = "score") -> dict[str, ArrayLike]:
    """Scores by name; of one for each class as many, ``score_CLASS``, of two classes that of the second alone."""
    if isinstance(scores, Mapping):
        found: dict[str, ArrayLike] = {}
        for key, values in scores.items():
            found |= named_scores(values, class_names, str(key))
        return found
    array = scores.detach().cpu() if hasattr(scores, "detach") else scores
    array = array if np.ma.isMaskedArray(array) else np.asarray(array)
    if array.ndim != 2 or array.shape[1] == 1:
        return {name: array}
    if array.shape[1] == 2:
        return {name: array[:, 1]}
    names = [class_names[k] if k < len(class_names) else str(k) for k in range(array.shape[1])]
    return {f"{name}_{one}": array[:, k] for k, one in enumerate(names)}


def _names(given: Any) -> list[str]:
    if given is None or isinstance(given, str | bytes) or not hasattr(given, "__iter__"):
        given = [] if given is None else [given]
    return [str(int(one)) if isinstance(one, bool) else str(one) for one in given]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        value = float(value)
        return value if math.isfinite(value) else None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value.item() if isinstance(value, np.generic) else value
