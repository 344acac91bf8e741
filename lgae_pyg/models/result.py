"""What an autoencoder returns: reconstructed jets and their codes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lgae_pyg.ops.graphs import graph_offsets


def _in_short(result: Any) -> str:
    """Shapes, types and devices instead of numbers, as PyG prints its data."""
    names = getattr(result, "_fields", None) or result.__dataclass_fields__
    parts = {name: getattr(result, name) for name in names}
    parts = {name: _in_brief(part) for name, part in parts.items() if part is not None}
    return f"{type(result).__name__}({', '.join(f'{name}={part}' for name, part in parts.items())})"


def _in_brief(value: Any) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    device = "" if value.device.type == "cpu" else f" {value.device}"
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}{device}"


class Latent(NamedTuple):
    """The code of a batch of jets.

    Shapes:
        - scalars: Lorentz scalars :math:`(B, k_S)`, complex (real for real models)
        - vectors: four-vectors :math:`(B, k_V, 4)`, complex (real for real models), in the unit of the momenta;
          :math:`k_V = 0` for models that are not Lorentz equivariant, whose codes are plain numbers
    """

    scalars: Tensor
    vectors: Tensor

    def __repr__(self) -> str:
        return _in_short(self)


class Native(NamedTuple):
    """A batch in the coordinates that a model itself works in, beside what it should have been.

    Attributes:
        output: what the model returned, before it was turned into momenta, shape :math:`(m, F)`.
        ptr: offsets of the jets in ``output``, shape :math:`(B+1,)`.
        target: the input in the same coordinates, shape :math:`(k, F)`.
        target_ptr: its offsets, shape :math:`(B+1,)`.
    """

    output: Tensor
    ptr: Tensor
    target: Tensor
    target_ptr: Tensor

    def __repr__(self) -> str:
        return _in_short(self)


class Images(NamedTuple):
    r"""Jets as images, of models whose outputs are pixels and not particles.

    Attributes:
        output: :math:`p_T^\text{rel}` in each pixel as the model gives it back, shape :math:`(B, P, P)`, indexed
            ``image[jet, phi, eta]``.
        target: what it should have been.
        axis: the momenta of the true jets, which both are relative to, shape :math:`(B, 4)`.
        max_radius: half the width of the images.
    """

    output: Tensor
    target: Tensor
    axis: Tensor
    max_radius: float

    def __repr__(self) -> str:
        return _in_short(self)


@dataclass(repr=False)
class Reconstruction:
    """Reconstructed jets, one after another as in a PyG batch.

    Attributes:
        p4: real four-momenta (E, px, py, pz), shape :math:`(m, 4)`, in the unit of the input.
        ptr: offsets of the jets in ``p4``, shape :math:`(B+1,)`.
        latent: the codes, or ``None`` for models that do not show them.
        complex_p4: the complex four-vectors before the read-out, shape :math:`(m, 4)`, or ``None``.
        native: the same in the coordinates of models that do not work in four-momenta, or ``None``.
        images: the jets as images, if the model's outputs are pixels, whose momenta ``p4`` then are, or ``None``.
    """

    p4: Tensor
    ptr: Tensor
    latent: Latent | None = None
    complex_p4: Tensor | None = None
    native: Native | None = None
    images: Images | None = None

    __repr__ = _in_short


def offsets_of(batch: Any) -> Tensor:
    """The offsets ``ptr`` of a PyG batch; a single jet is a batch of one, and a jet without particles keeps its
    place.

    Raises:
        ValueError: if the batch has no momenta in ``pos`` or no particle at all, its particles are not sorted by
            jet, or ``ptr`` and ``batch`` do not fit.
    """
    pos = getattr(batch, "pos", None)
    if not isinstance(pos, Tensor):
        raise ValueError("the batch has no four-momenta: put (E, px, py, pz) into its field 'pos', as a tensor")
    if pos.dim() != 2 or pos.shape[-1] != 4:
        raise ValueError(f"'pos' must hold four-momenta, (n, 4), but has shape {tuple(pos.shape)}")
    if len(pos) == 0:
        raise ValueError("the batch has no particle: leave empty jets out")
    ptr, graph = getattr(batch, "ptr", None), getattr(batch, "batch", None)
    if ptr is None and graph is None:
        return torch.tensor([0, len(pos)], device=pos.device)
    return graph_offsets(len(pos), ptr, graph, getattr(batch, "num_graphs", None) if ptr is None else None)
