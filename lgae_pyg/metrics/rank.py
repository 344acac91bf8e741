"""How far two numbers of a jet have the same order."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata


def rank_correlation(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    r"""Spearman's coefficient :math:`r` and its standard error; 0 and NaN where one of the two is a constant.

    The error is :func:`rank_error`.

    Args:
        first: one value of each jet.
        second: another.

    Shapes:
        - **first**, **second**: :math:`(n,)`
    """
    ranks = [rankdata(one) for one in (first, second)]
    if any(np.ptp(one) == 0 for one in ranks):
        return 0.0, float("nan")
    r = float(np.clip(np.round(np.corrcoef(*ranks)[0, 1], 15), -1, 1))  # 1 for equal ranks, whatever the rounding
    return r, rank_error(r, len(ranks[0]))


def rank_error(r: float, size: int) -> float:
    r"""The standard error of Spearman's coefficient, :math:`(1 - r^2) \sqrt{(1 + r^2 / 2) / (n - 3)}` (Bonett and
    Wright, Psychometrika 65 (2000) 23); NaN for less than four values.

    Args:
        r: the coefficient.
        size: the number of values, :math:`n`.
    """
    return float((1 - r * r) * np.sqrt((1 + r * r / 2) / (size - 3))) if size > 3 else float("nan")
