r"""Products of irreps, channel by channel: the general Clebsch-Gordan form and the zonal functions of a momentum.

Features of a node are one packed complex tensor :math:`(n, \text{irreps.dim})`, irrep after irrep, channel after
channel. Channel :math:`c` of one factor meets channel :math:`c` of the other, so a product of multiplicities
:math:`\tau_a` and :math:`\tau_b` has :math:`\min(\tau_a, \tau_b)` channels.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from lgae_pyg.lorentz.clebsch_gordan import clebsch_gordan
from lgae_pyg.lorentz.irreps import Irrep, Irreps
from lgae_pyg.ops.precision import LOW

SCALAR = Irrep(0, 0)
VECTOR = Irrep(0.5, 0.5)

Features = Mapping[Irrep, Tensor]


def as_complex(x: Tensor) -> Tensor:
    """A real tensor as a complex one with imaginary part zero; complex ones are returned as they are. Half
    precision, such as the output of a layer under autocast, is taken as float32."""
    if x.dtype in LOW:
        x = x.to(torch.complex64 if x.is_complex() else torch.float32)
    return x if x.is_complex() else torch.complex(x, torch.zeros_like(x))


def unpack(packed: Tensor, irreps: Irreps) -> dict[Irrep, Tensor]:
    r"""Splits packed features by irrep.

    Shapes:
        - packed: :math:`(*, \text{irreps.dim})`
        - **output:** one :math:`(*, \tau, \dim)` per irrep
    """
    return {irrep: part for (_, irrep), part in zip(irreps, irreps.split(packed))}


def pack(features: Features, irreps: Irreps) -> Tensor:
    """Joins features in the order of ``irreps``; the inverse of :func:`unpack`."""
    return torch.cat([features[irrep].flatten(-2) for _, irrep in irreps], dim=-1)


def is_scalar_vector(irreps: Irreps) -> bool:
    """Whether the features are the two irreps (0,0) + (1/2,1/2), in this order and equally many."""
    return [irrep for _, irrep in irreps] == [SCALAR, VECTOR] and len({tau for tau, _ in irreps}) == 1


@lru_cache(maxsize=4096)
@torch.inference_mode(False)  # a table first used in inference must serve a later training
def _coupling(a: Irrep, b: Irrep, c: Irrep, dtype: torch.dtype, device: torch.device) -> Tensor:
    return clebsch_gordan(a, b, c).to(device, dtype)


def couple(x: Tensor, y: Tensor, a: Irrep, b: Irrep, c: Irrep) -> Tensor:
    r"""The part of :math:`x \otimes y` in irrep :math:`c`, channel by channel,
    :math:`z_\gamma = \sum_{\alpha\beta} C^{c\gamma}_{a\alpha, b\beta}\, x_\alpha y_\beta`.

    Scalars and four-vectors take the closed form: :math:`s t`, :math:`s v`, :math:`\tfrac12 \langle v, w\rangle`.

    Shapes:
        - x: :math:`(*, \tau_a, \dim a)`, y: :math:`(*, \tau_b, \dim b)`
        - **output:** :math:`(*, \min(\tau_a, \tau_b), \dim c)`, complex
    """
    channels = min(x.shape[-2], y.shape[-2])
    x, y = x[..., :channels, :], y[..., :channels, :]
    if SCALAR in (a, b):
        return x * y
    complex_dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.complex64)
    matrix = _coupling(a, b, c, complex_dtype, x.device)
    partial = torch.tensordot(x.to(complex_dtype), matrix, dims=([-1], [1]))
    return (partial * y.unsqueeze(-2)).sum(-1)


def zonal_functions(momenta: Tensor, degree: int) -> dict[Irrep, Tensor]:
    r"""Zonal functions of a four-momentum up to a degree, one channel each.

    .. math:: Z_0 = 1, \quad Z_1 = p, \quad Z_l = \sqrt{\tfrac{2l}{l+1}}\; [Z_{l-1} \otimes p]_{(l/2, l/2)} ,

    the symmetric traceless tensor powers of :math:`p` (Bogatskiy et al., arXiv:2006.04780, Sec. 4).

    Shapes:
        - momenta: :math:`(*, 4)`
        - **output:** for each :math:`l` a tensor :math:`(*, 1, (l+1)^2)`
    """
    momentum = momenta.unsqueeze(-2)
    functions = {SCALAR: torch.ones_like(momentum).narrow(-1, 0, 1)}
    previous = SCALAR
    for order in range(1, degree + 1):
        irrep = Irrep(order / 2, order / 2)
        norm = math.sqrt(2 * order / (order + 1))
        functions[irrep] = norm * couple(functions[previous], momentum, previous, VECTOR, irrep)
        previous = irrep
    return functions


def products_within(a: Irrep, b: Irrep, max_weight: int) -> list[Irrep]:
    r"""The irreps of :math:`a \otimes b` whose weight :math:`\max(2m, 2n)` is at most ``max_weight``."""
    return [irrep for irrep in a * b if irrep.weight <= max_weight]


def reachable(irreps: Sequence[Irrep], max_weight: int, max_degree: int) -> list[Irrep]:
    """The irreps that a level of message passing makes of some: their own, and products with edges and with each
    other of weight ``max_weight`` at most; lowest weights first."""
    edges = [Irrep(degree / 2, degree / 2) for degree in range(max_degree + 1)]
    products = [out for a in irreps for b in [*edges, *irreps] for out in products_within(a, b, max_weight)]
    return sorted({*irreps, *products}, key=lambda irrep: (irrep.weight, -irrep.m, -irrep.n))


def square_vanishes(a: Irrep, c: Irrep) -> bool:
    r"""Whether :math:`[x \otimes x]_c = 0` for every :math:`x` in irrep :math:`a` (an antisymmetric coupling)."""
    matrix = clebsch_gordan(a, a, c)
    return bool((matrix + matrix.transpose(1, 2)).abs().max() < 1e-12)
