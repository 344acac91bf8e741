"""How much of a separation is left among jets of equal mass, or equal in another quantity."""

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.metrics.bootstrap import bootstrap_weighted, draws
from lgae_pyg.metrics.roc import loosest_cut

Array = NDArray[np.float64]

#: Width of the mass bins in GeV, and the fewest jets of either kind that a bin must hold.
MASS_WIDTH = 10.0
FEWEST = 10
#: Background efficiencies at which signal efficiencies at equal mass are given.
EFFICIENCIES = (0.1, 0.01)


def area_at_equal_mass(background: Array, signal: Array, width: float = MASS_WIDTH) -> float:
    r"""The area under the ROC curve of jets of the same mass,

    .. math:: \sum_b w_b\, \text{AUC}_b,

    over bins :math:`b` of the jet mass, :math:`w_b` being the share of the signal jets in the bin. A score that is
    a function of the mass alone gets about one half, whatever its AUC among all jets; how far from one half the
    mass itself is tells what is left within the bins.

    Args:
        background: score and mass in GeV of each background jet; instead of the mass any quantity from 0 on.
        signal: the same of signal jets.
        width: of the bins, which begin at 0. Jets below 0, and without a finite mass, are in none.

    Raises:
        ValueError: if a score is NaN, or no bin holds at least :data:`FEWEST` jets of either kind.

    Shapes:
        - **background**: :math:`(n, 2)`, **signal**: :math:`(m, 2)`
    """
    return _Binned(background, signal, width).area(np.ones(len(background)), np.ones(len(signal)))


def equal_mass_with_error(
    background: Array, signal: Array, resamples: int, width: float = MASS_WIDTH
) -> tuple[float, float]:
    """:func:`area_at_equal_mass` and its bootstrap error; both NaN where there are too few jets."""
    try:
        binned = _Binned(background, signal, width)
        error = bootstrap_weighted([len(background), len(signal)], binned.area, resamples)
        return binned.area(np.ones(len(background)), np.ones(len(signal))), error
    except ValueError:  # too few jets in every bin, or in those of a draw
        return float("nan"), float("nan")


def efficiencies_at_equal_mass(
    background: Array, signal: Array, resamples: int = 0, width: float = MASS_WIDTH
) -> dict[str, float]:
    r"""Signal efficiencies against a background that has the mass distribution of the signal,

    .. math:: \epsilon_S(c) = \sum_b f_b\, P(s > c \mid S, b), \qquad
        \epsilon_B(c) = \sum_b f_b\, P(s > c \mid B, b),

    over bins :math:`b` of the jet mass with enough jets, :math:`f_b` being the share of the signal jets in the
    bin, as in :func:`area_at_equal_mass`; the cut :math:`c` is the same in all bins. The
    :math:`\epsilon_S` at which :math:`\epsilon_B` is one of :data:`EFFICIENCIES` are ``efficiency_0.1``, ...: a
    function of the bin alone has :math:`\epsilon_S = \epsilon_B`. NaN where no bin has enough jets, or where
    :math:`\epsilon_B` is less than one of the :math:`(\sum w)^2 / \sum w^2` background jets that the weights
    leave.

    Args:
        background: score and mass in GeV of each background jet; instead of the mass any quantity from 0 on.
        signal: the same of signal jets.
        resamples: the number of bootstrap samples; with them, ``..._error`` beside each.
        width: of the bins, which begin at 0.

    Raises:
        ValueError: if a score is NaN, or just one bootstrap sample.

    Shapes:
        - **background**: :math:`(n, 2)`, **signal**: :math:`(m, 2)`
    """
    matched = _Matched(background, signal, width)
    sizes = len(background), len(signal)
    found = matched.efficiencies(*map(np.ones, sizes))
    names = [f"efficiency_{one:g}" for one in EFFICIENCIES]
    if not resamples:
        return dict(zip(names, found))
    drawn = [matched.efficiencies(*n) for n in zip(*(draws(n, resamples, (0, k)) for k, n in enumerate(sizes)))]
    errors = np.std(drawn, axis=0, ddof=1)
    pairs = zip(names, found, errors)
    return {f"{name}{end}": float(one) for name, *both in pairs for end, one in zip(("", "_error"), both)}


def share_at_equal_mass(background: Array, signal: Array, width: float = MASS_WIDTH) -> float:
    """The share of the signal jets that are in bins with enough jets of either kind, which the area is of.

    Args:
        background: mass of each background jet.
        signal: the same of signal jets.
        width: of the bins.

    Shapes:
        - **background**: :math:`(n,)`, **signal**: :math:`(m,)`
    """
    scored, others = (np.stack([np.zeros(len(one)), one], -1) for one in (background, signal))
    counts = _Binned(scored, others, width).counts(np.ones(len(background)), np.ones(len(signal)))
    return float(counts[1][(counts >= FEWEST).all(0)].sum() / max(len(signal), 1))


