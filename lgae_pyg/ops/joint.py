r"""Statistics of the jets of all processes that train together."""

from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.autograd.function import once_differentiable


def is_joint() -> bool:
    """Whether several processes train together (``torch.distributed`` was set up for more than one)."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return distributed and torch.distributed.get_world_size() > 1


def joint_sum(values: Tensor) -> Tensor:
    r"""The sum of a tensor over the processes, :math:`s = \sum_r v_r`, in all of them.

    With gradients: where process :math:`r` has the loss :math:`L_r`, :math:`v_r` gets that of
    :math:`\sum_{r'} L_{r'}`. All processes must call this, forward and backward, in the same order.

    Shapes:
        - values and **output:** :math:`(*)`, the same in all processes
    """
    return _JointSum.apply(values)


def joint_moments(mean: Tensor, variance: Tensor, count: int) -> tuple[Tensor, Tensor, int]:
    r"""Mean and variance of the values of all processes from those of each, and how many values there are,

    .. math::
        \mu = \frac{\sum_r n_r \mu_r}{\sum_r n_r}, \qquad
        \sigma^2 = \frac{\sum_r n_r \left( \sigma_r^2 + (\mu_r - \mu)^2 \right)}{\sum_r n_r} ,

    as they are with a single process. Summed in float64.

    Args:
        mean: of the values of this process; anything finite without values.
        variance: the same, without Bessel's correction.
        count: number of the values of this process.

    Shapes:
        - mean, variance: :math:`(C,)`
        - **output:** :math:`(C,)` twice, and a number
    """
    if not is_joint():
        return mean, variance, count
    own, dtype = mean.double(), mean.dtype
    sums = joint_sum(torch.cat([count * own, own.new_tensor([count])]))
    total = int(sums[-1])
    common = sums[:-1] / max(total, 1)
    spread = joint_sum(count * (variance.double() + (own - common).square())) / max(total, 1)
    return common.to(dtype), spread.to(dtype), total


class _JointSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return _summed(upstream)


def _summed(values: Tensor) -> Tensor:
    values = values.detach().clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(values)
    return values
