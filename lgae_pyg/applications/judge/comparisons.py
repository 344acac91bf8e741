"""Which jets are background and which are signal, for each score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.applications.judge.jets import ScoredJets
from lgae_pyg.registry import suggestion
from lgae_pyg.vocabulary import QCD

#: Names of classes that are taken for background if nobody says which is.
BACKGROUNDS = {*QCD, "qcd", "background", "bkg", "bg", "ordinary", "normal", "gluon", "quark", "g+q", "q+g"}
#: All signals together, and all classes but one.
UNION, OTHERS = "all signals", "all others"
#: More classes than these, none of which is called background, are not guessed about.
MOST_GUESSED = 10
#: Jets of the background below which a sentence says that there are few.
FEW = 10


@dataclass(frozen=True)
class Comparison:
    """A score that is asked to tell two kinds of jets apart.

    Args:
        score: name of the score.
        background: printed name of the background.
        signal: printed name of the signal.
        is_background: of each jet.
        is_signal: of each jet.
        headline: whether the verdict in words is about it.
    """

    score: str
    background: str
    signal: str
    is_background: NDArray[np.bool_]
    is_signal: NDArray[np.bool_]
    headline: bool = True


def compare(
    jets: ScoredJets, background: Sequence[str] = (), signals: Sequence[str] = ()
) -> tuple[list[Comparison], list[str]]:
    """What is compared with what, and sentences on what was guessed and left out.

    A score that is made for one class (``score_top``) is asked about that class alone, of more than two classes
    without a chosen background against all others. Other scores are asked about each signal and about all signals.

    Args:
        jets: the jets.
        background: names or numbers of the classes that are background; guessed from their names when empty.
        signals: the same of the signals; all other classes when empty.

    Raises:
        ValueError: for a class that there is not, or that would be background and signal.
    """
    own, notes = own_classes(jets), []
    chosen, wanted = ([_class(one, jets) for one in names] for names in (background, signals))
    if both := set(chosen) & set(wanted):
        raise ValueError(f"class '{jets.class_names[min(both)]}' cannot be background and signal")
    against_all = not chosen and len(jets.class_names) > 2
    general = [name for name in jets.scores if name not in own or not against_all]
    if not chosen and general:
        chosen = _guess(jets, wanted, own)
        names = _together(jets, chosen)
        notes.append(f"Background: {names} (a guess; --background or background= says another).")
    named = set(wanted) or set(range(len(jets.class_names)))
    wanted = wanted or [place for place in range(len(jets.class_names)) if place not in chosen]
    if general and not wanted:
        raise ValueError("every class is background: leave one for the signal")
    found = []
    for score in jets.scores:
        if score in own and against_all:
            found += _against_all(jets, score, own[score]) if own[score] in named else []
            continue
        asked = [place for place in wanted if own.get(score, place) == place]
        if not asked:
            notes.append(f"Score '{score}' is left out: it is made for '{jets.class_names[own[score]]}'.")
        found += _against(jets, score, chosen, asked)
    if not found:
        raise ValueError("no score is left to judge: the scores are made for classes that are no signal here")
    sizes = {one.background: int(one.is_background.sum()) for one in found}
    few = {name: size for name, size in sizes.items() if size < FEW}
    notes += [f"Only {size} jets of '{name}': errors cannot be trusted." for name, size in few.items()]
    return found, notes


def own_classes(jets: ScoredJets) -> dict[str, int]:
    """The scores whose names say which class they are made for, and that class."""
    meant: dict[str, int] = {}
    for place, (name, number) in enumerate(zip(jets.class_names, jets.numbers)):
        for one in (name, f"label_{name}", str(number)):
            meant.setdefault(_plain(one), place)
    stems = {score: _plain(score) for score in jets.scores}
    found = {}
    for score, stem in stems.items():
        for mark in ("score", "scores", "prob", "output"):
            rest = stem.removeprefix(mark)
            if rest != stem and rest in meant:
                found[score] = meant[rest]
    return found


def _plain(name: str) -> str:
    return "".join(one for one in name.rpartition("/")[2].lower() if one.isalnum())


def _class(name: str, jets: ScoredJets) -> int:
    """The place of a class that is meant by its name, or by what stands in the labels."""
    for place, (known, number) in enumerate(zip(jets.class_names, jets.numbers)):
        if str(name) in (known, str(number)):
            return place
    inside = ", ".join(jets.class_names)
    raise ValueError(f"there is no class '{name}'{suggestion(name, jets.class_names)}; there are: {inside}")


def _guess(jets: ScoredJets, signals: Sequence[int], own: Mapping[str, int]) -> list[int]:
    """The background if nobody says it: where classes have scores of their own the first, as in our study of
    taggers; else the classes whose names say so, or the first one."""
    places = [place for place in range(len(jets.class_names)) if place not in signals]
    if signals:
        return places
    named = [place for place in places if jets.class_names[place].lower() in BACKGROUNDS]
    if not named and len(places) > MOST_GUESSED:
        listed = ", ".join(jets.class_names[place] for place in places[:MOST_GUESSED])
        raise ValueError(
            f"there are {len(places)} classes ({listed}, ...), none of which is called background: say which are, "
            "and which are the signals (--background A,B --signal C; background=, signals=)"
        )
    if own or not named or len(named) == len(places):
        return places[:1]
    return named


def _together(jets: ScoredJets, places: Sequence[int]) -> str:
    return "+".join(jets.class_names[place] for place in places)


def _against_all(jets: ScoredJets, score: str, place: int) -> list[Comparison]:
    is_signal = jets.y == place
    return [Comparison(score, OTHERS, jets.class_names[place], ~is_signal, is_signal)]


def _against(
    jets: ScoredJets, score: str, background: Sequence[int], signals: Sequence[int]
) -> list[Comparison]:
    """Each signal against the background, and all together at the end."""
    ordinary, name = np.isin(jets.y, background), _together(jets, background)
    found = [
        Comparison(score, name, jets.class_names[one], ordinary, jets.y == one, len(signals) == 1)
        for one in signals
    ]
    if len(signals) > 1:
        found.append(Comparison(score, name, UNION, ordinary, np.isin(jets.y, signals)))
    return found
