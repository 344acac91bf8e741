r"""Neighbours of the particles of a jet: the nearest in some coordinates, and the Lorentz-invariant friends.

Both are edges, source :math:`j` in row 0 and target :math:`i` in row 1, sorted by target; a particle is never its
own neighbour, and a jet of :math:`n` particles offers :math:`\min(k, n - 1)` of them. Particles of other jets do
not enter, so that no result depends on what is in the batch beside a jet. No gradient flows through a choice.
"""

import torch
from torch import Tensor

from lgae_pyg.ops.graphs import dense_layout, node_slots, node_to_graph

#: Largest number of entries of a matrix of scores that is held at once.
MAX_SCORES = 1 << 24


@torch.no_grad()
def nearest_neighbours(points: Tensor, ptr: Tensor, k: int) -> Tensor:
    r"""Edges from the :math:`k` nearest particles :math:`j` to each particle :math:`i`, by
    :math:`|x_i - x_j|`, nearest first.

    Distances are taken from differences, not from squares, so that close particles are told apart. Among equally
    near ones the choice is arbitrary.

    Args:
        points: coordinates of the particles.
        ptr: offsets of the jets.
        k: number of neighbours.

    Raises:
        ValueError: if ``k`` is not positive.

    Shapes:
        - points: :math:`(n, D)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(2, \sum_b n_b \min(k, n_b - 1))`
    """

    def closeness(dense: Tensor) -> Tensor:
        return -torch.cdist(dense, dense, compute_mode="donot_use_mm_for_euclid_dist")

    return _strongest(closeness, points.detach(), ptr, k)


@torch.no_grad()
def friends(p4: Tensor, ptr: Tensor, k: int) -> Tensor:
    r"""Edges from the :math:`k` particles :math:`j` with the largest products
    :math:`\langle p_i, p_j \rangle` to each particle :math:`i`, the largest first: a choice that no Lorentz
    transformation changes.

    Args:
        p4: four-momenta; products are taken in float64.
        ptr: offsets of the jets.
        k: number of friends.

    Raises:
        ValueError: if ``k`` is not positive.

    Shapes:
        - p4: :math:`(n, 4)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(2, \sum_b n_b \min(k, n_b - 1))`
    """

    def products(dense: Tensor) -> Tensor:
        metric = dense.new_tensor([1.0, -1.0, -1.0, -1.0])
        return (dense * metric) @ dense.mT

    return _strongest(products, p4.detach().double(), ptr, k)


def _strongest(score, values: Tensor, ptr: Tensor, k: int) -> Tensor:
    """Edges along the k largest scores of each row; ``score`` makes (B, N, N) of (B, N, D)."""
    if k < 1:
        raise ValueError(f"the number of neighbours must be positive, not {k}")
    layout = dense_layout(ptr, nodes=len(values))
    if layout.slots < 2:
        return ptr.new_empty(2, 0)
    dense = layout.scatter(values)
    exists = layout.scatter(torch.ones_like(values[:, 0], dtype=torch.bool), fill=False)
    wanted, jets = min(k, layout.slots - 1), max(1, MAX_SCORES // layout.slots**2)
    parts = [_top(score, *pair, wanted) for pair in zip(dense.split(jets), exists.split(jets))]
    slots, found = (torch.cat(part) for part in zip(*parts))
    first = ptr[:-1][node_to_graph(ptr, len(values))]
    sources, found = layout.gather(slots) + first.unsqueeze(-1), layout.gather(found)
    targets = (first + node_slots(ptr, len(values))).unsqueeze(-1).expand_as(sources)
    return torch.stack([sources[found], targets[found]])


def _top(score, dense: Tensor, exists: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Slots of the k largest scores of each row, and whether they hold a particle."""
    self_loop = torch.eye(dense.shape[1], dtype=torch.bool, device=dense.device)
    barred = ~exists.unsqueeze(1) | self_loop
    slots = score(dense).masked_fill(barred, -torch.inf).topk(k, dim=-1).indices
    return slots, ~barred.expand(-1, dense.shape[1], -1).gather(-1, slots)
