"""Numbers that describe a distribution of errors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

STATISTICS = ("median", "iqr", "idr", "mad", "mean", "std", "abs_mean", "n", "undefined")


def summary(values: ArrayLike) -> dict[str, float]:
    r"""Location and width of a sample.

    ``median``; ``iqr`` the interquartile range :math:`q_{75} - q_{25}`; ``idr`` the interdecile range
    :math:`q_{90} - q_{10}`; ``mad`` the median of :math:`|x - \text{median}|`; ``mean``; ``std`` with
    denominator :math:`n`; ``abs_mean`` :math:`= |\text{mean}|`; ``n`` the number of values used;
    ``undefined`` the number of NaN, left out of all others (relative errors of a true value of zero).
    Quantiles are interpolated linearly. Without any value all but the counts are NaN. Infinite values are
    values: they make mean and width infinite or NaN, but not the quantiles.

    Args:
        values: one sample, of one kind of number.

    Raises:
        ValueError: if there are several columns, as those of masses, momenta and angles: they are not one sample.

    Shapes:
        - **values**: :math:`(n,)`, or with further axes of length one
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim and sample.size > len(sample):
        raise ValueError(
            f"values of shape {sample.shape} are several samples: summarise each column, "
            "[summary(column) for column in values.T], or values.ravel() if they are of one kind"
        )
    sample = sample.ravel()
    defined = sample[~np.isnan(sample)]
    counts = {"n": float(defined.size), "undefined": float(sample.size - defined.size)}
    if not defined.size:
        return dict.fromkeys(STATISTICS, float("nan")) | counts
    with np.errstate(invalid="ignore"):
        q10, q25, median, q75, q90 = np.quantile(defined, [0.10, 0.25, 0.50, 0.75, 0.90])
        mean, std = defined.mean(), defined.std()
        spread = np.median(np.abs(defined - median))
        numbers = (median, q75 - q25, q90 - q10, spread, mean, std, abs(mean))
    return dict(zip(STATISTICS, map(float, numbers))) | counts


def shares(values: ArrayLike, edges: ArrayLike, weights: ArrayLike | None = None) -> tuple[NDArray, NDArray]:
    r"""The share of jets in each bin, :math:`\sum_{i \in \text{bin}} w_i / \sum_i w_i`, and its statistical error
    :math:`\sqrt{\sum_{i \in \text{bin}} w_i^2} / \sum_i w_i`; of jets that count alike the root of their number.

    Args:
        values: of each jet; those outside of all bins count in the sums over all.
        edges: of the bins.
        weights: of each jet, with a positive sum; all 1 when left out.

    Shapes:
        - **values**, **weights**: :math:`(n,)`, **edges**: :math:`(k + 1,)`
        - **output**: :math:`(k,)` each
    """
    values = np.asarray(values, dtype=np.float64)
    weights = np.ones(values.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    sums, squares = (np.histogram(values, edges, weights=one)[0] for one in (weights, weights**2))
    return sums / weights.sum(), np.sqrt(squares) / weights.sum()
