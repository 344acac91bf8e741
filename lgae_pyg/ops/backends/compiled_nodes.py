"""Compiled CPU back-ends of what acts on nodes without their neighbours: mixing of channels, and the choice of the
node of smallest or largest invariant.

As tensor operations these are many small steps on little data, each costing more than its arithmetic. The
definitions are those of :mod:`lgae_pyg.ops.mixing` and :mod:`lgae_pyg.ops.extremum`.
"""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from lgae_pyg.ops.backends.compiler import (
    NAMES,
    check_offsets,
    load_library,
    plain,
    pointer,
    pointers,
    threads,
)
from lgae_pyg.ops.extremum import TIE, Choice
from lgae_pyg.ops.mixing import MixedIrrep


def node_library(name: str, dtype: torch.dtype) -> ctypes.CDLL:
    """The kernels ``mix`` or ``extremum``, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library((f"{name}.cpp",), (("FEATURE", NAMES[dtype]),))


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
        self.x, self.weights = plain(x), [plain(weight) for weight in weights]
        blocks, self.width = [], 0
        for weight, irrep in zip(self.weights, _mixed_irreps(irreps)):
            behind = irrep.begin + irrep.channels * irrep.dim
            if weight.shape != (irrep.mixed, irrep.channels, 2) or x.shape[1] < behind:
                raise ValueError(f"{tuple(x.shape)} features and {tuple(weight.shape)} weights do not fit {irrep}")
            blocks.append((irrep.begin, irrep.channels, self.width, irrep.mixed, irrep.dim, pointer(weight)))
            self.width += irrep.mixed * irrep.dim
        self.library = node_library("mix", x.real.dtype)
        sizes = map(ctypes.c_int64, (*x.shape, self.width))
        blocks = (_Block * len(blocks))(*blocks)
        self.values = (pointer(self.x), *sizes, blocks, ctypes.c_int64(len(blocks)))


@torch.library.custom_op("lgae_pyg::mix_channels", mutates_args=(), device_types="cpu")
def _mix(x: Tensor, weights: list[Tensor], irreps: list[int]) -> Tensor:
    call = _Mix(x, weights, irreps)
    out = x.new_empty(len(x), call.width)
    call.library.mix_forward(*call.values, pointer(out), *threads())
    return out


@_mix.register_fake
def _(x, weights, irreps):
    return x.new_empty(len(x), sum(irrep.mixed * irrep.dim for irrep in _mixed_irreps(irreps)))


@torch.library.custom_op("lgae_pyg::mix_channels_backward", mutates_args=(), device_types="cpu")
def _mix_backward(
    upstream: Tensor, x: Tensor, weights: list[Tensor], irreps: list[int], x_too: bool
) -> tuple[Tensor, list[Tensor]]:
    call = _Mix(x, weights, irreps)
    upstream, grads = plain(upstream), [torch.empty_like(weight) for weight in call.weights]
    grad_x = torch.zeros_like(call.x) if x_too else call.x.new_empty(0)
    outputs = (pointer(grad_x if x_too else None), pointers(grads))
    call.library.mix_backward(*call.values, pointer(upstream), *outputs, *threads())
    return grad_x, grads


@_mix_backward.register_fake
def _(upstream, x, weights, irreps, x_too):
    return x.new_empty(x.shape if x_too else 0), [weight.new_empty(weight.shape) for weight in weights]


def _save_mix(ctx, inputs: tuple, output: Tensor) -> None:
    x, weights, ctx.irreps = inputs
    ctx.save_for_backward(x, *weights)


def _mix_gradients(ctx, upstream: Tensor) -> tuple:
    x, *weights = ctx.saved_tensors
    too = ctx.needs_input_grad[0]
    grad_x, grads = _mix_backward(upstream, x, weights, ctx.irreps, too)
    return grad_x if too else None, grads, None


_mix.register_autograd(_mix_gradients, setup_context=_save_mix)


def _jets(ptr: Tensor, blocks: Sequence[int]) -> tuple:
    numbers = (ctypes.c_int64 * len(blocks))(*blocks)
    return pointer(ptr), ctypes.c_int64(len(ptr) - 1), numbers, ctypes.c_int64(len(blocks) // 2)


@torch.library.custom_op("lgae_pyg::extremum", mutates_args=(), device_types="cpu")
def _extremum(
    x: Tensor, ptr: Tensor, blocks: list[int], largest: bool, by_square: bool, rounding: float
) -> tuple[Tensor, Tensor]:
    check_offsets(ptr, len(x))
    if x.shape[1] != sum(channels * dim for channels, dim in zip(blocks[::2], blocks[1::2])):
        raise ValueError(f"{tuple(x.shape)} features do not fit channels and dimensions {blocks}")
    x, ptr = plain(x), plain(ptr)
    out = x.new_empty(len(ptr) - 1, x.shape[-1])
    shares = x.real.new_empty(len(x), 2 * sum(blocks[::2]))
    options = (int(largest), int(by_square), ctypes.c_double(TIE), ctypes.c_double(rounding))
    library = node_library("extremum", shares.dtype)
    library.extremum_forward(pointer(x), *_jets(ptr, blocks), *options, pointer(out), pointer(shares), *threads())
    return out, shares


@_extremum.register_fake
def _(x, ptr, blocks, largest, by_square, rounding):
    out = x.new_empty(len(ptr) - 1, x.shape[-1])
    return out, x.real.new_empty(len(x), 2 * sum(blocks[::2]))


@torch.library.custom_op("lgae_pyg::extremum_backward", mutates_args=(), device_types="cpu")
def _extremum_backward(upstream: Tensor, shares: Tensor, ptr: Tensor, blocks: list[int]) -> Tensor:
    upstream, shares, ptr = plain(upstream), plain(shares), plain(ptr)
    grad = upstream.new_empty(len(shares), upstream.shape[-1])
    library = node_library("extremum", shares.dtype)
    library.extremum_backward(pointer(upstream), pointer(shares), *_jets(ptr, blocks), pointer(grad), *threads())
    return grad


@_extremum_backward.register_fake
def _(upstream, shares, ptr, blocks):
    return upstream.new_empty(len(shares), upstream.shape[-1])


def _save_extremum(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    _, ptr, ctx.blocks, *_ = inputs
    ctx.save_for_backward(output[1], ptr)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _extremum_gradients(ctx, upstream: Tensor | None, _: Tensor | None) -> tuple:
    grad = None if upstream is None else _extremum_backward(upstream, *ctx.saved_tensors, ctx.blocks)
    return grad, *[None] * 5


_extremum.register_autograd(_extremum_gradients, setup_context=_save_extremum)
