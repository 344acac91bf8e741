r"""Compiled CPU back-end of a whole level of message passing: neighbour sum, products, mixing and perceptron.

A few jets at a time go through everything while they are in the cache: on few channels PyTorch spends more time on
passes over memory between small steps than on arithmetic. The operator takes the parameters as modules hold them;
folding, scaling and changes of precision happen inside, forward and backward, which as tensor operations on small
tensors would cost as much time as a fifth of the kernels. The definitions are those of
:func:`~lgae_pyg.ops.messages.neighbour_sum` and of :mod:`lgae_pyg.ops.levels`.
"""

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.backends.compiled import Inputs, room, sum_defines
from lgae_pyg.ops.backends.compiler import NAMES, load_library, plain, pointer, pointers, threads

#: Blocks of columns that are mixed to scalars and to vectors.
SCALAR_BLOCKS, VECTOR_BLOCKS = 5, 4


class Perceptron(NamedTuple):
    """The perceptron of a level; see :func:`lgae_pyg.ops.levels.scalar_perceptron`."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    slope: float
    residual: bool
    squash: bool


class Level(NamedTuple):
    r"""The parameters of a level.

    Attributes:
        radial: offsets :math:`a`, amplitudes :math:`b` and inverse widths :math:`c` of the bells,
            :math:`(K,)` each, their mixture :math:`W`, :math:`(2, \tau, 2, K)` or, for complex momenta,
            :math:`(2, \tau, K)`, and its bias; see :class:`~lgae_pyg.nn.radial.LorentzianBell`.
        scalar_weight: mixing of the scalars, :math:`(\tau', 5\tau, 2)`; see
            :func:`~lgae_pyg.ops.levels.mix_products`.
        vector_weight: mixing of the vectors, :math:`(\tau', 4\tau, 2)`.
        scalar_scales: constants by which the five blocks of :math:`\tau` scalar columns are multiplied.
        vector_scales: the same of the four blocks of vector columns.
        perceptron: the perceptron on the scalars, if there is one.
    """

    radial: Sequence[Tensor]
    scalar_weight: Tensor
    vector_weight: Tensor
    scalar_scales: Sequence[float] = (1.0,) * SCALAR_BLOCKS
    vector_scales: Sequence[float] = (1.0,) * VECTOR_BLOCKS
    perceptron: Perceptron | None = None


def compiled_level(features: Tensor, momenta: Tensor, level: Level, ptr: Tensor, single: bool = False) -> Tensor:
    r"""A level of message passing without self-loops.

    Args:
        features: packed scalars and vectors of each node.
        momenta: real or complex.
        level: its parameters.
        ptr: offsets of the jets.
        single: evaluate radial functions and perceptron in float32.

    Raises:
        CompilationError: if the kernels cannot be built.

    Shapes:
        - features: :math:`(n, 5\tau)`, complex, momenta: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, 5\tau')`, complex
    """
    parameters = [*level.radial, level.scalar_weight, level.vector_weight]
    width, depth, options = 0, 0, (0.0, False, False)
    if level.perceptron is not None:
        weights, biases, *options = level.perceptron
        parameters += [part for pair in zip(weights, biases) for part in pair]
        width, depth = len(biases[0]), len(biases) - 1
    dtype = features.real.dtype
    parameters = [part if part.dtype == dtype else part.to(dtype) for part in parameters]
    sizes = [len(level.scalar_weight), width, depth]
    scales = [*level.scalar_scales, *level.vector_scales]
    return _level(features, momenta, parameters, scales, sizes, *options, single, ptr)[0]


class _Call:
    """A call of the kernels: the library, and the arguments that forward and backward begin with."""

    def __init__(
        self,
        features: Tensor,
        momenta: Tensor,
        parameters: Sequence[Tensor],
        scales: Sequence[float],
        sizes: Sequence[int],
        slope: float,
        residual: bool,
        squash: bool,
        single: bool,
        ptr: Tensor,
    ):
        low = torch.float32 if single else features.real.dtype
        sums = sum_defines(features.real.dtype, low, momenta.is_complex(), features.shape[-1] // 5)
        shape = zip(("CHANNELS_OUT", "WIDTH", "DEPTH"), map(str, sizes))
        self.library = load_library(("level.cpp",), (*sums, ("COMPUTE", NAMES[low]), *shape))
        self.inputs, self.parameters = Inputs(features, momenta, ptr), [plain(part) for part in parameters]
        found, expected = [part.numel() for part in parameters], _counts(features, momenta, parameters, *sizes)
        if found != expected:  # kernels would read whatever lies behind
            raise ValueError(f"the parameters of a level have {found} numbers instead of {expected}")
        self.values = (
            *self.inputs.values,
            pointers(self.parameters),
            ctypes.c_int64(len(parameters[0])),
            (ctypes.c_double * len(scales))(*scales),
            ctypes.c_double(slope),
            int(residual),
            int(squash),
        )


def _counts(
    features: Tensor, momenta: Tensor, parameters: Sequence[Tensor], out: int, width: int, depth: int
) -> list[int]:
    """How many numbers each parameter has."""
    bells, channels = len(parameters[0]), features.shape[-1] // 5
    mixed = 2 * channels if momenta.is_complex() else 4 * channels
    ends = [2 * out, *[width] * depth, 2 * out] if depth else []
    layers = [count for before, after in pairwise(ends) for count in (before * after, after)]
    mixing = [2 * out * blocks * channels for blocks in (SCALAR_BLOCKS, VECTOR_BLOCKS)]
    return [bells, bells, bells, mixed * bells, mixed, *mixing, *layers]


@torch.library.custom_op("lgae_pyg::lmp_level", mutates_args=(), device_types="cpu")
def _level(
    features: Tensor,
    momenta: Tensor,
    parameters: list[Tensor],
    scales: list[float],
    sizes: list[int],
    slope: float,
    residual: bool,
    squash: bool,
    single: bool,
    ptr: Tensor,
) -> tuple[Tensor, Tensor]:
    call = _Call(features, momenta, parameters, scales, sizes, slope, residual, squash, single, ptr)
    out, sums = (features.new_empty(len(features), width) for width in (5 * sizes[0], 2 * features.shape[-1]))
    call.library.level_forward(*call.values, pointer(sums), pointer(out), *threads())
    return out, sums


@_level.register_fake
def _(features, momenta, parameters, scales, sizes, slope, residual, squash, single, ptr):
    return tuple(features.new_empty(len(features), width) for width in (5 * sizes[0], 2 * features.shape[-1]))


@torch.library.custom_op("lgae_pyg::lmp_level_backward", mutates_args=(), device_types="cpu")
def _level_backward(
    upstream: Tensor,
    sums: Tensor,
    features: Tensor,
    momenta: Tensor,
    parameters: list[Tensor],
    scales: list[float],
    sizes: list[int],
    slope: float,
    residual: bool,
    squash: bool,
    single: bool,
    ptr: Tensor,
    momenta_too: bool,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    call = _Call(features, momenta, parameters, scales, sizes, slope, residual, squash, single, ptr)
    sums, upstream = plain(sums), plain(upstream)
    grad_features = torch.empty_like(call.inputs.features)
    grad_momenta = room(call.inputs.momenta, momenta_too)
    grads = [torch.empty_like(part) for part in call.parameters]
    call.library.level_backward(
        *call.values,
        *map(pointer, (sums, upstream, grad_features, grad_momenta if momenta_too else None)),
        pointers(grads),
        *threads(),
    )
    return grad_features, grad_momenta, grads


@_level_backward.register_fake
def _(upstream, sums, features, momenta, parameters, scales, sizes, slope, residual, squash, single, ptr, too):
    grads = [part.new_empty(part.shape) for part in parameters]
    return features.new_empty(features.shape), room(momenta, too), grads


def _save(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    features, momenta, parameters, *ctx.options, ptr = inputs
    ctx.save_for_backward(output[1], features, momenta, ptr, *parameters)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _gradients(ctx, upstream: Tensor | None, _: Tensor | None) -> tuple:
    sums, features, momenta, ptr, *parameters = ctx.saved_tensors
    rest = [None] * (len(ctx.options) + 1)
    if upstream is None:
        return None, None, [None] * len(parameters), *rest
    too = ctx.needs_input_grad[1]
    inputs = (upstream, sums, features, momenta, parameters, *ctx.options, ptr, too)
    grad_features, grad_momenta, grads = _level_backward(*inputs)
    return grad_features, grad_momenta if too else None, grads, *rest


_level.register_autograd(_gradients, setup_context=_save)
