"""An exponential moving average of the weights of a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class WeightAverage:
    r"""Keeps the average :math:`\bar\theta` of the weights of a network over its steps,

    .. math:: \bar\theta_t = d_t\, \bar\theta_{t-1} + (1 - d_t)\, \theta_t, \qquad
        d_t = \min\!\big(d, \tfrac{1 + t}{10 + t}\big),

    so that random weights of the begin are soon forgotten. Buffers, the statistics of normalisations, are averaged
    as parameters are; whole numbers are copied.

    Args:
        model: the network; the average begins with what it is now.
        decay: :math:`d`.

    Attributes:
        is_shown: whether the network has the average now, and the average its weights.

    Raises:
        ValueError: if the decay is not between 0 and 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.steps = model, check_decay(decay), 0
        self.is_shown = False
        self.values = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights of a further step in."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point() or value.is_complex():
                self.values[name].lerp_(value, 1 - decay)
            else:
                self.values[name].copy_(value)

    @torch.no_grad()
    def exchange(self) -> None:
        """Exchanges the weights of the network and their average; done twice, all is as before."""
        for name, value in self.model.state_dict().items():
            kept = value.clone()
            value.copy_(self.values[name])
            self.values[name].copy_(kept)
        self.is_shown = not self.is_shown

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within this context, the network has the averaged weights."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def state_dict(self) -> dict[str, Any]:
        """The average, and how many steps are in it."""
        return {"steps": self.steps, "values": dict(self.values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned."""
        self.steps = state["steps"]
        for name, value in self.values.items():
            value.copy_(state["values"][name])


def check_decay(decay: float) -> float:
    """Returns the decay of an average.

    Raises:
        ValueError: if it is not between 0 and 1.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"trainer.ema={decay}: the decay of the averaged weights is between 0 and 1, like 0.999")
    return float(decay)
