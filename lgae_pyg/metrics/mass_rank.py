"""The rank of a score among background jets of the same mass: a score that a cut on leaves the mass as it is."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Background jets that a jet is ranked among, those nearest to it in mass, and of fewer jets which share at most.
#: The cut that one in a hundred of them passes lies behind twenty jets.
NEAREST, LARGEST_SHARE = 2000, 0.1
#: Comparisons that are made at once; bounds the memory.
CHUNK = 2_000_000


def rank_at_equal_mass(
    score: ArrayLike,
    mass: ArrayLike,
    background_score: ArrayLike,
    background_mass: ArrayLike,
    nearest: int | None = None,
) -> Array:
    r"""The share of the background *of the jet's own mass* that scores lower, from 0 to 1:

    .. math:: r(s, m) = \frac{k F(s \mid m) + \tfrac12}{k + 1}, \qquad
        F(s \mid m) = \frac{\sum_i w_i\, ([s_i < s] + \tfrac12 [s_i = s])}{\sum_i w_i}, \qquad
        w_i = 1 - \Big(\frac{m_i - m}{h}\Big)^2 ,

    over the :math:`k` background jets nearest in mass, :math:`h` being the distance of the last of them. This is
    the kernel estimate of a conditional distribution (Hall, Wolff and Yao, J. Am. Stat. Assoc. 94 (1999) 154) with
    Epanechnikov's weights; the jet itself counts as one more, of which half scores lower. So :math:`1 - r` is a
    p-value given the mass, never 0. It is uniform for background whatever its mass: a cut on
    :math:`r` lets the same share pass at each mass, and depends on the score by its order alone.

    The standard error of :math:`r` is about :math:`\sqrt{r (1 - r) / (0.83\, k)}`, which is 0.0024 at the cut that
    1 % passes for :math:`k = 2000`; errors of jets of nearly the same mass are the same ones. What the score
    changes within the window :math:`h`, :math:`r` keeps, mostly where the window ends at the lightest and heaviest
    jets: of a score that is all but the mass itself much, whatever :math:`k`.

    Args:
        score: of each jet; larger is more anomalous.
        mass: of each jet in GeV; instead of the mass any quantity.
        background_score: the same score of other background jets: none of the training, and none that are judged.
        background_mass: their mass.
        nearest: the number :math:`k`; when omitted, :data:`NEAREST`, or a tenth of the background if that is less.

    Raises:
        ValueError: if numbers are missing, columns differ in length, or there are fewer background jets than
            ``nearest``.

    Shapes:
        - **score**, **mass**, **output**: :math:`(n,)`
        - **background_score**, **background_mass**: :math:`(N,)`
    """
    jets, others = _columns(score, mass, "jet"), _columns(background_score, background_mass, "background jet")
    size = others.shape[1]
    k = max(1, min(NEAREST, int(LARGEST_SHARE * size))) if nearest is None else nearest
    if not 1 <= k <= size:
        raise ValueError(f"a rank among {k} background jets needs at least as many, not {size}")
    scores, masses = others[:, others[1].argsort(kind="stable")]
    found = np.empty(jets.shape[1])
    for begin in range(0, len(found), max(1, CHUNK // k)):
        part = slice(begin, begin + max(1, CHUNK // k))
        found[part] = _shares_below(jets[0, part, None], jets[1, part, None], scores, masses, k)
    return (k * found + 0.5) / (k + 1)


def _shares_below(score: Array, mass: Array, scores: Array, masses: Array, k: int) -> Array:
    """:math:`F` of some jets, given as columns, among background jets sorted by mass."""
    window = _first_of_nearest(mass, masses, k) + np.arange(k)
    distance = np.abs(masses[window] - mass)
    reach = distance.max(1, keepdims=True) * (1 + 1e-9)  # so that jets all equally far have weights
    weights = 1 - np.square(distance / np.where(reach > 0, reach, 1))
    lower = (scores[window] < score) + 0.5 * (scores[window] == score)
    return (weights * lower).sum(1) / weights.sum(1)


def _first_of_nearest(mass: Array, masses: Array, k: int) -> NDArray[np.int64]:
    """Where among sorted masses the :math:`k` nearest to each mass begin, by halving."""
    low = np.zeros(mass.shape, dtype=np.int64)
    high = np.full(mass.shape, len(masses) - k)
    while (searching := low < high).any():
        middle = (low + high) // 2
        onward = mass - masses[middle] > masses[np.minimum(middle + k, len(masses) - 1)] - mass
        low, high = np.where(searching & onward, middle + 1, low), np.where(searching & ~onward, middle, high)
    return low


def _columns(score: ArrayLike, mass: ArrayLike, kind: str) -> Array:
    """Score and mass of jets, rows of numbers."""
    columns = [np.asarray(one, dtype=np.float64) for one in (score, mass)]
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        shapes = " and ".join(str(one.shape) for one in columns)
        raise ValueError(f"scores and masses of {kind}s have the shapes {shapes}: each is one number for each jet")
    bad = np.isnan(columns[0]) | ~np.isfinite(columns[1])
    if bad.any():
        raise ValueError(f"{kind} {int(bad.argmax())} has no score or no finite mass: leave such jets out")
    return np.stack(columns)
