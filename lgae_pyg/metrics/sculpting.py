"""What a cut on a score does to the mass of the background that passes it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Most and fewest bins of the mass, which hold equal numbers of background jets: one for each so many that pass.
BINS, FEWEST_BINS, PER_BIN = 20, 4, 5
#: The fewest jets that must pass a cut.
FEWEST_PASSING = 10


@dataclass(frozen=True)
class Sculpting:
    """How far the mass of the background that passes a cut is from that of all background.

    Attributes:
        passing: number of background jets that pass.
        bins: number of bins.
        distance: Jensen-Shannon distance of the two distributions.
        error: its bootstrap error.
        noise: mean distance after random cuts that as many jets pass.
        noise_error: standard deviation of that distance from one random cut to another.
        chance: share of random cuts with at least this distance, the cut itself counted as one of them.
        before: median mass of all background.
        after: median mass of the background that passes.
    """

    passing: float
    bins: int
    distance: float
    error: float
    noise: float
    noise_error: float
    chance: float
    before: float
    after: float


def jensen_shannon(first: ArrayLike, second: ArrayLike) -> Array:
    r"""The Jensen-Shannon distance of histograms,

    .. math:: \sqrt{\tfrac12 \sum_i p_i \log_2 \frac{p_i}{m_i} + \tfrac12 \sum_i q_i \log_2 \frac{q_i}{m_i}},
        \qquad m = \tfrac12 (p + q),

    0 for equal ones, 1 for ones that do not overlap; :math:`p` and :math:`q` are normalised.

    Args:
        first: numbers in each bin; axes before the last are of several histograms.
        second: the same.

    Shapes:
        - **first**, **second**: :math:`(*, k)`
        - **output**: :math:`(*)`
    """
    p, q = (np.asarray(one, dtype=np.float64) for one in (first, second))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    middle = (p + q) / 2
    parts = [np.where(one > 0, one * np.log2(np.where(one > 0, one, 1) / np.where(middle > 0, middle, 1)), 0)
             for one in (p, q)]  # fmt: skip
    square = (parts[0] + parts[1]).sum(-1) / 2
    return np.sqrt(np.where(square > 1e-15, square, 0))  # what is smaller is rounding


def cut_shares(score: ArrayLike, efficiency: float) -> Array:
    """With which weight each jet passes the cut on a score that this share of the jets passes.

    It is 1 or 0, and for jets whose score is that of the cut, of which a random part passes, that part.

    Shapes:
        - **score**, **output**: :math:`(n,)`
    """
    score = np.asarray(score, dtype=np.float64)
    wanted = efficiency * score.size
    last = min(int(wanted), score.size - 1)
    cut = -np.partition(-score, last)[last]
    above, equal = score > cut, score == cut
    return above + equal * np.clip((wanted - above.sum()) / equal.sum(), 0, 1)


def mass_sculpting(
    score: ArrayLike, mass: ArrayLike, efficiency: float, resamples: int = 1000, seed: int = 0
) -> Sculpting | None:
    r"""How a cut on a score changes the mass distribution of the background.

    The distributions of all jets and of those that pass are compared by :func:`jensen_shannon` in bins with equal
    numbers of jets, so that the answer does not depend on the unit: up to :data:`BINS`, fewer where fewer jets
    pass, whose distance from all would be mere chance. A distance of few jets is never zero: the same is done with
    random cuts, which know nothing and which as many jets pass.

    Args:
        score: of each background jet; larger passes.
        mass: of each background jet.
        efficiency: the share of the background that passes.
        resamples: bootstrap samples behind the error (of the jets in each bin that pass, fail or are at the cut),
            and random cuts.
        seed: of both.

    Returns:
        The distance with its error and that of random cuts; ``None`` where fewer than :data:`FEWEST_PASSING` jets
        pass.

    Shapes:
        - **score**, **mass**: :math:`(n,)`
    """
    score, mass = np.asarray(score, dtype=np.float64), np.asarray(mass, dtype=np.float64)
    passing = efficiency * score.size
    if not enough_pass(score.size, efficiency):
        return None
    weights, wanted = cut_shares(score, efficiency), bins_for(passing)
    edges = np.unique(np.quantile(mass, np.linspace(0, 1, wanted + 1)))
    places = np.searchsorted(edges[1:-1], mass, side="right")
    bins = max(len(edges) - 1, 1)
    kinds = (weights > 0).astype(int) + (weights == 1)  # fails, at the cut, passes
    cells = np.bincount(kinds * bins + places, minlength=3 * bins).reshape(3, bins)
    share = weights[kinds == 1].max(initial=0.0)
    everything = cells.sum(0)
    distance = float(jensen_shannon(everything, cells[2] + share * cells[1]))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(score.size, cells.ravel() / score.size, size=resamples).reshape(-1, 3, bins)
    spread = jensen_shannon(drawn.sum(1), drawn[:, 2] + share * drawn[:, 1])
    cuts = rng.multivariate_hypergeometric(everything, round(passing), size=resamples, method="marginals")
    noise = jensen_shannon(everything, cuts)
    reached = int((noise >= distance - 1e-12).sum())
    return Sculpting(
        passing=passing,
        bins=bins,
        distance=distance,
        error=float(np.std(spread, ddof=1)),
        noise=float(noise.mean()),
        noise_error=float(np.std(noise, ddof=1)),
        chance=(1 + reached) / (1 + resamples),
        before=float(np.median(mass)),
        after=weighted_median(mass, weights),
    )


def enough_pass(jets: int, efficiency: float) -> bool:
    """Whether of so many jets at least :data:`FEWEST_PASSING` pass a cut that this share of them passes."""
    return efficiency * jets >= FEWEST_PASSING - 1e-9


def bins_for(passing: float) -> int:
    """The number of bins in which the mass of so many jets that pass a cut is looked at: one for each
    :data:`PER_BIN`, within :data:`FEWEST_BINS` and :data:`BINS`."""
    return int(np.clip(passing // PER_BIN, FEWEST_BINS, BINS))


def weighted_median(values: Array, weights: Array) -> float:
    """The smallest value up to which at least half of the weight lies.

    Shapes:
        - **values**, **weights**: :math:`(n,)`
    """
    chosen = weights > 0
    order = np.argsort(values[chosen], kind="stable")
    total = np.cumsum(weights[chosen][order])
    return float(values[chosen][order][np.searchsorted(total, total[-1] / 2)])
