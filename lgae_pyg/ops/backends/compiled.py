r"""Compiled CPU back-end: one walk over the pairs of each jet, nothing of their size in memory.

The C++ kernels in the folder ``cpp`` keep the radial factors of a stretch of pairs in the processor's cache and
compute them again in the backward pass, so memory grows like the number of particles. Jets of any sizes go
through without padding, groups of jets in parallel on as many threads as PyTorch uses; gradients of parameters
are summed group by group, in an order that does not depend on the threads.

This is the operator of the neighbour sum alone; :mod:`lgae_pyg.ops.backends.compiled_level` has whole levels.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.compiler import NAMES, load_library
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
    """Nodes and jets, which these kernels begin with; holds the tensors while their memory is used.

    Raises:
        ValueError: if they do not fit each other.
    """

    def __init__(self, features: Tensor, momenta: Tensor, ptr: Tensor):
        self.precision = door.precision_of("features", features)
        if features.shape[1] % 5 or not features.shape[1]:
            raise ValueError(f"features must be scalars and vectors, 5 columns a channel, not {features.shape[1]}")
        kind = features.dtype if momenta.is_complex() else self.precision
        self.features = door.enter("features", features, features.shape, features.dtype)
        self.momenta = door.enter("momenta", momenta, (len(features), 4), kind)
        self.ptr = door.enter_offsets(ptr, features)
        self.channels = features.shape[1] // 5
        #: Radial factors of both degrees; complex momenta share them between the parts.
        self.factors = 2 * self.channels * (1 if momenta.is_complex() else 2)
        self.values = (self.features, self.momenta, self.ptr, len(self.ptr) - 1)


#: Arguments of the operators, and of a call.
INPUTS = "Tensor features, Tensor momenta, Tensor radial, SymInt bells, Tensor ptr"


class _Call:
    """A call of the neighbour sum: the library, and the arguments that forward and backward begin with."""

    def __init__(self, features, momenta, radial, bells, ptr):
        self.inputs = Inputs(features, momenta, ptr)
        if bells < 0 or radial.dtype not in NAMES:
            raise ValueError(f"the radial functions must be float32 or float64, not {radial.dtype}, {bells} bells")
        count = bells + (bells + 1) * self.inputs.factors
        self.radial = door.enter("the parameters of the radial functions", radial, (count,), radial.dtype)
        needs = (self.inputs.precision, radial.dtype, momenta.is_complex(), self.inputs.channels)
        self.shape, self.library = (len(features), 2 * features.shape[1]), sum_library(*needs)
        self.values = (*self.inputs.values, self.radial, bells)


@door.operator("neighbour_sum", f"({INPUTS}) -> Tensor")
def _sum(features, *more):
    call = _Call(features, *more)
    sums = features.new_empty(call.shape)
    door.call(call.library.neighbour_sum_forward, *call.values, sums)
    return sums


@door.register_shapes(_sum)
def _(features, momenta, radial, bells, ptr):
    return features.new_empty(len(features), 2 * features.shape[-1])


@door.operator(
    "neighbour_sum_backward", f"(Tensor upstream, {INPUTS}, bool momenta_too) -> (Tensor, Tensor, Tensor)"
)
def _sum_backward(upstream, features, *more):
    *rest, momenta_too = more
    call = _Call(features, *rest)
    upstream = door.enter_gradient("the sums", upstream, call.shape, features.dtype)
    grad_features = torch.zeros_like(call.inputs.features)
    grad_momenta = door.room(call.inputs.momenta, momenta_too)
    grad_radial = torch.empty_like(call.radial)
    outputs = (upstream, grad_features, grad_momenta if momenta_too else None, grad_radial)
    door.call(call.library.neighbour_sum_backward, *call.values, *outputs)
    return grad_features, grad_momenta, grad_radial


@door.register_shapes(_sum_backward)
def _(upstream, features, momenta, radial, bells, ptr, momenta_too):
    return features.new_empty(features.shape), door.room(momenta, momenta_too), radial.new_empty(radial.shape)


door.refuse_second_derivatives(_sum_backward)


def _save_sum(ctx: Any, inputs: tuple, output: Tensor) -> None:
    features, momenta, radial, ctx.bells, ptr = inputs
    ctx.save_for_backward(features, momenta, radial, ptr)


def _sum_gradients(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    features, momenta, radial, ptr = ctx.saved_tensors
    too = ctx.needs_input_grad[1]
    grads = _sum_backward(upstream, features, momenta, radial, ctx.bells, ptr, too)
    return grads[0], grads[1] if too else None, grads[2], None, None


_sum.register_autograd(_sum_gradients, setup_context=_save_sum)
