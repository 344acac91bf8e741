r"""The message passing layer of LorentzNet."""

import torch
from torch import Tensor, nn
from torch_geometric.typing import Adj

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.ops.graphs import edges_or_offsets
from lgae_pyg.ops.lorentz_features import psi
from lgae_pyg.ops.pair_chunks import MAX_PAIRS, Pairs, all_pairs, edge_pairs
from lgae_pyg.ops.pair_norm import pair_batch_norm
from lgae_pyg.ops.pairs import pair_sum, split_linear
from lgae_pyg.ops.precision import without_autocast


class LorentzNetConv(nn.Module):
    r"""One Lorentz group equivariant block (Gong et al., arXiv:2201.08187) on scalars :math:`h_i` and coordinates
    :math:`x_i`, four-vectors that begin as the momenta,

    .. math::
        m_{ij} &= w_{ij}\, \phi_e\big(h_i, h_j, \psi(|x_i - x_j|^2), \psi(\langle x_i, x_j \rangle)\big), \qquad
        w_{ij} = \sigma(\phi_m(\phi_e(\ldots))), \\
        x'_i &= x_i + \frac{c}{|N_i|} \sum_{j \in N_i} (x_i - x_j)\, \phi_x(m_{ij}), \qquad
        h'_i = h_i + \phi_h\Big(h_i, \sum_{j \in N_i} m_{ij}, s_i\Big),

    with :math:`\psi(x) = \mathrm{sgn}(x) \ln(1 + |x|)` and scalars :math:`s_i` that every block sees. The batch
    normalisation inside :math:`\phi_e` is that of all pairs of the batch, so large jets weigh more.

    The first layer of :math:`\phi_e` is computed once per particle; pairs are walked in chunks, so memory grows
    with the number of particles and not of pairs. Coordinates and invariants are float64 whatever the precision of
    the parameters: products of hard collinear momenta cancel.

    Args:
        hidden: width of the scalars.
        num_scalars: number of the scalars :math:`s_i`.
        invariants: whether :math:`\phi_e` sees the two invariants of the coordinates.
        edge_dim: number of further features of each pair, given as ``edge_attr``.
        move: whether the coordinates are updated.
        step: the constant :math:`c`.
        clamp: limit of each component of :math:`(x_i - x_j) \phi_x`, which the published code has at 100; it
            breaks the symmetry.

    Raises:
        ValueError: when called, unless one of ``edge_index``, ``ptr`` and ``batch`` is given, for nodes that are
            not sorted by jet, and without the ``edge_attr`` that the layer was built for.

    Shapes:
        - **input:** h :math:`(n, H)`, x :math:`(n, 4)`, scalars :math:`(n, S)`, one of ``edge_index``
          :math:`(2, e)` and, for complete graphs without self-loops, ``ptr`` :math:`(B+1,)` or ``batch``
          :math:`(n,)`; ``edge_attr`` :math:`(e, D)`, in the order of :func:`~lgae_pyg.ops.graphs.complete_graph`
        - **output:** h :math:`(n, H)` and x :math:`(n, 4)`, float64
    """

    def __init__(
        self,
        hidden: int,
        num_scalars: int,
        invariants: bool = True,
        edge_dim: int = 0,
        move: bool = True,
        step: float = 0.005,
        clamp: float | None = None,
    ):
        super().__init__()
        self.hidden, self.num_scalars, self.invariants, self.edge_dim = hidden, num_scalars, invariants, edge_dim
        self.step, self.clamp = float(step), clamp
        self.edge_input = nn.Linear(2 * hidden + 2 * invariants + edge_dim, hidden, bias=False)
        self.edge_norm = nn.BatchNorm1d(hidden)
        self.edge_output = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, 1)
        first, last = nn.Linear(2 * hidden + num_scalars, hidden), nn.Linear(hidden, hidden)
        self.node_mlp = nn.Sequential(first, nn.BatchNorm1d(hidden), nn.ReLU(), last)
        self.shift_mlp = None
        if move:
            last = nn.Linear(hidden, 1, bias=False)
            self.shift_mlp = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), last)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """PyTorch's initialisation; small steps of the coordinates."""
        for layer in self.modules():
            if layer is not self and hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        if self.shift_mlp is not None:
            nn.init.xavier_uniform_(self.shift_mlp[-1].weight, gain=1e-3)

    def forward(
        self,
        h: Tensor,
        x: Tensor,
        scalars: Tensor,
        edge_index: Adj | None = None,
        ptr: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        edge_index, ptr = edges_or_offsets(len(h), edge_index, ptr, batch)
        pairs = pairs_of(ptr) if edge_index is None else edge_pairs(edge_index, len(h))
        return self.pass_along(h, x, scalars, pairs, edge_attr)

    @without_autocast
    def pass_along(
        self, h: Tensor, x: Tensor, scalars: Tensor, pairs: Pairs, edge_attr: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The block along pairs that were made before, such as once for all blocks of a network."""
        if (0 if edge_attr is None else edge_attr.shape[-1]) != self.edge_dim:
            found = "none" if edge_attr is None else edge_attr.shape[-1]
            raise ValueError(f"LorentzNetConv needs {self.edge_dim} columns of edge_attr, but was given {found}")
        x = x.double()
        features = () if edge_attr is None else (edge_attr.to(h.dtype),)
        first = split_linear(h, self.edge_input.weight)
        ends = (first.target, x), (first.source, x)

        def values(a_i: Tensor, x_i: Tensor, b_j: Tensor, x_j: Tensor, *attr: Tensor) -> Tensor:
            return first.join(a_i, b_j, self._pair_features(x_i, x_j, attr, a_i.dtype))

        normed = first.rescaled(*pair_batch_norm(self.edge_norm, values, pairs, *ends, features))

        def message(a_i: Tensor, x_i: Tensor, b_j: Tensor, x_j: Tensor, *attr: Tensor) -> tuple[Tensor, ...]:
            m = normed.join(a_i, b_j, self._pair_features(x_i, x_j, attr, a_i.dtype)).relu()
            m = self.edge_output(m).relu()
            m = m * self.gate(m).sigmoid()
            return (m,) if self.shift_mlp is None else (m, self._shift(x_i - x_j, m))

        ends = (normed.target, x), (normed.source, x)
        sums = pair_sum(message, pairs, *ends, features, ("sum", "mean")[: 1 if self.shift_mlp is None else 2])
        if self.shift_mlp is not None:
            x = x + self.step * sums[1]
        return h + self.node_mlp(torch.cat([h, sums[0], scalars], -1)), x

    def _pair_features(
        self, x_i: Tensor, x_j: Tensor, attr: tuple[Tensor, ...], dtype: torch.dtype
    ) -> Tensor | None:
        if not self.invariants:
            return attr[0] if attr else None
        invariants = torch.stack([minkowski_square(x_i - x_j), minkowski_dot(x_i, x_j)], -1)
        return torch.cat([psi(invariants).to(dtype), *attr], -1)

    def _shift(self, difference: Tensor, m: Tensor) -> Tensor:
        shift = difference * self.shift_mlp(m)
        return shift if self.clamp is None else shift.clamp(-self.clamp, self.clamp)

    def extra_repr(self) -> str:
        return f"hidden={self.hidden}, num_scalars={self.num_scalars}, step={self.step}, clamp={self.clamp}"


def pairs_of(ptr: Tensor) -> Pairs:
    """The pairs of complete graphs, in chunks that suit the device."""
    return all_pairs(ptr, max_pairs=MAX_PAIRS if ptr.is_cpu else 16 * MAX_PAIRS)
