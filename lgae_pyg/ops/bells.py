r"""Lorentzian bells: the radial functions of Lorentz message passing, as pure functions."""

from typing import NamedTuple

import torch
from torch import Tensor


class Bells(NamedTuple):
    r"""Folded parameters of the radial functions.

    The :math:`K` bells :math:`r_k(x) = a_k + b_k / (1 + c_k^2 x)` are mixed linearly, so everything but the
    widths folds into one matrix and one bias,

    .. math:: f_o(x) = \sum_k W_{ok} r_k(x) + \beta_o = \beta'_o + \sum_k \frac{W'_{ok}}{1 + c_k^2 x} .

    Attributes:
        squared_width: :math:`c_k^2`, shape :math:`(K,)`.
        weight: :math:`W'`, shape :math:`(L, \tau, 2, K)` for real arguments (real and imaginary part of each
            channel) or :math:`(L, \tau, K)` for complex ones, where the two parts share the weights.
        bias: :math:`\beta'`, shape :math:`(L, \tau, 2)` or :math:`(L, \tau)`.
    """

    squared_width: Tensor
    weight: Tensor
    bias: Tensor

    @property
    def complex_argument(self) -> bool:
        """Whether the invariants are complex, each part going through the same bells."""
        return self.weight.dim() == 3


def bell_sum(invariant: Tensor, bells: Bells) -> Tensor:
    r"""Radial factors :math:`f^l_c(|x|)` of the invariants :math:`x`.

    For a real invariant the two output parts have weights of their own; for a complex one, the real part of
    the factor is a function of :math:`|\mathrm{Re}\,x|` and the imaginary part the same function of
    :math:`|\mathrm{Im}\,x|` (both are Lorentz invariant, since a real Lorentz transformation acts on the two parts
    of a complex four-vector separately and leaves the bilinear square unchanged).

    Args:
        invariant: :math:`x = p_{ij}^2`, real or complex.
        bells: the folded parameters.

    Shapes:
        - invariant: :math:`(*)`
        - **output:** :math:`(*, L, \tau)`, complex
    """
    if bells.complex_argument:
        parts = torch.view_as_real(invariant).abs()
        mixed = _evaluate(parts, bells)
        return torch.view_as_complex(mixed.movedim(-3, -1).contiguous())
    return torch.view_as_complex(_evaluate(invariant.abs(), bells).contiguous())


def _evaluate(argument: Tensor, bells: Bells) -> Tensor:
    shape = bells.bias.shape
    resonance = 1 / (1 + argument.unsqueeze(-1) * bells.squared_width)
    mixed = torch.nn.functional.linear(resonance, bells.weight.flatten(0, -2), bells.bias.flatten())
    return mixed.view(*argument.shape, *shape)
