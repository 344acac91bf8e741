"""Jets as clouds of transverse momentum, and the cheapest way to turn one into another."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lgae_pyg.lorentz.kinematics import (
    azimuth,
    pseudorapidity,
    relative_coordinates,
    transverse_momentum,
    wrap_angle,
)
from lgae_pyg.ops.graphs import node_to_graph
from lgae_pyg.ops.jets import check_jets, check_momenta, jet_sum, pad_jets
from lgae_pyg.ops.threads import Progress, solve_jets

AXES = ("target", "own", None)


class Cloud(NamedTuple):
    r"""The particles of a list of jets, as weights at points of the :math:`(\eta, \phi)` plane.

    Shapes:
        - **weight**: :math:`(\sum_i n_i,)`
        - **place**: :math:`(\sum_i n_i, 2)`, the columns :math:`\eta, \phi`
        - **ptr**: :math:`(B + 1,)`
    """

    weight: Tensor
    place: Tensor
    ptr: Tensor


class Plan(NamedTuple):
    r"""The optimal transport of a list of jets.

    Only the pairs between which something flows are listed. The prices are the derivatives of the cost with
    respect to the weights: the dual variables of the linear programme.

    Shapes:
        - **rows**, **target_rows**: particles of the one and of the other list, :math:`(K,)`
        - **flow**: what flows between them, :math:`(K,)`
        - **price**: :math:`(\sum_i n_i,)`, **target_price**: :math:`(\sum_i m_i,)`
    """

    rows: Tensor
    target_rows: Tensor
    flow: Tensor
    price: Tensor
    target_price: Tensor


def clouds(
    p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor, relative_to: str | None = "target"
) -> tuple[Cloud, Cloud]:
    """Two lists of jets as clouds of transverse momentum.

    A particle without transverse momentum weighs nothing; its direction, which may be infinite, is put to
    that of any other particle, without a gradient.

    Args:
        p4: momenta of all jets, one after another.
        ptr: where each jet begins, and where the last one ends.
        target: momenta of the target jets.
        target_ptr: the same for them.
        relative_to: what transverse momenta are divided by and angles are measured from: the jet that is the
            sum of the ``"target"``'s particles, for both lists; each jet's ``"own"`` sum; or nothing (``None``).

    Raises:
        ValueError: if these are no four-momenta, ``relative_to`` is unknown, the numbers of jets differ, or a
            jet is empty.
    """
    if relative_to not in AXES:
        raise ValueError(f"unknown axis relative_to={relative_to!r}: choose target, own or None")
    check_momenta(p4, target)
    check_jets(p4, ptr, target, target_ptr)
    true_axis = None if relative_to is None else jet_sum(target, target_ptr)
    axis = jet_sum(p4, ptr) if relative_to == "own" else true_axis
    return _cloud(p4, ptr, axis), _cloud(target, target_ptr, true_axis)


def _cloud(p4: Tensor, ptr: Tensor, axis: Tensor | None) -> Cloud:
    weight = transverse_momentum(p4)
    at_rest = weight <= torch.finfo(p4.dtype).tiny ** 0.5
    moving = p4.masked_fill(at_rest.unsqueeze(-1), 1.0)
    if axis is None:
        return Cloud(weight, torch.stack([pseudorapidity(moving), azimuth(moving)], -1), ptr)
    axis = axis[node_to_graph(ptr, len(p4))]
    return Cloud(weight / transverse_momentum(axis), relative_coordinates(moving, axis)[..., 1:], ptr)


def angular_distance(place: Tensor, other: Tensor) -> Tensor:
    r""":math:`\Delta R`, with the difference of the azimuths wrapped; its gradient at 0 is 0.

    Shapes:
        - **place**, **other**: :math:`(*, 2)`, broadcast against each other
        - **output**: :math:`(*)`
    """
    eta, phi = (place - other).unbind(-1)
    return torch.linalg.vector_norm(torch.stack([eta, wrap_angle(phi)], -1), dim=-1)


@torch.no_grad()
def cheapest_plan(
    cloud: Cloud, target: Cloud, threads: int | None = None, progress: Progress | None = None
) -> Plan:
    r"""The exact optimal transport of each jet, from POT's network simplex (``ot.emd``).

    If the totals differ, the surplus of the heavier jet goes to a ghost at distance 1 of everybody. All jets
    are solved in float64 on the CPU, one call per jet, spread over threads; a GPU is waited for once. A jet
    with a value that is not finite gets no flow, and prices that are NaN.

    Args:
        cloud: the jets.
        target: the target jets.
        threads: see :func:`~lgae_pyg.ops.threads.solve_jets`.
        progress: called as ``progress(done, jets)`` now and then.

    Raises:
        ImportError: if POT is not installed.
    """
    distance = _pair_distances(cloud, target)
    supply, demand = (side.weight.double().cpu().numpy() for side in (cloud, target))
    starts, target_starts = cloud.ptr.tolist(), target.ptr.tolist()
    network_simplex = _network_simplex()

    def solve(jet: int) -> tuple[NDArray, ...]:
        own, true = supply[slice(*starts[jet : jet + 2])], demand[slice(*target_starts[jet : jet + 2])]
        return _solve(network_simplex, own, true, distance[jet, : len(own) + 1, : len(true) + 1])

    solved = solve_jets(solve, len(distance), threads, progress)
    rows, target_rows, flow, price, target_price = map(np.concatenate, zip(*solved))
    pairs = [len(jet[0]) for jet in solved]
    rows = rows + np.repeat(starts[:-1], pairs)
    target_rows = target_rows + np.repeat(target_starts[:-1], pairs)
    indices = (torch.as_tensor(values, device=cloud.ptr.device) for values in (rows, target_rows))
    return Plan(*indices, *(torch.as_tensor(values).to(cloud.weight) for values in (flow, price, target_price)))


def _pair_distances(cloud: Cloud, target: Cloud) -> NDArray:
    """Distances (B, N + 1, M + 1) of all pairs, where row 0 and column 0 are those of the ghost."""
    places, _ = pad_jets(cloud.place, cloud.ptr)
    target_places, _ = pad_jets(target.place, target.ptr)
    distance = angular_distance(places.unsqueeze(-2), target_places.unsqueeze(-3))
    return torch.nn.functional.pad(distance.double(), (1, 0, 1, 0), value=1.0).cpu().numpy()


def _solve(network_simplex: Any, supply: NDArray, demand: NDArray, distance: NDArray) -> tuple[NDArray, ...]:
    """Pairs, their flow, and the prices on both sides, of one jet."""
    nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    totals = supply.sum(), demand.sum()
    largest, missing = max(totals), totals[1] - totals[0]
    if not (np.isfinite(distance).all() and np.isfinite(missing)):
        return *nothing, np.full(len(supply), np.nan), np.full(len(demand), np.nan)
    if largest == 0:
        return *nothing, np.zeros(len(supply)), np.zeros(len(demand))
    ghost, true_ghost = int(missing > 0), int(missing < 0)
    plan, log = network_simplex(
        np.append([missing] * ghost, supply) / largest,
        np.append([-missing] * true_ghost, demand) / largest,
        distance[1 - ghost :, 1 - true_ghost :],
        log=True,
        check_marginals=False,
        center_dual=missing == 0,
    )
    # What a particle gains or loses in weight, the ghost loses or gains.
    balance = log["u"][:ghost].sum() - log["v"][:true_ghost].sum()
    rows, target_rows = plan[ghost:, true_ghost:].nonzero()
    flow = plan[rows + ghost, target_rows + true_ghost] * largest
    return rows, target_rows, flow, log["u"][ghost:] - balance, log["v"][true_ghost:] + balance


def _network_simplex():
    try:
        from ot import emd
    except ImportError as error:
        raise ImportError(
            "the energy mover's distance needs Python Optimal Transport: pip install 'lgae-pyg[emd]'"
        ) from error
    return emd
