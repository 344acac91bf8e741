"""Energy mover's distance: how much transverse momentum must be carried how far."""

import torch
from torch import Tensor

from lgae_pyg.losses.transport import Cloud, angular_distance, cheapest_plan, clouds
from lgae_pyg.ops.graphs import node_to_graph
from lgae_pyg.ops.jets import jet_sum, pad_jets
from lgae_pyg.ops.threads import Progress

#: Where the annealing of the temperature begins: the ghost's distance, about the size of a jet.
DIAMETER = 1.0


def emd(
    p4: Tensor,
    ptr: Tensor,
    target: Tensor,
    target_ptr: Tensor,
    relative_to: str | None = "target",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    r"""Energy mover's distance per jet, exact, with its exact gradient.

    .. math::
        L = \min_{f \ge 0} \sum_{ij} f_{ij} \, \Delta R_{ij}
            + \Big| \sum_i w_i - \sum_j w'_j \Big|, \qquad
        \sum_j f_{ij} \le w_i, \quad \sum_i f_{ij} \le w'_j, \quad
        \sum_{ij} f_{ij} = \min\Big(\sum_i w_i, \sum_j w'_j\Big)

    with :math:`w = p_T / p_T^\text{jet}`, by default of the target jet for both lists, and the distance in
    :math:`(\eta, \phi)`: equation (1) of arXiv:1902.02346 with :math:`R = 1`, :math:`\beta = 1`. Energies do
    not enter, except through the axis of the jet.

    The plan is searched without gradients by the network simplex of Python Optimal Transport; the value and
    the gradient in the angles come from the pairs between which something flows, the gradient in the weights
    from the dual variables. That is the exact gradient wherever plan and dual variables are unique. A
    distance of zero, and a particle without transverse momentum, have gradient 0.

    Why not Sinkhorn iterations (:func:`emd_sinkhorn`): on gluon jets of 30 particles, the network simplex took
    a half to a quarter of the CPU time of Sinkhorn iterations whose values are 3 to 9 % too low, and those are
    least accurate where a training ends, at small distances. On a GPU the costs are copied to the CPU once per
    call, and its cores share the jets.

    Args:
        p4: reconstructed momenta of all jets, one after another.
        ptr: where each reconstructed jet begins, and where the last one ends.
        target: true momenta.
        target_ptr: the same for the true jets.
        relative_to: ``"target"``; ``"own"``, each jet relative to its own sum; or ``None``, absolute
            transverse momenta, which makes it symmetric, and a metric for particles within a circle of
            radius 1.
        threads: how many threads share the jets; as many as PyTorch uses when omitted.
        progress: called as ``progress(done, jets)`` now and then.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`, **target**: :math:`(\sum_i m_i, 4)`
        - **ptr**, **target_ptr**: :math:`(B + 1,)` long
        - **output**: :math:`(B,)`, without unit (with ``relative_to=None`` in the unit of the momenta);
          not finite if the jet that momenta are relative to has no transverse momentum

    Raises:
        ValueError: if these are no four-momenta, ``relative_to`` is unknown, the numbers of jets differ, or a
            jet is empty.
        ImportError: if Python Optimal Transport is not installed.
    """
    cloud, true = clouds(p4, ptr, target, target_ptr, relative_to)
    plan = cheapest_plan(cloud, true, threads, progress)
    distance = angular_distance(cloud.place[plan.rows], true.place[plan.target_rows])
    jet = node_to_graph(ptr)[plan.rows]
    carried = distance.new_zeros(ptr.numel() - 1).index_add(0, jet, plan.flow * distance)
    surplus = (jet_sum(cloud.weight, ptr) - jet_sum(true.weight, target_ptr)).abs().detach()
    return carried + surplus + _gradient_only(cloud, plan.price) + _gradient_only(true, plan.target_price)


def _gradient_only(cloud: Cloud, price: Tensor) -> Tensor:
    """Zero, with the derivative ``price`` with respect to the weights."""
    return jet_sum(price * (cloud.weight - cloud.weight.detach()), cloud.ptr)


def emd_sinkhorn(
    p4: Tensor, ptr: Tensor, target: Tensor, target_ptr: Tensor, blur: float = 0.003, scaling: float = 0.7
) -> Tensor:
    r"""Smooth approximation of :func:`emd` that stays on the device: a debiased Sinkhorn divergence.

    .. math:: L = S_\varepsilon(a, b) = \mathrm{OT}_\varepsilon(a, b)
              - \tfrac12 \mathrm{OT}_\varepsilon(a, a) - \tfrac12 \mathrm{OT}_\varepsilon(b, b)

    of the same clouds of transverse momentum relative to the target jet, where the lighter jet is filled up by
    a ghost at distance 1, so that :math:`S_\varepsilon \to` :func:`emd` as :math:`\varepsilon \to 0`. The
    iterations are GeomLoss's (arXiv:1810.08278), for all jets at once, without waiting for a GPU and without a
    loop over jets. It vanishes, with its gradient, for equal jets. With the default values it was found 3 to 5 %
    below the exact distance of different gluon jets and 9 % where jets nearly agree (distance 0.03), the cosine
    between its gradient and the exact one 0.96; with ``blur=0.001, scaling=0.9``, 1 to 4 % and 0.98 to 0.99, in
    three times the time.

    Further arguments and shapes are those of :func:`emd`.

    Args:
        blur: the distance :math:`\varepsilon` below which particles are blurred.
        scaling: the factor between the temperatures of two iterations, which fall from 1 to ``blur``: the
            nearer to 1, the more accurate and the slower.

    Raises:
        ValueError: if these are no four-momenta, the numbers of jets differ, or a jet is empty.
        ImportError: if GeomLoss is not installed.
    """
    divergence = _samples_loss()(
        "sinkhorn", p=1, blur=blur, scaling=scaling, diameter=DIAMETER, cost=_cost, backend="tensorized"
    )
    cloud, true = clouds(p4, ptr, target, target_ptr)
    missing = jet_sum(true.weight, target_ptr) - jet_sum(cloud.weight, ptr)
    return divergence(*_with_ghost(cloud, missing.relu()), *_with_ghost(true, (-missing).relu()))


def _with_ghost(cloud: Cloud, ghost: Tensor) -> tuple[Tensor, Tensor]:
    """Padded weights (B, N + 1) and points (B, N + 1, 3), whose last column marks the ghost."""
    particles, _ = pad_jets(torch.cat([cloud.weight.unsqueeze(-1), cloud.place], -1), cloud.ptr)
    weight = torch.cat([particles[..., 0], ghost.unsqueeze(-1)], -1)
    points = torch.nn.functional.pad(particles[..., 1:], (0, 1, 0, 1))
    points[:, -1, -1] = 1.0
    return weight, points


def _cost(points: Tensor, others: Tensor) -> Tensor:
    points, others = points.unsqueeze(-2), others.unsqueeze(-3)
    distance = angular_distance(points[..., :2], others[..., :2])
    return distance.masked_fill(points[..., 2] != others[..., 2], 1.0)


def _samples_loss():
    try:
        from geomloss import SamplesLoss
    except ImportError as error:
        raise ImportError("emd_sinkhorn needs GeomLoss: pip install 'lgae-pyg[emd]'") from error
    return SamplesLoss
