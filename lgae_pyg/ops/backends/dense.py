r"""Dense back-end of the neighbour sum: batched matrix products over :math:`(B, N, N)` pairs.

Jets are spread over :math:`N` slots, :math:`N` the size of the largest. Empty slots carry zero features, so they
add nothing to the sums of others, and their own sums are never read: no masks are needed. The vectors
:math:`p_{ij}` are formed from differences where their square is taken (the radial argument), and by linearity
in the sums, :math:`\sum_j f_{ij} p_{ij} s_j = p_i \sum_j f_{ij} s_j - \sum_j f_{ij} s_j p_j`.
"""
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.ops.bells import Bells, self_factor
from lgae_pyg.ops.graphs import DenseLayout, dense_layout
from lgae_pyg.ops.precision import without_autocast

#: Largest number of pairs handled at once; more are walked in groups of jets. It bounds the memory, and tensors of
#: some ten MB are reused by the allocator, larger ones are given back to the system and faulted in again.
MAX_PAIRS = 1 << 16


def dense_neighbour_sum(
    scalars: Tensor, vectors: Tensor, momenta: Tensor, bells: Bells, ptr: Tensor, self_loops: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four sums of :class:`lgae_pyg.ops.messages.NeighbourSum`, in its order."""
    layout = dense_layout(ptr)
    graphs = max(1, MAX_PAIRS // max(1, layout.slots**2))
    dense = [layout.scatter(part) for part in (scalars, vectors, momenta)]
    groups = zip(*(part.split(graphs) for part in dense))
    sums = [torch.cat(parts) for parts in zip(*(_dense_sums(s, v, p, bells) for s, v, p in groups))]
    return _per_node(sums, scalars, vectors, momenta, bells, layout, self_loops)


def _dense_sums(scalars: Tensor, vectors: Tensor, momenta: Tensor, bells: Bells) -> tuple[Tensor, Tensor]:
    r"""Sums over j of :math:`f^0 (s, v)` and of :math:`f^1 (s, v, \langle p, v\rangle, p s)`, for every slot i."""
    difference = momenta.unsqueeze(2) - momenta.unsqueeze(1)
    constant, linear = pair_factors(minkowski_square(difference), bells).unbind(1)
    scalar = scalars.unsqueeze(-1)
    momentum = momenta.unsqueeze(2)
    product = minkowski_dot(momentum, vectors).unsqueeze(-1)
    zeroth = torch.cat([scalar, vectors], -1).transpose(1, 2)
    first = torch.cat([scalar, vectors, product, scalar * momentum], -1).transpose(1, 2)
    return _contract(constant, zeroth), _contract(linear, first)


def pair_factors(invariant: Tensor, bells: Bells) -> Tensor:
    r"""Radial factors of all pairs with the pair indices last, ready for matrix products.

    Shapes:
        - invariant: :math:`(B, N, N)`, real or complex
        - **output:** :math:`(B, L, \tau, 2, N, N)`, the real and imaginary part in the fourth place
    """
    if bells.complex_argument:
        argument = torch.view_as_real(invariant).movedim(-1, 1).abs()
        mixed = _mix_bells(argument.flatten(0, 1), bells).to(argument.dtype)
        return mixed.unflatten(0, argument.shape[:2]).movedim(1, 3)
    return _mix_bells(invariant.abs(), bells).to(invariant.dtype)


def _mix_bells(argument: Tensor, bells: Bells) -> Tensor:
    flat = argument.flatten(1).to(bells.weight.dtype)
    mixed = _BellMixture.apply(flat, bells.squared_width, bells.weight.flatten(0, -2), bells.bias.flatten())
    return mixed.view(len(argument), *bells.bias.shape, *argument.shape[1:])


class _BellMixture(torch.autograd.Function):
    r"""Mixtures of bells, :math:`f_o = \beta_o + \sum_k W_{ok} r_k` with :math:`r_k = 1 / (1 + c_k^2 x)`.

    Written out because the pass over all pairs and bells is limited by memory: autograd would keep and walk
    five intermediates where one, :math:`r`, is enough, since :math:`\partial r / \partial x = -c^2 r^2` and
    :math:`\partial r / \partial c^2 = -x r^2`.

    Shapes:
        - argument: :math:`(B, P)`, squared_width: :math:`(K,)`, weight: :math:`(O, K)`, bias: :math:`(O,)`
        - **output:** :math:`(B, O, P)`
    """

    @staticmethod
    def forward(ctx: Any, argument: Tensor, squared_width: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        resonance = argument.unsqueeze(1) * squared_width.unsqueeze(-1)
        resonance.add_(1).reciprocal_()
        ctx.save_for_backward(argument, squared_width, weight, resonance)
        return torch.baddbmm(bias.unsqueeze(-1), weight.expand(len(argument), -1, -1), resonance)

    @staticmethod
    @without_autocast
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        argument, squared_width, weight, resonance = ctx.saved_tensors
        if torch.is_grad_enabled():  # derivatives of these are wanted: the same in steps that autograd knows
            resonance = 1 / (1 + argument.unsqueeze(1) * squared_width.unsqueeze(-1))
        grad_bias = gradient.sum((0, 2))
        grad_weight = torch.bmm(gradient, resonance.transpose(1, 2)).sum(0)
        slope = torch.bmm(weight.T.expand(len(argument), -1, -1), gradient)
        if torch.is_grad_enabled():
            slope = -slope * resonance.square()
        else:
            slope.mul_(resonance).mul_(resonance).neg_()
        grad_width = torch.bmm(slope, argument.unsqueeze(-1)).sum((0, 2))
        grad_argument = None
        if ctx.needs_input_grad[0]:
            grad_argument = torch.matmul(squared_width, slope)
        return grad_argument, grad_width, grad_weight, grad_bias


def _contract(factors: Tensor, columns: Tensor) -> Tensor:
    r"""Complex sums :math:`\sum_j f_{ij} r_j` as one real matrix product for all four pairs of parts.

    Shapes:
        - factors: :math:`(B, \tau, 2, N, N)`
        - columns: :math:`(B, \tau, N, k)`, complex
        - **output:** :math:`(B, N, \tau, k)`, complex
    """
    graphs, channels, _, slots, _ = factors.shape
    parts = torch.view_as_real(columns).flatten(-2)
    sums = factors.reshape(graphs, channels, 2 * slots, slots) @ parts
    real, imaginary = sums.view(graphs, channels, 2, slots, -1, 2).unbind(2)
    total = torch.stack([real[..., 0] - imaginary[..., 1], real[..., 1] + imaginary[..., 0]], -1)
    return torch.view_as_complex(total).transpose(1, 2)


def _per_node(
    sums: list[Tensor],
    scalars: Tensor,
    vectors: Tensor,
    momenta: Tensor,
    bells: Bells,
    layout: DenseLayout,
    self_loops: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reads the dense sums back, forms the differences, and takes out the self-loops if they are not wanted."""
    zeroth, first = (layout.gather(part) for part in sums)
    constant_scalar, constant_vector = zeroth.split([1, 4], -1)
    scalar_sum, vector_sum, product_sum, moment_sum = first.split([1, 4, 1, 4], -1)
    momentum = momenta.unsqueeze(1)
    from_vector = minkowski_dot(momentum, vector_sum) - product_sum.squeeze(-1)
    from_scalar = momentum * scalar_sum - moment_sum
    constant_scalar = constant_scalar.squeeze(-1)
    if not self_loops:
        origin = self_factor(bells)
        constant_scalar = constant_scalar - origin * scalars
        constant_vector = constant_vector - origin.unsqueeze(-1) * vectors
    return constant_scalar, constant_vector, from_vector, from_scalar
