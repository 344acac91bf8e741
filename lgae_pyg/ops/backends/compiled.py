r"""Compiled CPU back-end: one walk over the pairs of each jet, nothing of their size in memory.

The C++ kernels in the folder ``cpp`` keep the radial factors of a stretch of pairs in the processor's cache and
compute them again in the backward pass, so memory grows like the number of particles. Jets of any sizes go
through without padding, groups of jets in parallel on as many threads as PyTorch uses; gradients of parameters
are summed group by group, in an order that does not depend on the threads.

There are two operators: the neighbour sum, and a whole level of message passing (neighbour sum, products, mixing
and perceptron, defined in :mod:`lgae_pyg.ops.levels`), in which a few jets at a time go through everything while
they are in the cache. On few channels PyTorch spends more time on passes over memory between small steps than on
arithmetic.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.backends.compiler import NAMES, load_library, plain, pointer, threads
from lgae_pyg.ops.bells import Bells


class Perceptron(NamedTuple):
    """The perceptron of a level; see :func:`lgae_pyg.ops.levels.scalar_perceptron`."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    slope: float
    residual: bool
    squash: bool


def compiled_neighbour_sum(features: Tensor, momenta: Tensor, bells: Bells, ptr: Tensor) -> Tensor:
    r"""The neighbour sum without self-loops, of packed features.

    Args:
        features: scalars and vectors of each node, packed.
        momenta: real or complex.
        bells: the radial functions, evaluated in the precision of their parameters.
        ptr: offsets of the jets.

    Raises:
        CompilationError: if the kernels cannot be built.

    Shapes:
        - features: :math:`(n, 5\tau)`, complex, momenta: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, 10\tau)`: scalars from scalars and from vectors, vectors from vectors and from
          scalars
    """
    return _sum(features, momenta, _flat_bells(bells), len(bells.squared_width), ptr)


def compiled_level(
    features: Tensor,
    momenta: Tensor,
    bells: Bells,
    scalar_weight: Tensor,
    vector_weight: Tensor,
    perceptron: Perceptron | None,
    ptr: Tensor,
) -> Tensor:
    r"""A level of message passing without self-loops: :func:`compiled_neighbour_sum`,
    :func:`~lgae_pyg.ops.levels.mix_products` and :func:`~lgae_pyg.ops.levels.scalar_perceptron`.

    Raises:
        CompilationError: if the kernels cannot be built.

    Shapes:
        - features: :math:`(n, 5\tau)`, complex, momenta: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - scalar_weight: :math:`(\tau', 5\tau, 2)`, vector_weight: :math:`(\tau', 4\tau, 2)`
        - **output:** :math:`(n, 5\tau')`, complex
    """
    mixing = torch.cat([scalar_weight.flatten(), vector_weight.flatten()])
    if perceptron is None:
        layers, sizes, options = mixing.new_empty(0, dtype=bells.weight.dtype), [0, 0], (0.0, False, False)
    else:
        pairs = zip(perceptron.weights, perceptron.biases)
        layers = torch.cat([part.flatten() for pair in pairs for part in pair])
        sizes, options = [len(perceptron.biases[0]), len(perceptron.biases) - 1], perceptron[2:]
    sizes = [len(bells.squared_width), len(scalar_weight), *sizes]
    return _level(features, momenta, _flat_bells(bells), mixing, layers, sizes, *options, ptr)[0]


