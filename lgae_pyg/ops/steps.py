r"""How kernels walk a table of products (:class:`~lgae_pyg.ops.tensor_levels.Table`): each product of two numbers of
a node once, sums of these, and what is the same up to a factor once.

Products of features with themselves come in both orders, a square in tensor products has each pair twice, and those
that are antisymmetric vanish: of the 3,232 terms of the last level of a Lorentz group network 2,008 are left, on
1,208 pairs and numbers.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: Size, against the largest, below which a coefficient is what rounding leaves of zero.
ROUNDING = 1e-12
Terms = dict[tuple[int, int], complex]


class Steps(NamedTuple):
    """A table as a kernel takes it (``steps.h``).

    Attributes:
        sizes: how many numbers, pairs with a real left number, pairs, numbers that are terms, sums, terms and
            outputs there are.
        index: the pairs; where the terms of each sum begin, and the parts of pairs or numbers that each multiplies;
            the same for pairs and numbers, from the gradients of the sums; which numbers; where each output is.
        values: coefficients of both lists of terms, and factors of the outputs.
    """

    sizes: tuple[int, ...]
    index: Tensor
    values: Tensor


def index_length(sizes: Sequence[int]) -> int:
    """Numbers in :attr:`Steps.index`."""
    _, _, pairs, linear, sums, terms, outputs = sizes
    return 2 * pairs + (sums + 1) + 2 * terms + (pairs + linear + 1) + 2 * terms + linear + outputs


def table_steps(
    entries: Iterable[tuple[int, int, int, complex]],
    numbers: int,
    units: Sequence[tuple[int, int]],
    real: range = range(0),
) -> Steps:
    """The steps of a table.

    Args:
        entries: output, left and right number, coefficient of each term; the number behind the last is 1.
        numbers: how many numbers a node has.
        units: where outputs begin that belong together, and how many they are: the components of a channel.
        real: which numbers are real.

    Raises:
        ValueError: if a term is no number of the node.
    """
    found: dict[int, Terms] = defaultdict(lambda: defaultdict(complex))
    for out, a, b, value in entries:
        left, right = min(a, b), max(a, b)
        if not 0 <= left < numbers or right > numbers:
            raise ValueError(f"a term of numbers {a} and {b} is none of a node that has {numbers}")
        found[out][(right, left) if right in real and left not in real else (left, right)] += value
    largest = max((abs(value) for terms in found.values() for value in terms.values()), default=0.0)
    sums: list[Terms] = []
    known: dict[tuple, int] = {}
    places: list[tuple[int, complex]] = []  # of a number, or of a sum behind the numbers
    for begin, size in units:
        parts = [_without_zeros(found.get(begin + k, {}), ROUNDING * largest) for k in range(size)]
        scale = next((value for terms in parts for value in terms.values()), 0j)
        if scale == 0:
            places += [(-1, 0j)] * size
        elif (first := _copied(parts, scale, numbers)) is not None:
            places += [(first + k, scale) for k in range(size)]
        else:
            key = tuple(tuple((pair, _rounded(value / scale)) for pair, value in terms.items()) for terms in parts)
            if key not in known:
                known[key] = numbers + len(sums)
                sums += [{pair: value / scale for pair, value in terms.items()} for terms in parts]
            places += [(known[key] + k, scale) for k in range(size)]
    return _arranged(sums, places, numbers, real)


def _without_zeros(terms: Terms, least: float) -> Terms:
    return {pair: terms[pair] for pair in sorted(terms) if abs(terms[pair]) > least}


def _rounded(value: complex) -> tuple[float, float]:
    return round(value.real, 9) + 0.0, round(value.imag, 9) + 0.0


def _copied(parts: Sequence[Terms], scale: complex, one: int) -> int | None:
    """The first of the numbers that a unit repeats, all with the same factor; none if it does not."""
    pairs = [next(iter(terms)) if len(terms) == 1 else (0, 0) for terms in parts]
    first, same = pairs[0][0], _rounded(1.0 + 0j)
    rising = all(pair == (first + k, one) for k, pair in enumerate(pairs)) and first + len(parts) <= one
    return first if rising and all(_rounded(terms[pair] / scale) == same for terms, pair in zip(parts, pairs)) else None


def _arranged(sums: Sequence[Terms], places: Sequence[tuple[int, complex]], numbers: int, real: range) -> Steps:
    used = {pair for terms in sums for pair in terms}
    linear = sorted(pair for pair in used if pair[1] == numbers and pair[0] != numbers)
    with_real = sorted(pair for pair in used - set(linear) if pair[0] in real)
    pairs = with_real + sorted(used - set(linear) - set(with_real))
    of_pair = {pair: numbers + k for k, pair in enumerate(pairs)} | {pair: pair[0] for pair in linear}
    behind = numbers + len(pairs)
    backward = {pair: list[tuple[int, complex]]() for pair in pairs + linear}
    for number, terms in enumerate(sums):
        for pair, value in terms.items():
            backward[pair].append((number, value.conjugate()))
    begins, parts, values = _real_terms([[(of_pair[pair], value) for pair, value in terms.items()] for terms in sums])
    back_begins, back_parts, back_values = _real_terms(list(backward.values()))
    outputs = [place if place < numbers else place - numbers + behind for place, _ in places]
    index = [number for pair in pairs for number in pair]
    index += [*begins, *parts, *back_begins, *back_parts, *(pair[0] for pair in linear), *outputs]
    factors = [part for _, factor in places for part in (factor.real, factor.imag)]
    sizes = (numbers, len(with_real), len(pairs), len(linear), len(sums), len(values) // 2, len(places))
    return Steps(
        sizes,
        torch.tensor(index, dtype=torch.int32, device="cpu"),
        torch.tensor([*values, *back_values, *factors], dtype=torch.float64, device="cpu"),
    )


def _real_terms(lists: Sequence[Sequence[tuple[int, complex]]]) -> tuple[list[int], list[int], list[float]]:
    """Where the terms of each list begin; which part of which number a term multiplies for the real part of the sum
    and for the imaginary one; and by what."""
    begins, parts, values = [0], list[int](), list[float]()
    for terms in lists:
        for place, value in terms:
            if value.real:
                parts += [2 * place, 2 * place + 1]
                values += [value.real, value.real]
            if value.imag:
                parts += [2 * place + 1, 2 * place]
                values += [-value.imag, value.imag]
        begins.append(len(parts) // 2)
    return begins, parts, values
