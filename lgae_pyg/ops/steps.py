r"""How kernels walk a table of products (:class:`~lgae_pyg.ops.tensor_levels.Table`): each product of two numbers
of a node once, sums of these, and what is the same up to a factor once.

Products of features with themselves come in both orders, a square in tensor products has each pair twice, and
those that are antisymmetric vanish: of the 3,232 terms of the last level of a Lorentz group network 1,848 are
left, on 1,048 products and numbers, in 476 sums in the place of 964.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: Size, against the largest, below which a coefficient is what rounding leaves of zero.
ROUNDING = 1e-12
Pair = tuple[int, int]
Terms = dict[Pair, complex]
Unit = list[Terms]


class Steps(NamedTuple):
    """A table as a kernel takes it (``steps.h``).

    Attributes:
        sizes: how many numbers, pairs, sums, groups, terms and outputs there are.
        places: where the groups end; the pairs, among them numbers by themselves; where the terms of each sum with
            real and those with imaginary coefficients begin, and the products that they multiply; the same for the
            pairs, from the gradients of the sums; where each output is.
        values: coefficients of both lists of terms, and factors of the outputs.
    """

    sizes: tuple[int, ...]
    places: Tensor
    values: Tensor


def lengths(sizes: Sequence[int]) -> tuple[int, int]:
    """Numbers in :attr:`Steps.places` and in :attr:`Steps.values`."""
    _, pairs, sums, groups, terms, outputs = sizes
    lists = 4 * groups + 2 * pairs + (2 * sums + 1) + (2 * pairs + 1) + 2 * terms + outputs
    return lists, 2 * (terms + outputs)


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
    made: dict[tuple, Unit] = {}
    outputs: list[tuple[int | Unit, int, complex]] = []  # a first number or a unit, a component, a factor
    for begin, size in units:
        parts = [_without_zeros(found.get(begin + k, {}), ROUNDING * largest) for k in range(size)]
        scale = next((value for terms in parts for value in terms.values()), 0j)
        there: int | Unit = -1
        if scale:
            parts = [{pair: value / scale for pair, value in terms.items()} for terms in parts]
            key = tuple(tuple((pair, _rounded(value)) for pair, value in terms.items()) for terms in parts)
            first = _copied(key, numbers)
            there = made.setdefault(key, parts) if first is None else first
        outputs += [(there, k, scale) for k in range(size)]
    return _arranged(list(made.values()), outputs, numbers, real)


def _without_zeros(terms: Terms, least: float) -> Terms:
    return {pair: terms[pair] for pair in sorted(terms) if abs(terms[pair]) > least}


def _rounded(value: complex) -> complex:
    return complex(round(value.real, 9) + 0.0, round(value.imag, 9) + 0.0)


def _copied(unit: tuple, one: int) -> int | None:
    """The first of the numbers that a unit repeats; none if it does not."""
    first = unit[0][0][0][0] if unit[0] else one
    return first if unit == tuple((((first + k, one), 1 + 0j),) for k in range(len(unit))) else None


def _grouped(units: Sequence[Unit]) -> list[tuple[set[Pair], list[Unit]]]:
    """Units that share pairs, with these."""
    groups: list[tuple[set[Pair], list[Unit]]] = []
    for unit in units:
        pairs, members = {pair for terms in unit for pair in terms}, [unit]
        for other in [group for group in groups if group[0] & pairs]:
            groups.remove(other)
            pairs, members = pairs | other[0], other[1] + members
        groups.append((pairs, members))
    return groups


def _arranged(
    units: Sequence[Unit], outputs: Sequence[tuple[int | Unit, int, complex]], numbers: int, real: range
) -> Steps:
    ends, pairs, sums = list[int](), list[Pair](), list[Terms]()
    slots: dict[Pair, int] = {}  # places among the products of a group
    begins: dict[int, int] = {}
    for members, own in _grouped(units):
        kinds = {pair: 2 if pair[1] == numbers else int(pair[0] not in real) for pair in members}
        ordered = sorted(members, key=lambda pair: (kinds[pair], pair))
        slots |= {pair: slot for slot, pair in enumerate(ordered)}
        for unit in own:
            begins[id(unit)] = numbers + len(sums)
            sums += unit
        ends += [len(pairs) + sum(kind <= last for kind in kinds.values()) for last in range(3)] + [len(sums)]
        pairs += ordered
    backward = {pair: list[tuple[int, complex]]() for pair in pairs}
    for number, terms in enumerate(sums):
        for pair, value in terms.items():
            backward[pair].append((number, value.conjugate()))
    forward = _real_terms([[(slots[pair], value) for pair, value in terms.items()] for terms in sums])
    back = _real_terms(list(backward.values()))
    factors = [pair[0] if number == numbers else number for pair in pairs for number in pair]
    index = [*ends, *factors, *forward[0], *forward[1], *back[0], *back[1]]
    for there, k, _ in outputs:
        begin = there if isinstance(there, int) else begins[id(there)]
        index.append(begin + k if begin >= 0 else -1)
    scales = [part for *_, scale in outputs for part in (scale.real, scale.imag)]
    sizes = (numbers, len(pairs), len(sums), len(ends) // 4, len(forward[2]), len(outputs))
    return Steps(
        sizes,
        torch.tensor(index, dtype=torch.int32, device="cpu"),
        torch.tensor([*forward[2], *back[2], *scales], dtype=torch.float64, device="cpu"),
    )


def _real_terms(lists: Sequence[Sequence[tuple[int, complex]]]) -> tuple[list[int], list[int], list[float]]:
    """Where the terms of each list with real and those with imaginary coefficients begin, their places, and the
    coefficients as real numbers; a complex one makes one of each."""
    begins, places, values = [0], list[int](), list[float]()
    for terms in lists:
        for part in ("real", "imag"):
            wanted = [(place, getattr(value, part)) for place, value in terms if getattr(value, part)]
            places += [place for place, _ in wanted]
            values += [value for _, value in wanted]
            begins.append(len(places))
    return begins, places, values
