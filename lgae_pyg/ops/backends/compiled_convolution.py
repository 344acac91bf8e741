"""The edge convolution of ParticleNet as compiled kernels for the CPU.

``cpp/edge_norm.cpp`` has what begins and ends it, ``cpp/edge_layer.cpp`` a layer with normalisation and activation
in one pass over the edges forward and one backward, which also take the sums that the next normalisation needs. Of
the edges, the layers' outputs before their normalisation are stored and nothing else. The plain definition is
:class:`~lgae_pyg.nn.ParticleNetConv`.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

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
    return load_library(("edge_norm.cpp", "edge_layer.cpp"), (("COMPUTE", NAMES[dtype]),))


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
        z, found = edge_terms(target, source, ends), list[Tensor]()
        layers: list[tuple[Tensor, ...]] = []
        if edge_attr is not None:
            z += edge_attr
        moments: Sequence[Tensor] = edge_moments(z)
        for (eps, given), gamma, beta, weight in zip(rest, gammas, betas, [*weights, None]):
            mean, variance = moments if given is None else (part.clone() for part in given)
            root = torch.rsqrt(variance + eps)
            scale = root * gamma
            shift = beta - mean * scale
            layers.append((z, scale, shift, mean, root))
            found += [mean, variance]
            if weight is not None:
                z, *moments = edge_layer(z, scale, shift, weight)
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
        layers = [saved[5 * number : 5 * number + 5] for number in range(count)]
        to_affine, to_weights, grad = list[Tensor](), list[Tensor](), upstream
        mean_of: tuple[Tensor, ...] = ends, share
        sums: Sequence[Tensor] = edge_norm_sums(grad, *layers[-1][:4], *mean_of)
        for number in reversed(range(count)):
            layer: list[Any] = [*layers[number], *sums, ctx.batch[number]]
            to_affine[:0] = [sums[0] * layer[4], sums[1]]
            if number:
                before: list[Any] = [weights[number - 1], *layers[number - 1][:4]]
                to_weight, grad, *sums = edge_layer_backward(grad, *layer, *before, *mean_of)
                to_weights[:0] = [to_weight]
                mean_of = ()
        rest: list[Any] = [ends, len(share), ctx.has_attr]
        to_terms = edge_terms_backward(grad, *layer, *rest, *mean_of)
        return *to_terms, None, None, *to_affine, *to_weights


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


def edge_moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (without Bessel's correction) of the columns."""
    dtype = _enter_rows(z)
    z = door.enter("the rows", z, z.shape, dtype)
    mean, variance = (z.new_empty(z.shape[1]) for _ in range(2))
    door.call(edge_library(dtype).edge_moments, z, *z.shape, mean, variance)
    return mean, variance


