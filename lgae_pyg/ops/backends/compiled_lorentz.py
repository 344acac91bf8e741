"""The sums over the neighbours of a block of LorentzNet as compiled kernels for the CPU.

``cpp/lorentz_sum.cpp`` sends the pairs of a jet through all layers in blocks that stay in the processor's cache,
and computes them again in the backward pass; ``cpp/split_moments.cpp`` finds the statistics of the batch
normalisation from sums over particles. Neither stores anything per pair. The plain definition is in
:class:`~lgae_pyg.nn.LorentzNetConv`.
"""

import ctypes
import math

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library
from lgae_pyg.ops.lorentz_edges import LorentzEdges
from lgae_pyg.ops.pairs import SplitLinear

#: Widths up to which the kernel is built: weights and their gradients are to stay in the second-level cache.
WIDEST = 512


@torch.compiler.disable
def compiled_lorentz_sum(
    x: Tensor, target: Tensor, source: Tensor, edges: LorentzEdges, ptr: Tensor
) -> tuple[Tensor, Tensor | None]:
    r"""The sums :math:`\sum_j m_{ij}`, and the means over :math:`j` of :math:`(x_i - x_j) \phi_x(m_{ij})`
    where there is a :math:`\phi_x`, of :class:`~lgae_pyg.nn.LorentzNetConv`, on the CPU.

    Args:
        x: coordinates, float64.
        target: the terms of the targets in the first layer, batch normalisation included.
        source: those of the sources.
        edges: the rest of the network.
        ptr: offsets of the jets.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.

    Shapes:
        - x: :math:`(n, 4)`, target, source: :math:`(n, H)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, H)` and :math:`(n, 4)`, float64
    """
    parts = [edges.pair, *edges.message, *edges.gate, *(edges.mover or ())]
    parameters = torch.cat([part.flatten() for part in parts])
    invariants, moves = edges.pair.shape[1] > 0, edges.mover is not None
    clamp = math.inf if edges.clamp is None else edges.clamp
    sums, moved = _Sum.apply(x, target, source, parameters, invariants, moves, clamp, ptr)
    return sums, moved if moves else None


