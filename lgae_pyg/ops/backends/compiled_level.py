r"""Compiled CPU back-end of a whole level of message passing: neighbour sum, products, mixing and perceptron.

A few jets at a time go through everything while they are in the cache: on few channels PyTorch spends more time on
passes over memory between small steps than on arithmetic. The operator takes the parameters as modules hold them;
folding, scaling and changes of precision happen inside, forward and backward, which as tensor operations on small
tensors would cost as much time as a fifth of the kernels. The definitions are those of
:func:`~lgae_pyg.ops.messages.neighbour_sum` and of :mod:`lgae_pyg.ops.levels`.
"""

import ctypes
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.compiled import Inputs, sum_defines
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library
from lgae_pyg.ops.levels import SCALAR_BLOCKS, VECTOR_BLOCKS, Level, Perceptron

#: Multiplicities up to which the columns of a node lie on the stack.
MOST_CHANNELS = 512


def compiled_level(features: Tensor, momenta: Tensor, level: Level, ptr: Tensor, single: bool = False) -> Tensor:
    """A level of message passing without self-loops; arguments as of :func:`~lgae_pyg.ops.levels.whole_level`.

    Raises:
        CompilationError: if the kernels cannot be built.
    """
    parameters = [*level.radial, level.scalar_weight, level.vector_weight]
    slope, residual, squash = 0.0, False, False
    perceptron: Perceptron | None = level.perceptron
    if perceptron is not None:
        weights, biases, slope, residual, squash = perceptron
        parameters += [part for pair in zip(weights, biases) for part in pair]
    dtype = features.real.dtype
    parameters = [part if part.dtype == dtype else part.to(dtype) for part in parameters]
    scales = [*level.scalar_scales, *level.vector_scales]
    options = (slope, residual, squash, single)
    return _level(features, momenta, parameters, scales, [*level.sizes], *options, ptr)[0]


def level_library(
    dtype: torch.dtype, low: torch.dtype, complex_momenta: bool, channels: int, out: int, width: int, depth: int
) -> ctypes.CDLL:
    """The kernels of a level, built if need be.

    Args:
        dtype: precision of the features.
        low: that of radial functions and perceptron.
        complex_momenta: whether momenta are complex.
        channels: multiplicity of the features.
        out: that of the output.
        width: width of the hidden layers of the perceptron.
        depth: their number, 0 for no perceptron.

    Raises:
        CompilationError: if that cannot be done.
    """
    if not all(0 < number <= MOST_CHANNELS for number in (channels, out)) or (depth and not width > 0):
        raise CompilationError(f"the kernels are for 1 to {MOST_CHANNELS} channels, not {channels} to {out}")
    sums = sum_defines(dtype, low, complex_momenta, channels)
    shape = zip(("CHANNELS_OUT", "WIDTH", "DEPTH"), map(str, (out, width, depth)))
    return load_library(("level.cpp",), (*sums, ("COMPUTE", NAMES[low]), *shape))


#: Arguments of the operators, and of a call.
INPUTS = "Tensor features, Tensor momenta, Tensor[] parameters, float[] scales, SymInt[] sizes, float slope, "
INPUTS += "bool residual, bool squash, bool single, Tensor ptr"


class _Call:
    """A call of the kernels: the library, and the arguments that forward and backward begin with."""

    def __init__(self, features, momenta, parameters, scales, sizes, slope, residual, squash, single, ptr):
        self.inputs = inputs = Inputs(features, momenta, ptr)
        if len(sizes) != 3 or min(sizes) < 0 or len(scales) != SCALAR_BLOCKS + VECTOR_BLOCKS or not slope >= 0:
            raise ValueError(f"a level has 3 sizes, 9 scales, a slope from 0 up, not {sizes}, {scales}, {slope}")
        bells = parameters[0].numel() if len(parameters) else 0
        shapes = _shapes(bells, inputs.channels, momenta.is_complex(), *sizes)
        if len(parameters) != len(shapes):
            raise ValueError(f"the parameters of a level are {len(shapes)} tensors, not {len(parameters)}")
        what = "each of the parameters of a level"
        self.parameters = [door.enter(what, *pair, inputs.precision) for pair in zip(parameters, shapes)]
        low = torch.float32 if single else inputs.precision
        self.library = level_library(inputs.precision, low, momenta.is_complex(), inputs.channels, *sizes)
        self.values = (*inputs.values, self.parameters, bells, [*scales], slope, residual, squash)


