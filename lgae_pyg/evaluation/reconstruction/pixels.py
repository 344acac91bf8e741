"""What is kept of models whose outputs are pixels: sums and a few images, however many the jets."""

from collections.abc import Mapping
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


class Pixels:
    """Images of the jets of a sample, summed up batch by batch.

    Args:
        jets: the number of jets of the whole sample.

    Attributes:
        max_radius: half the width of the images.
        truth: momentum of each true jet as its image has it, the sum over the pixels, in GeV.
        total: sum of the images that the model gives back.
        seen: how many those are, see :attr:`mean`.
        examples: some of these images.
        numbers: which jets they are of.

    Shapes:
        - **truth**: :math:`(B, 4)`
        - **total**, **mean**: :math:`(P, P)`, indexed ``image[phi, eta]``
        - **examples**: :math:`(K, P, P)`
        - **numbers**: :math:`(K,)`
    """

    FIELDS = ("max_radius", "truth", "mean", "examples", "numbers")

    def __init__(self, jets: int) -> None:
        self.numbers, self.seen = example_jets(jets), 0
        self.max_radius, self.truth = 0.0, torch.zeros(0, 4, dtype=torch.float64)
        self.total = self.examples = torch.zeros(0)

    @property
    def mean(self) -> Tensor:
        """Mean of the images that the model gives back, around the true jets and in units of their pT."""
        return self.total / self.seen

    @property
    def grid(self) -> tuple[int, float]:
        """Number of pixels along each side, and half the width of the image."""
        return self.total.shape[-1], self.max_radius

    def add(self, images: Any, unit_in_gev: float) -> None:
        """Adds a batch of :class:`~lgae_pyg.models.Images` in a unit given in GeV."""
        seen, output = self.seen, images.output.double().cpu()
        truth = pixel_momenta(images.target, images.axis, images.max_radius).sum(1)
        self.truth = torch.cat([self.truth, truth.double().cpu() * unit_in_gev])
        shown = self.numbers - seen
        examples = output[shown[(shown >= 0) & (shown < len(output))]]
        self.examples = torch.cat([self.examples, examples]) if seen else examples
        self.total, self.max_radius = self.total + output.sum(0) if seen else output.sum(0), images.max_radius
        self.seen += len(output)

    def to_arrays(self) -> dict[str, Any]:
        """The attributes as NumPy arrays, for :meth:`from_arrays`."""
        return {name: np.asarray(getattr(self, name)) for name in self.FIELDS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor]) -> "Pixels":
        """The inverse of :meth:`to_arrays`, from tensors."""
        found = cls(0)
        found.max_radius, found.truth = float(arrays["max_radius"]), arrays["truth"]
        found.total, found.seen = arrays["mean"], 1
        found.examples, found.numbers = arrays["examples"], arrays["numbers"]
        return found
