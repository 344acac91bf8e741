"""The verdict in words. Every sentence follows from numbers and their errors, which it gives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lgae_pyg.applications.judge.numbers import Equal, Numbers
from lgae_pyg.metrics.roc import FEWEST_PASSING
from lgae_pyg.tables import format_with_error

#: Standard errors from which a difference counts; rank correlation from which a score is the quantity itself.
FAR, SAME = 3.0, 0.99
#: Background efficiencies at which the ends of a score are looked at.
ENDS = (0.1, 0.01)
#: A random cut must reach the distance of a real one less often than this for the real one to sculpt.
RARE = 0.003
#: Of a separation, the share at equal mass below which most of it is the mass.
MOST, HALF = 0.2, 0.5
WORDS = {"mass": "the jet mass", "num_particles": "the number of particles"}
IS = "This score is"
EQUAL = {"mass": "at equal mass", "num_particles": "at equal number of particles"}


def verdict_of(one: Numbers, references: Sequence[Numbers]) -> tuple[str, ...]:
    """What a score is worth, in sentences; that it is the jet mass or the number of particles comes first.

    Args:
        one: its numbers.
        references: those of the jet mass, the number of particles and the pT alone, on the same jets.
    """
    if one.constant:
        return ("All jets have the same score: it tells nothing.",)
    explained = [text for role in WORDS if (text := _explained(one, role, references))]
    same = [text for text in explained if text.startswith(IS)]
    others = [_separation(one), *(text for text in explained if text not in same), _sculpting(one)]
    return (*same, *(text for text in others if text))


def informed(one: Numbers) -> bool:
    """Whether a score is more than :data:`FAR` errors from one without information, in its area or at its ends."""
    merits = one.merits["larger"]
    return _far(merits["auc"], merits["auc_error"], 0.5) or _ends(one) is not None


def _ends(one: Numbers) -> tuple[str, float] | None:
    """The way to read a score and the background efficiency at which its signal efficiency is farthest from that
    of a score without information; ``None`` if it is nowhere far from it."""
    found = {}
    background, signal = one.jets
    for way, merits in one.merits.items():
        for place in ENDS:
            if place * background < FEWEST_PASSING:
                continue
            # without information the errors of both kinds are binomial; those of a bootstrap may be zero
            chance = math.sqrt(place * (1 - place) * (1 / background + 1 / signal))
            error = max(chance, merits[f"efficiency_{place:g}_error"])
            if _far(merits[f"efficiency_{place:g}"], error, place):
                found[way, place] = abs(merits[f"efficiency_{place:g}"] - place) / error
    return max(found, key=found.__getitem__) if found else None


def _separation(one: Numbers) -> str:
    merits, kinds = one.merits["larger"], f"{one.signal} from {one.background}"
    auc = f"AUC {format_with_error(merits['auc'], merits['auc_error'])}"
    far, ends = _far(merits["auc"], merits["auc_error"], 0.5), _ends(one)
    if not far and ends is None:
        for role, equal in one.equal.items():
            if math.isfinite(equal.auc) and _far(equal.auc, equal.error, 0.5):
                at = f"AUC {format_with_error(equal.auc, equal.error)}"
                return f"It does not tell {kinds} among all jets ({auc}), but {EQUAL[role]} it does ({at})."
        return f"It has no information that tells {kinds} ({auc}; without any it is 0.5)."
    if not far and ends is not None:
        way, place = ends
        merits = one.merits[way]
        tail = format_with_error(merits[f"efficiency_{place:g}"], merits[f"efficiency_{place:g}_error"])
        side = "largest" if way == "larger" else "smallest"
        return (
            f"Its area does not tell {kinds} ({auc}), but its ends do: a cut that {100 * place:g} % of the "
            f"background passes, those with the {side} scores, is passed by {tail} of the signal."
        )
    way = "It"
    if merits["auc"] < 0.5:
        way = f"Small values mean signal ({auc}): with the other sign it"
        merits = one.merits["smaller"]
    if merits["auc"] == 1:
        return f"{way} tells all {kinds} (AUC 1)."
    rejection = _rejection(merits["rejection_0.5"], merits["rejection_0.5_error"], one.jets[0])
    gain = format_with_error(merits["improvement"], merits["improvement_error"])
    known = math.isfinite(merits["improvement"])
    improvement = f", and the significance improves at most {gain} times" if known else ""
    auc = format_with_error(merits["auc"], merits["auc_error"])
    return f"{way} tells {kinds} with an AUC of {auc}; beside half of the signal {rejection}{improvement}."


def _rejection(value: float, error: float, background: int) -> str:
    if math.isinf(value):
        return f"none of {background:,} background jets passes"
    return f"one in {format_with_error(value, error)} background jets passes"


def _explained(one: Numbers, role: str, references: Sequence[Numbers]) -> str:
    """How much of a score is a quantity; empty where that is not known or there is nothing to explain."""
    if role not in one.correlation:
        return ""
    rank, equal, merits = one.correlation[role][0], one.equal[role], one.merits["larger"]
    at = f"{EQUAL[role]} AUC {format_with_error(equal.auc, equal.error)}"
    alone = next(other for other in references if other.quantity == role)
    own = alone.equal[role]  # what bins of some width leave of the quantity itself
    leak = own.auc if rank > 0 else 1 - own.auc
    known = math.isfinite(equal.auc)
    if abs(rank) >= SAME and not known:
        return (
            f"In the background it has the order of {WORDS[role]} (rank correlation {rank:.2f}); too few jets are "
            "equal to tell whether it knows more."
        )
    if abs(rank) >= SAME and not _far(equal.auc, math.hypot(equal.error, own.error), leak):
        sign = "" if rank > 0 else " with the other sign"
        return f"{IS} {WORDS[role]}{sign} (rank correlation {rank:.2f} in the background; {at})."
    if not _far(merits["auc"], merits["auc_error"], 0.5):
        return ""
    if not known:
        return f"Too few jets are equal to tell it from {WORDS[role]} (rank correlation {rank:.2f})."
    share, error = _share(merits["auc"], merits["auc_error"], equal)
    detail = f"(rank correlation {rank:.2f}; {at}; {WORDS[role]} alone has {_alone(alone)})"
    if FAR * equal.error >= abs(merits["auc"] - 0.5):
        return f"Too few jets are equal to tell how much of it is {WORDS[role]} {detail}."
    if abs(equal.auc - 0.5) <= max(FAR * equal.error, abs(own.auc - 0.5)):
        return f"It tells no more than {WORDS[role]}: nothing is left {EQUAL[role]} {detail}."
    left = f"{100 * share:.0f} ± {100 * error:.0f} % of the distance of its AUC from 0.5 is left {EQUAL[role]}"
    if share < 0:
        return f"It is worse than {WORDS[role]}: {EQUAL[role]} it points the other way {detail}."
    if share < MOST:
        return f"Most of it is {WORDS[role]}: {left} {detail}."
    if share < HALF:
        return f"More than half of it is {WORDS[role]}: {left} {detail}."
    return f"It is more than {WORDS[role]}: {left} {detail}."


def _alone(reference: Numbers) -> str:
    way = max(reference.merits.values(), key=lambda merits: merits["auc"])
    return f"AUC {format_with_error(way['auc'], way['auc_error'])}"


def _share(auc: float, auc_error: float, equal: Equal) -> tuple[float, float]:
    """What is left at equal mass of the distance of an area from one half, with the error of both."""
    whole, left = auc - 0.5, equal.auc - 0.5
    share = left / whole
    return share, math.hypot(equal.error / whole, share * auc_error / whole)


def _sculpting(one: Numbers) -> str:
    way = "larger" if one.merits["larger"]["auc"] >= 0.5 else "smaller"
    cut = one.sculpting.get(way, {}).get(0.1)
    if cut is None:
        return ""
    distance = format_with_error(cut.distance, cut.error)
    noise = f"random cuts of that size {format_with_error(cut.noise, cut.noise_error)}"
    if cut.chance > RARE:
        return f"At 10 % background no sculpting of the background's mass is seen (distance {distance}; {noise})."
    return (
        f"A cut at 10 % background sculpts the background's mass: its median goes from {cut.before:.3g} to "
        f"{cut.after:.3g} GeV (Jensen-Shannon distance {distance}; {noise})."
    )


def _far(value: float, error: float, expected: float) -> bool:
    """Whether a number is far from what is expected; an error of zero makes every difference count."""
    if not math.isfinite(value):
        return False
    return abs(value - expected) > FAR * (error if math.isfinite(error) else 0)
