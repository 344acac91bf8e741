"""The numbers of a verdict: what a score separates, how much of it is mass or multiplicity, what a cut does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.applications.judge.comparisons import Comparison
from lgae_pyg.applications.judge.jets import QUANTITIES, ScoredJets
from lgae_pyg.metrics.equal_mass import (
    MASS_WIDTH,
    efficiencies_at_equal_mass,
    equal_mass_with_error,
    share_at_equal_mass,
)
from lgae_pyg.metrics.rank import rank_correlation
from lgae_pyg.metrics.roc import figures_both_ways
from lgae_pyg.metrics.sculpting import Sculpting, mass_sculpting
from lgae_pyg.progress import steps

Array = NDArray[np.float64]
T = TypeVar("T")

#: Background efficiencies of the cuts whose effect on the mass is measured.
CUTS = (0.1, 0.01)
#: Bootstrap samples of the area at equal mass, as in the studies of taggers and of anomalies.
FEW_RESAMPLES = 40
#: Widths of the bins of the number of particles: the first in which enough of the signal can be compared.
NUMBER_WIDTHS, ENOUGH = (1.0, 2.0, 5.0, 10.0), 0.5
#: What jets are made equal in.
EQUAL_IN = ("mass", "num_particles")
#: The two ways to read a score.
WAYS = ("larger", "smaller")


@dataclass(frozen=True)
class Equal:
    """What is left of a separation among jets that are equal in a quantity.

    Attributes:
        auc: the area.
        error: its bootstrap error.
        width: of the bins.
        share: of the signal jets that are in bins with enough jets of either kind.
        efficiencies: signal efficiencies ``efficiency_0.1``, ... with their errors, see
            :func:`~lgae_pyg.metrics.equal_mass.efficiencies_at_equal_mass`.
    """

    auc: float
    error: float
    width: float
    share: float
    efficiencies: Mapping[str, float]


@dataclass(frozen=True)
class Numbers:
    """What is known of one comparison.

    Attributes:
        score: name of the score, or printed name of the quantity.
        background, signal: printed names.
        jets: numbers of background and of signal jets.
        headline: whether the verdict in words is about it.
        merits: figures of merit where larger scores are signal, and where smaller ones are.
        correlation: rank correlation with each quantity in the background, and its error.
        equal: area among jets of equal mass, and of equal number of particles.
        sculpting: effect of a cut, by way and background efficiency; ``None`` for too few jets.
        constant: whether all jets have the same score.
        quantity: which of :data:`QUANTITIES` it is, if it is no score but a quantity that scores are held against.
    """

    score: str
    background: str
    signal: str
    jets: tuple[int, int]
    headline: bool
    merits: Mapping[str, Mapping[str, float]]
    correlation: Mapping[str, tuple[float, float]]
    equal: Mapping[str, Equal]
    sculpting: Mapping[str, Mapping[float, Sculpting | None]]
    constant: bool = False
    quantity: str = ""


def judge_numbers(
    jets: ScoredJets, comparisons: Sequence[Comparison], resamples: int = 200, progress: bool = False
) -> list[Numbers]:
    """The numbers of each comparison, and after those of one background and signal the quantities alone.

    Args:
        jets: the jets.
        comparisons: what is compared with what.
        resamples: bootstrap samples behind each error; areas at equal mass have at most :data:`FEW_RESAMPLES`.
        progress: show it.
    """
    pairs = {(one.background, one.signal): one for one in comparisons}
    references = [
        Comparison(role, one.background, one.signal, one.is_background, one.is_signal, one.headline)
        for one in pairs.values() for role in jets.quantities
    ]  # fmt: skip
    measure = _Measure(jets, resamples)
    with steps(len(comparisons) + len(references), progress, "judge") as tick:
        found = []
        for reference, group in ((False, comparisons), (True, references)):
            for one in group:
                found.append(measure(one, reference))
                tick()
    return found


class _Measure:
    """Measures comparisons; what depends on the background alone is computed once for all signals."""

    def __init__(self, jets: ScoredJets, resamples: int) -> None:
        self.jets, self.resamples = jets, resamples
        self.known: dict[tuple, Any] = {}

    def __call__(self, asked: Comparison, reference: bool) -> Numbers:
        jets, key = self.jets, (asked.score, asked.background, reference)
        values = (jets.quantities if reference else jets.scores)[asked.score]
        background, signal = values[asked.is_background], values[asked.is_signal]
        ways = figures_both_ways(background, signal, self.resamples)
        return Numbers(
            score=QUANTITIES[asked.score] if reference else asked.score,
            background=asked.background,
            signal=asked.signal,
            jets=(len(background), len(signal)),
            headline=asked.headline,
            merits=dict(zip(WAYS, ways)),
            correlation=self._once(("rank", *key), lambda: self._correlations(background, asked)),
            equal=self._equal(values, asked),
            sculpting=self._once(("cut", *key), lambda: self._sculpting(background, asked)),
            constant=bool(np.ptp(np.concatenate([background, signal]).clip(-1e308, 1e308)) == 0),
            quantity=asked.score if reference else "",
        )

    def _once(self, key: tuple, make: Callable[[], T]) -> T:
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def _correlations(self, background: Array, asked: Comparison) -> dict[str, tuple[float, float]]:
        quantities = self.jets.quantities.items()
        return {role: rank_correlation(background, one[asked.is_background]) for role, one in quantities}

    def _equal(self, values: Array, asked: Comparison) -> dict[str, Equal]:
        """The score's areas among jets of equal mass and of equal number of particles."""
        kinds, found = (asked.is_background, asked.is_signal), {}
        for role in EQUAL_IN:
            if role not in self.jets.quantities:
                continue
            alone = [self.jets.quantities[role][kind] for kind in kinds]
            key = ("width", role, asked.background, asked.signal)
            width, share = self._once(key, functools.partial(bins_of, role, *alone))
            of_background, of_signal = (np.stack([values[kind], one], -1) for kind, one in zip(kinds, alone))
            few = min(self.resamples, FEW_RESAMPLES)
            area, error = equal_mass_with_error(of_background, of_signal, few, width)
            efficiencies = efficiencies_at_equal_mass(of_background, of_signal, few, width)
            found[role] = Equal(area, error, width, share, efficiencies)
        return found

    def _sculpting(self, background: Array, asked: Comparison) -> dict[str, dict[float, Sculpting | None]]:
        if "mass" not in self.jets.quantities:
            return {}
        mass = self.jets.quantities["mass"][asked.is_background]
        return {
            way: {cut: mass_sculpting(sign * background, mass, cut) for cut in CUTS}
            for way, sign in zip(WAYS, (1, -1))
        }


def bins_of(role: str, background: Array, signal: Array) -> tuple[float, float]:
    """The width of the bins in which jets count as equal, and the share of the signal that is compared in them.

    Of the mass 10 GeV, as in our studies; of the number of particles the finest of :data:`NUMBER_WIDTHS` in which
    that share is at least :data:`ENOUGH` of the largest, since wide bins leave jets unequal.
    """
    if role == "mass":
        return MASS_WIDTH, share_at_equal_mass(background, signal, MASS_WIDTH)
    shares = {width: share_at_equal_mass(background, signal, width) for width in NUMBER_WIDTHS}
    most = max(shares.values())
    width = next(width for width, share in shares.items() if share >= ENOUGH * most)
    return width, shares[width]
