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
        masked: :math:`\beta`, the value on edges whose bells are masked; same shape.
    """

    squared_width: Tensor
    weight: Tensor
    bias: Tensor
    masked: Tensor

    @property
    def complex_argument(self) -> bool:
        """Whether the invariants are complex, each part going through the same bells."""
        return self.weight.dim() == 3


def bell_sum(invariant: Tensor, bells: Bells, present: Tensor | None = None) -> Tensor:
    r"""Radial factors :math:`f^l_c(|x|)` of the invariants :math:`x`.

    For a real invariant the two output parts have weights of their own; for a complex one, the real part of
    the factor is a function of :math:`|\mathrm{Re}\,x|` and the imaginary part the same function of
    :math:`|\mathrm{Im}\,x|` (both are Lorentz invariant, since a real Lorentz transformation acts on the two parts
    of a complex four-vector separately and leaves the bilinear square unchanged).

    Args:
        invariant: :math:`x = p_{ij}^2`, real or complex.
        bells: the folded parameters; the bells are evaluated in their precision.
        present: where false, the bells are masked and only the bias :math:`\beta` is left (the original code
            treats edges of padded particles so).

    Shapes:
        - invariant: :math:`(*)`, present: :math:`(*)`
        - **output:** :math:`(*, L, \tau)`, complex
    """
    dtype = torch.promote_types(invariant.dtype, torch.complex64)
    low = bells.weight.dtype
    if bells.complex_argument:
        parts = evaluate_bells(torch.view_as_real(invariant).abs().to(low), bells).unbind(-3)
        factors = torch.complex(*parts).to(dtype)
    else:
        factors = torch.view_as_complex(evaluate_bells(invariant.abs().to(low), bells)).to(dtype)
    if present is not None:
        factors = torch.where(present[..., None, None], factors, masked_factor(bells))
    return factors


def lower(bells: Bells, dtype: torch.dtype) -> Bells:
    """The same radial functions, to be evaluated in another precision."""
    return Bells(*(part.to(dtype) for part in bells))


def masked_factor(bells: Bells) -> Tensor:
    r"""The radial factor of a masked edge, :math:`\beta` as a complex number.

    Shapes:
        - **output:** :math:`(L, \tau)`, complex
    """
    return _as_complex(bells.masked, bells)


def self_factor(bells: Bells) -> Tensor:
    r"""The radial factor of degree 0 at the origin, :math:`f^0_c(0)`, that a self-loop carries.

    Shapes:
        - **output:** :math:`(\tau,)`, complex
    """
    return _as_complex(bells.bias[0] + bells.weight[0].sum(-1), bells)


def _as_complex(parts: Tensor, bells: Bells) -> Tensor:
    if bells.complex_argument:
        return torch.complex(parts, parts)
    return torch.view_as_complex(parts.contiguous())


def evaluate_bells(argument: Tensor, bells: Bells) -> Tensor:
    r"""The parts of the radial factors of arguments that are not negative.

    Shapes:
        - argument: :math:`(*)`
        - **output:** :math:`(*, L, \tau, 2)` or, for complex invariants, :math:`(*, L, \tau)`
    """
    resonance = 1 / (1 + argument.unsqueeze(-1) * bells.squared_width)
    mixed = torch.nn.functional.linear(resonance, bells.weight.flatten(0, -2), bells.bias.flatten())
    return mixed.view(*argument.shape, *bells.bias.shape)
