"""Compiled CPU back-ends of what acts on nodes without their neighbours: mixing of channels, and the choice of the
node of smallest or largest invariant.

As tensor operations these are many small steps on little data, each costing more than its arithmetic. The
definitions are those of :mod:`lgae_pyg.ops.mixing` and :mod:`lgae_pyg.ops.extremum`.
"""

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.compiler import NAMES, load_library
from lgae_pyg.ops.extremum import TIE, Choice
from lgae_pyg.ops.mixing import MixedIrrep


def mix_library(dtype: torch.dtype) -> ctypes.CDLL:
    """The kernels of mixing, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("mix.cpp",), (("FEATURE", NAMES[dtype]),))


def extremum_library(dtype: torch.dtype) -> ctypes.CDLL:
    """The kernels of the extremum, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("extremum.cpp",), (("FEATURE", NAMES[dtype]),))


def compiled_mix(x: Tensor, weights: Sequence[Tensor], irreps: Sequence[MixedIrrep]) -> Tensor:
    """The same as :func:`lgae_pyg.ops.mixing.mix_channels`.

    Raises:
        CompilationError: if the kernels cannot be built.
    """
    dtype = x.real.dtype
    weights = [weight if weight.dtype == dtype else weight.to(dtype) for weight in weights]
    flat = _mix(x.reshape(-1, x.shape[-1]), weights, [number for irrep in irreps for number in irrep])
    return flat.view(*x.shape[:-1], flat.shape[-1])


def compiled_extremum(x: Tensor, ptr: Tensor, blocks: Sequence[tuple[int, int]], choice: Choice) -> Tensor:
    """The same as :func:`lgae_pyg.ops.extremum.extremum`.

    Raises:
        CompilationError: if the kernels cannot be built.
    """
    rounding = choice.rounding * torch.finfo(x.dtype).eps
    sizes = [number for block in blocks for number in block]
    return _extremum(x, ptr, sizes, choice.largest, choice.by_square, rounding)[0]


