"""The optimiser Lion (Chen et al., arXiv:2302.06675): steps of equal size along the sign of a momentum."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class Lion(torch.optim.Optimizer):
    r"""Lion: with gradients :math:`g`, parameters :math:`\theta` and their momentum :math:`m`, 0 at first,

    .. math:: \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\, \mathrm{sgn}(\beta_1 m + (1 - \beta_1)\, g),
        \qquad m \leftarrow \beta_2 m + (1 - \beta_2)\, g .

    Every number of a parameter moves by :math:`\eta`, so the learning rate is 3 to 10 times smaller than Adam's,
    and the weight decay :math:`\lambda` larger by as much.

    Args:
        params: what is changed; complex parameters as pairs of numbers.
        lr: the learning rate :math:`\eta`.
        betas: :math:`\beta_1` and :math:`\beta_2`.
        weight_decay: :math:`\lambda`.

    Raises:
        ValueError: for a negative learning rate or weight decay, or betas outside of [0, 1).
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        if lr < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Lion cannot step with lr={lr}, betas={betas}, weight_decay={weight_decay}")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes a step; returns what the closure, which computes the gradients anew, returns."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            (first, second), rate = group["betas"], group["lr"]
            for parameter in (one for one in group["params"] if one.grad is not None):
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                p, g, m = (
                    torch.view_as_real(one) if one.is_complex() else one
                    for one in (parameter, parameter.grad, momentum)
                )
                p.mul_(1 - rate * group["weight_decay"]).sub_(torch.lerp(g, m, first).sign_(), alpha=rate)
                m.lerp_(g, 1 - second)
        return loss
