"""How alike two samples of jets are: observables of their shape, and their distances beside those of halves."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.lorentz.kinematics import transverse_momentum
from lgae_pyg.metrics.features import jet_features
from lgae_pyg.metrics.nsubjettiness import nsubjettiness
from lgae_pyg.metrics.wasserstein import wasserstein_1
from lgae_pyg.ops.graphs import graph_sizes

JET_SHAPES = {
    "particles": "", "mass": "GeV", "particle_pt": "GeV", "tau21": "", "tau32": "", "pt": "GeV", "eta": "",
}  # fmt: skip
"""The observables of :func:`jet_shapes` and their units where the momenta are in GeV."""


class Shapes(dict[str, np.ndarray]):
    """Observables by name; ``particle_pt`` has a value per particle, the others one per jet.

    Args:
        values: the observables.
        ptr: where each jet begins among the particles, and where the last one ends.
    """

    def __init__(self, values: Mapping[str, np.ndarray], ptr: np.ndarray) -> None:
        super().__init__(values)
        self.ptr = ptr

    def values_of(self, name: str, jets: np.ndarray) -> np.ndarray:
        """One observable of some jets, given by number."""
        if name != "particle_pt":
            return self[name][jets]
        return np.concatenate([self[name][self.ptr[jet] : self.ptr[jet + 1]] for jet in jets])


def jet_shapes(p4: Tensor, ptr: Tensor, radius: float) -> Shapes:
    r"""Multiplicity, mass, pT of the particles, subjettiness ratios, pT and pseudorapidity of jets.

    Jets are the sums of their particles. :math:`\tau_{21} = \tau_2 / \tau_1` and :math:`\tau_{32}` are those of
    :func:`~lgae_pyg.metrics.nsubjettiness.nsubjettiness`; where the denominator is 0 the ratio is 0.

    Args:
        p4: momenta of all jets, one after another.
        ptr: where each jet begins, and where the last one ends.
        radius: jet radius, which the ratios do not depend on.

    Shapes:
        - **p4**: :math:`(\sum_i n_i, 4)`
        - **ptr**: :math:`(B + 1,)` long
    """
    p4 = p4.double()
    mass, pt, eta, _ = jet_features(p4, ptr).unbind(-1)
    tau = nsubjettiness(p4, ptr, 3, radius)
    ratios = torch.where(tau[:, :-1] > 0, tau[:, 1:] / tau[:, :-1].clamp(min=1e-300), 0.0)
    columns = (graph_sizes(ptr).double(), mass, transverse_momentum(p4), *ratios.unbind(-1), pt, eta)
    return Shapes({name: column.numpy() for name, column in zip(JET_SHAPES, columns)}, ptr.numpy())


def shape_distances(
    real: Shapes, other: Shapes, halvings: int = 50, seed: int = 0
) -> list[dict[str, str | float]]:
    r"""Wasserstein-1 distances of each observable, and what they are between halves of the real jets.

    With few jets even two samples of one distribution are apart. Each of the random halvings therefore compares
    a half of the real jets with the other half, and with as many of the other jets: equal distributions give
    equal distances.

    Args:
        real: the reference.
        other: jets that should resemble it, at least half as many.
        halvings: how often the jets are divided.
        seed: of the random divisions.

    Returns:
        A row per observable: its name and unit, ``spread`` (standard deviation of the real values), ``distance``
        (all real against all other jets), ``equal`` (a real half against as many others, mean), ``halves`` and
        ``halves_95`` (real half against real half: mean and 95 % quantile).

    Raises:
        ValueError: fewer than four real jets, or too few others.
    """
    count, others = len(real["mass"]), len(other["mass"])
    half = count // 2
    if half < 2 or others < half:
        raise ValueError(f"{count} real and {others} other jets: give at least 4, and half as many others")
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(count) for _ in range(halvings)]
    drawn = [rng.choice(others, half, replace=False) for _ in range(halvings)]
    rows: list[dict[str, str | float]] = []
    for name, unit in JET_SHAPES.items():
        halves, equal = [], []
        for order, draw in zip(orders, drawn):
            first = real.values_of(name, order[:half])
            halves.append(wasserstein_1(first, real.values_of(name, order[half : 2 * half])))
            equal.append(wasserstein_1(first, other.values_of(name, draw)))
        rows.append({
            "observable": name, "unit": unit, "spread": float(real[name].std()),
            "distance": wasserstein_1(real[name], other[name]), "equal": float(np.mean(equal)),
            "halves": float(np.mean(halves)), "halves_95": float(np.quantile(halves, 0.95)),
        })
    return rows
