r"""Exclusive clustering of jets in their own rest frame, and the way back: clusters that split into particles.

All that decides are energies and momenta in the rest frame of the total, so all observers find the same clusters,
in whatever order the particles come.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lgae_pyg.lorentz.frames import rest_frame, rounding
from lgae_pyg.lorentz.kinematics import energy, minkowski_dot, spatial


class Clustering(NamedTuple):
    r"""The clusters of a batch of jets, by falling rest energy, and how they split into particles again.

    Clusters are the first nodes, :math:`0 \ldots C - 1`. The :math:`k`-th split leaves the heavier part in the
    place of the node that splits, and makes the node :math:`C + k` of the lighter one.

    Attributes:
        momenta: sums of the four-momenta, :math:`(B, N, 4)`, zero where there is no cluster.
        imbalance: of each split, difference over sum of the rest energies of its parts, :math:`(B, N - 1)`, the
            last merging first; zero where there is none.
        parents: the node that splits, :math:`(B, N - 1)`; -1 where there is none.
    """

    momenta: Tensor
    imbalance: Tensor
    parents: Tensor


class Merging(NamedTuple):
    """One step of the clustering, for each jet of a batch.

    Attributes:
        heavier, lighter: the places that are merged, :math:`(B,)`; the sum stays in that of the heavier one.
        done: whether this jet had anything left to merge, :math:`(B,)`.
    """

    heavier: Tensor
    lighter: Tensor
    done: Tensor


def distances(p: Tensor) -> Tensor:
    r"""Distances of all pairs of momenta in the rest frame of their jet,

    .. math:: d_{ij} = \left| \frac{E_i \vec p_j - E_j \vec p_i}{E_i + E_j} \right| .

    It is the transverse momentum of both against their sum, and the error that is made when both are put on its
    axis: for light-like momenta :math:`d_{ij}^2 = 2 z (1 - z)\, p_i \cdot p_j` with :math:`z = E_i / (E_i + E_j)`.
    It vanishes for collinear momenta, however they share their energy, and for soft ones.

    Args:
        p: the momenta, zero where there is none.

    Shapes:
        - p: :math:`(B, N, 4)`
        - **output:** :math:`(B, N, N)`; infinite where a momentum is missing, and on the diagonal
    """
    e, there = energy(p), energy(p) > 0
    pairs = there.unsqueeze(1) & there.unsqueeze(2) & ~torch.eye(p.shape[1], dtype=torch.bool, device=p.device)
    velocity = spatial(p) / torch.where(there, e, 1.0).unsqueeze(-1)
    apart = torch.linalg.vector_norm(velocity.unsqueeze(1) - velocity.unsqueeze(2), dim=-1)
    sums = torch.where(pairs, e.unsqueeze(1) + e.unsqueeze(2), 1.0)
    return (e.unsqueeze(1) * e.unsqueeze(2) / sums * apart).masked_fill(~pairs, torch.inf)


def exclusive_clusters(slots: Tensor, clusters: int) -> Clustering:
    """Merges the two nearest momenta of each jet (:func:`distances`), again and again, until so many are left.

    Collinear ones are merged in any case, so a particle and its collinear pieces make the same clusters.

    Args:
        slots: the particles, zero where there is none.
        clusters: the largest number of clusters.

    Shapes:
        - slots: :math:`(B, N, 4)`
    """
    rest, momenta, steps, imbalances = rest_frame(slots, slots.sum(1, keepdim=True)), slots, [], []
    for _ in range(slots.shape[1] - 1):
        step = _nearest(rest, energy(momenta), clusters)
        if not step.done.any():
            break
        move = _transfer(step, slots.shape[1]).to(slots.dtype).unsqueeze(-1)
        parts = [energy(rest).gather(1, place.unsqueeze(1)) for place in (step.heavier, step.lighter)]
        imbalances.append((parts[0] - parts[1]) / torch.where(step.done.unsqueeze(1), parts[0] + parts[1], 1.0))
        steps.append(step)
        rest = rest + move * _at(rest, step.lighter)
        momenta = momenta + move * _at(momenta, step.lighter)
    return _backwards(rest, momenta, steps, imbalances)


def split_clusters(clustering: Clustering, sizes: Tensor) -> Tensor:
    r"""The particles of clusters, all along its momentum: the parts of a split of imbalance :math:`s` have the
    shares :math:`(1 \pm s) / 2` of what it divides.

    Args:
        clustering: the clusters and their splits.
        sizes: the number of particles of each jet.

    Shapes:
        - sizes: :math:`(B,)`
        - **output:** :math:`(B, N, 4)`, the particles first
    """
    momenta, imbalance, parents = clustering
    jets, places = momenta.shape[:2]
    split = parents >= 0
    first = sizes - split.sum(1)
    cluster = torch.arange(places, device=momenta.device).expand(jets, -1)
    share = (cluster < first.unsqueeze(1)).to(momenta.dtype)
    for k in range(int(split.sum(1).max()) if jets else 0):
        parent, new = parents[:, k].clamp(min=0).unsqueeze(1), (first + k).clamp(max=places - 1).unsqueeze(1)
        part = share.gather(1, parent) * (1 - imbalance[:, k : k + 1]) / 2 * split[:, k : k + 1]
        share = share.scatter_add(1, parent, -part).scatter_add(1, new, part)
        owner = torch.where(split[:, k : k + 1], cluster.gather(1, parent), cluster.gather(1, new))
        cluster = cluster.scatter(1, new, owner)
    return share.unsqueeze(-1) * momenta.gather(1, cluster.unsqueeze(-1).expand_as(momenta))


@torch.no_grad()
def _nearest(rest: Tensor, lab_energy: Tensor, clusters: int) -> Merging:
    """The two that are merged next, the nearest ones: if there are too many clusters, or if they may be apart by
    rounding alone."""
    e, places = energy(rest), rest.shape[1]
    distance, pair = distances(rest).flatten(1).min(1)
    pair = torch.stack([pair // places, pair % places], 1)
    heavier, lighter = pair.gather(1, e.gather(1, pair).argsort(dim=1, descending=True, stable=True)).unbind(1)
    big, small = e.gather(1, pair).sort(1, descending=True).values.unbind(1)
    lab = lab_energy.gather(1, torch.stack([lighter, heavier], 1))
    size = (lab[:, 0] * big + lab[:, 1] * small) / torch.where(big > 0, big + small, 1.0)
    done = distance.isfinite() & (((e > 0).sum(1) > clusters) | (distance <= rounding(size)))
    return Merging(heavier, lighter, done)


def _transfer(step: Merging, places: int) -> Tensor:
    """What becomes of the lighter momentum in each place, :math:`(B, N)`: added, taken away, or nothing."""
    place = torch.arange(places, device=step.done.device)
    into, out_of = (place == one.unsqueeze(1) for one in (step.heavier, step.lighter))
    return (into.long() - out_of.long()) * step.done.unsqueeze(1)


def _at(values: Tensor, place: Tensor) -> Tensor:
    """The momentum of each jet in one place, :math:`(B, 1, 4)`."""
    return values.gather(1, place.view(-1, 1, 1).expand(-1, 1, values.shape[-1]))


def _backwards(rest: Tensor, momenta: Tensor, steps: list[Merging], imbalances: list[Tensor]) -> Clustering:
    """The clusters in order, and the merging told from its end."""
    jets, places = rest.shape[:2]
    e = energy(rest)
    left = e > 0
    total = momenta.sum(1, keepdim=True)
    key = minkowski_dot(momenta, total)
    key = key + rounding(energy(momenta) * energy(total))  # two alone have one rest energy: their energy decides
    order = key.masked_fill(~left, -torch.inf).argsort(dim=1, descending=True, stable=True)
    momenta = momenta.gather(1, order.unsqueeze(-1).expand_as(momenta))
    imbalance, parents = e.new_zeros(jets, places - 1), left.new_full((jets, places - 1), -1, dtype=torch.long)
    if not steps:
        return Clustering(momenta, imbalance, parents)
    heavier, lighter, done = (torch.stack(parts, 1) for parts in zip(*steps))
    count = done.sum(1, keepdim=True)
    place = torch.arange(len(steps), device=e.device)
    node = torch.empty_like(order).scatter(1, order, torch.arange(places, device=e.device).expand_as(order))
    made = left.sum(1, keepdim=True) + count - 1 - place
    node = node.scatter(1, torch.where(done, lighter, lighter[:, :1]), torch.where(done, made, made[:, :1]))
    last_first = (count - 1 - place).clamp(min=0)
    there = place < count
    parents[:, : len(steps)] = node.gather(1, heavier).gather(1, last_first).masked_fill(~there, -1)
    told = torch.cat(imbalances, 1).gather(1, last_first) * there
    return Clustering(momenta, torch.nn.functional.pad(told, (0, places - 1 - len(steps))), parents)
