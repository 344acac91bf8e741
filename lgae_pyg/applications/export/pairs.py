r"""Complex numbers as pairs of real ones: ONNX has no complex type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Pair(NamedTuple):
    """The real and the imaginary part of a tensor, of one shape.

    Attributes:
        real: the real part.
        imag: the imaginary part.
    """

    real: Tensor
    imag: Tensor

    @classmethod
    def of(cls, x: Tensor | Pair) -> Pair:
        """The parts of a tensor, of a real one with imaginary part zero."""
        if isinstance(x, Pair):
            return x
        return cls(x.real, x.imag) if x.is_complex() else cls(x, torch.zeros_like(x))

    def map(self, function: Callable[[Tensor], Tensor]) -> Pair:
        """A linear function with real coefficients, of each part."""
        return Pair(function(self.real), function(self.imag))

    def plus(self, other: Pair) -> Pair:
        """The sum."""
        return Pair(self.real + other.real, self.imag + other.imag)

    def times(self, other: Pair | Tensor | complex, product: Callable = torch.mul) -> Pair:
        """The product, or another bilinear form of tensors.

        Args:
            other: a pair; a real tensor; or a number.
            product: of two real tensors.
        """
        if isinstance(other, Tensor):
            return self.map(lambda part: product(part, other))
        if isinstance(other, int | float | complex):
            a, b = complex(other).real, complex(other).imag
            if not b:
                return self.map(lambda part: part * a)
            return Pair(self.real * a - self.imag * b, self.real * b + self.imag * a)
        return Pair(
            product(self.real, other.real) - product(self.imag, other.imag),
            product(self.real, other.imag) + product(self.imag, other.real),
        )


def join(parts: Sequence[Pair], dim: int) -> Pair:
    """Pairs one after another along a dimension."""
    return Pair(torch.cat([part.real for part in parts], dim), torch.cat([part.imag for part in parts], dim))
