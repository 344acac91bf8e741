"""How much of a separation is left among jets of equal mass."""

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.metrics.bootstrap import bootstrap
from lgae_pyg.metrics.roc import area_under_curve

Array = NDArray[np.float64]

#: Edges of the mass bins in GeV, and the fewest jets of either kind that a bin must hold.
MASS_BINS = np.arange(0.0, 301.0, 10.0)
FEWEST = 10


def area_at_equal_mass(background: Array, signal: Array) -> float:
    r"""The area under the ROC curve of jets of the same mass,

    .. math:: \sum_b w_b\, \text{AUC}_b,

    over bins :math:`b` of the jet mass, :math:`w_b` being the share of the signal jets in the bin. A score that is
    a function of the mass alone gets about one half, whatever its AUC among all jets.

    Args:
        background: score and mass in GeV of each background jet.
        signal: the same of signal jets.

    Raises:
        ValueError: if a score is NaN, or no bin holds at least :data:`FEWEST` jets of either kind.

    Shapes:
        - **background**: :math:`(n, 2)`, **signal**: :math:`(m, 2)`
    """
    places = [np.digitize(sample[:, 1], MASS_BINS) for sample in (background, signal)]
    areas, weights = [], []
    for number in range(1, len(MASS_BINS)):
        chosen = [sample[place == number, 0] for sample, place in zip((background, signal), places)]
        if min(map(len, chosen)) >= FEWEST:
            areas.append(area_under_curve(*chosen))
            weights.append(len(chosen[1]))
    if not areas:
        raise ValueError(
            f"no bin of the jet mass ({MASS_BINS[0]:g} to {MASS_BINS[-1]:g} GeV) holds {FEWEST} background and "
            f"{FEWEST} signal jets: score more jets"
        )
    return float(np.average(areas, weights=weights))


def equal_mass_with_error(background: Array, signal: Array, resamples: int) -> tuple[float, float]:
    """:func:`area_at_equal_mass` and its bootstrap error; both NaN where there are too few jets."""
    try:
        error = bootstrap([background, signal], area_at_equal_mass, resamples)
        return area_at_equal_mass(background, signal), float(error)
    except ValueError:  # too few jets in every bin, or in those of a draw
        return float("nan"), float("nan")
