r"""A level of message passing on features of any irreps as two kinds of step that kernels can do: sums over
neighbours, and products of two numbers of a node out of a table.

What a particle hears is linear in :math:`p_i - p_j` (see :mod:`lgae_pyg.ops.split_messages`). So the columns
:math:`F_j` and :math:`[p_j \otimes F_j]` are summed, weighted with the radial factor of the pair; then messages
:math:`[p_i \otimes \sum_j f_{ij} F_j] - \sum_j f_{ij} [p_j \otimes F_j]`, features and their products are entries
of one table. The definitions of both are those of :mod:`lgae_pyg.ops.backends.compiled_tensors`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.clebsch_gordan import clebsch_gordan
from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.ops.backends.choice import choose_backend
from lgae_pyg.ops.bells import Bells
from lgae_pyg.ops.couplings import Coupling
from lgae_pyg.ops.mixing import MixedIrrep
from lgae_pyg.ops.products import SCALAR, as_complex

Entry = tuple[int, int, int, complex]


class Table(NamedTuple):
    r"""Products :math:`z_\gamma = \sum C\, x_\alpha x_\beta` of the numbers of a node, of which the one behind the
    last is 1.

    Attributes:
        entries: :math:`(\gamma, \alpha, \beta)` of each term, :math:`(E, 3)`; terms of one product stand together.
        coefficients: :math:`C`, complex128, :math:`(E,)`.
        width: how many products there are.
    """

    entries: Tensor
    coefficients: Tensor
    width: int


class LevelTables(NamedTuple):
    r"""A level as tables.

    Attributes:
        columns: makes of :math:`(F, p)` the columns that are summed over the neighbours.
        counts: how many of them go with the radial factor of each degree and channel, one after another.
        update: makes of (sums, F, p) messages, features and products, in the order in which they are mixed.
    """

    columns: Table
    counts: list[int]
    update: Table


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
    free, entries = _begins(mixed), []

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
    return LevelTables(columns, counts, _table(entries, mixed.dim))


def _columns(irreps: Irreps, messages: Sequence[Coupling]) -> tuple[Table, list[int], dict[tuple, int]]:
    """The table of the columns, their numbers, and where they begin by edge, irrep, product and channel."""
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
    return _table(entries, width), counts, places


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


def _table(entries: Sequence[Entry], width: int) -> Table:
    found: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry[0]].append(entry)
    ordered = [entry for place in sorted(found) for entry in found[place]]
    numbers = torch.tensor([entry[:3] for entry in ordered], dtype=torch.int64, device="cpu").reshape(-1, 3)
    values = torch.tensor([entry[3] for entry in ordered], dtype=torch.complex128, device="cpu")
    return Table(numbers, values, width)


def tensor_level(
    x: Tensor,
    pos: Tensor,
    tables: LevelTables,
    bells: Bells,
    mixing: tuple[Sequence[Tensor], Sequence[MixedIrrep]],
    ptr: Tensor,
    loops: bool = False,
    masked_origin: bool = False,
    backend: str = "auto",
) -> Tensor | None:
    r"""A level of message passing without its perceptron by kernels; none where there are none.

    Args:
        x: packed features.
        pos: real momenta.
        tables: the level.
        bells: the radial functions.
        mixing: weights of the mixing, and the irreps that are mixed.
        ptr: offsets of the jets.
        loops: whether particles are their own neighbours.
        masked_origin: whether pairs with :math:`p_{ij}^2 = 0` have no bells.
        backend: one of :data:`~lgae_pyg.ops.backends.choice.BACKENDS`.

    Raises:
        ValueError: for an unknown back-end, or tensors that do not fit each other.

    Shapes:
        - x: :math:`(n, d)`, complex, pos: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, d')`, complex
    """
    dtype, channels = pos.dtype, bells.bias.shape[1]
    if pos.is_complex() or bells.weight.dtype != dtype:
        return None
    if choose_backend(backend, "tensor level", x.device.type, dtype, channels) != "compiled":
        return None
    from lgae_pyg.ops.backends.compiled_tensors import filtered_sum, table_products

    momenta = as_complex(pos)
    columns = table_products(torch.cat([x, momenta], -1), tables.columns)
    sums = filtered_sum(columns, pos, bells, tables.counts, ptr, loops, masked_origin)
    return table_products(torch.cat([sums, x, momenta], -1), tables.update, *mixing)
