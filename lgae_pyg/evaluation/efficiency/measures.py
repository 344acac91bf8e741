"""What the study of data efficiency measures of a trained model: errors of autoencoders, merits of taggers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.evaluation.reconstruction.rebuilt import jet_comparisons, squared_errors, stored
from lgae_pyg.evaluation.sample import choose
from lgae_pyg.evaluation.study import StudyOptions, evaluate_model, run_study
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.metrics import bootstrap

#: Bootstrap samples behind the errors of the merits of one tagger.
RESAMPLES = 100


@dataclass(frozen=True)
class Measures:
    """What is measured of the models of one task.

    Args:
        headings: what is measured by name, with headings of the table's columns.
        panels: what of it is drawn, with labels of the axes.
        logarithmic: what of that is drawn on logarithmic axes.
        explanation: for captions.
        measure: from a model and a number of test jets the values by name, ``origin`` and ``jets``. A value may be
            ``None``; ``NAME_error`` is its statistical error.
        ratio: whether a value is compared with that of the largest training set.
    """

    headings: Mapping[str, str]
    panels: Mapping[str, str]
    logarithmic: tuple[str, ...]
    explanation: str
    measure: Callable[[Subject, int], dict[str, Any]]
    ratio: bool


def errors_of(subject: Subject, test_jets: int) -> dict[str, Any]:
    """Medians of the errors of jet mass and jet pT, and the mean squared error of the particles, each with its
    statistical error (bootstrap over jets; of the mean the standard error).

    Args:
        subject: an autoencoder; ``mse`` of one that rebuilds pixels is ``None``.
        test_jets: how many, the same choice for all models.
    """
    test = subject.dataset("test")
    options = {"max_jets": test_jets, "progress": False, "scan_jets": 0, "resamples": 0}
    results = evaluate_model(subject.model, test, None, **options)
    target, (one,) = stored(results)
    comparisons = list(jet_comparisons([one], target))
    errors = comparisons[0 if one.pixels is None else 1][2].abs()  # pixels: against the jet's own image
    numbers: dict[str, Any] = {"mse": None}
    for column, name in enumerate(("mass", "pt")):
        defined = errors[:, column][~errors[:, column].isnan()].numpy()
        numbers[name] = float(errors[:, column].nanmedian())
        if defined.size:
            numbers[f"{name}_error"] = float(bootstrap([defined], np.median, RESAMPLES))
    if one.pixels is None:
        squares = squared_errors(one, target) / UNITS_IN_GEV["TeV"] ** 2
        numbers |= {"mse": float(squares.mean()), "mse_error": float(squares.std() / len(squares) ** 0.5)}
    return {**numbers, "origin": test.origin, "jets": len(choose(test.store, test_jets))}


def merits_of(subject: Subject, test_jets: int) -> dict[str, Any]:
    """The numbers of the study *tagging*, each the mean over the classes in its table (one of two).

    Args:
        subject: a tagger.
        test_jets: how many, the same choice for all models.
    """
    found = run_study("tagging", subject, StudyOptions(jets=test_jets, resamples=RESAMPLES, progress=False))
    rows = found.tables["tagging"].records()
    names = [name for one in TAGGERS.headings for name in (one, f"{one}_error")]
    numbers = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {**numbers, "origin": subject.dataset("test").origin, "jets": len(found.arrays["y"])}


AUTOENCODERS = Measures(
    headings={"mass": "median |δM|", "pt": "median |δpT|", "mse": "particle MSE [TeV²]"},
    panels={
        "mass": r"median $|\delta M_\mathrm{jet}|$",
        "pt": r"median $|\delta p_\mathrm{T}^\mathrm{jet}|$",
        "mse": r"particle MSE [TeV$^2$]",
    },
    logarithmic=("mass", "pt", "mse"),
    explanation="errors: δ = (reconstructed - true) / true",
    measure=errors_of,
    ratio=True,
)
TAGGERS = Measures(
    headings={
        "accuracy": "accuracy",
        "auc": "AUC",
        "rejection_0.5": "rejection at 0.5",
        "rejection_0.3": "rejection at 0.3",
        "auc_equal_mass": "AUC, equal mass",
    },
    panels={
        "auc": "AUC",
        "rejection_0.5": "background rejection\nat $\\epsilon_S = 0.5$",
        "auc_equal_mass": "AUC among jets\nof one mass",
    },
    logarithmic=("rejection_0.5",),
    explanation="rejection: 1 / background efficiency at a signal efficiency",
    measure=merits_of,
    ratio=False,
)
#: By the task of a model.
MEASURES = {"reconstruction": AUTOENCODERS, "classification": TAGGERS}
