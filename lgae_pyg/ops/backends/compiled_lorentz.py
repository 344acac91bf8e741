"""The sums over the neighbours of a block of LorentzNet as compiled kernels for the CPU.

``cpp/split_moments.cpp`` finds the statistics of the batch normalisation from sums over particles;
``cpp/lorentz_sum.cpp`` sends the pairs of a jet through all layers in blocks that stay in the processor's cache,
and computes them again in the backward pass, for which it keeps some fifteen bytes of a pair if the batch is not
large. What is left to do for each particle is written out here in both directions: a block is called in every
step, and thirty operations on small tensors cost more in PyTorch's autograd than all pairs of a small jet. The
plain definition is in :class:`~lgae_pyg.nn.LorentzNetConv`.
"""

import ctypes
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library
from lgae_pyg.ops.lorentz_edges import LorentzEdges

#: Widths up to which the kernel is built: weights and their gradients are to stay in the second-level cache.
WIDEST = 512
#: Bytes that are kept of the pairs for the backward pass at most, in each block; else nothing is.
KEPT = 1 << 22


class Sums(NamedTuple):
    r"""What a block is made of.

    Attributes:
        messages: :math:`\sum_j m_{ij}`, shape :math:`(n, H)`.
        moved: the means over :math:`j` of :math:`(x_i - x_j) \phi_x(m_{ij})`, shape :math:`(n, 4)`; no rows where
            coordinates stay.
        mean: of the first layer over all pairs, or what was given, :math:`(H,)`. It has no gradients.
        variance: the same.
    """

    messages: Tensor
    moved: Tensor
    mean: Tensor
    variance: Tensor


@torch.compiler.disable
def compiled_lorentz_sum(h: Tensor, x: Tensor, edges: LorentzEdges, ptr: Tensor) -> Sums:
    r"""The sums over pairs of :class:`~lgae_pyg.nn.LorentzNetConv`, on the CPU.

    Args:
        h: scalars.
        x: coordinates, float64.
        edges: the edge network.
        ptr: offsets of the jets.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.

    Shapes:
        - h: :math:`(n, H)`, x: :math:`(n, 4)`, ptr: :math:`(B+1,)`
    """
    clamp = math.inf if edges.clamp is None else edges.clamp
    layers = *edges.norm, *edges.message, *edges.gate, *edges.mover
    return Sums(*_Block.apply(h, x, edges.first, edges.statistics, (edges.eps, clamp), ptr, *layers))


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


class _Block(torch.autograd.Function):
    """First layer, normalisation and sums; see :class:`Sums`."""

    @staticmethod
    def forward(ctx, h, x, first, statistics, options, ptr, gamma, beta, *layers):
        hidden = h.shape[-1]
        own, other, pair = first.split([hidden, hidden, first.shape[1] - 2 * hidden], 1)
        target, source = h @ own.T, h @ other.T
        if statistics is None:
            mean, variance, sums = moments(x, target, source, pair, ptr)
        else:
            mean, variance, sums = *(part.clone() for part in statistics), None
        scale = torch.rsqrt(variance + options[0]) * gamma
        parameters = torch.cat([(pair * scale.unsqueeze(1)).flatten(), *(part.flatten() for part in layers)])
        terms = torch.addcmul(beta - mean * scale, target, scale), source * scale
        moves = len(layers) > 4
        messages, moved, kept = lorentz_sum(x, *terms, parameters, pair.shape[1] > 0, moves, options[1], ptr)
        ctx.save_for_backward(
            h, x, first, gamma, target, source, mean, variance, *terms, parameters, ptr, kept, sums
        )
        ctx.options = options, [part.shape for part in layers]
        ctx.mark_non_differentiable(mean, variance)
        return messages, moved, mean, variance

    @staticmethod
    def backward(ctx, upstream, upstream_moved, *_):
        if torch.is_grad_enabled():  # as PyTorch has it where create_graph=True
            raise BackendError(door.NO_SECOND_DERIVATIVES)
        h, x, first, gamma, target, source, mean, variance, *terms, parameters, ptr, kept, sums = ctx.saved_tensors
        (eps, clamp), shapes = ctx.options
        hidden = h.shape[1]
        own, other, pair = first.split([hidden, hidden, first.shape[1] - 2 * hidden], 1)
        to_x, to_target, to_source, to_parameters = lorentz_sum_backward(
            upstream, upstream_moved, kept, x, *terms, parameters, pair.shape[1] > 0, len(shapes) > 4, clamp, ptr
        )
        to_pair, *to_layers = to_parameters.split([pair.numel(), *(shape.numel() for shape in shapes)])
        to_pair = to_pair.view_as(pair)

        root = torch.rsqrt(variance + eps)
        scale = root * gamma
        to_beta = to_target.sum(0)
        to_scale = torch.addcmul(to_target * target, to_source, source).sum(0) + (to_pair * pair).sum(1)
        to_gamma = (to_scale - to_beta * mean) * root
        to_target, to_source, to_pair = to_target * scale, to_source * scale, to_pair * scale.unsqueeze(1)
        if sums is not None:
            upstream = -to_beta * scale, -0.5 * to_gamma * scale * root
            grads = to_x, to_target, to_source, to_pair
            add_moments_gradients(grads, *upstream, sums, x, target, source, pair, ptr)
        to_h = torch.addmm(to_target @ own, to_source, other)
        to_first = torch.cat([to_target.T @ h, to_source.T @ h, to_pair], 1)
        to_layers = (part.view(shape) for part, shape in zip(to_layers, shapes))
        wanted = to_x if ctx.needs_input_grad[1] else None
        return to_h, wanted, to_first, None, None, None, to_gamma, to_beta, *to_layers


