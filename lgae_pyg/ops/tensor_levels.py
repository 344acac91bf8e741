r"""A level of message passing on features of any irreps as two kinds of step that kernels can do: sums over
neighbours, and products of two numbers of a node out of a table.

What a particle hears is linear in :math:`p_i - p_j` (see :mod:`lgae_pyg.ops.split_messages`). So the columns
:math:`F_j` and :math:`[p_j \otimes F_j]` are summed, weighted with the radial factor of the pair; then messages
:math:`[p_i \otimes \sum_j f_{ij} F_j] - \sum_j f_{ij} [p_j \otimes F_j]`, features and their products are entries
of one table (:func:`table_products`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.clebsch_gordan import clebsch_gordan
from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.ops.backends.choice import choose_backend
from lgae_pyg.ops.couplings import Coupling
from lgae_pyg.ops.levels import Perceptron
from lgae_pyg.ops.mixing import MixedIrrep
from lgae_pyg.ops.products import SCALAR
from lgae_pyg.ops.steps import Steps, table_steps

Entry = tuple[int, int, int, complex]


class Table(NamedTuple):
    r"""Products :math:`z_\gamma = \sum C\, x_\alpha x_\beta` of the numbers of a node, of which the one behind the
    last is 1.

    Attributes:
        entries: :math:`(\gamma, \alpha, \beta)` of each term, :math:`(E, 3)`.
        coefficients: :math:`C`, complex128, :math:`(E,)`.
        width: how many products there are.
        steps: how kernels walk it.
    """

    entries: Tensor
    coefficients: Tensor
    width: int
    steps: Steps

    @classmethod
    def of(cls, entries: Sequence[Entry], numbers: int, width: int) -> "Table":
        """The table of some entries (output, left, right, coefficient), for nodes of so many numbers.

        Raises:
            ValueError: if a term is no number of the node.
        """
        steps = table_steps(entries, numbers, [(place, 1) for place in range(width)])
        places = torch.tensor([entry[:3] for entry in entries], dtype=torch.int64, device="cpu").reshape(-1, 3)
        values = torch.tensor([entry[3] for entry in entries], dtype=torch.complex128, device="cpu")
        return cls(places, values, width, steps)


class LevelTables(NamedTuple):
    r"""A level as steps that kernels walk.

    Attributes:
        columns: makes of :math:`(F, p)` the columns that are summed over the neighbours.
        counts: how many of them go with the radial factor of each degree and channel, one after another.
        update: makes of (sums, F, p) messages, features and products, in the order in which they are mixed.
    """

    columns: Steps
    counts: list[int]
    update: Steps


def level_tables(
    irreps: Irreps,
    messages: Sequence[Coupling],
    own: Sequence[Coupling],
    mixed: Irreps,
    wanted: Irreps,
    scalar_edge: complex = 1.0,
    neighbours: float = 1.0,
) -> LevelTables:
    """The tables of a level.

    Args:
        irreps: of the features.
        messages: products of zonal functions, up to degree one, with features.
        own: products of features with themselves.
        mixed: irreps and multiplicities of messages, features and products together.
        wanted: irreps of the output; the others are left out.
        scalar_edge: value of the zonal function of degree zero.
        neighbours: what messages are divided by.
    """
    kept = {irrep for _, irrep in wanted}
    messages = [coupling for coupling in messages if coupling.out in kept]
    columns, counts, places = _columns(irreps, messages)
    sums, features = sum(counts), _begins(irreps)
    momentum, one = sums + irreps.dim, sums + irreps.dim + 4
    free = _begins(mixed)
    entries: list[Entry] = []

    def room(irrep: Irrep) -> int:
        begin = free[irrep]
        free[irrep] = begin + irrep.dim
        return begin

    for edge, irrep, out, channels in messages:
        for channel in range(channels):
            begin, heard = room(out), places[edge, irrep, None, channel]
            if edge == SCALAR:
                entries += _copies(begin, heard, out.dim, one, scalar_edge / neighbours)
                continue
            entries += _products(begin, momentum, heard, (edge, irrep, out), 1 / neighbours)
            entries += _copies(begin, places[edge, irrep, out, channel], out.dim, one, -1 / neighbours)
    for channels, irrep in irreps:
        for channel in range(channels if irrep in kept else 0):
            entries += _copies(room(irrep), sums + features[irrep] + channel * irrep.dim, irrep.dim, one)
    for a, b, out, channels in own:
        for channel in range(channels if out in kept else 0):
            left, right = (sums + features[irrep] + channel * irrep.dim for irrep in (a, b))
            entries += _products(room(out), left, right, (a, b, out))
    begins = _begins(mixed)
    units = [(begins[irrep] + c * irrep.dim, irrep.dim) for channels, irrep in mixed for c in range(channels)]
    return LevelTables(columns, counts, table_steps(entries, one, units, range(momentum, one)))


def square_table(places: Sequence[tuple[int, Irrep]], numbers: int) -> Table:
    """The invariants of irreps: scalars themselves, and the scalars among the squares of others.

    Args:
        places: where each begins among the numbers of a node, and which irrep it is.
        numbers: how many a node has.
    """
    entries: list[Entry] = []
    for place, (begin, irrep) in enumerate(places):
        if irrep == SCALAR:
            entries += _copies(place, begin, 1, numbers)
        else:
            entries += _products(place, begin, begin, (irrep, irrep, SCALAR))
    return Table.of(entries, numbers, len(places))


def _columns(irreps: Irreps, messages: Sequence[Coupling]) -> tuple[Steps, list[int], dict[tuple, int]]:
    """The steps to the columns, their numbers, and where they begin by edge, irrep, product and channel."""
    features, momentum, one = _begins(irreps), irreps.dim, irreps.dim + 4
    edges = [SCALAR, Irrep(0.5, 0.5)]
    entries: list[Entry] = []
    places: dict[tuple, int] = {}
    counts, width = [], 0
    for edge in edges:
        for channel in range(max(channels for channels, _ in irreps)):
            before = width
            for left, irrep, out, channels in messages:
                if left != edge or channel >= channels:
                    continue
                source = features[irrep] + channel * irrep.dim
                if (edge, irrep, None, channel) not in places:
                    places[edge, irrep, None, channel] = width
                    entries += _copies(width, source, irrep.dim, one)
                    width += irrep.dim
                if edge != SCALAR:
                    places[edge, irrep, out, channel] = width
                    entries += _products(width, momentum, source, (edge, irrep, out))
                    width += out.dim
            counts.append(width - before)
    steps = table_steps(entries, one, [(place, 1) for place in range(width)], range(momentum, one))
    return steps, counts, places


def _begins(irreps: Irreps) -> dict[Irrep, int]:
    """Where each irrep begins in packed features."""
    begins, total = {}, 0
    for channels, irrep in irreps:
        begins[irrep] = total
        total += channels * irrep.dim
    return begins


def _copies(to: int, source: int, dim: int, one: int, factor: complex = 1.0) -> Iterator[Entry]:
    return ((to + k, source + k, one, factor) for k in range(dim))


def _products(
    to: int, left: int, right: int, irreps: tuple[Irrep, Irrep, Irrep], factor: float = 1.0
) -> Iterator[Entry]:
    matrix = clebsch_gordan(*irreps)
    for out, a, b in matrix.nonzero().tolist():
        yield to + out, left + a, right + b, factor * complex(matrix[out, a, b])


def table_products(x: Tensor, table: Table, backend: str = "auto") -> Tensor:
    r"""The products of a table.

    Args:
        x: numbers of each node.
        table: the products.
        backend: ``auto`` and ``fused`` use a compiled kernel on the CPU, the others this plain definition.

    Raises:
        ValueError: for an unknown back-end.

    Shapes:
        - x: :math:`(n, d)`, complex
        - **output:** :math:`(n, \text{table.width})`
    """
    if choose_backend(backend, "products", x.device.type, x.real.dtype) == "compiled":
        from lgae_pyg.ops.backends.compiled_tensors import compiled_products

        return compiled_products(x, table.steps)
    padded = torch.cat([x, torch.ones_like(x[:, :1])], -1)
    out, left, right = table.entries.to(x.device).unbind(-1)
    terms = table.coefficients.to(x) * padded[:, left] * padded[:, right]
    return x.new_zeros(len(x), table.width).index_add(-1, out, terms)


class TensorLevel(NamedTuple):
    """The parameters of a level on any irreps.

    Attributes:
        tables: its products.
        radial: offsets, amplitudes and inverse widths of the bells, their mixture and its bias; see
            :class:`~lgae_pyg.ops.levels.Level`.
        weights: of the mixing.
        mixed: the irreps that are mixed.
        perceptron: the perceptron on the scalars, if there is one.
        scalars: where these begin and end in the mixed features.
        loops: whether particles are their own neighbours.
        masked: whether pairs with :math:`p_{ij}^2 = 0` have no bells.
    """

    tables: LevelTables
    radial: Sequence[Tensor]
    weights: Sequence[Tensor]
    mixed: Sequence[MixedIrrep]
    perceptron: Perceptron | None = None
    scalars: tuple[int, int] = (0, 0)
    loops: bool = False
    masked: bool = False


def tensor_level(x: Tensor, pos: Tensor, level: TensorLevel, ptr: Tensor, backend: str = "auto") -> Tensor | None:
    r"""A level of message passing by kernels; none where there are none.

    Args:
        x: packed features.
        pos: real momenta.
        level: the parameters.
        ptr: offsets of the jets.
        backend: one of :data:`~lgae_pyg.ops.backends.choice.BACKENDS`.

    Raises:
        ValueError: for an unknown back-end, or tensors that do not fit each other.

    Shapes:
        - x: :math:`(n, d)`, complex, pos: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, d')`, complex
    """
    needs = pos.dtype, level.radial[-1].dtype, level.radial[-1].shape[1]
    if choose_backend(backend, "tensor level", x.device.type, *needs) != "compiled":
        return None
    from lgae_pyg.ops.backends.compiled_tensors import compiled_tensor_level

    return compiled_tensor_level(x, pos, level, ptr)
