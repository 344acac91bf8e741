"""Reconstruction losses: pure functions of two lists of jets that return one value per jet."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from lgae_pyg.losses.chamfer import chamfer
from lgae_pyg.losses.emd import emd, emd_sinkhorn
from lgae_pyg.losses.hungarian import hungarian
from lgae_pyg.losses.jet_mse import jet_mse
from lgae_pyg.losses.mse import mse
from lgae_pyg.ops.assignment import assign
from lgae_pyg.ops.jets import jet_sum, pad_jets
from lgae_pyg.registry import choose

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "mse": mse,
    "chamfer": chamfer,
    "chamfer_minkowski": partial(chamfer, metric="minkowski"),
    "hungarian": hungarian,
    "jet_mse": jet_mse,
    "emd": emd,
    "emd_sinkhorn": emd_sinkhorn,
}


def get_loss(name: str) -> Loss:
    """The loss of this name, a function ``(p4, ptr, target, target_ptr) -> (B,)``.

    Args:
        name: one of :data:`LOSSES`. ``"chamfer_minkowski"``, ``"jet_mse"``, ``"emd"`` and ``"emd_sinkhorn"``
            compare four-momenta; the others take any columns.

    Shapes:
        - of the loss: p4 :math:`(n, F)`, target :math:`(m, F)`, ptr and target_ptr :math:`(B+1,)`; **output**
          :math:`(B,)`

    Raises:
        ValueError: if there is no such loss; the message lists those that there are.
    """
    return choose("loss", name, LOSSES)


__all__ = [
    "LOSSES",
    "Loss",
    "assign",
    "chamfer",
    "emd",
    "emd_sinkhorn",
    "get_loss",
    "hungarian",
    "jet_mse",
    "jet_sum",
    "mse",
    "pad_jets",
]
