r"""Anomaly scores: how badly a jet is rebuilt (arXiv:2212.07347, section 4.3).

Each score is a function of the true and the rebuilt particles of a jet, real particles only; larger means more
anomalous. Particles are compared in several *spaces*, sets of coordinates of a particle:

* ``cartesian``: :math:`(E, p_x, p_y, p_z)`;
* ``polar``: :math:`(E, p_T, \eta, \phi)`;
* ``scaled_cartesian``, ``scaled_polar``: the same, energies divided by the :math:`p_T` of the true jet;
* ``relative``: :math:`(p_T^\text{rel}, \eta^\text{rel}, \phi^\text{rel})`, each jet relative to itself;
* ``lorentz``: no coordinates; two particles are :math:`\sqrt{|(p - q)^2|}` apart, the same to all observers;

and in several ways:

* ``chamfer``: :math:`\frac1n \sum_i \min_j d_{ij} + \frac1m \sum_j \min_i d_{ij}`;
* ``hungarian``: :math:`\frac1k \sum_{(i, j)} d_{ij}^2` over the one-to-one assignment with the smallest
  :math:`\sum d_{ij}`;
* ``mse``: :math:`\frac1k \sum_i d_{ii}^2` in the order of the lists.

Differences of :math:`\phi` are wrapped. The published code assigns in the wrong direction, compares particles with
themselves where it works in batches, lets padding take part, and uses signed Minkowski squares, whose smallest
value is not a distance; none of that is inherited.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lgae_pyg.lorentz.kinematics import (
    azimuth,
    energy,
    minkowski_square,
    pseudorapidity,
    relative_coordinates,
    transverse_momentum,
    wrap_angle,
)
from lgae_pyg.ops.graphs import graph_sizes, node_to_graph
from lgae_pyg.ops.jets import check_jets, jet_sum, pad_jets
from lgae_pyg.ops.threads import solve_jets

SPACES = ("cartesian", "polar", "scaled_cartesian", "scaled_polar", "relative", "lorentz")
WAYS = ("chamfer", "hungarian", "mse")
#: Scores of the whole jet: squared differences of its momentum in three sets of coordinates, and of its mass.
JET_SCORES = ("jet_cartesian", "jet_polar", "jet_lorentz", "jet_mass")


def particle_scores(
    p4: Tensor,
    ptr: Tensor,
    target: Tensor,
    target_ptr: Tensor,
    spaces: Sequence[str] = SPACES,
    ways: Sequence[str] = WAYS,
    threads: int | None = None,
) -> dict[str, Tensor]:
    """Scores of all jets that compare particles, by name, ``WAY_SPACE``.

    Args:
        p4: rebuilt momenta of all jets, one after another, in GeV.
        ptr: where each rebuilt jet begins, and where the last one ends.
        target: true momenta.
        target_ptr: the same for the true jets.
        spaces: some of :data:`SPACES`.
        ways: some of :data:`WAYS`; ``mse`` has a meaning only if the lists have the same order.
        threads: how many threads share the assignments; as many as PyTorch uses when omitted.

    Raises:
        ValueError: for an unknown name, jets that cannot be compared, or a value that is not finite.

    Shapes:
        - **p4**: :math:`(\\sum_i n_i, 4)`, **target**: :math:`(\\sum_i m_i, 4)`
        - **ptr**, **target_ptr**: :math:`(B + 1,)` long
        - **output**: each :math:`(B,)`
    """
    _check(spaces, SPACES)
    _check(ways, WAYS)
    check_jets(p4, ptr, target, target_ptr)
    scale = transverse_momentum(jet_sum(target, target_ptr))
    scores = {}
    for space in spaces:
        distance, here, there = _distances(space, p4, ptr, target, target_ptr, scale)
        if not bool(distance[here.unsqueeze(2) & there.unsqueeze(1)].isfinite().all()):
            raise ValueError("a momentum is not finite: there is no distance to it")
        for way in ways:
            if way == "chamfer":
                score = _chamfer(distance, here, there)
            elif way == "mse":
                score = _diagonal(distance, here, there)
            else:
                score = _assigned(distance, graph_sizes(ptr), graph_sizes(target_ptr), threads)
            scores[f"{way}_{space}"] = score
    return scores


def jet_scores(p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor) -> dict[str, Tensor]:
    r"""Scores of all jets that compare total momenta :math:`P` (rebuilt) and :math:`Q` (true), by name.

    ``jet_cartesian`` :math:`\sum_\mu (P - Q)_\mu^2`; ``jet_polar`` the same of :math:`(E, p_T, \eta, \phi)`;
    ``jet_lorentz`` :math:`|(P - Q)^2|`; ``jet_mass`` :math:`|P^2 - Q^2|`. The published code's polar score repeats
    its Cartesian one.

    Args and shapes are those of :func:`particle_scores`.
    """
    return total_scores(jet_sum(p4, ptr), jet_sum(target, target_ptr))


def total_scores(found: Tensor, true: Tensor) -> dict[str, Tensor]:
    """The scores of :func:`jet_scores` from the momenta of the jets, :math:`(B, 4)`."""
    polar = _polar(found) - _polar(true)
    return {
        "jet_cartesian": (found - true).square().sum(-1),
        "jet_polar": polar[..., :3].square().sum(-1) + wrap_angle(polar[..., 3]).square(),
        "jet_lorentz": minkowski_square(found - true).abs(),
        "jet_mass": (minkowski_square(found) - minkowski_square(true)).abs(),
    }


def image_scores(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The mean squared error of the pixels, ``mse_pixels``, of images :math:`(B, P, P)`."""
    return {"mse_pixels": (output - target).square().mean((-2, -1))}


