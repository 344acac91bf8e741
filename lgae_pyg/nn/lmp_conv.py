r"""Lorentz message passing: the equivariant convolution of the LGAE."""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import Adj, OptTensor

from lgae_pyg.data.units import unit_factor
from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.lorentz.kinematics import minkowski_square
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.nn.radial import LorentzianBell
from lgae_pyg.nn.scalar_mlp import ScalarMLP
from lgae_pyg.nn.unchanged import is_exactly, passes_messages_as
from lgae_pyg.ops.backends.choice import check_backend
from lgae_pyg.ops.bells import Bells, bell_sum, lower
from lgae_pyg.ops.couplings import concatenated, irreps_of, message_couplings, self_couplings
from lgae_pyg.ops.graphs import complete_graph, dense_layout, edges_or_offsets
from lgae_pyg.ops.levels import Level, whole_level
from lgae_pyg.ops.messages import neighbour_sum
from lgae_pyg.ops.precision import check_precision, without_autocast
from lgae_pyg.ops.products import (
    SCALAR,
    VECTOR,
    as_complex,
    couple,
    is_scalar_vector,
    pack,
    unpack,
    zonal_functions,
)
from lgae_pyg.ops.split_messages import split_messages
from lgae_pyg.ops.tensor_levels import LevelTables, TensorLevel, level_tables, tensor_level


