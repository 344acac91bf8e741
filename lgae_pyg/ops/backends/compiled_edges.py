"""The sum over the neighbours of an edge network as one compiled kernel for the CPU.

The kernel (``cpp/edge_sum.cpp``) sends the pairs of a particle through all layers while they are in the
processor's cache, and computes them again in the backward pass, so memory grows like the number of particles. Jets
of any sizes go through without padding. The plain definition is in :mod:`lgae_pyg.ops.edge_networks`.
"""

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library
from lgae_pyg.ops.edge_networks import EdgeNetwork
from lgae_pyg.ops.pairs import split_linear

#: Widths up to which a layer's rows lie on the stack.
WIDEST = 4096


def compiled_edge_sum(x: Tensor, network: EdgeNetwork, ptr: Tensor) -> Tensor:
    r"""The sums :math:`m_i` of :func:`~lgae_pyg.ops.edge_networks.edge_network_sum`; arguments as there.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other, or the slope is negative.
    """
    first = split_linear(x, network.weights[0], network.biases[0])
    layers = [tuple(weight.shape) for weight in network.weights[1:]]
    if layers != [(len(after), len(before)) for before, after in pairwise(network.biases)]:
        raise ValueError(f"weights {layers} do not fit layers of {[len(bias) for bias in network.biases]} numbers")
    rest = [part.flatten() for pair in zip(network.weights[1:], network.biases[1:]) for part in pair]
    parameters = torch.cat([first.pair.flatten(), *rest])
    widths = [len(bias) for bias in network.biases]
    return _sum(x, first.target, first.source, parameters, widths, network.slope, network.norm, ptr)


def edge_library(dtype: torch.dtype, features: int, widths: Sequence[int]) -> ctypes.CDLL:
    """The kernel for some features per node and widths of the layers, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    if not widths or not all(0 < width <= WIDEST for width in (features, *widths)):
        raise CompilationError(f"the kernel is for layers of 1 to {WIDEST} numbers, not {features} to {[*widths]}")
    sizes = ",".join(map(str, widths))
    return load_library(
        ("edge_sum.cpp",), (("COMPUTE", NAMES[dtype]), ("FEATURES", str(features)), ("WIDTHS", sizes))
    )


#: Arguments of the operators, and of a call.
INPUTS = "Tensor x, Tensor target, Tensor source, Tensor parameters, SymInt[] widths, float slope, bool norm, "
INPUTS += "Tensor ptr"


class _Call:
    """A call of the kernel: the library, and the arguments that forward and backward begin with."""

    def __init__(self, x, target, source, parameters, widths, slope, norm, ptr):
        dtype, nodes = door.precision_of("node features", x, is_complex=False), len(x)
        if not widths or not slope >= 0:  # the backward pass knows the input of a leaky ReLU by its output's sign
            raise ValueError(f"the kernel needs a layer at least and a slope from 0 up, not {[*widths]}, {slope}")
        count = widths[0] + sum(after * (before + 1) for before, after in pairwise(widths))
        self.tensors = (
            door.enter("node features", x, x.shape, dtype),
            door.enter("the terms of the targets", target, (nodes, widths[0]), dtype),
            door.enter("the terms of the sources", source, (nodes, widths[0]), dtype),
            door.enter("the parameters of the edge network", parameters, (count,), dtype),
        )
        ptr = door.enter_offsets(ptr, x)
        self.shape, self.library = (nodes, widths[-1]), edge_library(dtype, x.shape[1], tuple(widths))
        self.values = (*self.tensors, slope, norm, ptr, len(ptr) - 1)


@door.operator("edge_sum", f"({INPUTS}) -> Tensor")
def _sum(x, *more):
    call = _Call(x, *more)
    out = x.new_empty(call.shape)
    door.call(call.library.edge_sum_forward, *call.values, out)
    return out


@door.register_shapes(_sum)
def _(x, target, source, parameters, widths, slope, norm, ptr):
    return x.new_empty(len(x), widths[-1])


@door.operator("edge_sum_backward", f"(Tensor upstream, {INPUTS}) -> (Tensor, Tensor, Tensor, Tensor)")
def _sum_backward(upstream, x, *more):
    call = _Call(x, *more)
    upstream = door.enter_gradient("the messages", upstream, call.shape, x.dtype)
    grads = tuple(torch.empty_like(tensor) for tensor in call.tensors)
    door.call(call.library.edge_sum_backward, *call.values, upstream, *grads)
    return grads


@door.register_shapes(_sum_backward)
def _(upstream, x, target, source, parameters, widths, slope, norm, ptr):
    return tuple(tensor.new_empty(tensor.shape) for tensor in (x, target, source, parameters))


door.refuse_second_derivatives(_sum_backward)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.widths, ctx.slope, ctx.norm, ptr = inputs
    ctx.save_for_backward(*tensors, ptr)


def _gradients(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, ptr = ctx.saved_tensors
    return *_sum_backward(upstream, *tensors, ctx.widths, ctx.slope, ctx.norm, ptr), *[None] * 4


_sum.register_autograd(_gradients, setup_context=_save)
