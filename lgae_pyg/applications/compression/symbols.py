r"""Whole numbers as symbols of a small alphabet and a few plain bits.

A magnitude below 16 is its own symbol; above, an octave has eight symbols, and what is left of the number within
its symbol, :math:`e` bits, is spread evenly enough to be written as it is. The sign is one more bit of a number
that is not zero. So the alphabet is small whatever the bounds are, and tables of frequencies stay short.
"""

import numpy as np

#: Bits of a magnitude that its symbol keeps; the number of symbols.
_KEPT = 3
ALPHABET = (52 - _KEPT + 1) * (1 << _KEPT)


def split(values: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Takes integers (n,) apart, of magnitudes below 2^52, and not negative unless ``signed``.

    Returns:
        Symbols, number of plain bits, and the plain bits as a number; int64, (n,) each.
    """
    magnitude = np.abs(values)
    octave = np.maximum(np.frexp(np.maximum(magnitude, 1).astype(np.float64))[1] - 1 - _KEPT, 0).astype(np.int64)
    symbols = (octave << _KEPT) + (magnitude >> octave)
    rest = magnitude - ((magnitude >> octave) << octave)
    if signed:
        rest = 2 * rest + (values < 0)
    return symbols, plain_bits(symbols, signed), rest


def plain_bits(symbols: np.ndarray, signed: bool) -> np.ndarray:
    """How many plain bits go with each symbol, (n,)."""
    return np.maximum((symbols >> _KEPT) - 1, 0) + (signed & (symbols > 0))


def join(symbols: np.ndarray, rest: np.ndarray, signed: bool) -> np.ndarray:
    """The integers that :func:`split` took apart, (n,)."""
    octave = np.maximum((symbols >> _KEPT) - 1, 0)
    magnitude = ((symbols - (octave << _KEPT)) << octave) + (rest >> 1 if signed else rest)
    return np.where(rest & 1, -magnitude, magnitude) if signed else magnitude
