r"""Sums over pairs: the ground on which edge networks stand.

An edge network computes :math:`m_{ij} = \mathrm{MLP}([x_i, x_j, d_{ij}])` on every pair of particles of a jet and
sums over the neighbours :math:`j`. Two things make this cheap without changing a number:

- the first linear layer splits into node terms, :func:`split_linear`, computed once per particle;
- the pairs are walked in chunks, :func:`pair_sum`, and each chunk is computed again in the backward pass, so that
  the memory is that of one chunk.

A layer is then the split, a function of one chunk of pairs, and the sum::

    first = split_linear(x, linear.weight, linear.bias)

    def message(a_i, x_i, b_j, x_j):
        return mlp(first.join(a_i, b_j, distance(x_i, x_j)))

    summed = pair_sum(message, all_pairs(ptr), (first.target, x), (first.source, x))
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from lgae_pyg.ops.pair_chunks import CompleteGroup, EdgeGroup, Pairs

REDUCTIONS = ("sum", "mean")

#: A function of one chunk of pairs, called with the rows of the target tensors at i, of the source tensors at j
#: and of the pair features; returns one tensor with a row per pair, or a tuple of such.
PairFunction = Callable[..., Tensor | tuple[Tensor, ...]]
#: Rows of some tensors, one for each pair or node of a chunk.
Rows = Sequence[Tensor]


class SplitLinear(NamedTuple):
    r"""A linear layer on :math:`[x_i, x_j, d_{ij}]` in three parts (see :func:`split_linear`).

    Attributes:
        target: :math:`W_a x_i + b`, shape :math:`(n, \text{out})`.
        source: :math:`W_b x_j`, shape :math:`(n, \text{out})`.
        pair: :math:`W_d`, shape :math:`(\text{out}, D)`.
    """

    target: Tensor
    source: Tensor
    pair: Tensor

    def join(self, target: Tensor, source: Tensor, features: Tensor | None = None) -> Tensor:
        r"""The layer's output on pairs, :math:`(W_a x_i + b) + W_b x_j + W_d d_{ij}`.

        Args:
            target: rows of :attr:`target` at :math:`i`.
            source: rows of :attr:`source` at :math:`j`.
            features: :math:`d_{ij}`; none when the layer has no pair features.

        Shapes:
            - target, source: :math:`(e, \text{out})`, features: :math:`(e, D)`
            - **output:** :math:`(e, \text{out})`
        """
        if features is None:
            return target + source
        return torch.addmm(target + source, features, self.pair.T)

    def rescaled(self, scale: Tensor, shift: Tensor) -> "SplitLinear":
        """The split of the layer followed by ``scale * output + shift``, such as a folded batch normalisation.

        Shapes:
            - scale, shift: :math:`(\\text{out},)`
        """
        return SplitLinear(self.target * scale + shift, self.source * scale, self.pair * scale.unsqueeze(-1))


def split_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> SplitLinear:
    r"""Splits a linear layer on concatenated pairs into node terms and a pair weight,

    .. math:: W [x_i, x_j, d_{ij}] + b = (W_a x_i + b) + W_b x_j + W_d d_{ij}, \qquad W = [W_a, W_b, W_d] .

    Args:
        x: node features.
        weight: the layer's weight; its columns beyond :math:`2F` act on the pair features.
        bias: the layer's bias.

    Raises:
        ValueError: if the weight has fewer than :math:`2F` columns.

    Shapes:
        - x: :math:`(*, F)`, weight: :math:`(\text{out}, 2F + D)`, bias: :math:`(\text{out},)`
    """
    width = x.shape[-1]
    features = weight.shape[1] - 2 * width
    if features < 0:
        raise ValueError(f"a layer of {weight.shape[1]} inputs cannot act on pairs of {width} features each")
    target, source, pair = weight.split([width, width, features], 1)
    return SplitLinear(torch.nn.functional.linear(x, target, bias), torch.nn.functional.linear(x, source), pair)


def pair_sum(
    function: PairFunction,
    pairs: Pairs,
    targets: Sequence[Tensor],
    sources: Sequence[Tensor],
    features: Sequence[Tensor] = (),
    reduce: str | Sequence[str] = "sum",
    recompute: bool = True,
) -> Tensor | tuple[Tensor, ...]:
    r"""Sums or means over the neighbours of a function of pairs,

    .. math:: y_i = \sum_{j \in N_i} f(u_i, v_j, d_{ij}) \quad\text{or}\quad
        y_i = \frac{1}{|N_i|} \sum_{j \in N_i} f(u_i, v_j, d_{ij}),

    zero where a particle has no neighbours. The pairs are walked in chunks. When there are several, only the sums
    are kept, and each chunk is computed again in the backward pass (``torch.utils.checkpoint``: the function may
    use parameters and other tensors from outside, dropout and autocast; gradients have gradients). What the
    function takes from outside must then still be the same; a variable bound to something else since is refused.

    Args:
        function: called as ``function(*targets_i, *sources_j, *features_ij)`` with one row per pair of the chunk;
            returns one tensor or a tuple. It must treat pairs independently: batch normalisation in training
            needs ``max_pairs=None``, or :func:`~lgae_pyg.ops.pair_norm.pair_batch_norm`.
        pairs: the pairs, from :func:`~lgae_pyg.ops.pair_chunks.all_pairs` or
            :func:`~lgae_pyg.ops.pair_chunks.edge_pairs`.
        targets: node tensors that the function needs at :math:`i`.
        sources: node tensors that it needs at :math:`j`.
        features: tensors with one row per pair, in the order of the pairs (that of ``edge_index``, or of
            :func:`~lgae_pyg.ops.graphs.complete_graph`).
        reduce: ``"sum"`` or ``"mean"``, for all outputs or for each.
        recompute: whether chunks are computed again in the backward pass; storing them is faster and takes memory
            for all pairs. A single chunk is always stored.

    Raises:
        ValueError: for an unknown reduction, a wrong number of them, or tensors that do not fit the pairs.
        RuntimeError: if the function takes batch statistics and sees the pairs in several chunks, or if a variable
            that it uses was bound to something else before the backward pass.

    Shapes:
        - targets, sources: :math:`(n, *)` each, features: :math:`(e, *)` each
        - **output:** :math:`(n, *)` for each output :math:`(\text{pairs}, *)` of the function
    """
    single = False

    def add_up(outputs: Tensor | tuple[Tensor, ...], nodes: int, target: Tensor) -> tuple[Tensor, ...]:
        nonlocal single
        single = isinstance(outputs, Tensor)
        parts = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(part.new_zeros(nodes, *part.shape[1:]).index_add(0, target, part) for part in parts)

    totals: list[tuple[Tensor, ...]] = []
    for group, parts in walk_pairs(function, add_up, pairs, targets, sources, features, recompute):
        if group == len(totals):
            totals.append(parts)
        else:
            totals[group] = tuple(map(torch.add, totals[group], parts))
    sums = _means([torch.cat(parts) for parts in zip(*totals)], pairs, reduce)
    return sums[0] if single else sums


def _means(sums: list[Tensor], pairs: Pairs, reduce: str | Sequence[str]) -> tuple[Tensor, ...]:
    """Divides the sums that shall be means by the numbers of neighbours."""
    reductions = len(sums) * [reduce] if isinstance(reduce, str) else list(reduce)
    if unknown := set(reductions) - set(REDUCTIONS):
        raise ValueError(f"unknown reduction '{unknown.pop()}': choose one of {', '.join(REDUCTIONS)}")
    if len(reductions) != len(sums):
        raise ValueError(f"{len(reductions)} reductions for {len(sums)} outputs of the function")
    if "mean" not in reductions:
        return tuple(sums)
    neighbours = torch.cat([group.degrees() for group in pairs.groups]).clamp(min=1)
    return tuple(
        part / neighbours.to(part.dtype).view(-1, *[1] * (part.dim() - 1)) if how == "mean" else part
        for part, how in zip(sums, reductions)
    )


def walk_pairs(
    function: PairFunction,
    reduce: Callable[[Any, int, Tensor], tuple[Tensor, ...]],
    pairs: Pairs,
    targets: Sequence[Tensor],
    sources: Sequence[Tensor],
    features: Sequence[Tensor] = (),
    recompute: bool = True,
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """Applies ``function`` and then ``reduce`` to each chunk; yields the number of its group and the result.

    ``reduce`` is given the function's output, the number of nodes of the group and each pair's target among them.
    Other arguments and errors are those of :func:`pair_sum`.
    """
    for kind, tensors, rows in (("node", (*targets, *sources), pairs.nodes), ("pair", features, pairs.count)):
        if wrong := [len(tensor) for tensor in tensors if len(tensor) != rows]:
            raise ValueError(f"a {kind} tensor has {wrong[0]} rows for {rows} {kind}s")
    chunks = pairs.chunks()
    several = sum(map(len, chunks)) > 1
    nodes = [group.nodes for group in pairs.groups]
    lengths = [end - begin for slices in chunks for begin, end in slices]
    at_targets, at_sources = (_transposed([t.split(nodes) for t in ts], len(nodes)) for ts in (targets, sources))
    at_pairs = iter(_transposed([feature.split(lengths) for feature in features], len(lengths)))

    def run(
        group: CompleteGroup | EdgeGroup, begin: int, end: int, at_i: Rows, at_j: Rows, at_ij: Rows
    ) -> tuple[Tensor, ...]:
        source, target = group.indices(begin, end)
        rows = [t.index_select(0, target) for t in at_i] + [s.index_select(0, source) for s in at_j]
        _refuse_rebound(captured, _captured(function))
        return reduce(function(*rows, *at_ij), group.nodes, target)

    captured = _captured(function)
    again = several and recompute and torch.is_grad_enabled()
    call = partial(checkpoint, run, use_reentrant=False) if again else run
    for number, (group, at_i, at_j) in enumerate(zip(pairs.groups, at_targets, at_sources)):
        for begin, end in chunks[number]:
            with _RefuseBatchStatistics() if several else nullcontext():
                result = call(group, begin, end, at_i, at_j, next(at_pairs))
            yield number, result


def _transposed(pieces: list[tuple[Tensor, ...]], length: int) -> list[tuple[Tensor, ...]]:
    return list(zip(*pieces)) if pieces else [()] * length


def _captured(function: Callable, seen: tuple[Callable, ...] = ()) -> list[tuple[str, object]]:
    """The variables that a function takes from the functions around it, also through functions among them."""
    found: list[tuple[str, object]] = []
    if isinstance(function, FunctionType) and function not in seen:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                value = cell.cell_contents
            except ValueError:  # not bound to anything yet
                value = None
            found += [(name, value), *_captured(value, (*seen, function))]
    return found


def _refuse_rebound(before: list[tuple[str, object]], now: list[tuple[str, object]]) -> None:
    """Stops a computation that would be repeated with other values than the first time."""
    for (name, first), (_, second) in zip(before, now):
        if first is not second:
            raise RuntimeError(
                f"'{name}', used by a function of pairs, was bound to something else before the backward pass, in "
                "which the function is called again: use another name"
            )


class _RefuseBatchStatistics(TorchFunctionMode):
    """Stops a function that would normalise one chunk by the statistics of that chunk."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.nn.functional.batch_norm, torch.batch_norm):
            training = kwargs["training"] if "training" in kwargs else len(args) > 5 and args[5]
        else:
            training = func is torch.batch_norm_stats
        if training:
            raise RuntimeError(
                "batch normalisation would take its statistics from one chunk of the pairs: use max_pairs=None "
                "(the whole batch at once), evaluation mode, or pair_batch_norm"
            )
        return func(*args, **kwargs)
