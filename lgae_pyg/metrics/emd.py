"""Exact energy mover's distance, for evaluation."""

import torch
from torch import Tensor

from lgae_pyg.losses.emd import emd
from lgae_pyg.ops.threads import Progress


@torch.no_grad()
def exact_emd(
    p4: Tensor,
    ptr: Tensor,
    target: Tensor,
    target_ptr: Tensor,
    relative_to: str | None = "target",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    r"""Exact energy mover's distance per jet, in float64.

    The definition is that of :func:`lgae_pyg.losses.emd`, and of ``energyflow.emd.emd`` with :math:`R = 1`,
    :math:`\beta = 1` and without normalisation, on the columns :math:`(p_T, \eta, \phi)`. The anomaly score of
    the published code (arXiv:2212.07347, section 4.3) is that with ``relative_to="own"``.

    Args are those of :func:`lgae_pyg.losses.emd`. The result does not depend on ``threads``, and ``progress`` is
    called from the calling thread.

    Shapes:
        - **output**: :math:`(B,)` float64, without unit (with ``relative_to=None`` in that of the momenta)

    Raises:
        ValueError: if these are no four-momenta, ``relative_to`` is unknown, the numbers of jets differ, or a
            jet is empty.
        ImportError: if Python Optimal Transport is not installed.
    """
    return emd(p4.double(), ptr, target.double(), target_ptr, relative_to, threads, progress)
