"""Batch normalisation that does not depend on the number of processes."""

import torch
from torch import Tensor, nn

from lgae_pyg.ops.joint import is_joint
from lgae_pyg.ops.pair_norm import joint_statistics, scale_and_shift


class JointBatchNorm(nn.BatchNorm1d):
    r"""Batch normalisation (Ioffe and Szegedy, arXiv:1502.03167),

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta ,

    whose statistics in training are those of the rows of *all* processes that train together, on CPUs too, so that
    two processes with batches of 64 do what one does with 128. By itself, and in evaluation, it is
    ``BatchNorm1d``, with the same parameters, buffers and arguments.

    All processes must call it equally often; rows may be missing in some of them.

    Raises:
        ValueError: in training, for a single row.

    Shapes:
        - **input** and **output:** :math:`(n, C)`
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (is_joint() and self.training):
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        variance, mean = torch.var_mean(values, 0, correction=0) if len(values) else (values.sum(0),) * 2
        scale, shift = scale_and_shift(self, *joint_statistics(self, mean, variance, len(values)))
        return (values * scale + shift).to(input.dtype)
