r"""The message passing layer of LorentzNet."""

import torch
from torch import Tensor, nn
from torch_geometric.typing import Adj

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.nn.joint_batch_norm import JointBatchNorm
from lgae_pyg.nn.unchanged import as_kind, is_exactly
from lgae_pyg.ops.backends.choice import check_backend, choose_backend
from lgae_pyg.ops.graphs import check_offsets, edges_or_offsets
from lgae_pyg.ops.jets import on_rows
from lgae_pyg.ops.joint import is_joint
from lgae_pyg.ops.lorentz_edges import LorentzEdges
from lgae_pyg.ops.lorentz_features import psi
from lgae_pyg.ops.pair_chunks import MAX_PAIRS, Pairs, all_pairs, edge_pairs
from lgae_pyg.ops.pair_norm import fixed_statistics, follow_statistics, pair_batch_norm, scale_and_shift
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
    with the number of particles and not of pairs. Complete graphs given by ``ptr`` or ``batch`` go through a
    compiled kernel on the CPU. An edge network whose layers were replaced, adapted, pruned or given hooks takes
    the ordinary path, which calls them as modules (for all pairs at once, where it is the first layer or the
    normalisation). Coordinates and invariants are float64 whatever the precision of the parameters: products of
    hard collinear momenta cancel.

    Args:
        hidden: width of the scalars.
        num_scalars: number of the scalars :math:`s_i`.
        invariants: whether :math:`\phi_e` sees the two invariants of the coordinates.
        edge_dim: number of further features of each pair, given as ``edge_attr``.
        move: whether the coordinates are updated.
        step: the constant :math:`c`.
        clamp: limit of each component of :math:`(x_i - x_j) \phi_x`, which the published code has at 100; it
            breaks the symmetry.
        backend: ``"fused"`` (compiled for the CPU), ``"dense"`` (PyTorch, in chunks of pairs),
            ``"edge_list"`` (all pairs at once) or ``"auto"``, the first of them that can run.

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
        backend: str = "auto",
    ):
        super().__init__()
        check_backend(backend)
        self.hidden, self.num_scalars, self.invariants, self.edge_dim = hidden, num_scalars, invariants, edge_dim
        self.step, self.clamp, self.backend = float(step), clamp, backend
        self.edge_input = nn.Linear(2 * hidden + 2 * invariants + edge_dim, hidden, bias=False)
        self.edge_norm = JointBatchNorm(hidden)
        self.edge_output = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, 1)
        first, last = nn.Linear(2 * hidden + num_scalars, hidden), nn.Linear(hidden, hidden)
        self.node_mlp = nn.Sequential(first, JointBatchNorm(hidden), nn.ReLU(), last)
        self.shift_mlp = None
        if move:
            last = nn.Linear(hidden, 1, bias=False)
            self.shift_mlp = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), last)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """PyTorch's initialisation; small steps of the coordinates."""
        for layer in self.modules():
            reset = getattr(layer, "reset_parameters", None)
            if layer is not self and callable(reset):
                reset()
        if self.shift_mlp is not None:
            nn.init.xavier_uniform_(as_kind(nn.Linear, self.shift_mlp)[-1].weight, gain=1e-3)

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
        if ptr is None:
            assert edge_index is not None  # one of the two is given
            pairs = edge_pairs(edge_index, len(h))
        else:
            pairs = pairs_of(ptr)
        return self.pass_along(h, x, scalars, pairs, edge_attr)

    @without_autocast
    def pass_along(
        self, h: Tensor, x: Tensor, scalars: Tensor, pairs: Pairs, edge_attr: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The block along pairs that were made before, such as once for all blocks of a network.

        Raises:
            ValueError: for ``edge_attr`` of another width than ``edge_dim``.

        Shapes:
            - those of the layer; pairs of :func:`~lgae_pyg.ops.pair_chunks.all_pairs` or
              :func:`~lgae_pyg.ops.pair_chunks.edge_pairs`
        """
        if (0 if edge_attr is None else edge_attr.shape[-1]) != self.edge_dim:
            found = "none" if edge_attr is None else edge_attr.shape[-1]
            raise ValueError(f"LorentzNetConv needs {self.edge_dim} columns of edge_attr, but was given {found}")
        x = x.double()
        features = () if edge_attr is None else (edge_attr.to(h.dtype),)
        if self._runs_compiled(h, pairs, edge_attr):
            messages, shift = self._compiled_sums(h, x, pairs)
        else:
            messages, shift = self._sums(h, x, pairs, features)
        if shift is not None:
            x = x + self.step * shift
        return h + self.node_mlp(torch.cat([h, messages, scalars], -1)), x

    def padded(
        self, h: Tensor, x: Tensor, scalars: Tensor, exists: Tensor, edge_attr: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The block on complete graphs of padded jets, all pairs at once, in evaluation.

        Raises:
            ValueError: in training.

        Shapes:
            - h: :math:`(B, N, H)`, x: :math:`(B, N, 4)`, scalars: :math:`(B, N, S)`, exists: :math:`(B, N)`,
              edge_attr: :math:`(B, N, N, D)`, targets before sources
            - **output:** h :math:`(B, N, H)` and x :math:`(B, N, 4)`
        """
        x, attr = x.double(), () if edge_attr is None else (edge_attr.to(h.dtype),)
        first = split_linear(h, self.edge_input.weight)
        statistics = fixed_statistics(self.edge_norm, 0)
        if statistics is None:
            raise ValueError("padded jets are for evaluation: call .eval()")
        normed = first.rescaled(*scale_and_shift(self.edge_norm, *statistics))
        x_i, x_j = x.unsqueeze(2), x.unsqueeze(1)
        z = normed.target.unsqueeze(2) + normed.source.unsqueeze(1)
        seen = self._pair_features(x_i, x_j, attr, h.dtype)
        parts = self._message(z if seen is None else z + seen @ normed.pair.T, x_i, x_j)
        place = torch.arange(h.shape[1], device=h.device)
        pairs = (exists.unsqueeze(1) & (place != place.unsqueeze(-1))).unsqueeze(-1)
        messages, *shift = (torch.where(pairs, part, 0.0).sum(2) for part in parts)
        if shift:
            x = x + self.step * shift[0] / pairs.sum(2).clamp(min=1)
        return h + on_rows(self.node_mlp, torch.cat([h, messages, scalars], -1)), x

    def _sums(
        self, h: Tensor, x: Tensor, pairs: Pairs, features: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None]:
        """The sum of the messages and the mean of the steps of the coordinates, from the modules."""
        reductions = ("sum",) if self.shift_mlp is None else ("sum", "mean")
        if self.backend == "edge_list" or not self._is_split():
            pairs = pairs._replace(max_pairs=None)
            pairs = pairs if pairs.offsets is None else all_pairs(pairs.offsets, max_pairs=None)
        if not self._is_split():

            def whole(h_i: Tensor, x_i: Tensor, h_j: Tensor, x_j: Tensor, *attr: Tensor) -> tuple[Tensor, ...]:
                seen = self._pair_features(x_i, x_j, attr, h_i.dtype)
                columns = [h_i, h_j] if seen is None else [h_i, h_j, seen]
                return self._message(self.edge_norm(self.edge_input(torch.cat(columns, -1))), x_i, x_j)

            sums = pair_sum(whole, pairs, (h, x), (h, x), features, reductions)
            return sums[0], sums[1] if len(sums) > 1 else None
        first = split_linear(h, self.edge_input.weight)
        ends = (first.target, x), (first.source, x)

        def values(a_i: Tensor, x_i: Tensor, b_j: Tensor, x_j: Tensor, *attr: Tensor) -> Tensor:
            return first.join(a_i, b_j, self._pair_features(x_i, x_j, attr, a_i.dtype))

        normed = first.rescaled(*pair_batch_norm(self.edge_norm, values, pairs, *ends, features))

        def message(a_i: Tensor, x_i: Tensor, b_j: Tensor, x_j: Tensor, *attr: Tensor) -> tuple[Tensor, ...]:
            z = normed.join(a_i, b_j, self._pair_features(x_i, x_j, attr, a_i.dtype))
            return self._message(z, x_i, x_j)

        ends = (normed.target, x), (normed.source, x)
        sums = pair_sum(message, pairs, *ends, features, reductions)
        return sums[0], sums[1] if len(sums) > 1 else None

    def _message(self, normed: Tensor, x_i: Tensor, x_j: Tensor) -> tuple[Tensor, ...]:
        """The message of pairs, and the step of the coordinates, from the first layer's normalised output."""
        m = self.edge_output(normed.relu()).relu()
        m = m * self.gate(m).sigmoid()
        return (m,) if self.shift_mlp is None else (m, self._shift(x_i - x_j, m))

    def _compiled_sums(self, h: Tensor, x: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None]:
        """The same, from the parameters."""
        from lgae_pyg.ops.backends.compiled_lorentz import compiled_lorentz_sum

        offsets, norm = pairs.offsets, self.edge_norm
        assert offsets is not None  # as _runs_compiled looks
        ptr = check_offsets(offsets, len(h), h.device)
        mover: tuple[Tensor, Tensor, Tensor] | tuple[()] = ()
        x = x if self.invariants else x.detach()  # nothing depends on it, and it shall get no zeros as gradients
        if self.shift_mlp is not None:
            inner, outer = as_kind(nn.Linear, list(self.shift_mlp)[::2])
            mover = inner.weight, inner.bias, outer.weight
        edges = LorentzEdges(
            self.edge_input.weight,
            (norm.weight, norm.bias),
            (self.edge_output.weight, self.edge_output.bias),
            (self.gate.weight, self.gate.bias),
            mover,
            fixed_statistics(norm, pairs.count),
            norm.eps,
            self.clamp,
        )
        sums = compiled_lorentz_sum(h, x, edges, ptr)
        if edges.statistics is None:
            follow_statistics(norm, sums.mean, sums.variance, pairs.count)
        return sums.messages, sums.moved if mover else None

    def _runs_compiled(self, h: Tensor, pairs: Pairs, edge_attr: Tensor | None) -> bool:
        """Whether the kernel runs: it was not unwanted, there is one, and it does what the modules would."""
        if self.backend in ("dense", "edge_list") or edge_attr is not None or pairs.offsets is None:
            return False
        if self.training and is_joint():  # the kernel takes statistics of this process
            return False
        dead = self.shift_mlp is not None and not self.invariants  # these parameters shall get no gradients
        if dead or not self._is_plain() or self.edge_norm.weight is None:
            return False
        needs = h.dtype, self.hidden, self.invariants
        return choose_backend(self.backend, "LorentzNet block", h.device.type, *needs) == "compiled"

    def _is_split(self) -> bool:
        """Whether the first layer and its normalisation may be computed from their parameters."""
        layers = is_exactly(self.edge_input, nn.Linear) and self.edge_input.bias is None
        return layers and is_exactly(self.edge_norm, JointBatchNorm)

    def _is_plain(self) -> bool:
        """Whether messages are those of the layers' parameters, and nothing else."""
        steps = ("_sums", "_message", "_pair_features", "_shift", "_compiled_sums")
        kind = type(self)
        if any(step in vars(self) or getattr(kind, step) is not getattr(LorentzNetConv, step) for step in steps):
            return False
        layers = [self.edge_output, self.gate]
        if self.shift_mlp is not None:
            if not is_exactly(self.shift_mlp, nn.Sequential) or len(self.shift_mlp) != 3:
                return False
            inner, activation, outer = self.shift_mlp
            if not is_exactly(activation, nn.ReLU) or not is_exactly(outer, nn.Linear) or outer.bias is not None:
                return False
            layers.append(inner)
        plain = all(is_exactly(layer, nn.Linear) and layer.bias is not None for layer in layers)
        return plain and self._is_split()

    def _pair_features(
        self, x_i: Tensor, x_j: Tensor, attr: tuple[Tensor, ...], dtype: torch.dtype
    ) -> Tensor | None:
        if not self.invariants:
            return attr[0] if attr else None
        invariants = torch.stack([minkowski_square(x_i - x_j), minkowski_dot(x_i, x_j)], -1)
        return torch.cat([psi(invariants).to(dtype), *attr], -1)

    def _shift(self, difference: Tensor, m: Tensor) -> Tensor:
        assert self.shift_mlp is not None
        shift = difference * self.shift_mlp(m)
        return shift if self.clamp is None else shift.clamp(-self.clamp, self.clamp)

    def extra_repr(self) -> str:
        return f"hidden={self.hidden}, num_scalars={self.num_scalars}, step={self.step}, clamp={self.clamp}"


def pairs_of(ptr: Tensor) -> Pairs:
    """The pairs of complete graphs, in chunks that suit the device."""
    return all_pairs(ptr, max_pairs=MAX_PAIRS if ptr.is_cpu else 16 * MAX_PAIRS)
