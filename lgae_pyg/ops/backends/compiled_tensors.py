r"""Compiled CPU back-ends of levels of message passing on any irreps: sums over neighbours
(``cpp/filtered_sum.cpp``), and products of the numbers of a node (``cpp/table_products.cpp``).

As tensor operations these are hundreds of small steps, most of them passes over memory; and since thirty
operations on small tensors cost more in PyTorch's autograd than the kernels, a whole level is one step of it. The
definitions are those of :mod:`lgae_pyg.ops.tensor_levels`.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library
from lgae_pyg.ops.levels import Perceptron
from lgae_pyg.ops.mixing import MixedIrrep
from lgae_pyg.ops.products import as_complex
from lgae_pyg.ops.tensor_levels import Table, TensorLevel

#: Multiplicities up to which the radial factors of a pair lie on the stack.
MOST_CHANNELS = 512
#: Products of a node at most.
MOST_PRODUCTS = 1 << 20


@torch.compiler.disable
def compiled_tensor_level(x: Tensor, pos: Tensor, level: TensorLevel, ptr: Tensor) -> Tensor:
    """The same as :func:`lgae_pyg.ops.tensor_levels.tensor_level`.

    Raises:
        CompilationError: if the kernels cannot be built.
    """
    layers = level.perceptron and [part for pair in zip(*level.perceptron[:2]) for part in pair]
    return _Level.apply(x, pos, ptr, level, *level.radial, *level.weights, *(layers or ()))


@torch.compiler.disable
def compiled_products(x: Tensor, table: Table) -> Tensor:
    """The same as :func:`lgae_pyg.ops.tensor_levels.table_products`.

    Raises:
        CompilationError: if the kernels cannot be built.
    """
    return _Products.apply(x, table)


def tensor_libraries(dtype: torch.dtype, channels: int) -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """The kernels of the sums, for radial functions of so many channels, and of the products, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    if not 0 < channels <= MOST_CHANNELS:
        raise CompilationError(f"the kernels are for 1 to {MOST_CHANNELS} channels, not {channels}")
    defines = (("FEATURE", NAMES[dtype]), ("CHANNELS", str(channels)))
    return load_library(("filtered_sum.cpp",), defines), products_library(dtype)


def products_library(dtype: torch.dtype) -> ctypes.CDLL:
    """The kernels of the products, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("table_products.cpp",), (("FEATURE", NAMES[dtype]),))


class _Level(torch.autograd.Function):
    """Columns, their sums over the neighbours, products, mixing, and the perceptron."""

    @staticmethod
    def forward(ctx, x, pos, ptr, level, *parameters):
        tables, momenta = level.tables, as_complex(pos)
        ctx.level, ctx.types = level, [part.dtype for part in parameters]
        cast = [part if part.dtype == pos.dtype else part.to(pos.dtype) for part in parameters]
        radial, weights, layers = _split(level, cast)
        columns = products(torch.cat([x, momenta], -1), *tables.columns)
        sums = filtered_sum(columns, pos, radial, tables.counts, level.loops, level.masked, ptr)
        numbers = torch.cat([sums, x, momenta], -1)
        entries, coefficients, count = tables.update
        out = products(numbers, entries, coefficients, count, weights, level.mixed)
        hidden: list[Tensor] = []
        if level.perceptron is not None:
            scalars = torch.view_as_real(out)[:, slice(*level.scalars)]
            hidden = perceptron_inputs(scalars.flatten(1).clone(), layers, level.perceptron)
            scalars.copy_(hidden.pop().view_as(scalars))
        ctx.count = len(hidden)
        ctx.save_for_backward(pos, ptr, columns, numbers, *hidden, *cast)
        return out

    @staticmethod
    def backward(ctx, upstream):
        _refuse_second_derivatives()
        pos, ptr, columns, numbers, *parameters = ctx.saved_tensors
        hidden, level, too = parameters[: ctx.count], ctx.level, ctx.needs_input_grad[1]
        radial, weights, layers = _split(level, parameters[ctx.count :])
        to_layers: list[Tensor] = []
        if level.perceptron is not None:
            upstream = upstream.clone(memory_format=torch.contiguous_format)
            scalars = torch.view_as_real(upstream)[:, slice(*level.scalars)]
            to_scalars, to_layers = perceptron_gradients(scalars.flatten(1), hidden, layers, level.perceptron)
            scalars.copy_(to_scalars.view_as(scalars))
        width = columns.shape[1]
        to_numbers, to_weights = products_backward(upstream, numbers, *level.tables.update, weights, level.mixed)
        options = (level.tables.counts, level.loops, level.masked, ptr)
        to_columns, to_pos, to_radial = filtered_sum_backward(
            to_numbers[:, :width], columns, pos, radial, *options, too
        )
        to_own, _ = products_backward(to_columns, numbers[:, width:], *level.tables.columns)
        to_own += to_numbers[:, width:]
        moved = to_pos + to_own[:, -4:].real if too else None
        grads = [grad.to(dtype) for grad, dtype in zip([*to_radial, *to_weights, *to_layers], ctx.types)]
        return to_own[:, :-4], moved, None, None, *grads


def _split(level: TensorLevel, parameters: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
    """Parameters of the radial functions, of the mixing, and of the layers of the perceptron."""
    radial, mixing = len(level.radial), len(level.weights)
    return parameters[:radial], parameters[radial : radial + mixing], parameters[radial + mixing :]


def perceptron_inputs(flat: Tensor, layers: Sequence[Tensor], perceptron: Perceptron) -> list[Tensor]:
    """The input of the perceptron (:func:`~lgae_pyg.ops.levels.scalar_perceptron`), those of its layers, and its
    output."""
    hidden = torch.asinh(flat) if perceptron.squash else flat
    found = [flat]
    for layer in range(0, len(layers), 2):
        if layer:
            hidden = torch.nn.functional.leaky_relu(hidden, perceptron.slope)
        found.append(hidden)
        hidden = torch.addmm(layers[layer + 1], hidden, layers[layer].T)
    return [*found, hidden + found[1] if perceptron.residual else hidden]


def perceptron_gradients(
    upstream: Tensor, hidden: Sequence[Tensor], layers: Sequence[Tensor], perceptron: Perceptron
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of the scalars and of the layers, from what :func:`perceptron_inputs` found but the output."""
    grad, (flat, *inputs) = upstream, hidden
    grads: list[Tensor] = []
    for layer in reversed(range(len(inputs))):
        grads = [grad.T @ inputs[layer], grad.sum(0), *grads]
        grad = grad @ layers[2 * layer]
        if layer:
            grad = torch.where(inputs[layer] > 0, grad, perceptron.slope * grad)
    if perceptron.residual:
        grad = grad + upstream
    return grad * torch.rsqrt(1 + flat.square()) if perceptron.squash else grad, grads