class LMPConv(MessagePassing):
    r"""One level of Lorentz message passing (LGAE, arXiv:2212.07347, Eqs. (2)-(5)),

    .. math::
        F'_i = W\Big( \mathrm{CG}\Big[\sum_{j \ne i} \sum_l f^l(p_{ij}^2)\, Z_l(p_{ij}) \otimes F_j\Big]
        \oplus F_i \oplus \mathrm{CG}\big[F_i \otimes F_i\big] \Big), \qquad p_{ij} = p_i - p_j,

    followed by a perceptron on the scalars. :math:`\mathrm{CG}` decomposes products into irreps up to a maximum
    weight, :math:`f^l` are Lorentzian bells, :math:`Z_0 = 1`, :math:`Z_1 = p_{ij}` (and higher symmetric
    traceless powers), :math:`W` mixes the channels of each irrep.

    Features of two irreps (0,0) + (1/2,1/2) with equal multiplicity take the closed form in which no
    Clebsch-Gordan table is needed; complete graphs given by ``ptr`` then go through a back-end that never stores
    messages. Any other irreps, weights or edges take the general path, ``message`` and ``aggregate``.

    The bells and the perceptron are not linear: they see jets as they should where momenta are of order one in
    units of 100 GeV, the size of jet masses. ``scale`` brings them there, and the four-vectors among the features
    with them (irreps of weight :math:`w`, which :math:`w` momenta make, by :math:`\text{scale}^w`); the output is
    brought back. So its scalars do not depend on the unit, and its vectors are in the unit of the input. Scalars
    among the features are taken as pure numbers. In GeV or TeV with a scale of 1, a layer sees next to nothing.

    Kernels do the work of the modules inside as long as these are what they were built as. Modules that were
    replaced, adapted, pruned or given hooks are called as modules, under every back-end.

    Args:
        irreps_in: irreps of the node features, such as ``"3x(0,0)+3x(1/2,1/2)"``.
        irreps_out: irreps of the output.
        max_weight: largest weight :math:`\max(2m, 2n)` of the products kept: 1 keeps scalars and four-vectors, 2
            also (1,0), (0,1) and (1,1).
        max_degree: largest degree :math:`l` of the zonal functions on the edges.
        num_bells: number of bells of the radial functions.
        complex_momenta: whether the momenta are complex (they are inside a decoder).
        mlp_depth: hidden layers of the scalar perceptron; 0 leaves it out.
        mlp_width: width of its hidden layers in units of :math:`2\tau`.
        activation: its activation.
        mlp_residual: whether the scalars are added to its output.
        mlp_squash: whether large scalars are tamed by :math:`\mathrm{asinh}` first (see
            :class:`~lgae_pyg.nn.ScalarMLP`).
        self_loops: whether the complete graphs from ``ptr`` contain :math:`j = i`.
        scalar_edge: the constant :math:`Z_0` (the original uses :math:`1 + i`).
        ordered_products: keep both orders of :math:`F_i \otimes F_i` and products that vanish, as the original.
        constant_radial: leave the bells out (see :class:`~lgae_pyg.nn.LorentzianBell`).
        neighbours: a fixed number by which the sums over neighbours are divided, so that message channels are of
            the size of the others (1 gives the plain sum of the paper).
        backend: ``"auto"``, ``"edge_list"``, ``"dense"`` or ``"fused"``; all give the same numbers (see
            :func:`~lgae_pyg.ops.backends.choice.choose_backend`).
        mixed_precision: evaluate the radial functions and the perceptron, functions of invariants, in float32;
            differences of momenta, invariants, messages and sums keep the precision of the parameters.
        masked_origin: leave the bells out where :math:`p_{ij}^2 = 0`, the self-loops included, so that only the
            bias is left, as the LGN code does.
        scale: the unit of the momenta, ``"GeV"``, ``"TeV"`` or ``"PeV"``, or the number that brings them to units
            of 100 GeV (0.01, 10 or 10,000); 1, if they are so already.

    Raises:
        ValueError: for an unknown back-end or unit, a scale that is not positive, or irreps that the products
            cannot reach; when called, for features or momenta of other shapes, unless one of ``edge_index``,
            ``ptr`` and ``batch`` is given, and for nodes that are not sorted by jet.

    Shapes:
        - **input:** packed features :math:`(n, \text{irreps\_in.dim})`, complex or real, momenta ``pos``
          :math:`(n, 4)`, and one of ``edge_index`` :math:`(2, e)` and, for complete graphs, ``ptr``
          :math:`(B+1,)` or ``batch`` :math:`(n,)`, which may also stand in the place of ``edge_index``.
          ``present`` :math:`(n,)` marks the nodes whose edges have bells (all when omitted; see
          :func:`~lgae_pyg.ops.bells.bell_sum`)
        - **output:** :math:`(n, \text{irreps\_out.dim})`, complex
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        irreps_out: Irreps | str,
        max_weight: int = 1,
        max_degree: int = 1,
        num_bells: int = 20,
        complex_momenta: bool = False,
        mlp_depth: int = 6,
        mlp_width: int = 6,
        activation: str = "leakyrelu",
        mlp_residual: bool = True,
        mlp_squash: bool = True,
        self_loops: bool = False,
        scalar_edge: complex = 1.0,
        ordered_products: bool = False,
        constant_radial: bool = False,
        neighbours: float = 1.0,
        backend: str = "auto",
        mixed_precision: bool = False,
        masked_origin: bool = False,
        scale: float | str = 1.0,
    ):
        super().__init__(aggr="sum", node_dim=0)
        check_backend(backend)
        self.scale = unit_factor(scale, "GeV") / 100 if isinstance(scale, str) else float(scale)
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale must be a positive number or the unit of the momenta, not {scale}")
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.max_weight, self.max_degree = max_weight, max_degree
        self.complex_momenta, self.self_loops = complex_momenta, self_loops
        self.scalar_edge, self.neighbours, self.backend = scalar_edge, neighbours, backend
        self.message_couplings = message_couplings(self.irreps_in, max_degree, max_weight)
        self.self_couplings = self_couplings(self.irreps_in, max_weight, ordered_products)
        self.irreps_message = irreps_of(self.message_couplings)
        self.irreps_cat = concatenated(self.irreps_message, self.irreps_in, irreps_of(self.self_couplings))
        self.closed_form = is_scalar_vector(self.irreps_in) and max_weight == max_degree == 1 and not masked_origin
        self.masked_origin = masked_origin
        self.ordered_products = ordered_products

        channels = max(channels for channels, _ in self.irreps_in)
        self.radial = LorentzianBell(
            channels, num_bells, max_degree + 1, complex_momenta, constant=constant_radial
        )
        self.mix = MixReps(self.irreps_cat, self.irreps_out, backend)
        self.tables: LevelTables | None = None
        if max_degree == 1 and not (self.closed_form or complex_momenta):
            couplings = (self.message_couplings, self.self_couplings)
            kinds = (self.irreps_cat, self.irreps_out)
            self.tables = level_tables(self.irreps_in, *couplings, *kinds, scalar_edge, neighbours)
        scalars = self.irreps_out.multiplicity(SCALAR)
        self.mlp: ScalarMLP | None = None
        if mlp_depth and scalars:
            self.mlp = ScalarMLP(scalars, mlp_depth, mlp_width, activation, mlp_residual, mlp_squash)
        self.mixed_precision = mixed_precision
        if mixed_precision and self.mlp is not None:
            self.mlp.precision = torch.float32
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialises the parts so that features keep their size from level to level.

        In the mixing, a particle's own features weigh as if they were alone; messages and products share what is
        usual for their fan-in.
        """
        super().reset_parameters()
        self.radial.reset_parameters()
        scales: dict[str, Sequence[float]] = {}
        for total, irrep in self.irreps_cat:
            messages = self.irreps_message.multiplicity(irrep)
            own = self.irreps_in.multiplicity(irrep)
            alone = (total / own) ** 0.5 if own else 1.0
            scales[str(irrep)] = messages * [1.0] + own * [alone] + (total - messages - own) * [1.0]
        self.mix.reset_parameters(scales)
        if self.mlp is not None:
            self.mlp.reset_parameters()

    @without_autocast
    def forward(
        self,
        x: Tensor,
        pos: Tensor,
        edge_index: Adj | None = None,
        ptr: Tensor | None = None,
        present: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        x, pos = self._checked(as_complex(x), pos)
        edge_index, ptr = edges_or_offsets(len(x), edge_index, ptr, batch)
        x, pos = _rescaled(x, self.irreps_in, self.scale), pos if self.scale == 1 else self.scale * pos
        return _rescaled(self._pass(x, pos, edge_index, ptr, present), self.irreps_out, 1 / self.scale)

    def _pass(
        self, x: Tensor, pos: Tensor, edge_index: Adj | None, ptr: Tensor | None, present: Tensor | None
    ) -> Tensor:
        """The level on checked inputs in its own unit."""
        closed_form = ptr is not None and self._takes_closed_form()
        if ptr is not None and present is None:
            whole = self._whole_level(x, pos, ptr, closed_form)
            if whole is not None:
                return whole
        features = unpack(x, self.irreps_in)
        if ptr is not None and closed_form:
            messages = self._closed_form_messages(features, pos, ptr, present)
        elif ptr is not None and self._takes_split_form():
            messages = self._split_messages(features, pos, ptr, present)
        else:
            if edge_index is None:
                edge_index = complete_graph(ptr, self.self_loops)
            flat = self.propagate(edge_index, x=x, pos=pos, present=present, size=(len(x), len(x)))
            messages = unpack(torch.view_as_complex(flat.unflatten(-1, (-1, 2))), self.irreps_message)
        own = [couple(features[a], features[b], a, b, out) for a, b, out, _ in self.self_couplings]
        return self._update(messages, features, own)

    def _whole_level(self, x: Tensor, pos: Tensor, ptr: Tensor, closed_form: bool) -> Tensor | None:
        """The level on complete graphs in one step, where a back-end has that."""
        level = self._level() if closed_form else None
        if level is not None:
            whole = whole_level(x, pos, level, ptr, self.backend, self.mixed_precision)
            if whole is not None:
                return whole
        tables = self._tensor_level(pos)
        return None if tables is None else tensor_level(x, pos, tables, ptr, self.backend)

    def _checked(self, x: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Features and momenta in one precision, the highest of theirs and of the parameters."""
        if x.shape[1:] != (self.irreps_in.dim,) or pos.shape != (len(x), 4):
            raise ValueError(
                f"LMPConv needs features (n, {self.irreps_in.dim}) for {self.irreps_in} and momenta (n, 4), "
                f"but got {tuple(x.shape)} and {tuple(pos.shape)}"
            )
        weight = next(self.parameters(), pos)
        check_precision(weight, type(self).__name__)
        dtype = torch.promote_types(torch.promote_types(x.real.dtype, pos.real.dtype), weight.dtype)
        as_complex_type = torch.promote_types(dtype, torch.complex64)
        return x.to(as_complex_type), pos.to(as_complex_type if pos.is_complex() else dtype)

    def _bells(self, dtype: torch.dtype) -> Bells:
        """The radial functions for features of some precision."""
        bells = self.radial.folded(dtype)
        return lower(bells, torch.float32) if self.mixed_precision else bells

    def _takes_closed_form(self) -> bool:
        """Whether sums over neighbours may go through a back-end."""
        return self.closed_form and self._sums_as_defined()

    def _takes_split_form(self) -> bool:
        """Whether the sums over neighbours of general irreps may be products of matrices."""
        return self.max_degree == 1 and self._sums_as_defined()

    def _sums_as_defined(self) -> bool:
        """Whether sums need not go pair by pair: nothing was changed that another way would leave out."""
        wanted = self.backend != "edge_list"
        return wanted and is_exactly(self.radial, LorentzianBell) and passes_messages_as(self, LMPConv)

    def _level(self) -> Level | None:
        """The parameters of the level as one kernel takes them; none if it would not do what the modules do."""
        mlp, low = self.mlp, torch.float32 if self.mixed_precision else None
        perceptron = mlp.as_plain() if isinstance(mlp, ScalarMLP) else None
        possible = (
            is_scalar_vector(self.irreps_out)
            and not (self.self_loops or self.ordered_products or self.radial.constant)
            and is_exactly(self.mix, MixReps)
            and (mlp is None or (perceptron is not None and mlp.precision == low))
        )
        if not possible or isinstance(self.scalar_edge, complex):
            return None
        radial = (self.radial.a, self.radial.b, self.radial.c, self.radial.weight, self.radial.bias)
        share = 1 / self.neighbours
        edge = self.scalar_edge * share
        of_scalars, of_vectors = self.mix.weights.values()
        scales = (edge, share / 2, 1.0, 1.0, 0.5), (edge, share, 1.0, 1.0)
        return Level(radial, of_scalars, of_vectors, *scales, perceptron)

    def _tensor_level(self, pos: Tensor) -> TensorLevel | None:
        """The same as :meth:`_level` for the kernels for any irreps."""
        if self.tables is None or pos.is_complex() or self.mixed_precision or not self._takes_split_form():
            return None
        perceptron = self.mlp.as_plain() if isinstance(self.mlp, ScalarMLP) else None
        if self.radial.constant or not is_exactly(self.mix, MixReps) or (self.mlp is not None and not perceptron):
            return None
        radial = (self.radial.a, self.radial.b, self.radial.c, self.radial.weight, self.radial.bias)
        weights, plan, scalars = list(self.mix.weights.values()), self.mix.plan, self._scalars()
        graph = (self.self_loops, self.masked_origin)
        return TensorLevel(self.tables, radial, weights, plan, perceptron, scalars, *graph)

    def _scalars(self) -> tuple[int, int]:
        """Where the scalars of the output begin and end."""
        others = takewhile(lambda one: one[1] != SCALAR, self.irreps_out)
        begin = sum(channels * irrep.dim for channels, irrep in others)
        return begin, begin + self.irreps_out.multiplicity(SCALAR)

    def _closed_form_messages(
        self, features: dict[Irrep, Tensor], pos: Tensor, ptr: Tensor, present: Tensor | None
    ) -> dict[Irrep, Tensor]:
        sums = neighbour_sum(
            features[SCALAR].squeeze(-1),
            features[VECTOR],
            pos,
            self._bells(pos.real.dtype),
            ptr,
            self.self_loops,
            self.backend,
            present,
        )
        scalars = torch.cat([self.scalar_edge * sums.scalar_from_scalar, sums.scalar_from_vector / 2], -1)
        vectors = torch.cat([self.scalar_edge * sums.vector_from_vector, sums.vector_from_scalar], -2)
        return {SCALAR: scalars.unsqueeze(-1), VECTOR: vectors}

    def _split_messages(
        self, features: dict[Irrep, Tensor], pos: Tensor, ptr: Tensor, present: Tensor | None
    ) -> dict[Irrep, Tensor]:
        layout = dense_layout(ptr, nodes=len(pos))
        there = layout.scatter(torch.ones_like(pos[:, 0], dtype=torch.bool))
        edges = there.unsqueeze(2) & there.unsqueeze(1)
        if not self.self_loops:
            edges = edges & ~torch.eye(layout.slots, dtype=torch.bool, device=pos.device)
        places = layout.scatter(pos)
        invariant = minkowski_square(places.unsqueeze(2) - places.unsqueeze(1))
        if present is not None:
            present = layout.scatter(present).unsqueeze(2) & layout.scatter(present).unsqueeze(1)
        factors = self._factors(invariant, present, pos.real.dtype)
        factors = torch.where(edges[..., None, None], factors, torch.zeros_like(factors))
        blocks = split_messages(features, pos, factors, self.message_couplings, self.scalar_edge, layout)
        return {irrep: torch.cat(blocks[irrep], -2) for _, irrep in self.irreps_message}

    def _factors(self, invariant: Tensor, present: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The radial factors of pairs, of which some may be masked."""
        if self.masked_origin:
            present = invariant != 0 if present is None else present & (invariant != 0)
        if is_exactly(self.radial, LorentzianBell):
            return bell_sum(invariant, self._bells(dtype), present)
        return self.radial(invariant, *(() if present is None else (present,)))

    def message(
        self, x_j: Tensor, pos_i: Tensor, pos_j: Tensor, present_i: OptTensor, present_j: OptTensor
    ) -> Tensor:
        features = unpack(x_j, self.irreps_in)
        difference = pos_i - pos_j
        zonal = zonal_functions(difference, self.max_degree)
        present = None if present_i is None else present_i & present_j
        factors = self._factors(minkowski_square(difference), present, pos_i.real.dtype)
        blocks: dict[Irrep, list[Tensor]] = defaultdict(list)
        for edge, irrep, out, channels in self.message_couplings:
            factor = factors[:, edge.weight, :channels].unsqueeze(-1)
            if edge == SCALAR:
                factor = self.scalar_edge * factor
            blocks[out].append(couple(factor * zonal[edge], features[irrep], edge, irrep, out))
        packed = torch.cat([torch.cat(blocks[irrep], -2).flatten(-2) for _, irrep in self.irreps_message], -1)
        return torch.view_as_real(packed).flatten(-2)

    def _update(self, messages: dict[Irrep, Tensor], features: dict[Irrep, Tensor], own: list[Tensor]) -> Tensor:
        blocks: dict[Irrep, list[Tensor]] = defaultdict(list)
        for irrep, part in messages.items():
            blocks[irrep].append(part / self.neighbours)
        for irrep, part in features.items():
            blocks[irrep].append(part)
        for coupling, part in zip(self.self_couplings, own):
            blocks[coupling.out].append(part)
        packed = torch.cat([torch.cat(blocks[irrep], -2).flatten(-2) for _, irrep in self.irreps_cat], -1)
        mixed = self.mix(packed)
        if self.mlp is None:
            return mixed
        begin, end = self._scalars()
        return torch.cat([mixed[:, :begin], self.mlp(mixed[:, begin:end]), mixed[:, end:]], -1)

    def __repr__(self) -> str:
        scale = "" if self.scale == 1 else f", scale={self.scale:g}"
        return f"{type(self).__name__}({self.irreps_in} -> {self.irreps_out}, max_weight={self.max_weight}{scale})"


def _rescaled(packed: Tensor, irreps: Irreps, scale: float) -> Tensor:
    """Features in another unit of momentum: irreps of weight w are products of w momenta."""
    if scale == 1:
        return packed
    return pack({irrep: scale**irrep.weight * part for irrep, part in unpack(packed, irreps).items()}, irreps)
