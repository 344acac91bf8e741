r"""Compiled CPU back-ends of levels of message passing on any irreps (``cpp/tensor_level.cpp``), and of products
of the numbers of a node (``cpp/table_products.cpp``).

As tensor operations these are hundreds of small steps, most of them passes over memory; and since thirty
operations on small tensors cost more in PyTorch's autograd than the kernels, a whole level is one step of it. The
definitions are those of :mod:`lgae_pyg.ops.tensor_levels`.
"""

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library
from lgae_pyg.ops.mixing import MixedIrrep
from lgae_pyg.ops.steps import Steps, lengths
from lgae_pyg.ops.tensor_levels import TensorLevel

#: Multiplicities up to which the radial factors of a pair lie on the stack.
MOST_CHANNELS = 512
#: Numbers of a node, or of the outputs of a table, at most.
MOST_NUMBERS = 1 << 20
#: Nodes of a block of the kernels at most, up to which the numbers of a jet are filled up.
MOST_LANES = 16


def tensor_library(dtype: torch.dtype, parameters: torch.dtype, channels: int) -> ctypes.CDLL:
    """The kernels of a level for features and parameters of these precisions and radial functions of so many
    channels, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    if not 0 < channels <= MOST_CHANNELS:
        raise CompilationError(f"the kernels are for 1 to {MOST_CHANNELS} channels, not {channels}")
    kinds = ("FEATURE", NAMES[dtype]), ("PARAMETER", NAMES[parameters])
    return load_library(("tensor_level.cpp",), (*kinds, ("CHANNELS", str(channels))))


def products_library(dtype: torch.dtype) -> ctypes.CDLL:
    """The kernels of the products, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("table_products.cpp",), (("FEATURE", NAMES[dtype]),))


class Options(NamedTuple):
    """What a level is besides tensors: counts of its columns, the irreps that are mixed, sizes of the layers of
    the perceptron (none without one), where the scalars begin, and what
    :class:`~lgae_pyg.ops.levels.Perceptron` and :class:`~lgae_pyg.ops.tensor_levels.TensorLevel` say."""

    counts: Sequence[int]
    mixed: Sequence[MixedIrrep]
    layers: Sequence[int]
    scalars: int
    slope: float = 0.0
    residual: bool = False
    squash: bool = False
    loops: bool = False
    masked: bool = False


@torch.compiler.disable
def compiled_tensor_level(x: Tensor, pos: Tensor, level: TensorLevel, ptr: Tensor) -> Tensor:
    """The same as :func:`lgae_pyg.ops.tensor_levels.tensor_level`.

    Raises:
        CompilationError: if the kernels cannot be built.
    """
    layers, one = [], level.perceptron
    if one is not None:
        layers = [part for pair in zip(one.weights, one.biases) for part in pair]
    sizes = [one.weights[0].shape[1], *map(len, one.biases)] if one else []
    more = (one.slope, one.residual, one.squash) if one else (0.0, False, False)
    options = Options(level.tables.counts, level.mixed, sizes, level.scalars[0], *more, level.loops, level.masked)
    parameters = [*level.radial, *level.weights, *layers]
    if len({part.dtype for part in parameters}) > 1:
        parameters = [part.to(pos.dtype) for part in parameters]
    call = LevelCall(pos, ptr, level.tables.columns, level.tables.update, parameters, options)
    return _Level.apply(x, pos, ptr, call, torch.is_grad_enabled(), *parameters)


@torch.compiler.disable
def compiled_products(x: Tensor, steps: Steps) -> Tensor:
    """The same as :func:`lgae_pyg.ops.tensor_levels.table_products`.

    Raises:
        CompilationError: if the kernels cannot be built.
    """
    return _Products.apply(x, steps)


class _Level(torch.autograd.Function):
    """A level as a step of autograd."""

    @staticmethod
    def forward(ctx, x, pos, ptr, call, keep, *parameters):
        out, kept = call.forward(x, keep and any(ctx.needs_input_grad))
        ctx.call = call
        ctx.save_for_backward(kept, pos, ptr, *parameters)
        return out

    @staticmethod
    def backward(ctx, upstream):
        _refuse_second_derivatives()
        kept, *_ = ctx.saved_tensors  # of which none was changed in the meantime
        to_x, to_pos, grads = ctx.call.backward(upstream, kept, ctx.needs_input_grad[1])
        return to_x, to_pos, None, None, None, *grads