class _Products(torch.autograd.Function):
    """The products of a table alone."""

    @staticmethod
    def forward(ctx, x, table):
        ctx.save_for_backward(x)
        ctx.table = table
        return products(x, *table)

    @staticmethod
    def backward(ctx, upstream):
        _refuse_second_derivatives()
        return products_backward(upstream, *ctx.saved_tensors, *ctx.table)[0], None


def _refuse_second_derivatives() -> None:
    if torch.is_grad_enabled():  # as PyTorch has it where create_graph=True
        raise BackendError(door.NO_SECOND_DERIVATIVES)


def filtered_sum(
    columns: Tensor,
    momenta: Tensor,
    radial: Sequence[Tensor],
    counts: Sequence[int],
    loops: bool,
    masked: bool,
    ptr: Tensor,
) -> Tensor:
    """The kernel of :func:`lgae_pyg.ops.tensor_levels.filtered_sum`, from the parameters of the radial functions.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.
    """
    call = _SumCall(columns, momenta, radial, counts, loops, masked, ptr)
    out = torch.empty_like(call.columns)
    door.call(call.library.filtered_sum_forward, *call.values, out)
    return out


def filtered_sum_backward(
    upstream: Tensor,
    columns: Tensor,
    momenta: Tensor,
    radial: Sequence[Tensor],
    counts: Sequence[int],
    loops: bool,
    masked: bool,
    ptr: Tensor,
    momenta_too: bool,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients of columns, momenta, if they are wanted, and radial parameters."""
    call = _SumCall(columns, momenta, radial, counts, loops, masked, ptr)
    upstream = door.enter_gradient("the sums", upstream, columns.shape, columns.dtype)
    grad_columns, grad_radial = torch.empty_like(call.columns), [torch.empty_like(part) for part in call.radial]
    grad_momenta = door.room(call.momenta, momenta_too)
    outputs = (grad_columns, grad_momenta if momenta_too else None, grad_radial)
    door.call(call.library.filtered_sum_backward, *call.values, upstream, *outputs)
    return grad_columns, grad_momenta, grad_radial


class _SumCall:
    """What both directions of the sums begin with; holds the tensors while their memory is used."""

    def __init__(self, columns, momenta, radial, counts, loops, masked, ptr):
        precision = door.precision_of("columns", columns)
        if not counts or len(counts) % 2 or min(counts) < 0 or sum(counts) != columns.shape[1]:
            raise ValueError(f"{list(counts)} columns of two degrees do not fit {columns.shape[1]} columns")
        if len(radial) != 5:
            raise ValueError(f"radial functions have 5 parameters, not {len(radial)}")
        channels, bells = len(counts) // 2, radial[0].numel()
        shapes = (*[(bells,)] * 3, (2, channels, 2, bells), (2, channels, 2))
        self.columns = door.enter("columns", columns, columns.shape, columns.dtype)
        self.momenta = door.enter("momenta", momenta, (len(columns), 4), precision)
        what = "each of the parameters of radial functions"
        self.radial = [door.enter(what, *pair, precision) for pair in zip(radial, shapes)]
        self.ptr = door.enter_offsets(ptr, columns)
        self.library, _ = tensor_libraries(precision, channels)
        jets = (self.columns, self.momenta, self.ptr, len(self.ptr) - 1)
        self.values = (*jets, self.radial, bells, [*counts], bool(loops), bool(masked))


def products(
    x: Tensor,
    entries: Tensor,
    coefficients: Tensor,
    width: int,
    weights: Sequence[Tensor] = (),
    mixed: Sequence[MixedIrrep] = (),
) -> Tensor:
    """The kernel of :func:`lgae_pyg.ops.tensor_levels.table_products`, followed by
    :func:`~lgae_pyg.ops.mixing.mix_channels` where there are weights.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.
    """
    call = _ProductsCall(x, entries, coefficients, width, weights, mixed)
    out = x.new_empty(len(x), call.width)
    call.run(call.library.products_forward, out)
    return out


def products_backward(upstream: Tensor, x: Tensor, *arguments: Any) -> tuple[Tensor, list[Tensor]]:
    """Gradients of the numbers and of the weights; arguments as of :func:`products`."""
    call = _ProductsCall(x, *arguments)
    upstream = door.enter_gradient("the products", upstream, (len(x), call.width), x.dtype)
    grad, grads = torch.empty_like(call.x), [torch.empty_like(weight) for weight in call.weights]
    call.run(call.library.products_backward, upstream, grad, grads)
    return grad, grads


class _Block(ctypes.Structure):
    """An irrep that is mixed, as the kernel reads it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("in_begin", "channels", "out_begin", "mixed", "dim")),
        ("weight", ctypes.c_void_p),
    )


