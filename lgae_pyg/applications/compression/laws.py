r"""Laws of whole numbers as intervals of a range coder, the same on every machine.

A law has a window of numbers; its first and last one stand for all beyond. Its cumulative weights are whole
numbers below :math:`2^{53}`: components are rounded to steps of :math:`2^{-30}` and multiplied with whole weights,
so that sums are exact in any order. What they are made of are additions, multiplications, divisions and square
roots alone.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from lgae_pyg.applications.compression import arithmetic
from lgae_pyg.applications.compression.lanes import RANGE
from lgae_pyg.applications.compression.network import LOG_STEP

#: The range of a component's cumulative share, and the largest weight. Where a share is rounded the other way, the
#: sum moves by no more than 1 of the range of the coder; each number has :data:`_SPARE` more than its share.
_SHARE, _WEIGHT, _SPARE = float(1 << 30), float(1 << 16), 4
#: Logarithms in tables, in steps of 1/256: of weights down to e^-12, of scales and rates within e^+-12.
_EXP_WEIGHT = np.rint(_WEIGHT * arithmetic.exp(-np.arange(12 * LOG_STEP + 1) / LOG_STEP))
_REACH = 12 * LOG_STEP
_EXP = arithmetic.exp(np.arange(-_REACH, _REACH + 1) / LOG_STEP)
#: Numbers that a window reaches at most.
LARGEST = 1 << 20


def weights(logs: np.ndarray) -> np.ndarray:
    """Whole weights (n, C) of logarithms in steps of 1/256; the largest of a row is 2^16."""
    below = logs.max(axis=1, keepdims=True) - logs
    return _EXP_WEIGHT[np.minimum(below, len(_EXP_WEIGHT) - 1).astype(np.int64)]


def exponentials(logs: np.ndarray) -> np.ndarray:
    """e to logarithms in steps of 1/256."""
    return _EXP[np.clip(logs, -_REACH, _REACH).astype(np.int64) + _REACH]


class Law(Protocol):
    """A law of numbers for each of n rows.

    Attributes:
        low, high: the windows, (n,).
        open_below: whether numbers can lie below the window, (n,).
    """

    low: np.ndarray
    high: np.ndarray
    open_below: np.ndarray

    def below(self, part: slice, numbers: np.ndarray) -> np.ndarray:
        """Cumulative weight of what is below these numbers, whole numbers in float64, (rows of the part,)."""

    def total(self, part: slice) -> np.ndarray:
        """Weight of all."""


class Falls:
    """How far pT falls, 0 or more: a mixture of exponential laws.

    Args:
        weight: whole numbers, (n, E).
        rate: for a step of the grid, (n, E).
        reach: the last number of the window.
    """

    def __init__(self, weight: np.ndarray, rate: np.ndarray, reach: int) -> None:
        rate = np.minimum(rate, 40.0)
        self._weight, self._half, self._powers = weight, arithmetic.exp(0.5 * rate), [arithmetic.exp(-rate)]
        for _ in range(reach.bit_length()):
            self._powers.append(self._powers[-1] * self._powers[-1])
        self.low = np.zeros(len(weight), dtype=np.int64)
        self.high = self.low + reach
        self.open_below = np.zeros(len(weight), dtype=bool)

    def below(self, part: slice, numbers: np.ndarray) -> np.ndarray:
        """As said in :class:`Law`."""
        left = self._half[part]
        bits = numbers[:, None] >> np.arange(len(self._powers)) & 1
        for bit in np.flatnonzero(bits.any(axis=0)):
            left = np.where(bits[:, bit : bit + 1], left * self._powers[bit][part], left)
        share = np.where(numbers[:, None] > 0, np.rint(_SHARE * (1 - left)), 0.0)
        return (self._weight[part] * share).sum(axis=1)

    def total(self, part: slice) -> np.ndarray:
        """As said in :class:`Law`."""
        return self._weight[part].sum(axis=1) * _SHARE


class Kernels:
    r"""A number of eta or phi: kernels with the cumulative share :math:`\frac12 (1 + x / \sqrt{s^2 + x^2})`.

    Args:
        weight: whole numbers, (n, C).
        centre: numbers, (n, C).
        square: squares of the scales in steps of the grid, (n, C).
        low, high: the windows, (n,).
        cut: whether nothing can be below the window, (n,); ``None`` for nowhere.
    """

    def __init__(
        self,
        weight: np.ndarray,
        centre: np.ndarray,
        square: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        cut: np.ndarray | None = None,
    ) -> None:
        self._weight, self._centre, self._square, self.low, self.high = weight, centre, square, low, high
        self._total, self._cut = weight.sum(axis=1) * _SHARE, np.zeros(len(weight))
        self.open_below = np.ones(len(weight), dtype=bool) if cut is None else ~cut
        rows = np.flatnonzero(cut) if cut is not None else np.zeros(0, dtype=np.int64)
        if len(rows):
            self._cut[rows] = np.minimum(self._sums(rows, low[rows]), self._total[rows] - _SHARE)

    def below(self, part: slice, numbers: np.ndarray) -> np.ndarray:
        """As said in :class:`Law`."""
        return np.maximum(self._sums(part, numbers) - self._cut[part], 0)

    def total(self, part: slice) -> np.ndarray:
        """As said in :class:`Law`."""
        return self._total[part] - self._cut[part]

    def _sums(self, part: Any, numbers: np.ndarray) -> np.ndarray:
        x = (numbers[:, None] - 0.5) - self._centre[part]
        share = np.rint((x / np.sqrt(self._square[part] + x * x) + 1) * (0.5 * _SHARE))
        return (self._weight[part] * share).sum(axis=1)


def starts(law: Law, part: slice, numbers: np.ndarray) -> np.ndarray:
    """Where the intervals of numbers within their windows start; of one above it, the end of all."""
    low, high = law.low[part], law.high[part]
    found = _scaled(law.below(part, numbers), numbers - low, *_scale(law, part))
    return np.where(numbers <= low, 0, np.where(numbers > high, RANGE, found))


def find(law: Law, part: slice, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers in whose intervals slots lie, where these start, and how wide they are."""
    first, high = law.low[part], law.high[part] + 1
    low, start, stop, scale = first, np.zeros_like(first), np.full_like(first, RANGE), _scale(law, part)
    for _ in range(int((high - low).max() - 1).bit_length()):
        middle = (low + high) >> 1
        at = _scaled(law.below(part, middle), middle - first, *scale)
        up = (at <= slots) | (middle == low)
        at = np.where(middle == low, start, at)
        low, start = np.where(up, middle, low), np.where(up, at, start)
        high, stop = np.where(up, high, middle), np.where(up, stop, at)
    return low, start, stop - start


def _scale(law: Law, part: slice) -> tuple[np.ndarray, np.ndarray]:
    return RANGE - _SPARE * (law.high[part] - law.low[part] + 1.0), law.total(part)


def _scaled(below: np.ndarray, place: np.ndarray, room: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.floor(room * below / total).astype(np.int64) + _SPARE * place
