"""What an anomaly score can gain by the jet mass: sums with likelihood ratios of the mass, and the bound by trees.

From the stored results of the anomaly study of a tagger (``lgae evaluate RUN --studies anomaly``)::

    python train/mass_bound.py RUN/evaluation/anomaly

Rows with *labels* know the mass of the signals, or may combine mass and score in any way: no score that is a
function of the two can be better. Ratios and trees are fitted on one half of the jets and judged on the other.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from sklearn.ensemble import HistGradientBoostingClassifier

from lgae_pyg.evaluation.anomaly.figures import scores_of
from lgae_pyg.evaluation.anomaly.tables import union
from lgae_pyg.evaluation.results import Results
from lgae_pyg.metrics.roc import figures_of_merit
from lgae_pyg.tables import Table, with_errors

Array = NDArray[np.float64]
Fit = Callable[[Array, Array], Callable[[Array], Array]]

MERITS = {"auc": "AUC", "efficiency_0.1": "ε_S(0.1)", "efficiency_0.01": "ε_S(0.01)"}
#: Smallest mass in GeV, and smallest density, whose logarithm is taken.
LEAST, RAREST = 1.0, 1e-6


def log_density(mass: Array) -> Callable[[Array], Array]:
    r"""The logarithm of the density of :math:`\ln m`, by Gaussian kernels."""
    kernel = gaussian_kde(np.log(mass.clip(LEAST)))
    places = np.linspace(np.log(LEAST), np.log(mass.max()) + 1, 500)
    values = np.log(kernel(places) + RAREST)
    return lambda m: np.interp(np.log(m.clip(LEAST)), places, values)


def flat(background: Array, signal: Array) -> Callable[[Array], Array]:
    r"""The log likelihood ratio of a mass flat in :math:`\ln m` against that of the background; no labels."""
    density = log_density(background[:, 0])
    return lambda jets: -density(jets[:, 0])


def ratio(background: Array, signal: Array) -> Callable[[Array], Array]:
    """The log likelihood ratio of the signals' own mass."""
    first, second = log_density(background[:, 0]), log_density(signal[:, 0])
    return lambda jets: second(jets[:, 0]) - first(jets[:, 0])


def trees(background: Array, signal: Array) -> Callable[[Array], Array]:
    """Boosted trees on mass and score."""
    y = np.repeat([0, 1], [len(background), len(signal)])
    balance = np.repeat([1 / len(background), 1 / len(signal)], [len(background), len(signal)])
    machine = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.05, max_leaf_nodes=15, random_state=0)
    machine.fit(np.concatenate([background, signal]), y, balance * len(y) / 2)
    return machine.decision_function


def crossed(fit: Fit, background: Array, signal: Array) -> list[Array]:
    """The values of each jet by what was fitted on the half of the jets that it is not in."""
    kinds, values = (background, signal), [np.empty(len(one)) for one in (background, signal)]
    for half in (0, 1):
        found = fit(*(one[1 - half :: 2] for one in kinds))
        for kind, out in zip(kinds, values):
            out[half::2] = found(kind[half::2])
    return values


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("results", type=Path, help="folder of a stored anomaly study")
    parser.add_argument("--resamples", type=int, default=50, help="bootstrap samples (default: %(default)s)")
    given = parser.parse_args()
    results = Results.load(given.results)
    about, found = results.description, scores_of(results)
    samples = found[about["background"]], union(found, about["signals"])
    mass = [one["mass"] for one in samples]
    with np.errstate(divide="ignore"):
        odds = [np.log(one[about["headline"]]) - np.log1p(-one[about["headline"]]) for one in samples]
    jets = [np.stack([m, o.clip(-40, 40)], -1) for m, o in zip(mass, odds)]
    alone = [np.stack([m, np.zeros(len(m))], -1) for m in mass]
    unlabelled, labelled = (crossed(fit, *jets) for fit in (flat, ratio))
    rows = {
        "mass": mass,
        "score": [one[:, 1] for one in jets],
        "ratio flat in ln m": unlabelled,
        "ratio flat in ln m + log-odds of the score": [a + b[:, 1] for a, b in zip(unlabelled, jets)],
        "labels: ratio of the mass": labelled,
        "labels: ratio of the mass + log-odds of the score": [a + b[:, 1] for a, b in zip(labelled, jets)],
        "labels: trees on the mass": crossed(trees, *alone),
        "labels: trees on mass and score": crossed(trees, *jets),
    }
    merits = {name: figures_of_merit(*one, given.resamples) for name, one in rows.items()}
    lines = [(name, *(one[m + end] for m in MERITS for end in ("", "_error"))) for name, one in merits.items()]
    caption = f"All signals together; ±: bootstrap errors. {about['caption']}"
    print(Table("mass_bound", caption, {"what": "what", **with_errors(MERITS)}, tuple(lines)).to_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
