r"""The particle of smallest or largest invariant mass, channel by channel."""

from torch import Tensor
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.typing import OptTensor

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.ops.backends.choice import check_backend
from lgae_pyg.ops.extremum import Choice, extremum
from lgae_pyg.ops.graphs import graph_offsets
from lgae_pyg.ops.products import SCALAR, VECTOR, as_complex

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
        rounding: rounding error of an invariant in units in the last place of its terms. It grows with the weight
            of the irreps from which the features were made: each product of four-vectors cancels.
        backend: ``auto`` and ``fused`` use a compiled kernel on the CPU, the others PyTorch.

    Raises:
        ValueError: for another mode, an unknown back-end, or irreps without an invariant to order them by.

    Shapes:
        - **input:** packed features :math:`(n, \text{irreps.dim})` and ``index`` or ``ptr``
        - **output:** :math:`(B, \text{irreps.dim})`, complex
    """

    def __init__(
        self,
        irreps: Irreps | str,
        mode: str = "min",
        largest_square: bool = False,
        rounding: float = ROUNDING,
        backend: str = "auto",
    ):
        super().__init__()
        check_backend(backend)
        self.irreps, self.mode, self.backend = Irreps(irreps), mode, backend
        self.choice = Choice(mode == "max", largest_square, rounding)
        if mode not in ("min", "max"):
            raise ValueError(f"unknown mode '{mode}': choose min or max")
        #: Multiplicity and dimension of each irrep.
        self.sizes = [(channels, irrep.dim) for channels, irrep in self.irreps]
        for _, irrep in self.irreps:
            if irrep not in (SCALAR, VECTOR):
                raise ValueError(f"{irrep} cannot be ordered by an invariant mass: aggregate scalars and vectors")

    def forward(
        self, x: Tensor, index: OptTensor = None, ptr: OptTensor = None, dim_size: int | None = None, dim: int = -2
    ) -> Tensor:
        if x.shape[-1] != self.irreps.dim:
            raise ValueError(f"{self} needs {self.irreps.dim} columns, but got {x.shape[-1]}")
        x, ptr = as_complex(x), graph_offsets(len(x), ptr, index, dim_size)
        return extremum(x, ptr, self.sizes, self.choice, self.backend)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.mode}, {self.irreps})"