def _shapes(
    bells: int, channels: int, complex_momenta: bool, out: int, width: int, depth: int
) -> list[tuple[int, ...]]:
    """The shapes of the parameters."""
    mixed = (2, channels) if complex_momenta else (2, channels, 2)
    ends = [2 * out, *[width] * depth, 2 * out] if depth else []
    layers = [shape for before, after in pairwise(ends) for shape in ((after, before), (after,))]
    mixing = [(out, blocks * channels, 2) for blocks in (SCALAR_BLOCKS, VECTOR_BLOCKS)]
    return [*[(bells,)] * 3, (*mixed, bells), mixed, *mixing, *layers]


@door.operator("lmp_level", f"({INPUTS}) -> (Tensor, Tensor)")
def _level(features, momenta, parameters, scales, sizes, *more):
    call = _Call(features, momenta, parameters, scales, sizes, *more)
    out, sums = (features.new_empty(len(features), width) for width in (5 * sizes[0], 2 * features.shape[-1]))
    door.call(call.library.level_forward, *call.values, sums, out)
    return out, sums


@door.register_shapes(_level)
def _(features, momenta, parameters, scales, sizes, slope, residual, squash, single, ptr):
    return tuple(features.new_empty(len(features), width) for width in (5 * sizes[0], 2 * features.shape[-1]))


@door.operator(
    "lmp_level_backward",
    f"(Tensor upstream, Tensor sums, {INPUTS}, bool momenta_too) -> (Tensor, Tensor, Tensor[])",
)
def _level_backward(upstream, sums, features, momenta, parameters, scales, sizes, *more):
    *rest, momenta_too = more
    call = _Call(features, momenta, parameters, scales, sizes, *rest)
    nodes, dtype = len(features), features.dtype
    sums = door.enter("the sums", sums, (nodes, 2 * features.shape[1]), dtype)
    upstream = door.enter_gradient("the level", upstream, (nodes, 5 * sizes[0]), dtype)
    grad_features = torch.empty_like(call.inputs.features)
    grad_momenta = door.room(call.inputs.momenta, momenta_too)
    grads = [torch.empty_like(part) for part in call.parameters]
    outputs = (grad_features, grad_momenta if momenta_too else None, grads)
    door.call(call.library.level_backward, *call.values, sums, upstream, *outputs)
    return grad_features, grad_momenta, grads


@door.register_shapes(_level_backward)
def _(upstream, sums, features, momenta, parameters, scales, sizes, slope, residual, squash, single, ptr, too):
    grads = [part.new_empty(part.shape) for part in parameters]
    return features.new_empty(features.shape), door.room(momenta, too), grads


door.refuse_second_derivatives(_level_backward)


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    features, momenta, parameters, *ctx.options, ptr = inputs
    ctx.save_for_backward(output[1], features, momenta, ptr, *parameters)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, upstream: Tensor | None, _: Tensor | None) -> tuple:
    sums, features, momenta, ptr, *parameters = ctx.saved_tensors
    rest = [None] * (len(ctx.options) + 1)
    if upstream is None:
        return None, None, [None] * len(parameters), *rest
    too = ctx.needs_input_grad[1]
    inputs = (upstream, sums, features, momenta, parameters, *ctx.options, ptr, too)
    grad_features, grad_momenta, grads = _level_backward(*inputs)
    return grad_features, grad_momenta if too else None, grads, *rest


_level.register_autograd(_gradients, setup_context=_save)
