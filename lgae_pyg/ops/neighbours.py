r"""Neighbours of the particles of a jet: the nearest in some coordinates, and the Lorentz-invariant friends.

Both are edges, source :math:`j` in row 0 and target :math:`i` in row 1, sorted by target; a particle is never its
own neighbour, and a jet of :math:`n` particles offers :math:`\min(k, n - 1)` of them. Particles of other jets do
not enter, so that no result depends on what is in the batch beside a jet. No gradient flows through a choice.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lgae_pyg.ops.backends.door import say_cost
from lgae_pyg.ops.graphs import dense_layout, node_slots, node_to_graph

#: Largest number of entries of a matrix of scores that is held at once.
MAX_SCORES = 1 << 24
#: Larger for nearer particles: (B, M, N) of (B, M, D) and (B, N, D).
Score = Callable[[Tensor, Tensor], Tensor]


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
    return _strongest(products, p4.detach().double(), ptr, k)


def closeness(rows: Tensor, points: Tensor) -> Tensor:
    """Minus the distances of some particles of padded jets from all of them, :math:`(B, M, D)` and
    :math:`(B, N, D)` to :math:`(B, M, N)`."""
    return -torch.cdist(rows, points, compute_mode="donot_use_mm_for_euclid_dist")


def products(rows: Tensor, p4: Tensor) -> Tensor:
    """Their Minkowski products, of the same shapes."""
    metric = p4.new_tensor([1.0, -1.0, -1.0, -1.0])
    return (rows * metric) @ p4.mT


def padded_neighbours(score: Score, values: Tensor, exists: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The :math:`k` neighbours of largest score of each particle of padded jets, whatever the number of places:
    the places of the neighbours, and which of these are neighbours (the others are any place).

    Args:
        score: :func:`closeness` or :func:`products`.
        values: what it takes.
        exists: which places hold a particle.
        k: number of neighbours.

    Shapes:
        - values: :math:`(B, N, D)`, exists: :math:`(B, N)`
        - **output:** :math:`(B, N, k)` twice
    """
    barred = _barred(exists)
    scores = score(values, values).masked_fill(barred, -torch.inf)
    places = torch.nn.functional.pad(scores, (0, k), value=-torch.inf).topk(k, dim=-1).indices
    found = torch.nn.functional.pad(~barred.expand_as(scores), (0, k), value=False).gather(-1, places)
    return places.clamp(max=values.shape[1] - 1), found


def at_places(values: Tensor, places: Tensor) -> Tensor:
    """What particles of padded jets have at places of their own jet.

    Shapes:
        - values: :math:`(B, N, F)`, places: :math:`(B, N, k)`
        - **output:** :math:`(B, N, k, F)`
    """
    jets, size, width = values.shape
    rows = places + size * torch.arange(jets, device=places.device).view(-1, 1, 1)
    return values.reshape(-1, width).index_select(0, rows.flatten()).view(*places.shape, width)


def _strongest(score: Score, values: Tensor, ptr: Tensor, k: int) -> Tensor:
    """Edges along the k largest scores of each row; ``score`` makes (B, M, N) of (B, M, D) and (B, N, D). Of large
    jets, some rows at a time."""
    if k < 1:
        raise ValueError(f"the number of neighbours must be positive, not {k}")
    say_cost(ptr, values)
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


def _top(score: Score, dense: Tensor, exists: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Slots of the k largest scores of each row, and whether they hold a particle."""
    rows, parts = max(1, MAX_SCORES // dense.shape[1]), []
    for first, some in zip(range(0, dense.shape[1], rows), dense.split(rows, dim=1)):
        barred = _barred(exists, first, some.shape[1])
        slots = score(some, dense).masked_fill(barred, -torch.inf).topk(k, dim=-1).indices
        parts.append((slots, ~barred.expand(-1, some.shape[1], -1).gather(-1, slots)))
    slots, found = (torch.cat(part, dim=1) for part in zip(*parts))
    return slots, found


def _barred(exists: Tensor, first: int = 0, rows: int | None = None) -> Tensor:
    """The pairs (i, j), for all i or some, in which j is no particle or is i; from (B, N) to (B, M, N)."""
    place = torch.arange(exists.shape[1], device=exists.device)
    own = place if rows is None else place[first : first + rows]
    return ~exists.unsqueeze(1) | (place == own.unsqueeze(-1))