class _ProductsCall:
    """What both directions of the products begin with; holds the tensors while their memory is used."""

    def __init__(self, x, entries, coefficients, width, weights=(), mixed=()):
        precision = door.precision_of("the numbers of nodes", x)
        self.x = door.enter("the numbers of nodes", x, x.shape, x.dtype)
        self.entries = door.enter("the entries of the table", entries, (len(entries), 3), torch.int64)
        coefficients, count = coefficients.to(x.dtype), len(entries)
        self.coefficients = door.enter("the coefficients of the table", coefficients, (count,), x.dtype)
        if not 0 <= width <= MOST_PRODUCTS:
            raise ValueError(f"a table has at most {MOST_PRODUCTS} products, not {width}")
        if len(weights) != len(mixed):
            raise ValueError(f"{len(weights)} weights do not fit {len(mixed)} irreps")
        self.weights, total = list[Tensor](), 0
        blocks: list[Any] = []  # tuples, which become structures
        for weight, irrep in zip(weights, mixed):
            if min(irrep) < 0 or irrep.dim < 1 or irrep.begin + irrep.channels * irrep.dim > width:
                raise ValueError(f"{irrep} does not lie among {width} products")
            shape = (irrep.mixed, irrep.channels, 2)
            self.weights.append(door.enter("weights", weight, shape, precision))
            sizes = (irrep.begin, irrep.channels, total, irrep.mixed, irrep.dim)
            blocks.append((*sizes, self.weights[-1].data_ptr()))
            total += irrep.mixed * irrep.dim
        self.library, self.width = products_library(precision), total if blocks else width
        mixing = ((_Block * len(blocks))(*blocks), len(blocks)) if blocks else (None, 0)
        self.values = (self.x, *x.shape, self.entries, self.coefficients, count, width, *mixing, self.width)

    def run(self, kernel: Any, *more: Any) -> None:
        if not door.call(kernel, *self.values, *more):  # which looks through the table first
            what = f"{self.x.shape[1]} numbers and {self.values[6]} products"
            raise ValueError(f"the entries of the table do not fit {what}")
