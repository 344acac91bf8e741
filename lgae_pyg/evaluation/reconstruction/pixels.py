"""What an evaluation keeps of models whose outputs are pixels: sums and a few images, however many the jets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.ops.images import pixel_momenta

#: Jets whose images are shown, evenly spread over the sample.
EXAMPLES = 5


def example_jets(jets: int) -> Tensor:
    """The numbers of the jets that are shown as examples."""
    return torch.linspace(0, jets - 1, min(EXAMPLES, jets), dtype=torch.float64).round().long().unique()


@dataclass(frozen=True)
class Pixels:
    """Images of the jets of a sample, summed up.

    Args:
        max_radius: half the width of the images.
        truth: momentum of each true jet as its image has it, the sum over the pixels, in GeV.
        mean: mean of the images that the model gives back, around the true jets and in units of their pT.
        examples: some of these images.
        numbers: which jets they are of.

    Shapes:
        - **truth**: :math:`(B, 4)`
        - **mean**: :math:`(P, P)`, indexed ``image[phi, eta]``
        - **examples**: :math:`(K, P, P)`
        - **numbers**: :math:`(K,)`
    """

    max_radius: float
    truth: Tensor
    mean: Tensor
    examples: Tensor
    numbers: Tensor

    @property
    def grid(self) -> tuple[int, float]:
        """Number of pixels along each side, and half the width of the image."""
        return self.mean.shape[-1], self.max_radius

    def to_arrays(self) -> dict[str, Any]:
        """The fields as NumPy arrays, for :meth:`from_arrays`."""
        return {one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor]) -> "Pixels":
        """The inverse of :meth:`to_arrays`, from tensors."""
        values = {one.name: arrays[one.name] for one in fields(cls)}
        return cls(**values | {"max_radius": float(values["max_radius"])})


@dataclass
class PixelCollector:
    """Sums up the images of one batch after the other.

    Args:
        jets: the number of jets of the whole sample.
    """

    jets: int
    _seen: int = 0
    _total: Tensor | None = None
    _truths: list[Tensor] = field(default_factory=list)
    _examples: list[Tensor] = field(default_factory=list)
    _max_radius: float = 0.0

    def add(self, images: Any, unit_in_gev: float) -> None:
        """Adds a batch of :class:`~lgae_pyg.models.Images` in a unit given in GeV."""
        truth = pixel_momenta(images.target, images.axis, images.max_radius).sum(1)
        self._truths.append(truth.double().cpu() * unit_in_gev)
        output = images.output.double().cpu()
        shown = example_jets(self.jets) - self._seen
        self._examples.append(output[shown[(shown >= 0) & (shown < len(output))]])
        total = output.sum(0)
        self._total = total if self._total is None else self._total + total
        self._seen += len(output)
        self._max_radius = images.max_radius

    def collected(self) -> Pixels | None:
        """What there is to keep; ``None`` if no images came."""
        if self._total is None:
            return None
        return Pixels(
            max_radius=self._max_radius,
            truth=torch.cat(self._truths),
            mean=self._total / self._seen,
            examples=torch.cat(self._examples),
            numbers=example_jets(self.jets),
        )
