"""Linear probes: what can be read off a code, or off the jet mass alone, with one linear map."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.data import JetLoader
from lgae_pyg.evaluation.latent.codes import Codes
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.lorentz.kinematics import mass, transverse_momentum
from lgae_pyg.metrics import bootstrap
from lgae_pyg.metrics.nsubjettiness import nsubjettiness
from lgae_pyg.metrics.regression import choose_ridge, r_squared, varies
from lgae_pyg.tables import Table, with_errors

Array = NDArray[np.float64]
#: Strengths of the ridge regression; 0 is least squares.
STRENGTHS = (0.0, *(10.0**power for power in range(-8, 3)))
#: Fewest jets for a probe.
FEWEST = 40
TARGETS = {
    "mass": "jet mass", "pt": "jet pT", "multiplicity": "number of particles", "tau_21": "tau_21",
    "tau_32": "tau_32",
}  # fmt: skip
#: Jets whose N-subjettiness is computed at once.
PORTION = 2000


def probe_targets(codes: Codes, sample: Sample) -> dict[str, Array]:
    r"""What the probes are to find, for each jet: mass and pT in GeV, multiplicity, :math:`\tau_{21}, \tau_{32}`.

    A ratio :math:`\tau_{N+1} / \tau_N` is NaN where :math:`\tau_N = 0`, in jets of at most :math:`N` particles.
    """
    batches = JetLoader(sample.store, PORTION)
    tau = np.concatenate([nsubjettiness(batch.pos.double(), batch.ptr).numpy() for batch in batches])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(tau[:, :-1] > 0, tau[:, 1:] / tau[:, :-1], np.nan)
    return {
        "mass": mass(codes.jets).numpy(),
        "pt": transverse_momentum(codes.jets).numpy(),
        "multiplicity": codes.sizes.double().numpy(),
        "tau_21": ratios[:, 0],
        "tau_32": ratios[:, 1],
    }


def probe(features: Array, target: Array, resamples: int = 200) -> tuple[float, float, float]:
    r"""Fits a linear map on half of the jets and tries it on the other half.

    Args:
        features: of each jet.
        target: of each jet.
        resamples: bootstrap samples of the tried jets.

    Returns:
        :math:`R^2` on the second half, its error, and the strength of the ridge.

    Shapes:
        - **features**: :math:`(n, F)`, **target**: :math:`(n,)`
    """
    half = len(target) // 2
    fitted = choose_ridge(features[:half], target[:half], STRENGTHS)
    pair = np.stack([target[half:], fitted.predict(features[half:])], 1)
    error = bootstrap([pair], lambda drawn: r_squared(drawn[:, 0], drawn[:, 1]), resamples)
    return r_squared(pair[:, 0], pair[:, 1]), float(error), fitted.strength


def probe_inputs(codes: Codes, jet_mass: Array) -> dict[str, Array]:
    """What the probes see, by printed name."""
    inputs = {"code, invariants": codes.invariants()} if codes.vectors else {}
    return {**inputs, "code, all numbers": codes.numbers(), "jet mass alone": jet_mass[:, None]}


def probe_table(
    codes: Codes, sample: Sample, subject: Subject, about: Mapping[str, Any], resamples: int = 200
) -> Table:
    """R² of every target from every input.

    Raises:
        ValueError: if there are less than :data:`FEWEST` jets.
    """
    if len(codes.jets) < FEWEST:
        raise ValueError(f"probes need at least {FEWEST} jets, but there are {len(codes.jets)}: ask for more")
    rows = tuple(_rows(codes, sample, about["label"], resamples))
    columns = {
        "model": "model", "target": "target", "input": "probe of", "numbers": "numbers", "jets": "jets tried",
        **with_errors({"r_squared": "R²"}), "ridge": "ridge λ",
    }  # fmt: skip
    caption = (
        f"Linear probes of {sample.name} jets: R² (1 is perfect, 0 is the mean) on a random half of the jets that "
        "was not fitted, with bootstrap errors. Invariants: latent scalars, Minkowski products of all pairs "
        "of real and imaginary parts of vectors, and their signed roots. Ridge regression on standardised "
        "numbers; its strength was chosen on half of the fitted half, 0 is least squares. N-subjettiness: beta 1, "
        f"winner-takes-all kT axes; jets for which a ratio is undefined are left out. {about['caption']}"
    )
    return Table("latent_probes", caption, columns, rows)


def _rows(codes: Codes, sample: Sample, label: str, resamples: int) -> Iterator[tuple[Any, ...]]:
    targets = probe_targets(codes, sample)
    inputs = probe_inputs(codes, targets["mass"])
    order = np.random.default_rng(0).permutation(len(codes.jets))
    for key, name in TARGETS.items():
        chosen = order[np.isfinite(targets[key][order])]
        target = targets[key][chosen]
        if len(chosen) < FEWEST or not all(varies(part[:, None])[0] for part in np.array_split(target, 4)):
            continue
        for source, features in inputs.items():
            if key == "mass" and source == "jet mass alone":
                continue
            score, error, strength = probe(features[chosen], target, resamples)
            used = int(varies(features).sum())
            yield label, name, source, used, len(chosen) - len(chosen) // 2, score, error, strength
