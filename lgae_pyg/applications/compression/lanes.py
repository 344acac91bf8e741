r"""A range coder whose intervals are given one by one, many at a time (asymmetric numeral systems).

A symbol is an interval :math:`[c, c + f)` of the whole numbers below :math:`2^{30}`, and costs
:math:`30 - \log_2 f` bits. Several lanes of one 64-bit state each take turns, so that arrays can be used; they
share one row of 32-bit words. What is read first must be written last: intervals are gathered, and written
backwards. All is whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Bits of the intervals, and their range.
BITS = 30
RANGE = 1 << BITS
_WORD, _LOW = np.uint64(32), np.uint64(1 << 31)
_BITS, _MASK, _LOWER = np.uint64(BITS), np.uint64(RANGE - 1), np.uint64(0xFFFFFFFF)


def lanes_of(jets: int) -> int:
    """Number of lanes for so many jets: each costs some 45 bits."""
    return max(1, min(64, jets // 64))


class LaneWriter:
    """Gathers intervals, and makes words of them.

    Args:
        lanes: how many.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._intervals: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, start: np.ndarray, width: np.ndarray) -> None:
        """Adds symbols, (n,): intervals that start there and are so wide, 1 or more."""
        for first in range(0, len(start), self._lanes):
            part = slice(first, first + self._lanes)
            self._intervals.append((start[part].astype(np.uint64), width[part].astype(np.uint64)))

    def words(self) -> np.ndarray:
        """The words, uint32: first the states of the lanes, then what is read one after another."""
        state = np.full(self._lanes, _LOW)
        written = []
        for start, width in reversed(self._intervals):
            x = state[: len(start)]
            full = x >= width << np.uint64(63 - BITS)
            written.append((x[full] & _LOWER).astype(np.uint32))
            x[full] >>= _WORD
            state[: len(start)] = ((x // width) << _BITS) + x % width + start
        states = np.stack([state >> _WORD, state & _LOWER], axis=1).astype(np.uint32)
        return np.concatenate([states.reshape(-1), *reversed(written)])


class LaneReader:
    """Reads what a :class:`LaneWriter` wrote.

    Args:
        words: uint32.
        lanes: how many there were.

    Raises:
        ValueError: there are too few words.
    """

    def __init__(self, words: np.ndarray, lanes: int) -> None:
        if len(words) < 2 * lanes:
            raise ValueError("too few words")
        states = words[: 2 * lanes].astype(np.uint64).reshape(lanes, 2)
        self._state, self._words, self._place = (states[:, 0] << _WORD) | states[:, 1], words, 2 * lanes

    def read(self, count: int, find: Callable[[slice, np.ndarray], tuple[np.ndarray, ...]]) -> np.ndarray:
        """Reads symbols.

        Args:
            count: how many.
            find: returns symbols, where their intervals start and how wide they are, for a part of the symbols
                (a slice) and numbers that lie in their intervals.

        Returns:
            The symbols, int64, (count,).

        Raises:
            ValueError: the words end too early.
        """
        symbols = np.empty(count, dtype=np.int64)
        for first in range(0, count, len(self._state)):
            part = slice(first, min(first + len(self._state), count))
            x = self._state[: part.stop - first]
            slot = x & _MASK
            symbols[part], start, width = find(part, slot.astype(np.int64))
            x = width.astype(np.uint64) * (x >> _BITS) + slot - start.astype(np.uint64)
            empty = np.flatnonzero(x < _LOW)
            if self._place + len(empty) > len(self._words):
                raise ValueError("its words end too early")
            x[empty] = (x[empty] << _WORD) | self._words[self._place : self._place + len(empty)]
            self._state[: len(x)] = x
            self._place += len(empty)
        return symbols

    def close(self) -> None:
        """Raises :class:`ValueError` if not all was read, or not what was written."""
        if self._place != len(self._words) or (self._state != _LOW).any():
            raise ValueError("its words do not end with its last particle")