@torch.compiler.disable
def compiled_split_moments(x: Tensor, first: SplitLinear, ptr: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and variance over all pairs of the first layer (:mod:`lgae_pyg.ops.lorentz_edges`), on the CPU.

    Args:
        x: coordinates, float64.
        first: the layer; its weights of pairs are those of the two invariants, or there are none.
        ptr: offsets of the jets.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.

    Shapes:
        - x: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(H,)` twice
    """
    return _Moments.apply(x, first.target, first.source, first.pair, ptr)


def block_libraries(dtype: torch.dtype, hidden: int, invariants: bool) -> ctypes.CDLL:
    """The kernel of the sums for a width, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    if not 0 < hidden <= WIDEST:
        raise CompilationError(f"the kernel is for layers of 1 to {WIDEST} numbers, not {hidden}")
    _moments_library(dtype)
    sizes = ("COMPUTE", NAMES[dtype]), ("HIDDEN", str(hidden)), ("INVARIANTS", str(int(invariants)))
    return load_library(("lorentz_sum.cpp",), sizes)


def _moments_library(dtype: torch.dtype) -> ctypes.CDLL:
    return load_library(("split_moments.cpp",), (("COMPUTE", NAMES[dtype]),))


class _Call:
    """A call of the kernel: the library, and the arguments that forward and backward begin with."""

    def __init__(
        self,
        x: Tensor,
        target: Tensor,
        source: Tensor,
        parameters: Tensor,
        invariants: bool,
        moves: bool,
        clamp: float,
        ptr: Tensor,
    ):
        dtype = door.precision_of("the terms of the targets", target, is_complex=False)
        nodes, hidden = target.shape
        if not clamp >= 0:
            raise ValueError(f"clamp must be a limit from 0 up, not {clamp}")
        count = hidden * (hidden + 1) + hidden + 1 + 2 * invariants * hidden + moves * hidden * (hidden + 2)
        self.tensors = (
            door.enter("the coordinates", x, (nodes, 4), torch.float64),
            door.enter("the terms of the targets", target, target.shape, dtype),
            door.enter("the terms of the sources", source, target.shape, dtype),
            door.enter("the parameters of the edge network", parameters, (count,), dtype),
        )
        self.ptr = door.enter_offsets(ptr, x)
        self.library = block_libraries(dtype, hidden, invariants)
        self.values = (*self.tensors, moves, clamp, self.ptr, len(self.ptr) - 1)
        self.moved = (nodes * moves, 4)


class _Sum(torch.autograd.Function):
    """The sums; called in every block of every step, for which PyTorch's registered operators are too slow."""

    @staticmethod
    def forward(ctx, x, target, source, parameters, invariants, moves, clamp, ptr):
        call = _Call(x, target, source, parameters, invariants, moves, clamp, ptr)
        ctx.save_for_backward(x, target, source, parameters, ptr)
        ctx.options = invariants, moves, clamp
        out, moved = target.new_empty(target.shape), x.new_empty(call.moved)
        door.call(call.library.lorentz_sum_forward, *call.values, out, moved)
        return out, moved

    @staticmethod
    def backward(ctx, upstream, upstream_moved):
        _refuse_second_derivatives()
        *tensors, ptr = ctx.saved_tensors
        call = _Call(*tensors, *ctx.options, ptr)
        upstream = door.enter_gradient("the messages", upstream, tensors[1].shape, tensors[1].dtype)
        upstream_moved = door.enter_gradient("the coordinates", upstream_moved, call.moved, torch.float64)
        grads = [tensor.new_empty(tensor.shape) for tensor in call.tensors]
        door.call(call.library.lorentz_sum_backward, *call.values, upstream, upstream_moved, *grads)
        return *grads, *[None] * 4


def _refuse_second_derivatives() -> None:
    if torch.is_grad_enabled():  # as PyTorch has it where create_graph=True
        raise BackendError(door.NO_SECOND_DERIVATIVES)


class _MomentsCall:
    """The same for the moments."""

    def __init__(self, x: Tensor, target: Tensor, source: Tensor, pair: Tensor, ptr: Tensor):
        dtype = door.precision_of("the terms of the targets", target, is_complex=False)
        nodes, hidden = target.shape
        features = pair.shape[-1]
        if features not in (0, 2):
            raise ValueError(f"pairs have two invariants or none, not {features}")
        self.tensors = (
            door.enter("the coordinates", x, (nodes, 4), torch.float64),
            door.enter("the terms of the targets", target, target.shape, dtype),
            door.enter("the terms of the sources", source, target.shape, dtype),
            door.enter("the weights of the invariants", pair, (hidden, features), dtype),
        )
        self.ptr = door.enter_offsets(ptr, x)
        self.library = _moments_library(dtype)
        self.values = (*self.tensors, hidden, features, self.ptr, len(self.ptr) - 1)


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, target, source, pair, ptr):
        call = _MomentsCall(x, target, source, pair, ptr)
        ctx.save_for_backward(x, target, source, pair, ptr)
        mean, variance = (target.new_empty(target.shape[1]) for _ in range(2))
        door.call(call.library.split_moments_forward, *call.values, mean, variance)
        return mean, variance

    @staticmethod
    def backward(ctx, upstream_mean, upstream_variance):
        _refuse_second_derivatives()
        call = _MomentsCall(*ctx.saved_tensors)
        target = call.tensors[1]
        upstream = (
            door.enter_gradient("the mean", upstream_mean, target.shape[1:], target.dtype),
            door.enter_gradient("the variance", upstream_variance, target.shape[1:], target.dtype),
        )
        grads = [tensor.new_empty(tensor.shape) for tensor in call.tensors]
        door.call(call.library.split_moments_backward, *call.values, *upstream, *grads)
        return *grads, None