def edge_layer(z: Tensor, scale: Tensor, shift: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``relu(scale * z + shift) @ weight.T``, and :func:`edge_moments` of it."""
    dtype, values = _enter_norm(z, scale, shift)
    weight = _enter_weight(weight, z, dtype)
    out, mean, variance = (z.new_empty(*size, len(weight)) for size in ((len(z),), (), ()))
    sizes = len(z), *weight.shape[::-1]
    door.call(edge_library(dtype).edge_layer_forward, *values, weight, *sizes, out, mean, variance)
    return out, mean, variance


def edge_mean(z: Tensor, scale: Tensor, shift: Tensor, edge_index: Tensor, share: Tensor) -> Tensor:
    """The sums over the edges of each target of ``relu(scale * z + shift)`` times the share of each of them."""
    (dtype, values), nodes = _enter_norm(z, scale, shift), len(share)
    targets = _enter_targets(z, edge_index, share)
    out = z.new_empty(nodes, z.shape[1])
    door.call(edge_library(dtype).edge_mean, *values, *targets, *z.shape, nodes, out)
    return out


def edge_norm_sums(
    upstream: Tensor,
    z: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    edge_index: Tensor | None = None,
    share: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """From the gradient of ``relu(scale * z + shift)``, or with edges of :func:`edge_mean`, to those of the scale
    of ``z - mean`` and of the shift."""
    dtype, values = _enter_norm(z, scale, shift, mean)
    gradient = _enter_upstream(upstream, z, edge_index, share)
    to_scale, to_shift = z.new_empty(z.shape[1]), z.new_empty(z.shape[1])
    door.call(edge_library(dtype).edge_norm_sums, *values, *gradient, *z.shape, to_scale, to_shift)
    return to_scale, to_shift


def edge_terms_backward(
    upstream: Tensor,
    z: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    root: Tensor,
    to_scale: Tensor,
    to_shift: Tensor,
    batch: bool,
    ends: Tensor,
    nodes: int,
    wanted: bool,
    edge_index: Tensor | None = None,
    share: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """From the same and these sums, through :func:`edge_terms`, which made ``z``, to the gradients of both terms
    and, where it is wanted, of ``z``; ``batch``, if the mean and ``root``, one over the standard deviation, are
    those of ``z``."""
    dtype, values = _enter_norm(z, scale, shift, mean, root, to_scale, to_shift)
    gradient = _enter_upstream(upstream, z, edge_index, share)
    ends = _enter_ends(ends, z, nodes)
    terms, edges = z.new_empty(2, nodes, z.shape[1]), z.new_empty(z.shape) if wanted else None
    grads = terms[0], terms[1], edges
    sizes = *z.shape, bool(batch), ends[1], ends[0], nodes
    door.call(edge_library(dtype).edge_terms_backward, *values, *gradient, *sizes, *grads)
    return grads


def edge_layer_backward(
    upstream: Tensor,
    z: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    root: Tensor,
    to_scale: Tensor,
    to_shift: Tensor,
    batch: bool,
    weight: Tensor,
    z_before: Tensor,
    scale_before: Tensor,
    shift_before: Tensor,
    mean_before: Tensor,
    edge_index: Tensor | None = None,
    share: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same through :func:`edge_layer`, which made ``z``: the gradients of the weight and of the activations of
    the layer before, and :func:`edge_norm_sums` there."""
    dtype, values = _enter_norm(z, scale, shift, mean, root, to_scale, to_shift)
    gradient = _enter_upstream(upstream, z, edge_index, share)
    same, before = _enter_norm(z_before, scale_before, shift_before, mean_before)
    weight = _enter_weight(weight, z_before, dtype)
    if same != dtype or len(weight) != z.shape[1] or len(z) != len(z_before):
        raise ValueError(f"a layer of {tuple(weight.shape)} makes no {tuple(z.shape)} of {tuple(z_before.shape)}")
    rows, sums = z_before.new_empty(z_before.shape), mean_before.new_empty(2, len(mean_before))
    outs = torch.empty_like(weight), rows, sums[0], sums[1]
    more = bool(batch), weight, *before, z_before.shape[1], *outs
    door.call(edge_library(dtype).edge_layer_backward, *values, *gradient, *z.shape, *more)
    return outs


def _enter_rows(z: Tensor) -> torch.dtype:
    dtype = door.precision_of("the rows", z, is_complex=False)
    if not len(z):
        raise ValueError("there must be an edge")
    return dtype


def _enter_norm(z: Tensor, *parts: Tensor) -> tuple[torch.dtype, list[Tensor]]:
    """Rows and what there is of each column."""
    dtype = _enter_rows(z)
    rows = door.enter("the rows", z, z.shape, dtype)
    return dtype, [rows, *(door.enter("a number of each column", part, z.shape[1:], dtype) for part in parts)]


def _enter_weight(weight: Tensor, z: Tensor, dtype: torch.dtype) -> Tensor:
    return door.enter("the weight", weight, (*weight.shape[:1], z.shape[1]), dtype)


def _enter_upstream(
    upstream: Tensor, z: Tensor, edge_index: Tensor | None, share: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The gradient of rows, or that of the means over the edges of each target, with the targets and shares."""
    target, rows = None, len(z)
    if edge_index is not None and share is not None:
        target, share = _enter_targets(z, edge_index, share)
        rows = len(share)
    return door.enter_gradient("the rows", upstream, (rows, z.shape[1]), z.dtype), target, share


def _enter_targets(z: Tensor, edge_index: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    share = door.enter("the shares of the edges", share, share.shape[:1], z.dtype)
    return _enter_ends(edge_index, z, len(share))[1], share


def _enter_ends(edge_index: Tensor, z: Tensor, nodes: int) -> Tensor:
    ends = enter_edges(edge_index, nodes)
    if ends.shape[1] != len(z):
        raise ValueError(f"there are {len(z)} rows for {ends.shape[1]} edges")
    return ends