def sum_library(dtype: torch.dtype, radial: torch.dtype, complex_momenta: bool, channels: int) -> ctypes.CDLL:
    """The kernels of the neighbour sum, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("neighbour_sum.cpp",), _sum_defines(dtype, radial, complex_momenta, channels))


def _sum_defines(
    dtype: torch.dtype, radial: torch.dtype, complex_momenta: bool, channels: int
) -> tuple[tuple[str, str], ...]:
    names = (("FEATURE", NAMES[dtype]), ("RADIAL", NAMES[radial]))
    return *names, ("COMPLEX_MOMENTA", str(int(complex_momenta))), ("CHANNELS", str(channels))


def _level_library(
    features: Tensor, momenta: Tensor, radial: Tensor, layers: Tensor, sizes: Sequence[int]
) -> ctypes.CDLL:
    _, channels_out, width, depth = sizes
    kind = features.real.dtype, radial.dtype, momenta.is_complex(), features.shape[-1] // 5
    shape = (("CHANNELS_OUT", str(channels_out)), ("WIDTH", str(width)), ("DEPTH", str(depth)))
    return load_library(("level.cpp",), (*_sum_defines(*kind), ("COMPUTE", NAMES[layers.dtype]), *shape))


def _flat_bells(bells: Bells) -> Tensor:
    """Squared widths, weights (bell by bell) and biases, one after another."""
    return torch.cat([bells.squared_width, bells.weight.flatten(0, -2).T.flatten(), bells.bias.flatten()])


class _Arguments:
    """What all kernels begin with; holds the tensors while their memory is used."""

    def __init__(self, features: Tensor, momenta: Tensor, ptr: Tensor, radial: Tensor, bells: int):
        self.features, self.momenta, self.ptr, self.radial = map(plain, (features, momenta, ptr, radial))
        jets = ctypes.c_int64(len(ptr) - 1)
        of_jets = (pointer(self.features), pointer(self.momenta), pointer(self.ptr), jets)
        self.values = (*of_jets, pointer(self.radial), ctypes.c_int64(bells))


@torch.library.custom_op("lgae_pyg::neighbour_sum", mutates_args=(), device_types="cpu")
def _sum(features: Tensor, momenta: Tensor, radial: Tensor, bells: int, ptr: Tensor) -> Tensor:
    library = sum_library(features.real.dtype, radial.dtype, momenta.is_complex(), features.shape[-1] // 5)
    arguments = _Arguments(features, momenta, ptr, radial, bells)
    sums = features.new_empty(len(features), 2 * features.shape[-1])
    library.neighbour_sum_forward(*arguments.values, pointer(sums), *threads())
    return sums


@_sum.register_fake
def _(features, momenta, radial, bells, ptr):
    return features.new_empty(len(features), 2 * features.shape[-1])


@torch.library.custom_op("lgae_pyg::neighbour_sum_backward", mutates_args=(), device_types="cpu")
def _sum_backward(
    upstream: Tensor,
    features: Tensor,
    momenta: Tensor,
    radial: Tensor,
    bells: int,
    ptr: Tensor,
    momenta_too: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    library = sum_library(features.real.dtype, radial.dtype, momenta.is_complex(), features.shape[-1] // 5)
    arguments = _Arguments(features, momenta, ptr, radial, bells)
    upstream = plain(upstream)
    grad_features, grad_momenta = torch.zeros_like(arguments.features), _room(arguments.momenta, momenta_too)
    grad_radial = torch.empty_like(arguments.radial)
    outputs = map(pointer, (grad_features, grad_momenta if momenta_too else None, grad_radial))
    library.neighbour_sum_backward(*arguments.values, pointer(upstream), *outputs, *threads())
    return grad_features, grad_momenta, grad_radial


@_sum_backward.register_fake
def _(upstream, features, momenta, radial, bells, ptr, momenta_too):
    return features.new_empty(features.shape), _room(momenta, momenta_too), radial.new_empty(radial.shape)


def _room(tensor: Tensor, wanted: bool) -> Tensor:
    return tensor.new_empty(tensor.shape) if wanted else tensor.new_empty(0)


def _save_sum(ctx, inputs: tuple, output: Tensor) -> None:
    features, momenta, radial, ctx.bells, ptr = inputs
    ctx.save_for_backward(features, momenta, radial, ptr)


def _sum_gradients(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:
    features, momenta, radial, ptr = ctx.saved_tensors
    too = ctx.needs_input_grad[1]
    grads = _sum_backward(upstream, features, momenta, radial, ctx.bells, ptr, too)
    return grads[0], grads[1] if too else None, grads[2], None, None


_sum.register_autograd(_sum_gradients, setup_context=_save_sum)


@torch.library.custom_op("lgae_pyg::lmp_level", mutates_args=(), device_types="cpu")
def _level(
    features: Tensor,
    momenta: Tensor,
    radial: Tensor,
    mixing: Tensor,
    layers: Tensor,
    sizes: list[int],
    slope: float,
    residual: bool,
    squash: bool,
    ptr: Tensor,
) -> tuple[Tensor, Tensor]:
    library = _level_library(features, momenta, radial, layers, sizes)
    arguments = _Arguments(features, momenta, ptr, radial, sizes[0])
    mixing, layers = plain(mixing), plain(layers)
    options = (ctypes.c_double(slope), int(residual), int(squash))
    out, sums = (features.new_empty(len(features), width) for width in (5 * sizes[1], 2 * features.shape[-1]))
    tensors = map(pointer, (mixing, layers))
    library.level_forward(*arguments.values, *tensors, *options, pointer(sums), pointer(out), *threads())
    return out, sums


@_level.register_fake
def _(features, momenta, radial, mixing, layers, sizes, slope, residual, squash, ptr):
    return tuple(features.new_empty(len(features), width) for width in (5 * sizes[1], 2 * features.shape[-1]))


@torch.library.custom_op("lgae_pyg::lmp_level_backward", mutates_args=(), device_types="cpu")
def _level_backward(
    upstream: Tensor,
    sums: Tensor,
    features: Tensor,
    momenta: Tensor,
    radial: Tensor,
    mixing: Tensor,
    layers: Tensor,
    sizes: list[int],
    slope: float,
    residual: bool,
    squash: bool,
    ptr: Tensor,
    momenta_too: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    library = _level_library(features, momenta, radial, layers, sizes)
    arguments = _Arguments(features, momenta, ptr, radial, sizes[0])
    mixing, layers, sums, upstream = map(plain, (mixing, layers, sums, upstream))
    options = (ctypes.c_double(slope), int(residual), int(squash))
    grad_features, grad_momenta = torch.empty_like(arguments.features), _room(arguments.momenta, momenta_too)
    parameters = [torch.empty_like(part) for part in (arguments.radial, mixing, layers)]
    library.level_backward(
        *arguments.values,
        *map(pointer, (mixing, layers)),
        *options,
        *map(pointer, (sums, upstream, grad_features, grad_momenta if momenta_too else None)),
        *map(pointer, parameters),
        *threads(),
    )
    return grad_features, grad_momenta, *parameters


@_level_backward.register_fake
def _(upstream, sums, features, momenta, radial, mixing, layers, sizes, slope, residual, squash, ptr, momenta_too):
    parameters = (part.new_empty(part.shape) for part in (radial, mixing, layers))
    return features.new_empty(features.shape), _room(momenta, momenta_too), *parameters


def _save_level(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    features, momenta, radial, mixing, layers, ctx.sizes, ctx.slope, ctx.residual, ctx.squash, ptr = inputs
    ctx.save_for_backward(output[1], features, momenta, radial, mixing, layers, ptr)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _level_gradients(ctx, upstream: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if upstream is None:
        return (None,) * 10
    *tensors, ptr = ctx.saved_tensors
    too = ctx.needs_input_grad[1]
    options = (ctx.sizes, ctx.slope, ctx.residual, ctx.squash, ptr, too)
    grad_features, grad_momenta, *parameters = _level_backward(upstream, *tensors, *options)
    return grad_features, grad_momenta if too else None, *parameters, *[None] * 5


_level.register_autograd(_level_gradients, setup_context=_save_level)
