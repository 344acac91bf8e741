r"""Compiled CPU back-ends of levels of message passing on any irreps: sums over neighbours, and products of a node.

As tensor operations these are hundreds of small steps, most of them passes over memory. Each operator has a plain
definition beside it, which the tests compare with. :mod:`lgae_pyg.ops.tensor_levels` makes levels of them.
"""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_square
from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library
from lgae_pyg.ops.bells import Bells, bell_sum
from lgae_pyg.ops.mixing import MixedIrrep, mix_channels
from lgae_pyg.ops.tensor_levels import Table

#: Multiplicities up to which the radial factors of a pair lie on the stack.
MOST_CHANNELS = 512


def tensor_libraries(dtype: torch.dtype, channels: int) -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """The kernels of the sums and of the products, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return sum_library(dtype, channels), products_library(dtype)


def sum_library(dtype: torch.dtype, channels: int) -> ctypes.CDLL:
    """The kernels of the filtered sum for radial functions of so many channels, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    if not 0 < channels <= MOST_CHANNELS:
        raise CompilationError(f"the kernels are for 1 to {MOST_CHANNELS} channels, not {channels}")
    return load_library(("filtered_sum.cpp",), (("FEATURE", NAMES[dtype]), ("CHANNELS", str(channels))))


def products_library(dtype: torch.dtype) -> ctypes.CDLL:
    """The kernels of the products, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("table_products.cpp",), (("FEATURE", NAMES[dtype]),))


def filtered_sum(
    columns: Tensor,
    momenta: Tensor,
    bells: Bells,
    counts: Sequence[int],
    ptr: Tensor,
    loops: bool = False,
    masked_origin: bool = False,
) -> Tensor:
    r"""Sums over the neighbours of columns, each with the radial factor of a degree and channel,

    .. math:: S_{ik} = \sum_{j \ne i} f_{o(k)}(|p_{ij}^2|)\, G_{jk} .

    Args:
        columns: :math:`G`.
        momenta: real.
        bells: the radial functions :math:`f_o` of two degrees.
        counts: how many columns go with each, degree by degree and channel by channel.
        ptr: offsets of the jets.
        loops: whether :math:`j = i` counts.
        masked_origin: leave the bells out where :math:`p_{ij}^2 = 0`.

    Raises:
        CompilationError: if the kernels cannot be built.
        ValueError: for tensors that do not fit each other.

    Shapes:
        - columns: :math:`(n, K)`, complex, momenta: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, K)`
    """
    weight = bells.weight.flatten(0, -2).T.flatten()
    radial = torch.cat([bells.squared_width, weight, bells.bias.flatten(), bells.masked.flatten()])
    numbers = [len(bells.squared_width), *counts]
    return _sum(columns, momenta, radial, numbers, loops, masked_origin, ptr)


def plain_filtered_sum(
    columns: Tensor,
    momenta: Tensor,
    bells: Bells,
    counts: Sequence[int],
    ptr: Tensor,
    loops: bool = False,
    masked_origin: bool = False,
) -> Tensor:
    """The definition of :func:`filtered_sum`, which stores all pairs."""
    jets = torch.arange(len(ptr) - 1).repeat_interleave(ptr.diff())
    square = minkowski_square(momenta.unsqueeze(1) - momenta)
    factors = bell_sum(square, bells, square != 0 if masked_origin else None).flatten(-2)
    same = jets.unsqueeze(1) == jets
    edges = same if loops else same & ~torch.eye(len(momenta), dtype=torch.bool)
    factors = torch.where(edges.unsqueeze(-1), factors, torch.zeros_like(factors))
    return torch.einsum("ijk,jk->ik", factors.repeat_interleave(torch.tensor(counts), -1), columns)


def table_products(
    x: Tensor, table: Table, weights: Sequence[Tensor] = (), irreps: Sequence[MixedIrrep] = ()
) -> Tensor:
    r"""Products of two numbers of a node, :math:`z_\gamma = \sum C\, x_\alpha x_\beta`, and mixing of their
    channels (see :func:`~lgae_pyg.ops.mixing.mix_channels`).

    Args:
        x: numbers of each node; a 1 behind the last is thought.
        table: the products.
        weights: of the mixing; none gives the products.
        irreps: that are mixed.

    Raises:
        CompilationError: if the kernels cannot be built.
        ValueError: for tensors that do not fit each other.

    Shapes:
        - x: :math:`(n, d)`, complex
        - **output:** :math:`(n, \text{table.width})`, or what the mixing makes of it
    """
    dtype = x.real.dtype
    weights = [weight if weight.dtype == dtype else weight.to(dtype) for weight in weights]
    numbers = [number for irrep in irreps for number in irrep]
    return _products(x, table.entries, table.coefficients.to(x.dtype), weights, [table.width, *numbers])


def plain_table_products(
    x: Tensor, table: Table, weights: Sequence[Tensor] = (), irreps: Sequence[MixedIrrep] = ()
) -> Tensor:
    """The definition of :func:`table_products`, which stores all terms."""
    padded = torch.cat([x, torch.ones_like(x[:, :1])], -1)
    out, left, right = table.entries.unbind(-1)
    terms = table.coefficients.to(x.dtype) * padded[:, left] * padded[:, right]
    products = x.new_zeros(len(x), table.width).index_add(-1, out, terms)
    return mix_channels(products, weights, irreps) if len(weights) else products


class _SumCall:
    """What forward and backward of the filtered sum begin with; holds the tensors while their memory is used."""

    def __init__(self, columns, momenta, radial, numbers, loops, masked, ptr):
        precision = door.precision_of("columns", columns)
        bells, counts, factors = numbers[0] if numbers else 0, numbers[1:], 2 * (len(numbers) - 1)
        if bells < 0 or not counts or len(counts) % 2 or min(counts) < 0 or sum(counts) != columns.shape[1]:
            raise ValueError(f"bells and columns of two degrees {list(numbers)} do not fit {columns.shape[1]} columns")
        self.columns = door.enter("columns", columns, columns.shape, columns.dtype)
        self.momenta = door.enter("momenta", momenta, (len(columns), 4), precision)
        shape = (bells * (factors + 1) + 2 * factors,)
        self.radial = door.enter("the parameters of the radial functions", radial, shape, precision)
        self.ptr = door.enter_offsets(ptr, columns)
        self.library = sum_library(precision, len(counts) // 2)
        jets = (self.columns, self.momenta, self.ptr, len(self.ptr) - 1)
        self.values = (*jets, self.radial, bells, [*counts], loops, masked)


SUM_INPUTS = "Tensor columns, Tensor momenta, Tensor radial, SymInt[] numbers, bool loops, bool masked, Tensor ptr"


@door.operator("filtered_sum", f"({SUM_INPUTS}) -> Tensor")
def _sum(columns, *more):
    call, out = _SumCall(columns, *more), torch.empty_like(columns, memory_format=torch.contiguous_format)
    door.call(call.library.filtered_sum_forward, *call.values, out)
    return out


@door.register_shapes(_sum)
def _(columns, *more):
    return columns.new_empty(columns.shape)


@door.operator(
    "filtered_sum_backward", f"(Tensor upstream, {SUM_INPUTS}, bool momenta_too) -> (Tensor, Tensor, Tensor)"
)
def _sum_backward(upstream, columns, *more):
    *more, momenta_too = more
    call = _SumCall(columns, *more)
    upstream = door.enter_gradient("the sums", upstream, columns.shape, columns.dtype)
    grad_columns, grad_radial = torch.empty_like(call.columns), torch.empty_like(call.radial)
    grad_momenta = door.room(call.momenta, momenta_too)
    outputs = (grad_columns, grad_momenta if momenta_too else None, grad_radial)
    door.call(call.library.filtered_sum_backward, *call.values, upstream, *outputs)
    return grad_columns, grad_momenta, grad_radial


@door.register_shapes(_sum_backward)
def _(upstream, columns, momenta, radial, numbers, loops, masked, ptr, momenta_too):
    return columns.new_empty(columns.shape), door.room(momenta, momenta_too), radial.new_empty(radial.shape)


door.refuse_second_derivatives(_sum_backward)


def _save_sum(ctx, inputs: tuple, output: Tensor) -> None:
    columns, momenta, radial, *ctx.options, ptr = inputs
    ctx.save_for_backward(columns, momenta, radial, ptr)


def _sum_gradients(ctx, upstream: Tensor) -> tuple:
    columns, momenta, radial, ptr = ctx.saved_tensors
    too = ctx.needs_input_grad[1]
    grads = _sum_backward(upstream, columns, momenta, radial, *ctx.options, ptr, too)
    return grads[0], grads[1] if too else None, grads[2], None, None, None, None


_sum.register_autograd(_sum_gradients, setup_context=_save_sum)


class _Block(ctypes.Structure):
    """An irrep that is mixed, as the kernel reads it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("in_begin", "channels", "out_begin", "mixed", "dim")),
        ("weight", ctypes.c_void_p),
    )


class _ProductsCall:
    """What forward and backward of the products begin with; holds the tensors while their memory is used."""

    def __init__(self, x, entries, coefficients, weights, numbers):
        precision = door.precision_of("numbers of nodes", x)
        self.x, width = door.enter("numbers of nodes", x, x.shape, x.dtype), numbers[0] if numbers else -1
        self.entries = door.enter("entries of the table", entries, (len(entries), 3), torch.int64)
        self.coefficients = door.enter("coefficients of the table", coefficients, (len(entries),), x.dtype)
        if width < 0 or len(numbers) != 1 + 4 * len(weights):
            raise ValueError(f"{len(weights)} weights do not fit {list(numbers)}: a width, four numbers an irrep")
        if len(entries):
            low, high = (found.tolist() for found in torch.aminmax(self.entries, dim=0))
            if min(low) < 0 or high[0] >= width or max(high[1:]) > x.shape[1]:
                raise ValueError(f"entries up to {high} do not fit {x.shape[1]} numbers and {width} products")
        self.weights, blocks, self.width = [], [], 0
        for weight, place in zip(weights, range(1, len(numbers), 4)):
            irrep = MixedIrrep(*numbers[place : place + 4])
            behind = irrep.begin + irrep.channels * irrep.dim
            if min(irrep) < 0 or irrep.dim < 1 or behind > width:
                raise ValueError(f"{irrep} does not lie among {width} products")
            shape = (irrep.mixed, irrep.channels, 2)
            self.weights.append(door.enter("weights", weight, shape, precision))
            sizes = (irrep.begin, irrep.channels, self.width, irrep.mixed, irrep.dim)
            blocks.append((*sizes, self.weights[-1].data_ptr()))
            self.width += irrep.mixed * irrep.dim
        table = (self.entries, self.coefficients, len(entries), width)
        mixing = ((_Block * len(blocks))(*blocks), len(blocks)) if blocks else (None, 0)
        self.width = self.width if blocks else width
        self.library = products_library(precision)
        self.values = (self.x, *x.shape, *table, *mixing, self.width)


PRODUCT_INPUTS = "Tensor x, Tensor entries, Tensor coefficients, Tensor[] weights, SymInt[] numbers"


@door.operator("table_products", f"({PRODUCT_INPUTS}) -> Tensor")
def _products(x, *more):
    call = _ProductsCall(x, *more)
    out = x.new_empty(len(x), call.width)
    door.call(call.library.products_forward, *call.values, out)
    return out


@door.register_shapes(_products)
def _(x, entries, coefficients, weights, numbers):
    mixed = sum(numbers[place + 2] * numbers[place + 3] for place in range(1, len(numbers), 4))
    return x.new_empty(len(x), mixed if len(numbers) > 1 else numbers[0])


@door.operator("table_products_backward", f"(Tensor upstream, {PRODUCT_INPUTS}) -> (Tensor, Tensor[])")
def _products_backward(upstream, x, *more):
    call = _ProductsCall(x, *more)
    upstream = door.enter_gradient("the products", upstream, (len(x), call.width), x.dtype)
    grad, grads = torch.empty_like(call.x), [torch.empty_like(weight) for weight in call.weights]
    door.call(call.library.products_backward, *call.values, upstream, grad, grads)
    return grad, grads


@door.register_shapes(_products_backward)
def _(upstream, x, entries, coefficients, weights, numbers):
    return x.new_empty(x.shape), [weight.new_empty(weight.shape) for weight in weights]


door.refuse_second_derivatives(_products_backward)


def _save_products(ctx, inputs: tuple, output: Tensor) -> None:
    x, entries, coefficients, weights, ctx.numbers = inputs
    ctx.save_for_backward(x, entries, coefficients, *weights)


def _product_gradients(ctx, upstream: Tensor) -> tuple:
    x, entries, coefficients, *weights = ctx.saved_tensors
    grad, grads = _products_backward(upstream, x, entries, coefficients, weights, ctx.numbers)
    return grad, None, None, grads, None


_products.register_autograd(_product_gradients, setup_context=_save_products)
