"""How exactly the momenta of jets are known: the format they were given in, and the frame in which they were."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Formats of momenta, from the finest to the coarsest.
FORMATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def coarser(*formats: torch.dtype) -> torch.dtype:
    """The one of some floating-point formats that resolves least."""
    return max(formats, key=lambda dtype: torch.finfo(dtype).eps)


def rounding_at_rest(given: torch.dtype, jets: int) -> Tensor:
    r"""The field ``rounding`` of jets in the frame in which they were given, :math:`(\epsilon, 1, 0, 0, 0)`.

    Shapes:
        - **output**: :math:`(J, 5)`, float64
    """
    return torch.tensor([[torch.finfo(given).eps, 1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).repeat(jets, 1)


def moved_rounding(rounding: Tensor, transform: Tensor) -> Tensor:
    r"""The field after a Lorentz transformation of the jets, :math:`(\epsilon, \Lambda u)`.

    Shapes:
        - **rounding**: :math:`(J, 5)`, **transform**: :math:`(4, 4)` or :math:`(J, 4, 4)`
    """
    moved = (transform.double() @ rounding[:, 1:].double().unsqueeze(-1)).squeeze(-1)
    return torch.cat([rounding[:, :1].double(), moved], dim=1)


def format_of(rounding: Tensor) -> torch.dtype:
    """The coarsest format among jets, by the field ``rounding``, (J, 5)."""
    largest = 1.5 * float(rounding[:, 0].max()) if len(rounding) else 0.0
    return coarser(*(one for one in FORMATS if torch.finfo(one).eps <= largest), FORMATS[0])


def given_precision(batch: Any) -> torch.dtype:
    """:attr:`JetData.given`, also of a graph that is no ``JetData``: the precision of ``pos``."""
    given = getattr(batch, "given", None)
    return given if isinstance(given, torch.dtype) else batch.pos.dtype


def given_of(batch: Any) -> tuple[torch.dtype, Tensor | None]:
    """The format in which the momenta were given, and the four-velocity of the frame in which they were.

    Shapes:
        - **output**: of the frame :math:`(B, 4)`; ``None`` if the jets do not say it
    """
    rounding = getattr(batch, "rounding", None)
    return given_precision(batch), None if rounding is None else rounding[:, 1:]
