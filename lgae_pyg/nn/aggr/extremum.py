r"""The particle of smallest or largest invariant mass, channel by channel."""

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.nn.aggr.offsets import offsets
from lgae_pyg.ops.graphs import graph_sizes, node_to_graph
from lgae_pyg.ops.products import SCALAR, VECTOR

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
        rounding: rounding error of an invariant in units in the last place of its terms. It grows with the weight
            of the irreps from which the features were made: each product of four-vectors cancels.

    Raises:
        ValueError: for another mode, or irreps without an invariant to order them by.

    Shapes:
        - **input:** packed features :math:`(n, \text{irreps.dim})` and ``index`` or ``ptr``
        - **output:** :math:`(B, \text{irreps.dim})`, complex
    """

    def __init__(
        self, irreps: Irreps | str, mode: str = "min", largest_square: bool = False, rounding: float = ROUNDING
    ):
        super().__init__()
        self.irreps, self.mode, self.largest_square = Irreps(irreps), mode, largest_square
        self.rounding = rounding
        if mode not in ("min", "max"):
            raise ValueError(f"unknown mode '{mode}': choose min or max")
        #: Multiplicity and dimension of each irrep.
        self.sizes = [(channels, irrep.dim) for channels, irrep in self.irreps]
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
        graph, jets = node_to_graph(ptr, len(x)), len(ptr) - 1
        values = torch.view_as_real(x).split([channels * dim for channels, dim in self.sizes], 1)
        blocks = [value.unflatten(1, size) for value, size in zip(values, self.sizes)]
        with torch.no_grad():
            shares = self._shares(blocks, graph, graph_sizes(ptr))
        shares = shares.split([channels for channels, _ in self.sizes], 1)
        picked = [
            block.new_zeros(jets, *block.shape[1:]).index_add(0, graph, share.unsqueeze(2) * block).flatten(1, 2)
            for block, share in zip(blocks, shares)
        ]
        return torch.view_as_complex(torch.cat(picked, 1))

    def _shares(self, blocks: list[Tensor], graph: Tensor, sizes: Tensor) -> Tensor:
        r"""The share of each node in the choice of its jet: 1 over the number of nodes that tie, or 0.

        Shapes:
            - blocks: :math:`(n, \tau, \dim, 2)` for each irrep, real and imaginary parts
            - **output:** :math:`(n, \sum \tau, 2)`
        """
        keys, terms = zip(*(self._key(block) for block in blocks))
        key, terms = torch.cat(keys, 1), torch.cat(terms, 1)
        rounding = self.rounding * torch.finfo(key.dtype).eps * terms * (sizes == 2)[graph].view(-1, 1, 1)
        where = graph.view(-1, 1, 1).expand_as(key)

        def over_jets(x: Tensor, start: float, reduce: str) -> Tensor:
            return x.new_full((len(sizes), *x.shape[1:]), start).scatter_reduce(0, where, x, reduce)

        limit = over_jets(key, torch.inf, "amin") + over_jets(TIE * key.abs() + rounding, 0.0, "amax")
        tied = (key <= limit[graph]).to(key.dtype)
        return tied / over_jets(tied, 0.0, "sum").clamp(min=1)[graph]

    def _key(self, block: Tensor) -> tuple[Tensor, Tensor]:
        r"""What the nodes are ordered by, the first to be chosen, and the size of the terms that it consists of.

        Shapes:
            - block: :math:`(n, \tau, \dim, 2)`, real and imaginary parts
            - **output:** twice :math:`(n, \tau, 2)`
        """
        first, *others = (part.square() for part in block.unbind(2))
        if others:
            space = sum(others[1:], others[0])
            key, terms = first - space, first + space
        else:
            square = self.mode == "max" and self.largest_square
            key, terms = first if square else block.squeeze(2), first
        return -key if self.mode == "max" else key, terms

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.mode}, {self.irreps})"