def _check(names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {', '.join(unknown)}: choose some of {', '.join(known)}")


def _polar(p4: Tensor) -> Tensor:
    return torch.stack([energy(p4), transverse_momentum(p4), pseudorapidity(p4), azimuth(p4)], -1)


def _scaled(values: Tensor, columns: int, scale: Tensor) -> Tensor:
    """The values, the first columns divided by the scale."""
    return torch.cat([values[..., :columns] / scale.unsqueeze(-1), values[..., columns:]], -1)


#: Coordinates of the particles of a space, from momenta, those of their jets and a scale; and which column is an
#: angle.
_COORDINATES: Mapping[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], int | None]] = {
    "cartesian": (lambda p4, jet, scale: p4, None),
    "polar": (lambda p4, jet, scale: _polar(p4), 3),
    "scaled_cartesian": (lambda p4, jet, scale: _scaled(p4, 4, scale), None),
    "scaled_polar": (lambda p4, jet, scale: _scaled(_polar(p4), 2, scale), 3),
    "relative": (lambda p4, jet, scale: relative_coordinates(p4, jet), 2),
    "lorentz": (lambda p4, jet, scale: p4, None),
}


def _distances(
    space: str, p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Distances :math:`(B, n, m)` of rebuilt and true particles, and which of either are real."""
    coordinates, _ = _COORDINATES[space]
    jet, jet_there = node_to_graph(ptr), node_to_graph(target_ptr)
    here = coordinates(p4, jet_sum(p4, ptr)[jet], scale[jet])
    there = coordinates(target, jet_sum(target, target_ptr)[jet_there], scale[jet_there])
    (here, real), (there, real_there) = pad_jets(here, ptr), pad_jets(there, target_ptr)
    return _apart(space, here, there), real, real_there


def _apart(space: str, here: Tensor, there: Tensor) -> Tensor:
    """Distances of all pairs in a space, :math:`(B, n, F)` and :math:`(B, m, F)` to :math:`(B, n, m)`."""
    difference, angle = here.unsqueeze(2) - there.unsqueeze(1), _COORDINATES[space][1]
    if space == "lorentz":
        return minkowski_square(difference).abs().sqrt()
    if angle is not None:  # which is the last column
        difference = torch.cat([difference[..., :angle], wrap_angle(difference[..., angle:])], -1)
    return torch.linalg.vector_norm(difference, dim=-1)


def padded_scores(
    p4: Tensor, here: Tensor, target: Tensor, there: Tensor, spaces: Sequence[str], ways: Sequence[str]
) -> dict[str, Tensor]:
    """The scores of :func:`particle_scores` that need no assignment, of jets that lie padded, without any checks.

    Args:
        p4: rebuilt momenta in GeV.
        here: which of them are particles.
        target: true momenta.
        there: which of them are particles; for ``mse`` the same.
        spaces: some of :data:`SPACES`.
        ways: ``chamfer``, ``mse``.

    Shapes:
        - **p4**: :math:`(B, N, 4)`, **here**: :math:`(B, N)`
        - **target**: :math:`(B, M, 4)`, **there**: :math:`(B, M)`
        - **output**: each :math:`(B,)`
    """
    p4, target = (torch.where(real.unsqueeze(-1), one, 0.0) for one, real in ((p4, here), (target, there)))
    own, true = p4.sum(1, keepdim=True), target.sum(1, keepdim=True)
    scale, scores = transverse_momentum(true), {}
    for space in spaces:
        coordinates, _ = _COORDINATES[space]
        distance = _apart(space, coordinates(p4, own, scale), coordinates(target, true, scale))
        for way in ways:
            score = _chamfer(distance, here, there) if way == "chamfer" else _mean_square(distance, here)
            scores[f"{way}_{space}"] = score
    return scores


def _chamfer(distance: Tensor, here: Tensor, there: Tensor) -> Tensor:
    infinite = distance.new_tensor(torch.inf)
    nearest = torch.where(there.unsqueeze(1), distance, infinite).amin(2).masked_fill(~here, 0)
    nearest_there = torch.where(here.unsqueeze(2), distance, infinite).amin(1).masked_fill(~there, 0)
    return nearest.sum(1) / here.sum(1) + nearest_there.sum(1) / there.sum(1)


def _diagonal(distance: Tensor, here: Tensor, there: Tensor) -> Tensor:
    if here.shape != there.shape or not bool((here == there).all()):
        raise ValueError("mse needs jets of as many particles as their targets: choose chamfer or hungarian")
    return _mean_square(distance, here)


def _mean_square(distance: Tensor, here: Tensor) -> Tensor:
    squares = distance.diagonal(dim1=1, dim2=2).square().masked_fill(~here, 0)
    return squares.sum(1) / here.sum(1)


def _assigned(distance: Tensor, sizes: Tensor, target_sizes: Tensor, threads: int | None) -> Tensor:
    cost, rows, columns = distance.cpu().numpy(), sizes.tolist(), target_sizes.tolist()

    def solve(jet: int) -> float:
        part = cost[jet, : rows[jet], : columns[jet]]
        return float(np.mean(part[linear_sum_assignment(part)] ** 2))

    return distance.new_tensor(solve_jets(solve, len(cost), threads))