def lorentz_sum(
    x: Tensor,
    target: Tensor,
    source: Tensor,
    parameters: Tensor,
    invariants: bool,
    moves: bool,
    clamp: float,
    ptr: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Messages and steps from the normalised terms of the first layer, and what the backward pass may read."""
    call = _Call(x, target, source, parameters, invariants, moves, clamp, ptr)
    out, moved = target.new_empty(target.shape), x.new_empty(call.moved)
    kept = x.new_empty(call.keepable if 8 * call.keepable <= KEPT else 0)
    door.call(call.library.lorentz_sum_forward, *call.values, kept if len(kept) else None, out, moved)
    return out, moved, kept


def lorentz_sum_backward(
    upstream: Tensor, upstream_moved: Tensor, kept: Tensor, *arguments: Any
) -> list[Tensor]:
    """Gradients of the tensors among the arguments of :func:`lorentz_sum` that are not ``ptr``."""
    call = _Call(*arguments)
    target = call.tensors[1]
    upstream = door.enter_gradient("the messages", upstream, target.shape, target.dtype)
    upstream_moved = door.enter_gradient("the coordinates", upstream_moved, call.moved, torch.float64)
    kept = door.enter("what was kept", kept, (call.keepable if kept.numel() else 0,), torch.float64)
    grads = [tensor.new_empty(tensor.shape) for tensor in call.tensors]
    values = (*call.values, kept if len(kept) else None)
    door.call(call.library.lorentz_sum_backward, *values, upstream, upstream_moved, *grads)
    return grads


class _Call:
    """The library, and the arguments that forward and backward begin with."""

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
        size = self.library.lorentz_sum_kept
        size.restype = ctypes.c_int64
        self.keepable = moves * size(ctypes.c_void_p(self.ptr.data_ptr()), ctypes.c_int64(len(self.ptr) - 1)) // 8


def moments(x: Tensor, target: Tensor, source: Tensor, pair: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Mean and variance over all pairs of the first layer (:mod:`lgae_pyg.ops.lorentz_edges`), and the sums over
    pairs that the backward pass needs again.

    Args:
        x: coordinates, float64.
        target: the terms of the targets.
        source: those of the sources.
        pair: weights of the two invariants, or no columns.
        ptr: offsets of the jets.

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.

    Shapes:
        - x: :math:`(n, 4)`, target, source: :math:`(n, H)`, pair: :math:`(H, 2)` or :math:`(H, 0)`
        - **output:** :math:`(H,)` twice, and :math:`(n, 5)` or :math:`(0, 5)`, float64
    """
    library, values, shape = _enter_moments(x, target, source, pair, ptr)
    mean, variance = (target.new_empty(target.shape[1]) for _ in range(2))
    sums = x.new_empty(shape)
    door.call(library.split_moments_forward, *values, mean, variance, sums)
    return mean, variance, sums


def add_moments_gradients(
    grads: tuple[Tensor, Tensor, Tensor, Tensor],
    upstream_mean: Tensor,
    upstream_variance: Tensor,
    sums: Tensor,
    *arguments: Tensor,
) -> None:
    """Adds to gradients of the arguments of :func:`moments` but ``ptr`` what comes from its first two outputs."""
    library, values, shape = _enter_moments(*arguments)
    x, target, _, pair = values[:4]
    for what, grad, like in zip(("x", "target", "source", "pair"), grads, (x, target, target, pair), strict=True):
        if not grad.is_contiguous():
            raise ValueError(f"the gradient of {what} must be contiguous to be added to")
        door.enter(f"the gradient of {what}", grad, like.shape, like.dtype)
    upstream = (
        door.enter_gradient("the mean", upstream_mean, target.shape[1:], target.dtype),
        door.enter_gradient("the variance", upstream_variance, target.shape[1:], target.dtype),
    )
    sums = door.enter("the sums of the invariants", sums, shape, torch.float64)
    door.call(library.split_moments_backward, *values, sums, *upstream, *grads)


def _enter_moments(
    x: Tensor, target: Tensor, source: Tensor, pair: Tensor, ptr: Tensor
) -> tuple[ctypes.CDLL, tuple, tuple[int, int]]:
    """The library, the arguments that both directions begin with, and the shape of the sums."""
    dtype = door.precision_of("the terms of the targets", target, is_complex=False)
    nodes, hidden = target.shape
    features = pair.shape[-1]
    if features not in (0, 2):
        raise ValueError(f"pairs have two invariants or none, not {features}")
    tensors = (
        door.enter("the coordinates", x, (nodes, 4), torch.float64),
        door.enter("the terms of the targets", target, target.shape, dtype),
        door.enter("the terms of the sources", source, target.shape, dtype),
        door.enter("the weights of the invariants", pair, (hidden, features), dtype),
    )
    ptr = door.enter_offsets(ptr, x)
    values = (*tensors, hidden, features, ptr, len(ptr) - 1)
    return _moments_library(dtype), values, (nodes if features else 0, 5)
