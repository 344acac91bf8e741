r"""A learnable complex mixture over the ordered particles of a jet."""

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.typing import OptTensor

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.ops.graphs import dense_layout, graph_offsets


class MixAggregation(Aggregation):
    r"""Mixes the channels of all particles of a jet into latent channels,

    .. math:: L_c = \sum_{i < N} \sum_{c'} W_{c,\,i c'} F_{i,c'} ,

    one complex matrix per irrep (LGAE, arXiv:2212.07347, Sec. 3.3, "mix"). It is Lorentz equivariant and depends
    on the order of the particles; absent particles count as zero.

    Args:
        irreps_in: irreps of the particles.
        irreps_out: irreps of the latent space.
        num_particles: the number of slots :math:`N`.
        backend: see :class:`~lgae_pyg.nn.MixReps`.

    Raises:
        ValueError: when called, for a jet of more than :math:`N` particles.

    Shapes:
        - **input:** packed features :math:`(n, \text{irreps\_in.dim})` and ``index`` or ``ptr``
        - **output:** :math:`(B, \text{irreps\_out.dim})`, complex
    """

    def __init__(
        self, irreps_in: Irreps | str, irreps_out: Irreps | str, num_particles: int, backend: str = "auto"
    ):
        super().__init__()
        self.irreps_in, self.num_particles = Irreps(irreps_in), num_particles
        self.widths = [channels * irrep.dim for channels, irrep in self.irreps_in]
        slots = Irreps([(channels * num_particles, irrep) for channels, irrep in self.irreps_in])
        self.mix = MixReps(slots, irreps_out, backend)

    def reset_parameters(self) -> None:
        """Draws new mixing weights."""
        self.mix.reset_parameters()

    def forward(
        self, x: Tensor, index: OptTensor = None, ptr: OptTensor = None, dim_size: int | None = None, dim: int = -2
    ) -> Tensor:
        ptr = graph_offsets(len(x), ptr, index, dim_size)
        layout = dense_layout(ptr, self.num_particles, len(x))
        parts = [layout.scatter(part).flatten(1) for part in x.split(self.widths, -1)]
        return self.mix(torch.cat(parts, -1))
