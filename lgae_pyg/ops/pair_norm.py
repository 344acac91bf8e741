r"""Batch normalisation of functions of pairs, with the statistics of all pairs but the memory of one chunk."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lgae_pyg.ops.joint import is_joint, joint_moments
from lgae_pyg.ops.pair_chunks import Pairs
from lgae_pyg.ops.pairs import walk_pairs


def pair_moments(
    function: Callable[..., Tensor],
    pairs: Pairs,
    targets: Sequence[Tensor],
    sources: Sequence[Tensor],
    features: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    r"""Mean and variance (without Bessel's correction) over all pairs of a function of pairs.

    The chunks' own moments are combined exactly, with the shares :math:`w_c` of the pairs,

    .. math:: \mu = \sum_c w_c \mu_c, \qquad \sigma^2 = \sum_c w_c \left( \sigma_c^2 + (\mu_c - \mu)^2 \right) .

    Zero when there are no pairs; in float32 at least. Arguments and errors are those of
    :func:`~lgae_pyg.ops.pairs.pair_sum`.

    Shapes:
        - targets, sources: :math:`(n, *)` each, features: :math:`(e, *)` each
        - **output:** twice :math:`(*)` for a function with output :math:`(\text{pairs}, *)`
    """

    def moments(values: Tensor, nodes: int, target: Tensor) -> tuple[Tensor, Tensor]:
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        return torch.var_mean(values, 0, correction=0) if len(values) else (values.sum(0), values.sum(0))

    walk = walk_pairs(function, moments, pairs, targets, sources, features)
    variances, means = map(torch.stack, zip(*(result for _, result in walk)))
    shares = [(end - begin) / max(pairs.count, 1) for slices in pairs.chunks() for begin, end in slices]
    weights = means.new_tensor(shares)
    mean = torch.tensordot(weights, means, 1)
    return mean, torch.tensordot(weights, variances + (means - mean).square(), 1)


def pair_batch_norm(
    norm: nn.BatchNorm1d,
    function: Callable[..., Tensor],
    pairs: Pairs,
    targets: Sequence[Tensor],
    sources: Sequence[Tensor],
    features: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    r"""What a batch normalisation does to the values :math:`z_{ij}` of a function of pairs,

    .. math:: \mathrm{BN}(z_{ij}) = \text{scale} \cdot z_{ij} + \text{shift} .

    In training, the statistics are those of all pairs of the batch, in all processes that train together; for
    them, the pairs are walked once more, and the running statistics are updated once. In evaluation nothing is
    walked. Behind a first linear layer, :meth:`~lgae_pyg.ops.pairs.SplitLinear.rescaled` makes the normalisation
    free on pairs.

    Args:
        norm: the layer; its statistics are updated in training.
        function: the values that it normalises, as in :func:`~lgae_pyg.ops.pairs.pair_sum`.
        pairs: the pairs.
        targets: node tensors that the function needs at :math:`i`.
        sources: node tensors that it needs at :math:`j`.
        features: tensors with one row per pair.

    Raises:
        ValueError: for statistics of a single pair.
        TypeError: for a ``SyncBatchNorm``; the statistics are those of all processes without it.

    Shapes:
        - targets, sources: :math:`(n, *)` each, features: :math:`(e, *)` each
        - **output:** scale and shift, :math:`(C,)` for a function with output :math:`(\text{pairs}, C)`
    """
    statistics = fixed_statistics(norm, pairs.count)
    if statistics is None:
        moments = pair_moments(function, pairs, targets, sources, features)
        statistics = joint_statistics(norm, *moments, pairs.count)
    return scale_and_shift(norm, *statistics)


def joint_statistics(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean and variance over the batch of all processes, which the running statistics of the layer follow.

    Args:
        norm: the layer, in training.
        mean: of the values of this process.
        variance: the same, without Bessel's correction.
        count: number of the values of this process.

    Raises:
        ValueError: for a single value in all processes.

    Shapes:
        - mean, variance: :math:`(C,)`
        - **output:** :math:`(C,)` twice
    """
    mean, variance, count = joint_moments(mean, variance, count)
    if count == 1:
        raise ValueError("a batch normalisation needs more than one value in training")
    follow_statistics(norm, mean.detach(), variance.detach(), count)
    return mean, variance


def scale_and_shift(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer does to values of this mean and variance, as :func:`pair_batch_norm` has it.

    Shapes:
        - mean, variance: :math:`(C,)`
        - **output:** :math:`(C,)` twice
    """
    scale = torch.rsqrt(variance + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias


def fixed_statistics(norm: nn.BatchNorm1d, count: int) -> tuple[Tensor, Tensor] | None:
    """The mean and the variance by which a layer normalises whatever it is given; none if by those of the batch.

    Args:
        norm: the layer.
        count: number of the pairs.

    Raises:
        ValueError: for statistics of a single pair.
        TypeError: for a ``SyncBatchNorm``; the statistics are those of all processes without it.

    Shapes:
        - **output:** :math:`(C,)` twice
    """
    if isinstance(norm, nn.SyncBatchNorm):
        raise TypeError("statistics of pairs are those of all processes without SyncBatchNorm: use BatchNorm1d")
    mean, variance = norm.running_mean, norm.running_var
    if not norm.training and mean is not None and variance is not None:
        return mean, variance
    if count == 1 and not is_joint():
        raise ValueError("a batch normalisation needs more than one pair in training")
    return None


def follow_statistics(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: int) -> None:
    """One step of the running statistics of a layer, if it has some, towards those of a batch, as in PyTorch.

    Args:
        norm: the layer.
        mean: mean over all pairs.
        variance: variance over all pairs, without Bessel's correction.
        count: number of the pairs; nothing is done without any.

    Shapes:
        - mean, variance: :math:`(C,)`
    """
    centre, width, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if not norm.track_running_stats or not count or centre is None or width is None or batches is None:
        return
    batches.add_(1)
    rate = batches.to(centre.dtype).reciprocal() if norm.momentum is None else norm.momentum
    centre.add_((mean - centre) * rate)
    width.add_((variance * count / (count - 1) - width) * rate)
