"""Medians with spreads, straight lines and ratios."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: The percentiles that the spread lies between: one standard deviation of a normal distribution.
SPREAD = (16, 84)


@dataclass(frozen=True)
class Rate:
    """A median rate and its spread."""

    median: float
    low: float
    high: float


def rate(amount: float, seconds: Sequence[float]) -> Rate:
    r"""Median and spread of :math:`\text{amount} / t_i`.

    Raises:
        ValueError: without a duration.
    """
    if len(seconds) == 0:
        raise ValueError("a rate needs at least one duration")
    low, median, high = np.percentile(amount / np.asarray(seconds, dtype=float), [SPREAD[0], 50, SPREAD[1]])
    return Rate(float(median), float(low), float(high))


@dataclass(frozen=True)
class LinearFit:
    r"""A straight line :math:`y = a x + b`.

    Attributes:
        slope: :math:`a`.
        intercept: :math:`b`.
        deviation: the largest :math:`|y_i - a x_i - b| / |a x_i + b|`.
    """

    slope: float
    intercept: float
    deviation: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.slope * np.asarray(x, dtype=float) + self.intercept


def fit_line(x: Sequence[float], y: Sequence[float]) -> LinearFit:
    r"""The straight line with the smallest :math:`\sum_i (y_i - a x_i - b)^2`.

    Raises:
        ValueError: if there are not two different :math:`x`.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) != len(y) or len(set(x.tolist())) < 2:
        raise ValueError("a straight line needs at least two different points")
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    intercept = float(y.mean() - slope * x.mean())
    line = slope * x + intercept
    return LinearFit(slope, intercept, float(np.max(np.abs(y - line) / np.abs(line))))
