"""Tables of the errors of rebuilt particles and jets, and of the sizes of the codes."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.evaluation.reconstruction.rebuilt import (
    Jets,
    Rebuilt,
    jet_comparisons,
    particle_errors,
    squared_error,
    with_particles,
    without_particles,
)
from lgae_pyg.metrics import JET_FEATURES, PARTICLE_FEATURES, STATISTICS, bootstrap_quantiles, summary
from lgae_pyg.tables import Table

HEADINGS = {
    "pt_rel": "pT_rel", "eta_rel": "η_rel", "phi_rel": "φ_rel",
    "mass": "mass", "pt": "pT", "eta": "η", "phi": "φ",
    "median": "median", "iqr": "IQR", "idr": "IDR", "mad": "MAD", "mean": "mean", "std": "std",
    "abs_mean": "|mean|", "n": "n", "undefined": "undefined", "median_error": "±", "iqr_error": "±",
}  # fmt: skip
COMPRESSION_COLUMNS = {
    "four_vector": "code / 4N [%]", "massless": "code / 3N [%]",
    "four_vector_with_side": "(code + told) / 4N [%]", "massless_with_side": "(code + told) / 3N [%]",
}  # fmt: skip
TABLE_STATISTICS = ("median", "median_error", "iqr", "iqr_error")
#: What the tables of all statistics hold.
ALL_STATISTICS = (*STATISTICS, "median_error", "iqr_error")
#: What ± means.
ERRORS = "±: bootstrap standard errors over jets"


def _summaries(errors: Tensor, jet: Tensor, resamples: int) -> list[dict[str, float]]:
    """The statistics of each column, with bootstrap errors of median and IQR over jets; NaN without resamples."""
    found = []
    for column in errors.unbind(-1):
        numbers = {**summary(column), "median_error": float("nan"), "iqr_error": float("nan")}
        if resamples and numbers["n"]:
            drawn = bootstrap_quantiles(column, jet, (0.25, 0.5, 0.75), resamples)
            with np.errstate(invalid="ignore"):
                numbers["median_error"] = float(np.std(drawn[:, 1], ddof=1))
                numbers["iqr_error"] = float(np.std(drawn[:, 2] - drawn[:, 0], ddof=1))
        found.append(numbers)
    return found


def _statistics_columns(features: Sequence[str]) -> dict[str, str]:
    return {
        f"{feature}_{statistic}": f"{HEADINGS[feature]} {HEADINGS[statistic]}"
        for feature in features
        for statistic in TABLE_STATISTICS
    }


def _statistics_values(summaries: Iterable[dict[str, float]]) -> list[float]:
    return [numbers[statistic] for numbers in summaries for statistic in TABLE_STATISTICS]


def _statistics_rows(lead: tuple, features: Sequence[str], summaries: Iterable[dict[str, float]]) -> list[tuple]:
    rows = []
    for feature, numbers in zip(features, summaries):
        counts = {name: int(numbers[name]) for name in ("n", "undefined")}
        rows.append((*lead, feature, *({**numbers, **counts}[name] for name in ALL_STATISTICS)))
    return rows


def particle_tables(
    rebuilt: Sequence[Rebuilt], target: Jets, caption: str, unit: str, unit_in_gev: float, resamples: int = 0
) -> tuple[Table, Table]:
    """Errors of the particle features: median and IQR (arXiv:2212.07347, Table 2), and all statistics.

    Args:
        rebuilt: one row each; models of pixels have none, and the caption says so.
        target: the true jets.
        caption: a sentence that names the data.
        unit: the unit that the mean squared error is given in, squared.
        unit_in_gev: that unit in GeV.
        resamples: bootstrap samples behind the errors; none for 0.
    """
    rows, details = [], []
    caption = f"{without_particles(rebuilt)}{_vanished(rebuilt)}{caption}"
    for one in with_particles(rebuilt):
        summaries = _summaries(*particle_errors(one, target), resamples)
        order = "matched" if one.matched else "slots"
        error = squared_error(one, target) / unit_in_gev**2
        rows.append((one.label, one.compression["four_vector"], *_statistics_values(summaries), error, order))
        details += _statistics_rows((one.label,), PARTICLE_FEATURES, summaries)
    columns = {
        "model": "model", "code_percent": "code [%]", **_statistics_columns(PARTICLE_FEATURES),
        "mse": f"MSE [{unit}²]", "order": "order",
    }  # fmt: skip
    what = (
        "Relative errors (reconstructed - true) / true of the particle features, relative to the own jet, "
        f"real particles only; {ERRORS}"
    )
    notes = "; code: numbers in the code in percent of 4N; order: how particles are paired"
    statistics = {"model": "model", "feature": "feature", **{name: HEADINGS[name] for name in ALL_STATISTICS}}
    return (
        Table("particle_reconstruction", f"{what}{notes}. {caption}", columns, tuple(rows)),
        Table("particle_statistics", f"{what}. {caption}", statistics, tuple(details)),
    )


def _vanished(rebuilt: Iterable[Rebuilt]) -> str:
    """A sentence for each model that gives back zero four-momenta: it has failed on them, whatever the errors."""
    sentences = []
    for one in with_particles(rebuilt):
        zero = int((one.jets.p4 == 0).all(-1).sum())
        if zero:
            sentences.append(f"{one.label}: {zero} of {len(one.jets.p4)} particles come back as zero momenta. ")
    return "".join(sentences)


def jet_tables(rebuilt: Sequence[Rebuilt], target: Jets, caption: str, resamples: int = 0) -> tuple[Table, Table]:
    """Errors of the jet features: median and IQR (arXiv:2212.07347, Table 3), and all statistics.

    Each model has two rows: one with the energies as the model outputs them, one with E = |p|. For the rows of a
    model of pixels see :func:`jet_comparisons`.
    """
    rows, details = [], []
    for label, energies, errors in jet_comparisons(rebuilt, target):
        summaries = _summaries(errors, torch.arange(len(target)), resamples)
        rows.append((label, energies, *_statistics_values(summaries), len(target)))
        details += _statistics_rows((label, energies), JET_FEATURES, summaries)
    lead = {"model": "model", "energies": "energies"}
    what = (
        "Relative errors (reconstructed - true) / true of the jet features, a jet being the sum of its "
        f"particles; {ERRORS}; energies: as the model outputs them, or massless, E = |p| for each particle"
    )
    if any(one.pixels for one in rebuilt):
        what += (
            "; pixels: the sum of the massless momenta of the pixels, given the true jet's axis, pT and sum of "
            "pixels. Truth in pixels: the true jet's own image, summed in the same way"
        )
    columns = {**lead, **_statistics_columns(JET_FEATURES), "jets": "jets"}
    statistics = {**lead, "feature": "feature", **{name: HEADINGS[name] for name in ALL_STATISTICS}}
    return (
        Table("jet_reconstruction", f"{what}. {caption}", columns, tuple(rows)),
        Table("jet_statistics", f"{what}. {caption}", statistics, tuple(details)),
    )


def compression_table(rebuilt: Sequence[Rebuilt]) -> Table:
    """Table of the sizes of the codes, by both definitions, without and with side information."""
    rows = []
    for one in rebuilt:
        percents = [one.compression[name] for name in COMPRESSION_COLUMNS]
        rows.append((one.label, one.num_particles, one.latent_size, one.side_information, *percents))
    columns = {
        "model": "model", "num_particles": "N", "code": "code", "told": "told",
        **COMPRESSION_COLUMNS,
    }  # fmt: skip
    caption = (
        "Real numbers in the code of a jet, and numbers that the decoder is told besides (how many particles "
        "the jet has, its pT, η and φ where the model works relative to them, and the sum of its pixels), in "
        "percent of 4N (four-momenta) and of 3N (massless particles)."
    )
    return Table("compression", caption, columns, tuple(rows))