def _in_bins(background: Array, signal: Array, width: float) -> tuple[Array, Array, NDArray[np.int64]]:
    """Score and bin of the jets that are in one, and which they are: background, and signal after it."""
    score, mass = np.concatenate([background, signal]).T
    if np.isnan(score).any():
        raise ValueError("a score is NaN: a jet without a score has no rank")
    kept = np.flatnonzero(np.isfinite(mass) & (mass >= 0))
    return score[kept], np.floor(mass[kept] / width), kept


class _Matched:
    """Jets by falling score, the background weighted to the mass of the signal: sorted once for all draws."""

    def __init__(self, background: Array, signal: Array, width: float) -> None:
        score, bins, kept = _in_bins(background, signal, width)
        border = int(np.searchsorted(kept, len(background)))
        self.rows = kept[:border], kept[border:] - len(background)
        numbers = [np.unique(one, return_inverse=True)[1].ravel() for one in (bins, -score)]
        self.sizes = [int(one.max(initial=-1)) + 1 for one in numbers]
        self.bins, self.levels = (np.split(one, [border]) for one in numbers)

    def efficiencies(self, background: Array, signal: Array) -> list[float]:
        """Signal efficiencies at :data:`EFFICIENCIES`, each jet taken as often as its weight says."""
        weights = [one[rows].astype(np.float64) for one, rows in zip((background, signal), self.rows)]
        first, second = (np.bincount(*one, self.sizes[0]) for one in zip(self.bins, weights))
        enough = np.minimum(first, second) >= FEWEST
        if not enough.any():
            return [float("nan")] * len(EFFICIENCIES)
        factors = np.where(enough, second / np.maximum(first, 1), 0), enough
        weights = [one * factor[bins] for one, factor, bins in zip(weights, factors, self.bins)]
        jets = weights[0].sum() ** 2 / (weights[0] @ factors[0][self.bins[0]])  # each as often as it was drawn
        passing = (np.bincount(*one, self.sizes[1]) for one in zip(self.levels, weights))
        x, y = (np.concatenate([[0.0], np.cumsum(one)]) for one in passing)
        resolved = [one * jets >= 1 - 1e-9 for one in EFFICIENCIES]
        places = zip(EFFICIENCIES, resolved)
        return [loosest_cut(x, y, one * x[-1]) / y[-1] if known else float("nan") for one, known in places]


class _Binned:
    """Jets in bins of their mass, those of each bin by rising score: sorted once for all draws of a bootstrap."""

    def __init__(self, background: Array, signal: Array, width: float) -> None:
        score, bins, kept = _in_bins(background, signal, width)
        order = np.lexsort((score, bins))
        score, bins = score[order], bins[order]
        new_bin = np.diff(bins, prepend=-1) != 0
        new_level = new_bin | (np.insert(score[1:] != score[:-1], 0, True) if len(score) else new_bin)
        levels = np.empty(len(order), dtype=np.int64)
        levels[order] = np.cumsum(new_level) - 1
        self.starts, self.size = np.flatnonzero(new_bin[new_level]), int(new_level.sum())
        border = int(np.searchsorted(kept, len(background)))
        self.levels = levels[:border], levels[border:]
        self.rows = kept[:border], kept[border:] - len(background)

    def area(self, background: Array, signal: Array) -> float:
        """The area at equal mass, each jet taken as often as its weight says."""
        first, second = self._at_levels(background, signal)
        totals = self._per_bin(first), self._per_bin(second)
        enough = np.minimum(*totals) >= FEWEST
        if not enough.any():
            raise ValueError(
                f"no bin of the jet mass holds {FEWEST} background and {FEWEST} signal jets: score "
                "more jets"
            )
        below = np.cumsum(first) - first / 2  # background jets of lower score, in this bin and those before
        before = np.cumsum(totals[0]) - totals[0]
        pairs = self._per_bin(second * below) - totals[1] * before
        return float(np.sum(pairs[enough] / totals[0][enough]) / np.sum(totals[1][enough]))

    def counts(self, background: Array, signal: Array) -> Array:
        """Background and signal jets of each bin."""
        return np.stack([self._per_bin(one) for one in self._at_levels(background, signal)])

    def _at_levels(self, background: Array, signal: Array) -> list[Array]:
        parts = zip((background, signal), self.rows, self.levels)
        counts = (np.bincount(levels, weights[rows], minlength=self.size) for weights, rows, levels in parts)
        return [one.astype(np.float64, copy=False) for one in counts]

    def _per_bin(self, values: Array) -> Array:
        return np.add.reduceat(values, self.starts) if self.size else np.zeros(0)
