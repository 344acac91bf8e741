"""The edge convolution of ParticleNet as compiled kernels for the CPU.

Products of matrices are PyTorch's; what stands between them (``cpp/edge_norm.cpp``) is, for normalisation and
activation together, one pass over the edges forward and two backward, beside one for their statistics. The last
layer's output and its gradient are not stored for the edges. The plain definition is
:class:`~lgae_pyg.nn.ParticleNetConv`.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.backends import door
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiler import NAMES, load_library


class EdgeNorm(NamedTuple):
    """A batch normalisation of edges.

    Attributes:
        weight: factor of each column, :math:`(C,)`.
        bias: what is added.
        eps: what is added to the variance.
        statistics: mean and variance by which is normalised; those of all edges where omitted.
    """

    weight: Tensor
    bias: Tensor
    eps: float
    statistics: tuple[Tensor, Tensor] | None


def edge_library(dtype: torch.dtype) -> ctypes.CDLL:
    """The kernels for a precision, built if need be.

    Raises:
        CompilationError: if that cannot be done.
    """
    return load_library(("edge_norm.cpp",), (("COMPUTE", NAMES[dtype]),))


@torch.compiler.disable
def compiled_edge_convolution(
    target: Tensor,
    source: Tensor,
    edge_attr: Tensor | None,
    edge_index: Tensor,
    norms: Sequence[EdgeNorm],
    weights: Sequence[Tensor],
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    r"""The mean over the edges of each target of a perceptron with batch normalisation and ReLU in every layer.

    Args:
        target: terms of the targets in the first layer.
        source: those of the sources.
        edge_attr: those of the edges, if there are some.
        edge_index: source and target of each edge; at least one edge.
        norms: the normalisation of each layer.
        weights: the matrices of the layers after the first.

    Returns:
        The means, and for each layer mean and variance by which it was normalised (without gradients).

    Raises:
        CompilationError: if the kernel cannot be built.
        ValueError: if tensors do not fit each other.

    Shapes:
        - target, source: :math:`(n, C_1)`, edge_attr: :math:`(e, C_1)`, edge_index: :math:`(2, e)`,
          weights: :math:`(C_{l+1}, C_l)`
        - **output:** :math:`(n, C_L)`
    """
    rest = [(norm.eps, norm.statistics) for norm in norms]
    affine = [part for norm in norms for part in norm[:2]]
    out, *found = _Convolution.apply(target, source, edge_attr, edge_index, rest, *affine, *weights)
    return out, list(zip(found[::2], found[1::2]))


class _Convolution(torch.autograd.Function):
    """All layers of :func:`compiled_edge_convolution`."""

    @staticmethod
    def forward(ctx, target, source, edge_attr, edge_index, rest, *parameters):
        gammas, betas, weights = _sorted(parameters, len(rest))
        ends, nodes = enter_edges(edge_index, len(target)), len(target)
        share = torch.bincount(ends[1], minlength=nodes).clamp(min=1).to(target.dtype).reciprocal()
        z, y, found = edge_terms(target, source, ends), None, list[Tensor]()
        layers: list[tuple[Tensor | None, ...]] = []
        if edge_attr is not None:
            z += edge_attr
        for (eps, given), gamma, beta, weight in zip(rest, gammas, betas, [*weights, None]):
            mean, variance = edge_moments(z) if given is None else (part.clone() for part in given)
            root = torch.rsqrt(variance + eps)
            scale = root * gamma
            shift = beta - mean * scale
            layers.append((z, y, scale, shift, mean, root))
            found += [mean, variance]
            if weight is not None:
                y = edge_activate(z, scale, shift)
                z = y @ weight.T
        ctx.save_for_backward(ends, share, *weights, *(part for layer in layers for part in layer))
        ctx.batch, ctx.has_attr = [given is None for _, given in rest], edge_attr is not None
        ctx.mark_non_differentiable(*found)
        return edge_mean(z, scale, shift, ends, share), *found

    @staticmethod
    def backward(ctx, upstream, *_):
        if torch.is_grad_enabled():  # as PyTorch has it where create_graph=True
            raise BackendError(door.NO_SECOND_DERIVATIVES)
        count = len(ctx.batch)
        ends, share, *saved = ctx.saved_tensors
        weights, saved = saved[: count - 1], saved[count - 1 :]
        layers = [saved[6 * number : 6 * number + 6] for number in range(count)]
        to_affine, to_weights, grad = list[Tensor](), list[Tensor](), upstream
        mean_of: tuple[Tensor, ...] = ends, share
        for number in reversed(range(count)):
            z, y, scale, shift, mean, root = layers[number]
            to_scale, to_beta, grad = edge_norm_backward(
                grad, z, scale, shift, mean, root, ctx.batch[number], *mean_of
            )
            to_affine[:0], mean_of = [to_scale * root, to_beta], ()
            if number:
                to_weights[:0] = [grad.T @ y]
                grad = grad @ weights[number - 1]
        to_target, to_source = edge_terms_backward(grad, ends, len(share))
        to_attr = grad if ctx.has_attr else None
        return to_target, to_source, to_attr, None, None, *to_affine, *to_weights


def _sorted(parameters: Sequence[Tensor], layers: int) -> tuple[Sequence[Tensor], ...]:
    return parameters[: 2 * layers : 2], parameters[1 : 2 * layers : 2], parameters[2 * layers :]


def enter_edges(edge_index: Tensor, nodes: int) -> Tensor:
    """Sources and targets as the kernels expect them.

    Raises:
        ValueError: if there are none, or they are not numbers of nodes.
    """
    edges = edge_index.shape[1] if edge_index.dim() == 2 else 0
    ends = door.enter("the edges", edge_index, (2, edges), torch.int64)
    if not edges:
        raise ValueError("there must be an edge")
    least, most = torch.aminmax(ends)
    if least < 0 or most >= nodes:
        raise ValueError(f"edges must be between nodes 0 to {nodes - 1}, not {int(least)} to {int(most)}")
    return ends


def edge_terms(target: Tensor, source: Tensor, edge_index: Tensor) -> Tensor:
    """The sum of the terms of both ends of each edge."""
    dtype = door.precision_of("the terms of the targets", target, is_complex=False)
    target = door.enter("the terms of the targets", target, target.shape, dtype)
    source = door.enter("the terms of the sources", source, target.shape, dtype)
    ends = enter_edges(edge_index, len(target))
    out = target.new_empty(ends.shape[1], target.shape[1])
    door.call(edge_library(dtype).edge_terms, target, source, ends[1], ends[0], *out.shape, out)
    return out


def edge_terms_backward(upstream: Tensor, edge_index: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """From the gradient of the sums of :func:`edge_terms` to those of both terms."""
    dtype = door.precision_of("the gradient of the terms", upstream, is_complex=False)
    ends = enter_edges(edge_index, nodes)
    upstream = door.enter("the gradient of the terms", upstream, (ends.shape[1], upstream.shape[1]), dtype)
    grads = [upstream.new_empty(nodes, upstream.shape[1]) for _ in range(2)]
    door.call(
        edge_library(dtype).edge_terms_backward, upstream, ends[1], ends[0], *upstream.shape, nodes, *grads
    )
    return grads[0], grads[1]


def edge_moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (without Bessel's correction) of the columns."""
    dtype = _enter_rows(z)
    z = door.enter("the rows", z, z.shape, dtype)
    mean, variance = (z.new_empty(z.shape[1]) for _ in range(2))
    door.call(edge_library(dtype).edge_moments, z, *z.shape, mean, variance)
    return mean, variance