class _Block(ctypes.Structure):
    """An irrep, as the kernel reads it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("in_begin", "channels", "out_begin", "mixed", "dim")),
        ("weight", ctypes.c_void_p),
    )


def _mixed_irreps(irreps: Sequence[int]) -> list[MixedIrrep]:
    return [MixedIrrep(*irreps[i : i + 4]) for i in range(0, len(irreps), 4)]


class _Mix:
    """What forward and backward of mixing begin with; holds the tensors while their memory is used."""

    def __init__(self, x: Tensor, weights: Sequence[Tensor], irreps: Sequence[int]):
        precision = door.precision_of("features", x)
        if len(irreps) != 4 * len(weights):
            raise ValueError(f"{len(weights)} weights do not fit irreps {list(irreps)}, four numbers each")
        self.x, self.weights, self.width = door.enter("features", x, x.shape, x.dtype), list[Tensor](), 0
        blocks: list[Any] = []  # tuples, which become structures
        for weight, irrep in zip(weights, _mixed_irreps(irreps)):
            behind = irrep.begin + irrep.channels * irrep.dim
            shape = (irrep.mixed, irrep.channels, 2)
            if weight.shape != shape or x.shape[1] < behind or irrep.begin < 0 or irrep.dim < 1:
                raise ValueError(f"{tuple(x.shape)} features and {tuple(weight.shape)} weights do not fit {irrep}")
            self.weights.append(door.enter("weights", weight, shape, precision))
            sizes = (irrep.begin, irrep.channels, self.width, irrep.mixed, irrep.dim)
            blocks.append((*sizes, self.weights[-1].data_ptr()))
            self.width += irrep.mixed * irrep.dim
        ends = sorted((block[0], block[0] + block[1] * block[4]) for block in blocks)
        if any(after[0] < before[1] for before, after in pairwise(ends)):
            raise ValueError(f"irreps {list(irreps)} share columns: mix each irrep of the input once")
        self.library = mix_library(precision)
        self.values = (self.x, *x.shape, self.width, (_Block * len(blocks))(*blocks), len(blocks))


@door.operator("mix_channels", "(Tensor x, Tensor[] weights, SymInt[] irreps) -> Tensor")
def _mix(x, weights, irreps):
    call = _Mix(x, weights, irreps)
    out = x.new_empty(len(x), call.width)
    door.call(call.library.mix_forward, *call.values, out)
    return out


@door.register_shapes(_mix)
def _(x, weights, irreps):
    return x.new_empty(len(x), sum(irrep.mixed * irrep.dim for irrep in _mixed_irreps(irreps)))


@torch.library.custom_op("lgae_pyg::mix_channels_backward", mutates_args=())
def _mix_backward(
    upstream: Tensor, x: Tensor, weights: list[Tensor], irreps: list[int], x_too: bool
) -> tuple[Tensor, list[Tensor]]:
    call = _Mix(x, weights, irreps)
    upstream = door.enter_gradient("the mixed features", upstream, (len(x), call.width), x.dtype)
    grads = [torch.empty_like(weight) for weight in call.weights]
    grad_x = torch.zeros_like(call.x) if x_too else door.room(call.x, False)
    door.call(call.library.mix_backward, *call.values, upstream, grad_x if x_too else None, grads)
    return grad_x, grads


@door.register_shapes(_mix_backward)
def _(upstream, x, weights, irreps, x_too):
    return x.new_empty(x.shape if x_too else 0), [weight.new_empty(weight.shape) for weight in weights]


door.refuse_second_derivatives(_mix_backward)


def _save_mix(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, weights, ctx.irreps = inputs
    ctx.save_for_backward(x, *weights)


def _mix_gradients(ctx: Any, upstream: Tensor) -> tuple:
    x, *weights = ctx.saved_tensors
    too = ctx.needs_input_grad[0]
    grad_x, grads = _mix_backward(upstream, x, weights, ctx.irreps, too)
    return grad_x if too else None, grads, None


_mix.register_autograd(_mix_gradients, setup_context=_save_mix)


def _blocks(blocks: Sequence[int]) -> tuple[int, int]:
    """Columns of the features, and choices of a jet (the two parts of each channel), of channels and dimensions.

    Raises:
        ValueError: if these are no pairs of positive numbers.
    """
    if len(blocks) % 2 or not all(number > 0 for number in blocks):
        raise ValueError(f"features are blocks of channels and dimensions, positive and in pairs, not {blocks}")
    return sum(channels * dim for channels, dim in zip(blocks[::2], blocks[1::2])), 2 * sum(blocks[::2])


@door.operator(
    "extremum",
    "(Tensor x, Tensor ptr, SymInt[] blocks, bool largest, bool by_square, float rounding) -> (Tensor, Tensor)",
)
def _extremum(x, ptr, blocks, largest, by_square, rounding):
    precision, (width, choices) = door.precision_of("features", x), _blocks(blocks)
    if x.shape[1] != width:
        raise ValueError(f"{tuple(x.shape)} features do not fit channels and dimensions {blocks}")
    x, ptr = door.enter("features", x, x.shape, x.dtype), door.enter_offsets(ptr, x)
    out, shares = x.new_empty(len(ptr) - 1, width), x.real.new_empty(len(x), choices)
    jets, options = (ptr, len(ptr) - 1, blocks, len(blocks) // 2), (largest, by_square, TIE, rounding)
    door.call(extremum_library(precision).extremum_forward, x, *jets, *options, out, shares)
    return out, shares


@door.register_shapes(_extremum)
def _(x, ptr, blocks, largest, by_square, rounding):
    out = x.new_empty(len(ptr) - 1, x.shape[-1])
    return out, x.real.new_empty(len(x), 2 * sum(blocks[::2]))


@torch.library.custom_op("lgae_pyg::extremum_backward", mutates_args=())
def _extremum_backward(upstream: Tensor, shares: Tensor, ptr: Tensor, blocks: list[int]) -> Tensor:
    precision, (width, choices) = door.precision_of("shares", shares, is_complex=False), _blocks(blocks)
    shares, ptr = door.enter("shares", shares, (len(shares), choices), precision), door.enter_offsets(ptr, shares)
    upstream = door.enter_gradient("the extremum", upstream, (len(ptr) - 1, width), precision.to_complex())
    grad = upstream.new_empty(len(shares), width)
    jets = (ptr, len(ptr) - 1, blocks, len(blocks) // 2)
    door.call(extremum_library(precision).extremum_backward, upstream, shares, *jets, grad)
    return grad


@door.register_shapes(_extremum_backward)
def _(upstream, shares, ptr, blocks):
    return upstream.new_empty(len(shares), upstream.shape[-1])


door.refuse_second_derivatives(_extremum_backward)


def _save_extremum(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    _, ptr, ctx.blocks, *_ = inputs
    ctx.save_for_backward(output[1], ptr)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _extremum_gradients(ctx: Any, upstream: Tensor | None, _: Tensor | None) -> tuple:
    grad = None if upstream is None else _extremum_backward(upstream, *ctx.saved_tensors, ctx.blocks)
    return grad, *[None] * 5


_extremum.register_autograd(_extremum_gradients, setup_context=_save_extremum)
