r"""Compiled CPU back-end: one walk over the pairs of each jet, nothing of their size in memory.

The C++ kernels in the folder ``cpp`` keep the radial factors of a stretch of pairs in the processor's cache and
compute them again in the backward pass, so memory grows like the number of particles. Jets of any sizes go
through without padding, groups of jets in parallel on as many threads as PyTorch uses; gradients of parameters
are summed group by group, in an order that does not depend on the threads.

This is the operator of the neighbour sum alone; :mod:`lgae_pyg.ops.backends.compiled_level` has whole levels.
"""

import ctypes

import torch
from torch import Tensor

from lgae_pyg.ops.backends.compiler import NAMES, check_offsets, load_library, plain, pointer, threads
from lgae_pyg.ops.bells import Bells


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


def sum_library(dtype: torch.dtype, radial: torch.dtype, complex_momenta: bool, channels: int) -> ctypes.CDLL:
    """The kernels of the neighbour sum, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("neighbour_sum.cpp",), sum_defines(dtype, radial, complex_momenta, channels))


def sum_defines(
    dtype: torch.dtype, radial: torch.dtype, complex_momenta: bool, channels: int
) -> tuple[tuple[str, str], ...]:
    """The macros of the neighbour sum."""
    names = (("FEATURE", NAMES[dtype]), ("RADIAL", NAMES[radial]))
    return *names, ("COMPLEX_MOMENTA", str(int(complex_momenta))), ("CHANNELS", str(channels))


def _flat_bells(bells: Bells) -> Tensor:
    """Squared widths, weights (bell by bell) and biases, one after another."""
    return torch.cat([bells.squared_width, bells.weight.flatten(0, -2).T.flatten(), bells.bias.flatten()])


class Inputs:
    """Nodes and jets, which all kernels begin with; holds the tensors while their memory is used.

    Raises:
        ValueError: if they do not fit each other; kernels would read whatever lies behind.
    """

    def __init__(self, features: Tensor, momenta: Tensor, ptr: Tensor):
        if momenta.shape != (len(features), 4) or momenta.real.dtype != features.real.dtype:
            raise ValueError(
                f"momenta of {len(features)} nodes must have the shape ({len(features)}, 4) and the precision "
                f"{features.real.dtype}, not {tuple(momenta.shape)} and {momenta.real.dtype}"
            )
        check_offsets(ptr, len(features))
        self.features, self.momenta, self.ptr = map(plain, (features, momenta, ptr))
        jets = ctypes.c_int64(len(ptr) - 1)
        self.values = (pointer(self.features), pointer(self.momenta), pointer(self.ptr), jets)


@torch.library.custom_op("lgae_pyg::neighbour_sum", mutates_args=(), device_types="cpu")
def _sum(features: Tensor, momenta: Tensor, radial: Tensor, bells: int, ptr: Tensor) -> Tensor:
    library = sum_library(features.real.dtype, radial.dtype, momenta.is_complex(), features.shape[-1] // 5)
    inputs, radial = Inputs(features, momenta, ptr), plain(radial)
    sums = features.new_empty(len(features), 2 * features.shape[-1])
    library.neighbour_sum_forward(
        *inputs.values, pointer(radial), ctypes.c_int64(bells), pointer(sums), *threads()
    )
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
    inputs, radial, upstream = Inputs(features, momenta, ptr), plain(radial), plain(upstream)
    grad_features, grad_momenta = torch.zeros_like(inputs.features), room(inputs.momenta, momenta_too)
    grad_radial = torch.empty_like(radial)
    outputs = map(pointer, (upstream, grad_features, grad_momenta if momenta_too else None, grad_radial))
    library.neighbour_sum_backward(*inputs.values, pointer(radial), ctypes.c_int64(bells), *outputs, *threads())
    return grad_features, grad_momenta, grad_radial


@_sum_backward.register_fake
def _(upstream, features, momenta, radial, bells, ptr, momenta_too):
    return features.new_empty(features.shape), room(momenta, momenta_too), radial.new_empty(radial.shape)


def room(tensor: Tensor, wanted: bool) -> Tensor:
    """Memory for a gradient, if it is wanted."""
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