def edge_activate(z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``relu(scale * z + shift)``."""
    dtype = _enter_rows(z)
    out = z.new_empty(z.shape)
    door.call(edge_library(dtype).edge_activate, *_columns(z, dtype, scale, shift), *z.shape, out)
    return out


def edge_mean(z: Tensor, scale: Tensor, shift: Tensor, edge_index: Tensor, share: Tensor) -> Tensor:
    """The sums over the edges of each target of the same, times the share of each of them."""
    dtype, nodes = _enter_rows(z), len(share)
    values, target, share = _columns(z, dtype, scale, shift), *_enter_targets(z, edge_index, share)
    out = z.new_empty(nodes, z.shape[1])
    door.call(edge_library(dtype).edge_mean, *values, target, share, *z.shape, nodes, out)
    return out


def edge_norm_backward(
    upstream: Tensor,
    z: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    root: Tensor,
    batch: bool,
    edge_index: Tensor | None = None,
    share: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of :func:`edge_activate`, or with edges of :func:`edge_mean`, to those of the scale of
    ``z - mean``, of the bias and of ``z``; ``batch``, if the mean and ``root``, one over the standard deviation,
    are those of ``z``."""
    dtype, shape = _enter_rows(z), tuple(z.shape)
    values = _columns(z, dtype, scale, shift, mean, root)
    target = None
    if edge_index is not None and share is not None:
        target, share = _enter_targets(z, edge_index, share)
        shape = len(share), z.shape[1]
    upstream = door.enter_gradient("the rows", upstream, shape, dtype)
    to_scale, to_shift, out = z.new_empty(z.shape[1]), z.new_empty(z.shape[1]), z.new_empty(z.shape)
    arguments = (*values, upstream, target, share, *z.shape, bool(batch))
    door.call(edge_library(dtype).edge_norm_backward, *arguments, to_scale, to_shift, out)
    return to_scale, to_shift, out


def _enter_rows(z: Tensor) -> torch.dtype:
    dtype = door.precision_of("the rows", z, is_complex=False)
    if not len(z):
        raise ValueError("there must be an edge")
    return dtype


def _columns(z: Tensor, dtype: torch.dtype, *parts: Tensor) -> list[Tensor]:
    """Rows and what there is of each column."""
    rows = door.enter("the rows", z, z.shape, dtype)
    return [rows, *(door.enter("a number of each column", part, z.shape[1:], dtype) for part in parts)]


def _enter_targets(z: Tensor, edge_index: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    share = door.enter("the shares of the edges", share, share.shape[:1], z.dtype)
    ends = enter_edges(edge_index, len(share))
    if ends.shape[1] != len(z):
        raise ValueError(f"there are {len(z)} rows for {ends.shape[1]} edges")
    return ends[1], share
