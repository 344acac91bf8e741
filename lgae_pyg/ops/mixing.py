r"""Mixing of the channels of packed complex features, irrep by irrep: the plain definition.

:mod:`lgae_pyg.ops.backends.compiled_nodes` has the same as a compiled kernel, which other back-ends stand for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.backends.choice import choose_backend
from lgae_pyg.ops.precision import check_precision, without_autocast

#: Up to so many numbers per irrep and row, one product with a sparse matrix is faster than turning rows around.
SMALL = 32


class MixedIrrep(NamedTuple):
    """An irrep of the output.

    Attributes:
        begin: where its channels begin in a row of the input.
        channels: multiplicity in the input.
        dim: dimension.
        mixed: multiplicity in the output.
    """

    begin: int
    channels: int
    dim: int
    mixed: int


@without_autocast
def mix_channels(
    x: Tensor, weights: Sequence[Tensor], irreps: Sequence[MixedIrrep], backend: str = "dense"
) -> Tensor:
    r"""Mixes the channels of each irrep, :math:`F'_{c'} = \sum_c W_{c'c} F_c`.

    Args:
        x: packed features.
        weights: a complex matrix as real pairs for each irrep of the output.
        irreps: the irreps of the output, in order.
        backend: ``auto`` and ``fused`` use a compiled kernel on the CPU, the others this plain definition.

    Raises:
        ValueError: for an unknown back-end.
        TypeError: for weights in half precision.
        BackendError: if the fused back-end was asked for and cannot run.

    Shapes:
        - x: :math:`(*, d)`, complex, weights: :math:`(c', c, 2)` each
        - **output:** :math:`(*, \sum c' \dim)`, complex
    """
    for weight in weights[:1]:
        check_precision(weight, "mixing of channels")
    if choose_backend(backend, "mixing", x.device.type, x.real.dtype) == "compiled":
        from lgae_pyg.ops.backends.compiled_nodes import compiled_mix

        return compiled_mix(x, weights, irreps)
    mixed = []
    for weight, irrep in zip(weights, irreps):
        width = irrep.channels * irrep.dim
        part = x.narrow(-1, irrep.begin, width)
        matrix = torch.view_as_complex(weight).to(part.dtype)
        if width <= SMALL:
            mixed.append(part @ _componentwise(matrix, irrep.dim))
        else:
            mixed.append((matrix @ part.unflatten(-1, (-1, irrep.dim))).flatten(-2))
    return torch.cat(mixed, dim=-1)


def _componentwise(weight: Tensor, dim: int) -> Tensor:
    r"""The matrix :math:`W^T \otimes 1` that mixes the channels of rows of packed components.

    Shapes:
        - weight: :math:`(c', c)`
        - **output:** :math:`(c\, d, c'\, d)`
    """
    blocks = torch.diag_embed(weight.mT.unsqueeze(-1).expand(-1, -1, dim))
    return blocks.permute(0, 2, 1, 3).reshape(weight.shape[1] * dim, weight.shape[0] * dim)