class _Products(torch.autograd.Function):
    """The products of a table alone."""

    @staticmethod
    def forward(ctx, x, steps):
        ctx.save_for_backward(x)
        ctx.steps = steps
        return products(x, steps)

    @staticmethod
    def backward(ctx, upstream):
        _refuse_second_derivatives()
        (x,) = ctx.saved_tensors
        return products_backward(upstream, x, ctx.steps), None


def _refuse_second_derivatives() -> None:
    if torch.is_grad_enabled():  # as PyTorch has it where create_graph=True
        raise BackendError(door.NO_SECOND_DERIVATIVES)


class _Arguments(ctypes.Structure):
    """A level as the kernel reads it."""

    _fields_ = (
        *((f"{table}_{part}", ctypes.c_void_p) for table in ("columns", "update") for part in Steps._fields),
        *((name, ctypes.c_void_p) for name in ("counts", "irreps", "layer_sizes", "parameters")),
        *((name, ctypes.c_int64) for name in ("irrep_count", "bells", "layers", "scalars")),
        ("slope", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("residual", "squash", "loops", "masked")),
    )


class LevelCall:
    """A level with all but its features; holds the tensors while their memory is used.

    Args:
        pos: momenta of the nodes.
        ptr: offsets of the jets.
        columns: steps to the columns that are summed over the neighbours.
        update: steps from sums, features and momenta to what is mixed.
        parameters: of the radial functions, the mixing and the layers of the perceptron, one after another.
        options: what else the level is.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.
    """

    def __init__(
        self,
        pos: Tensor,
        ptr: Tensor,
        columns: Steps,
        update: Steps,
        parameters: Sequence[Tensor],
        options: Options,
    ):
        self.precision = door.precision_of("momenta", pos, is_complex=False)
        self.nodes, self.complex = len(pos), self.precision.to_complex()
        self.momenta = door.enter("momenta", pos, (self.nodes, 4), self.precision)
        self.ptr = door.enter_offsets(ptr, pos)
        steps = [_Steps(columns), _Steps(update)]
        self.features, sums = columns.sizes[0] - 4, columns.sizes[-1]
        if self.features < 0 or update.sizes[0] != sums + columns.sizes[0]:
            raise ValueError("the tables of a level do not fit each other")
        self.width = _check(options, sums, update.sizes[-1])
        counts, mixed, sizes, scalars, *more = options
        bells = parameters[0].numel() if len(parameters) else 0
        shapes = _shapes(bells, options)
        if len(parameters) != len(shapes):
            raise ValueError(f"the parameters of a level are {len(shapes)} tensors, not {len(parameters)}")
        kind = parameters[0].dtype if parameters[0].dtype in NAMES else self.precision
        what = "each of the parameters of a level"
        self.parameters = [door.enter(what, *pair, kind) for pair in zip(parameters, shapes)]
        self.library = tensor_library(self.precision, kind, len(counts) // 2)
        self.room = 2 * update.sizes[0] * (self.nodes + MOST_LANES * (len(self.ptr) - 1))
        lists = (counts, [number for irrep in mixed for number in irrep], sizes)
        arrays: list[Any] = [(ctypes.c_int64 * len(one))(*one) for one in lists]
        arrays.append((ctypes.c_void_p * len(shapes))(*(part.data_ptr() for part in self.parameters)))
        self.held = steps, arrays
        places = [*steps[0].pointers, *steps[1].pointers, *map(ctypes.addressof, arrays)]
        self.arguments = _Arguments(*places, len(mixed), bells, max(len(sizes) - 1, 0), scalars, *more)
        self.values = (self.momenta, self.ptr, len(self.ptr) - 1)

    def forward(self, x: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
        """The output, and what gradients need, if it is to be kept."""
        x = door.enter("features", x, (self.nodes, self.features), self.complex)
        out, kept = x.new_empty(self.nodes, self.width), self.momenta.new_empty(self.room) if keep else None
        self._run(self.library.tensor_level_forward, x, *self.values, out, kept)
        return out, kept

    def backward(
        self, upstream: Tensor, kept: Tensor, momenta_too: bool
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Gradients of features, momenta, if they are wanted, and parameters."""
        kept = door.enter("what a level keeps", kept, (self.room,), self.precision)
        upstream = door.enter_gradient("the level", upstream, (self.nodes, self.width), self.complex)
        to_x = upstream.new_empty(self.nodes, self.features)
        to_pos = torch.empty_like(self.momenta) if momenta_too else None
        grads = [torch.empty_like(part) for part in self.parameters]
        self._run(self.library.tensor_level_backward, *self.values, kept, upstream, to_x, to_pos, grads)
        return to_x, to_pos, grads

    def _run(self, kernel: Any, *arguments: Any) -> None:
        if not door.call(kernel, ctypes.byref(self.arguments), *arguments):  # which looks through the tables first
            raise ValueError("the tables of a level name numbers that are not there")


def _shapes(bells: int, options: Options) -> list[tuple[int, ...]]:
    """The shapes of the parameters."""
    channels = len(options.counts) // 2
    radial = [*[(bells,)] * 3, (2, channels, 2, bells), (2, channels, 2)]
    mixing = [(irrep.mixed, irrep.channels, 2) for irrep in options.mixed]
    return radial + mixing + [shape for a, b in pairwise(options.layers) for shape in ((b, a), (b,))]


def _check(options: Options, sums: int, products: int) -> int:
    """The width of the output of a level.

    Raises:
        ValueError: if its options do not fit so many columns and products.
    """
    counts, sizes = options.counts, options.layers
    if not counts or len(counts) % 2 or min(counts) < 0 or sum(counts) != sums:
        raise ValueError(f"{list(counts)} columns of two degrees do not fit {sums} columns")
    for irrep in options.mixed:
        if min(irrep) < 0 or irrep.dim < 1 or irrep.begin + irrep.channels * irrep.dim > products:
            raise ValueError(f"{irrep} does not lie among {products} products")
    width = sum(irrep.mixed * irrep.dim for irrep in options.mixed)
    if sizes and (len(sizes) < 2 or min(sizes) < 1 or sizes[0] != sizes[-1] or sizes[0] % 2):
        raise ValueError(f"there is no perceptron with layers {list(sizes)}")
    if max([width, *sizes]) > MOST_NUMBERS or not 0 <= options.scalars <= width - sum(sizes[:1]) // 2:
        raise ValueError(f"layers {list(sizes)} do not fit {width} numbers from {options.scalars} on")
    if not options.slope >= 0:
        raise ValueError(f"a slope is not negative: {options.slope}")
    return width


class _Steps:
    """Steps as a kernel reads them; holds the tensors."""

    def __init__(self, steps: Steps):
        sizes = steps.sizes
        if len(sizes) != 6 or min(sizes) < 0 or max(sizes) > MOST_NUMBERS:
            raise ValueError(f"there are no steps of sizes {list(sizes)}")
        count, coefficients = lengths(sizes)
        places = door.enter("the steps", steps.places, (count,), torch.int32)
        values = door.enter("the coefficients of the steps", steps.values, (coefficients,), torch.float64)
        self.held = (ctypes.c_int64 * 6)(*sizes), places, values
        self.pointers = ctypes.addressof(self.held[0]), places.data_ptr(), values.data_ptr()


def products(x: Tensor, steps: Steps) -> Tensor:
    """The kernel of :func:`lgae_pyg.ops.tensor_levels.table_products`.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.
    """
    there = _Steps(steps)
    x = door.enter("the numbers of nodes", x, (len(x), steps.sizes[0]), x.dtype)
    out = x.new_empty(len(x), steps.sizes[-1])
    _run_products("products_forward", x, there, out)
    return out


def products_backward(upstream: Tensor, x: Tensor, steps: Steps) -> Tensor:
    """Gradients of the numbers."""
    there = _Steps(steps)
    x = door.enter("the numbers of nodes", x, (len(x), steps.sizes[0]), x.dtype)
    upstream = door.enter_gradient("the products", upstream, (len(x), steps.sizes[-1]), x.dtype)
    grad = torch.empty_like(x)
    _run_products("products_backward", x, there, upstream, grad)
    return grad


def _run_products(kernel: str, x: Tensor, steps: _Steps, *more: Tensor) -> None:
    library = products_library(door.precision_of("the numbers of nodes", x))
    if not door.call(getattr(library, kernel), x, len(x), *map(ctypes.c_void_p, steps.pointers), *more):
        raise ValueError("the steps name numbers that are not there")
