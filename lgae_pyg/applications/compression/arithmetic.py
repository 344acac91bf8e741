r"""Elementary functions that give the same bits on every machine.

The libraries of different machines round :math:`e^x` and :math:`\sin x` differently in the last place. These are
made of additions, multiplications and divisions of float64 alone, each of which IEEE 754 defines to the last bit
(NumPy does one at a time), so that what is decoded can be compared with a checksum. Their error is below 1e-15.
"""

import math

import numpy as np

_LN2_HIGH = 0.6931471803691238  # 33 bits: products with whole numbers below 2^20 are exact
_LN2_LOW = 1.9082149292705877e-10


def exp(x: np.ndarray) -> np.ndarray:
    r""":math:`e^x = 2^k e^r` with :math:`|r| \le \ln 2 / 2` and Taylor's series, shape of the input; float64."""
    k = np.rint(np.clip(x, -1e5, 1e5) / math.log(2))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    return np.ldexp(_horner(r, [1 / math.factorial(n) for n in range(15)]), k.astype(np.int64))


def log(x: np.ndarray) -> np.ndarray:
    r""":math:`e \ln 2 + 2 \operatorname{artanh} \frac{m - 1}{m + 1}`, by its series, of positive :math:`m 2^e`."""
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    m, e = np.where(low, 2 * m, m), e - low
    t = (m - 1) / (m + 1)
    return e * math.log(2) + 2 * t * _horner(t * t, [1 / (2 * n + 1) for n in range(12)])


def sinh(x: np.ndarray) -> np.ndarray:
    r""":math:`\sinh x = (e^x - e^{-x}) / 2`; the error is 1e-16 absolutely near 0, and relatively elsewhere."""
    e = exp(x)
    return (e - 1 / e) * 0.5


def cos_sin(number: np.ndarray, whole: int) -> tuple[np.ndarray, np.ndarray]:
    r""":math:`\cos` and :math:`\sin` of :math:`2 \pi k / N` for whole numbers.

    Args:
        number: :math:`k`, integers.
        whole: :math:`N`, how many make a turn.

    Returns:
        Two arrays of the shape of the input.
    """
    number = number % whole
    quarter = (4 * number + whole // 2) // whole
    r = (4 * number - quarter * whole) * (math.pi / 2 / whole)
    square = r * r
    even = _horner(square, [(-1) ** n / math.factorial(2 * n) for n in range(9)])
    odd = r * _horner(square, [(-1) ** n / math.factorial(2 * n + 1) for n in range(9)])
    quarter = quarter % 4
    cos = np.choose(quarter, [even, -odd, -even, odd])
    sin = np.choose(quarter, [odd, even, -odd, -even])
    return cos, sin


def _horner(x: np.ndarray, coefficients: list[float]) -> np.ndarray:
    result = np.full_like(x, coefficients[-1])
    for one in coefficients[-2::-1]:
        result = result * x + one
    return result
