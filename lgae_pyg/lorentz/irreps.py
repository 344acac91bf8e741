r"""Irreducible representations of the Lorentz group and their direct sums, as small frozen values.

A finite-dimensional irreducible representation is labelled by two half-integers :math:`(m, n)` and has
dimension :math:`(2m + 1)(2n + 1)`: (0,0) are scalars, (1/2,1/2) four-vectors, (1,0) and (0,1) the (anti-)
self-dual antisymmetric tensors, (1,1) symmetric traceless tensors. The labels are those of Hao et al., Eur.
Phys. J. C 83 (2023) 485; Bogatskiy et al., arXiv:2006.04780, write the doubled integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

_LABEL = r"\s*(\d+(?:\.\d+)?(?:\s*/\s*\d+)?)\s*"
_IRREP = re.compile(rf"\s*\({_LABEL},{_LABEL}\)\s*")
_TERM = re.compile(r"\s*(?:(\d+)\s*x\s*)?(\([^()]*\))\s*")


@dataclass(frozen=True)
class Irrep:
    r"""The irreducible representation :math:`(m, n)`.

    Args:
        m: Non-negative integer or half-integer.
        n: Non-negative integer or half-integer.

    Raises:
        ValueError: If a label is negative or not a multiple of 1/2.

    Example:
        >>> str(Irrep(0.5, 0.5)), Irrep(0.5, 0.5).dim
        ('(1/2,1/2)', 4)
    """

    m: float
    n: float

    def __post_init__(self) -> None:
        for name in ("m", "n"):
            value = getattr(self, name)
            try:
                doubled = Fraction(value) * 2
            except (TypeError, ValueError, OverflowError):
                doubled = Fraction(-1)
            if doubled < 0 or doubled.denominator != 1:
                raise ValueError(f"irrep label {name} = {value!r} is not one of 0, 1/2, 1, 3/2, ...")
            object.__setattr__(self, name, int(doubled) / 2)

    @classmethod
    def parse(cls, text: str | Irrep) -> Irrep:
        """The irrep written as ``"(1/2,1/2)"`` (an :class:`Irrep` is returned as it is).

        Raises:
            ValueError: If the text is not of this form.
        """
        if isinstance(text, Irrep):
            return text
        match = _IRREP.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"cannot read {text!r} as an irrep; write it like '(1/2,1/2)' or '(0,0)'")
        m, n = (float(_parse_label(label, text)) for label in match.groups())
        return cls(m, n)

    @property
    def doubled(self) -> tuple[int, int]:
        """The doubled labels (2m, 2n), integers."""
        return int(2 * self.m), int(2 * self.n)

    @property
    def dim(self) -> int:
        """The dimension (2m + 1)(2n + 1)."""
        k, n = self.doubled
        return (k + 1) * (n + 1)

    @property
    def weight(self) -> int:
        """The larger of the doubled labels, max(2m, 2n), by which products are truncated."""
        return max(self.doubled)

    def __mul__(self, other: Irrep) -> tuple[Irrep, ...]:
        r"""The irreps in the tensor product, each once:
        :math:`(m_1, n_1) \otimes (m_2, n_2) = \bigoplus (m, n)` with :math:`m = |m_1 - m_2|, \ldots,
        m_1 + m_2` in steps of one, and :math:`n` likewise."""
        if not isinstance(other, Irrep):
            return NotImplemented
        (k1, n1), (k2, n2) = self.doubled, other.doubled
        return tuple(
            Irrep(k / 2, n / 2)
            for k in range(abs(k1 - k2), k1 + k2 + 1, 2)
            for n in range(abs(n1 - n2), n1 + n2 + 1, 2)
        )

    def __str__(self) -> str:
        return f"({Fraction(self.m)},{Fraction(self.n)})"


@dataclass(frozen=True, init=False)
class Irreps:
    r"""A direct sum of irreps with multiplicities, for example ``1x(0,0)+8x(1/2,1/2)``.

    The features of this representation are packed in the last axis of a tensor, block after block; a block of
    multiplicity ``mul`` is laid out as ``(mul, dim)``.

    Args:
        irreps: Text, an :class:`Irrep`, :class:`Irreps`, or an iterable of pairs (multiplicity, irrep).

    Raises:
        ValueError: If the text or a pair cannot be read.

    Example:
        >>> irreps = Irreps("1x(0,0)+8x(1/2,1/2)")
        >>> irreps.dim, str(irreps)
        (33, '1x(0,0)+8x(1/2,1/2)')
    """

    blocks: tuple[tuple[int, Irrep], ...]

    def __init__(self, irreps: str | Irrep | Irreps | Iterable[tuple[int, Irrep | str]] = ()) -> None:
        if isinstance(irreps, Irreps):
            blocks = irreps.blocks
        elif isinstance(irreps, Irrep):
            blocks = ((1, irreps),)
        elif isinstance(irreps, str):
            blocks = _parse_sum(irreps)
        else:
            blocks = tuple(_checked_block(block) for block in irreps)
        object.__setattr__(self, "blocks", blocks)

    @classmethod
    def parse(cls, irreps: str | Irrep | Irreps | Iterable[tuple[int, Irrep | str]]) -> Irreps:
        """The same as the constructor; reads better where text is meant."""
        return cls(irreps)

    @property
    def dim(self) -> int:
        """The number of components, the sum of multiplicity times dimension."""
        return sum(mul * irrep.dim for mul, irrep in self.blocks)

    def multiplicity(self, irrep: Irrep | str) -> int:
        """How often an irrep occurs, in all blocks together."""
        wanted = Irrep.parse(irrep)
        return sum(mul for mul, irrep in self.blocks if irrep == wanted)

    def slices(self) -> list[slice]:
        """The place of every block in the packed last axis."""
        slices, start = [], 0
        for mul, irrep in self.blocks:
            slices.append(slice(start, start + mul * irrep.dim))
            start += mul * irrep.dim
        return slices

    def split(self, x: Tensor) -> list[Tensor]:
        """Views of the blocks of packed features.

        Args:
            x: Packed features.

        Shapes:
            - **input:** x :math:`(*, dim)`
            - **output:** one tensor :math:`(*, mul, dim_{irrep})` for every block

        Raises:
            ValueError: If the last axis of x does not have this representation's dimension.
        """
        if x.shape[-1] != self.dim:
            raise ValueError(f"features of {self} have {self.dim} components, not {x.shape[-1]}")
        return [
            x[..., place].unflatten(-1, (mul, irrep.dim))
            for place, (mul, irrep) in zip(self.slices(), self.blocks)
        ]

    def sort(self) -> Irreps:
        """One block for every irrep that occurs, ordered by weight and labels.

        This is the normal form of a representation; the layout of the packed features may change.
        """
        found = {irrep for mul, irrep in self.blocks if mul}
        ordered = sorted(found, key=lambda irrep: (irrep.weight, irrep.m, irrep.n))
        return Irreps([(self.multiplicity(irrep), irrep) for irrep in ordered])

    def __iter__(self) -> Iterator[tuple[int, Irrep]]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> tuple[int, Irrep]:
        return self.blocks[index]

    def __contains__(self, irrep: object) -> bool:
        return isinstance(irrep, (Irrep, str)) and self.multiplicity(irrep) > 0

    def __add__(self, other: Irreps | Irrep | str) -> Irreps:
        return Irreps(self.blocks + Irreps(other).blocks)

    def __str__(self) -> str:
        return "+".join(f"{mul}x{irrep}" for mul, irrep in self.blocks)

    def __repr__(self) -> str:
        return f"Irreps('{self}')"


def _parse_label(label: str, text: str) -> Fraction:
    """A label as a number; the division in ``1/2`` is exact."""
    numerator, _, denominator = label.partition("/")
    if denominator and int(denominator) == 0:
        raise ValueError(f"cannot read {text!r} as an irrep: division by zero in the label {label!r}")
    return Fraction(numerator.strip()) / int(denominator or 1)


def _parse_sum(text: str) -> tuple[tuple[int, Irrep], ...]:
    """The blocks of ``"1x(0,0)+8x(1/2,1/2)"``; a term without a multiplicity counts once."""
    blocks = []
    for term in text.split("+") if text.strip() else ():
        match = _TERM.fullmatch(term)
        if match is None:
            raise ValueError(f"cannot read {term.strip()!r} in the irreps {text!r}; write '1x(0,0)+8x(1/2,1/2)'")
        blocks.append((int(match[1] or 1), Irrep.parse(match[2])))
    return tuple(blocks)


def _checked_block(block: tuple[int, Irrep | str]) -> tuple[int, Irrep]:
    """A pair (multiplicity, irrep), checked."""
    try:
        mul, irrep = block
    except (TypeError, ValueError):
        raise ValueError(f"{block!r} is not a pair (multiplicity, irrep)") from None
    if isinstance(mul, bool) or not isinstance(mul, int) or mul < 0:
        raise ValueError(f"the multiplicity {mul!r} of {irrep} is not a non-negative integer")
    return mul, Irrep.parse(irrep)
