"""The offsets of sorted groups, from either of the two ways PyG names them."""

import torch
from torch import Tensor

from lgae_pyg.ops.graphs import pointers


def offsets(index: Tensor | None, ptr: Tensor | None, dim_size: int | None) -> Tensor:
    """Returns ``ptr``, made from a sorted ``index`` where it is not given.

    Raises:
        ValueError: if neither is given, or ``index`` is not sorted.
    """
    if ptr is not None:
        return ptr
    if index is None:
        raise ValueError("an aggregation needs the graph of each node: pass index (batch) or ptr")
    if len(index) > 1 and bool((index[1:] < index[:-1]).any()):
        raise ValueError("the nodes must be sorted by graph: index may not fall")
    return pointers(torch.bincount(index, minlength=dim_size or 0))
