r"""Radial functions of Lorentz message passing: learnable Lorentzian bells."""

import math

import torch
from torch import Tensor, nn

from lgae_pyg.ops.bells import Bells, bell_sum
from lgae_pyg.ops.precision import without_autocast


class LorentzianBell(nn.Module):
    r"""Learnable radial functions :math:`f^l_c` of the invariant :math:`x = p_{ij}^2`,

    .. math::
        f^l_c(x) = \sum_k w^l_{ck}\, r_k(|x|) + \beta^l_c, \qquad
        r_k(x) = a_k + \frac{b_k}{1 + c_k^2 x},

    a mixture of Lorentzian bells of different widths (LGAE, arXiv:2212.07347, Eq. (4); LGN, arXiv:2006.04780).
    The factors are complex. For complex invariants the same real function acts on both parts,
    :math:`f(x) = f(|\mathrm{Re}\,x|) + i f(|\mathrm{Im}\,x|)`.

    The :math:`c_k` begin evenly spaced on a logarithmic scale between ``widest`` and ``narrowest``, which fits
    momenta in units of 100 GeV: the invariants of a jet in TeV (:math:`10^{-8} \ldots 10^{-1}` TeV\ :sup:`2`)
    would all look alike (see ``scale`` of :class:`~lgae_pyg.nn.LMPConv`).

    Args:
        channels: number of channels :math:`\tau`.
        num_bells: number of bells :math:`K`.
        degrees: number of zonal degrees :math:`L`, each with a mixture of its own.
        complex_argument: whether the invariants are complex.
        widest: the smallest :math:`c_k` at the start.
        narrowest: the largest :math:`c_k` at the start.
        constant: leave the bells out, so that :math:`f^l_c = \beta^l_c` (times :math:`1 + i` for complex
            arguments). The original LGAE decoder does this, by an edge mask of zeros.

    Shapes:
        - **input:** invariants :math:`(*)`, real or complex
        - **output:** factors :math:`(*, L, \tau)`, complex
    """

    def __init__(
        self,
        channels: int,
        num_bells: int = 20,
        degrees: int = 2,
        complex_argument: bool = False,
        widest: float = 0.1,
        narrowest: float = 3.0,
        constant: bool = False,
    ):
        super().__init__()
        self.complex_argument = complex_argument
        self.constant = constant
        self.widest, self.narrowest = widest, narrowest
        parts = () if complex_argument else (2,)
        self.a = nn.Parameter(torch.empty(num_bells))
        self.b = nn.Parameter(torch.empty(num_bells))
        self.c = nn.Parameter(torch.empty(num_bells))
        self.weight = nn.Parameter(torch.empty(degrees, channels, *parts, num_bells))
        self.bias = nn.Parameter(torch.empty(degrees, channels, *parts))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws amplitudes from a normal distribution and spaces the widths logarithmically."""
        num_bells = len(self.a)
        nn.init.zeros_(self.a)
        nn.init.normal_(self.b)
        with torch.no_grad():
            self.c.copy_(torch.logspace(math.log10(self.widest), math.log10(self.narrowest), num_bells))
        bound = 1 / math.sqrt(num_bells)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    @without_autocast
    def folded(self, dtype: torch.dtype | None = None) -> Bells:
        """The parameters with amplitudes and offsets folded into one matrix and one bias.

        Args:
            dtype: the precision in which that is done; that of the parameters when omitted.
        """
        parts = (self.a, self.b, self.c, self.weight, self.bias)
        a, b, c, weight, bias = (part.to(dtype or part.dtype) for part in parts)
        if self.constant:
            return Bells(c.square(), torch.zeros_like(weight), bias, bias)
        return Bells(c.square(), weight * b, bias + weight @ a, bias)

    @without_autocast
    def forward(self, invariant: Tensor, present: Tensor | None = None) -> Tensor:
        return bell_sum(invariant, self.folded(), present)

    def extra_repr(self) -> str:
        degrees, channels = self.bias.shape[:2]
        return f"channels={channels}, num_bells={len(self.a)}, degrees={degrees}"
