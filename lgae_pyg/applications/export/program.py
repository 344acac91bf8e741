"""What a file of an export computes: from momenta as a trigger has them to scores."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from lgae_pyg.applications.export.networks import padded_network
from lgae_pyg.data import JetData
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.lorentz.kinematics import energy, transverse_momentum
from lgae_pyg.models.taggers.inputs import GeVTagger
from lgae_pyg.ops.jets import PaddedJets
from lgae_pyg.registry import check_choice


class PaddedTagger(nn.Module):
    r"""A trained tagger with all that comes before and after it: unit, padding, the leading particles, features,
    network, softmax.

    Of the places of a jet, the first ``count`` hold its particles; rows of zero energy among them are padding,
    too. What is in any other place changes no number. A jet that no network can read (no particle, more particles
    than places, momenta that are not finite, a negative energy) has NaN for scores, and the others keep theirs.

    Args:
        model: a trained tagger; it is copied, in evaluation mode, to the CPU.
        unit: unit of the momenta that are given.
        num_particles: jets are cut to so many particles, those of largest :math:`p_T`; all are kept when omitted.
        dtype: precision of the momenta that are given.

    Raises:
        ValueError: for an unknown unit, fewer than two particles, or a model that cannot be exported
            (:func:`~lgae_pyg.applications.export.networks.padded_network`).

    Shapes:
        - **input:** p4 :math:`(B, N, 4)`, count :math:`(B,)`, int64
        - **output:** scores :math:`(B, C)`, rows that sum to one
    """

    #: What a file gives, and what its scores may be off by, through roundings alone, by the model's precision.
    outputs = ("scores",)
    limits = {torch.float32: 1e-4, torch.float64: 1e-8}  # noqa: RUF012
    model: Any
    unit: str
    num_particles: int | None
    dtype: torch.dtype

    def __init__(
        self,
        model: GeVTagger,
        unit: str = "GeV",
        num_particles: int | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.network = padded_network(model)
        if num_particles is not None and num_particles < 2:
            raise ValueError(f"jets are cut to two particles at least, not num_particles={num_particles}")
        check_choice("unit", unit, UNITS_IN_GEV)
        self.model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        self.model.unit = unit
        self.unit, self.num_particles, self.dtype = unit, num_particles, dtype

    def forward(self, p4: Tensor, count: Tensor) -> Tensor:
        p4, exists, sound = admitted(p4, count, self.num_particles)
        logits = self.network(self.model, self.model.momentum_scale * p4, PaddedJets(exists), self.dtype)
        return torch.where(sound.unsqueeze(-1), logits.softmax(-1), torch.nan)


    def on_graphs(self, p4: Tensor, ptr: Tensor) -> dict[str, NDArray]:
        """What the model itself gives, on graphs, :math:`(n, 4)` and :math:`(B+1,)`."""
        return {"scores": self.model.scores(JetData(pos=p4, ptr=ptr.long(), unit=self.unit)).numpy()}

    def comparable(self, outputs: Mapping[str, NDArray], energy: NDArray) -> NDArray:
        """Numbers of the order of one, in which a file is compared with the model, :math:`(B, C)`."""
        return outputs["scores"]


def admitted(p4: Tensor, count: Tensor, number: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """The particles that are there, in double precision, cut to the leading ones; which places hold one; and which
    jets can be read."""
    inside = torch.arange(p4.shape[1], device=p4.device) < count.unsqueeze(-1)
    exists = inside & (energy(p4) != 0)
    sound = ~inside | (torch.isfinite(p4).all(-1) & (energy(p4) >= 0))
    sound = sound.all(1) & exists.any(1) & (count <= p4.shape[1])
    p4 = torch.where(exists.unsqueeze(-1), p4, 0.0).double()
    return (*(_leading(p4, exists, number) if number is not None else (p4, exists)), sound)


def _leading(p4: Tensor, exists: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The particles of largest pT, which come first in falling order; equal ones keep theirs. There are always so
    many places, filled up with padding: a width that depends on the input's could not be exported."""
    p4, exists = pad(p4, (0, 0, 0, number)), pad(exists, (0, number))
    pt = torch.where(exists, transverse_momentum(p4), -1.0)
    order = pt.argsort(dim=1, descending=True, stable=True)[:, :number]
    return p4.gather(1, order.unsqueeze(-1).expand(-1, -1, 4)), exists.gather(1, order)
