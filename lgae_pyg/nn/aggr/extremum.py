r"""The particle of smallest or largest invariant mass, channel by channel."""

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.lorentz.kinematics import minkowski_square
from lgae_pyg.nn.aggr.offsets import offsets
from lgae_pyg.ops.graphs import DenseLayout, dense_layout, graph_sizes
from lgae_pyg.ops.products import SCALAR, VECTOR, pack, unpack

#: Relative difference of two invariants below which their particles tie.
TIE = 1e-9
#: Rounding error of an invariant after some levels of products, in units in the last place of its terms.
ROUNDING = 4096


class ExtremumAggregation(Aggregation):
    r"""Picks, for each channel and separately for the real and the imaginary part, the four-vector of the jet
    with the smallest (largest) :math:`v^2`, and the smallest (largest) scalar,

    .. math:: v'_c = v_{k,c}, \quad k = \arg\min_i \; v_{i,c}^2

    (LGAE, arXiv:2212.07347, Sec. 3.3). A real Lorentz transformation leaves :math:`v_{i,c}^2` of both parts
    unchanged, so the choice is invariant and the result equivariant; it is permutation invariant.

    Particles that tie are averaged, which keeps both symmetries: invariants tie if they differ by less than
    :math:`10^{-9}` of the largest in the jet. The two particles of a jet of two massless ones always tie, since
    :math:`v_1 = \alpha p_1 + \beta p_2` and :math:`v_2 = \alpha p_2 + \beta p_1`; in jets of two, a difference
    within the rounding error of :math:`v^2` counts as a tie too. (In larger jets it does not: a margin that grows
    with the energy would make ties at high boost that are none at rest.)

    Args:
        irreps: irreps of the features, scalars and four-vectors.
        mode: ``"min"`` or ``"max"``.
        largest_square: ``max`` picks the scalar with the largest square instead of the largest one, as the
            original does.

    Raises:
        ValueError: for another mode, or irreps without an invariant to order them by.

    Shapes:
        - **input:** packed features :math:`(n, \text{irreps.dim})` and ``index`` or ``ptr``
        - **output:** :math:`(B, \text{irreps.dim})`, complex
    """

    def __init__(self, irreps: Irreps | str, mode: str = "min", largest_square: bool = False):
        super().__init__()
        self.irreps, self.mode, self.largest_square = Irreps(irreps), mode, largest_square
        if mode not in ("min", "max"):
            raise ValueError(f"unknown mode '{mode}': choose min or max")
        for _, irrep in self.irreps:
            if irrep not in (SCALAR, VECTOR):
                raise ValueError(f"{irrep} cannot be ordered by an invariant mass: aggregate scalars and vectors")

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        ptr = offsets(index, ptr, dim_size)
        layout, pairs = dense_layout(ptr), graph_sizes(ptr) == 2
        features = unpack(x, self.irreps)
        chosen = {irrep: self._choose(part, layout, pairs) for irrep, part in features.items()}
        return pack(chosen, self.irreps)

    def _choose(self, part: Tensor, layout: DenseLayout, pairs: Tensor) -> Tensor:
        values = torch.view_as_real(part).movedim(-1, 1)
        key = minkowski_square(values) if values.shape[-1] == 4 else values.squeeze(-1)
        if self.mode == "max":
            if self.largest_square and values.shape[-1] == 1:
                key = key.square()
            key = -key
        rounding = ROUNDING * torch.finfo(key.dtype).eps * values.detach().square().sum(-1)
        key = layout.scatter(key.detach(), fill=torch.inf)
        absent = key.isinf()
        margin = TIE * key.abs() + layout.scatter(rounding) * pairs.view(-1, 1, 1, 1)
        margin = torch.where(absent, 0.0, margin).amax(1, keepdim=True)
        tied = key <= key.amin(dim=1, keepdim=True) + margin
        weights = (tied & ~absent).to(values.dtype)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
        picked = (weights.unsqueeze(-1) * layout.scatter(values)).sum(1)
        return torch.view_as_complex(picked.movedim(1, -1).contiguous())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.mode}, {self.irreps})"
