"""Reconstructed jets beside the true ones: errors and tables of errors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lgae_pyg.evaluation.reconstruction.pixels import PixelCollector, Pixels
from lgae_pyg.losses import hungarian, jet_sum, mse
from lgae_pyg.metrics import (
    JET_FEATURES,
    PARTICLE_FEATURES,
    STATISTICS,
    bootstrap_quantiles,
    compression_rates,
    jet_features,
    match_particles,
    particle_features,
    relative_error,
    summary,
)
from lgae_pyg.ops.graphs import node_to_graph
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
ENERGIES = {"as output": False, "massless": True}
TABLE_STATISTICS = ("median", "median_error", "iqr", "iqr_error")
#: What the tables of all statistics hold.
ALL_STATISTICS = (*STATISTICS, "median_error", "iqr_error")
#: What ± means.
ERRORS = "±: bootstrap standard errors over jets"


@dataclass(frozen=True)
class Jets:
    """The four-momenta of many jets.

    Args:
        p4: momenta of all jets, one after another, in GeV.
        ptr: where each jet begins, and where the last one ends.

    Shapes:
        - **p4**: :math:`(\\sum_i n_i, 4)`
        - **ptr**: :math:`(B + 1,)` long
    """

    p4: Tensor
    ptr: Tensor

    def __len__(self) -> int:
        return self.ptr.numel() - 1


@dataclass(frozen=True)
class Reconstruction:
    """Jets as a model gives them back.

    Args:
        key: short name, used in files.
        label: printed name.
        jets: the reconstructed jets, in the order of the true ones; of images, the sums of their pixels.
        matched: whether particles are matched to the true ones, because the model's order has no meaning,
            instead of being compared in slot order.
        latent_size: the number of real numbers in the code of a jet.
        side_information: further numbers that the decoder is told (the number of particles, the axis of the jet).
        num_particles: the number of particles that a jet of full size has.
        pixels: what is known of the images, if the model's outputs are pixels; it has no particles then.
    """

    key: str
    label: str
    jets: Jets
    matched: bool
    latent_size: int
    side_information: int
    num_particles: int
    pixels: Pixels | None = None

    @property
    def compression(self) -> dict[str, float]:
        """The size of the code in percent of the jet's; see :func:`~lgae_pyg.ops.compression_rates`."""
        return compression_rates(self.latent_size, self.num_particles, self.side_information)


def reconstruct(
    model: torch.nn.Module, batches: Iterable, unit_in_gev: float, pixels: PixelCollector | None = None
) -> Jets:
    """Sends batches of jets through a model, without gradients.

    Jets that come back as images are summed up to one momentum each: all their pixels would fill the memory.

    Args:
        model: an autoencoder; its result has ``p4`` and ``ptr``.
        batches: batches of jets in the unit of the model.
        unit_in_gev: that unit in GeV.
        pixels: is given the images, if the model's outputs are pixels.

    Raises:
        ValueError: if an output is not finite; the message names the jets by class number and row.
    """
    momenta, sizes = [], []
    with torch.inference_mode():
        for batch in batches:
            result = model(batch)
            _check_finite(result.p4, result.ptr, batch)
            p4, counts = result.p4, result.ptr.diff()
            if getattr(result, "images", None) is not None:
                p4, counts = jet_sum(p4, result.ptr), torch.ones_like(counts)
                if pixels is not None:
                    pixels.add(result.images, unit_in_gev)
            momenta.append(p4.double().cpu() * unit_in_gev)
            sizes.append(counts.cpu())
    counts = torch.cat(sizes)
    return Jets(torch.cat(momenta), torch.cat([counts.new_zeros(1), counts.cumsum(0)]))


def _check_finite(p4: Tensor, ptr: Tensor, batch) -> None:
    broken = ~p4.isfinite().all(-1)
    if not broken.any():
        return
    jets = (torch.searchsorted(ptr, broken.nonzero().flatten(), right=True) - 1).unique().tolist()
    fields = {key: text for key, text in (("y", "class"), ("jet_id", "row")) if key in batch}
    named = []
    for jet in jets[:8]:
        names = [f"{text} {int(batch[key][jet])}" for key, text in fields.items()]
        named.append(", ".join(names) or f"jet {jet} of its batch")
    more = f" and {len(jets) - 8} more" if len(jets) > 8 else ""
    raise ValueError(
        f"the model's output is not finite for {len(jets)} jets ({'; '.join(named)}{more}): "
        "evaluate an earlier checkpoint, or look at these jets"
    )


def particle_errors(reconstruction: Reconstruction, target: Jets) -> Tensor:
    """Relative errors of the particle features (:data:`~lgae_pyg.metrics.PARTICLE_FEATURES`), real
    particles only.

    Shapes:
        - **output**: :math:`(M, 3)`, one row per pair of particles, NaN where the true value is zero
    """
    return _particle_errors(reconstruction, target)[0]


def _particle_errors(reconstruction: Reconstruction, target: Jets) -> tuple[Tensor, Tensor]:
    """The errors, and the number of the jet that each row belongs to."""
    jets = reconstruction.jets
    space = "relative" if reconstruction.matched else "slots"
    rows, target_rows = match_particles(jets.p4, jets.ptr, target.p4, target.ptr, space)
    features = particle_features(jets.p4, jets.ptr)[rows]
    true = particle_features(target.p4, target.ptr)[target_rows]
    return relative_error(features, true, PARTICLE_FEATURES), node_to_graph(target.ptr)[target_rows]


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


def jet_errors(reconstruction: Reconstruction, target: Jets, massless_particles: bool = False) -> Tensor:
    """Relative errors of the jet features (:data:`~lgae_pyg.metrics.JET_FEATURES`).

    Args:
        reconstruction: the reconstructed jets.
        target: the true jets; their energies are always used as they are.
        massless_particles: replace the energies of the reconstructed particles by their momenta.

    Shapes:
        - **output**: :math:`(B, 4)`
    """
    jets = reconstruction.jets
    features = jet_features(jets.p4, jets.ptr, massless_particles)
    return relative_error(features, jet_features(target.p4, target.ptr), JET_FEATURES)


def squared_error(reconstruction: Reconstruction, target: Jets) -> float:
    """Mean squared error of the four-momenta in GeV², in slot order or, for a model without a meaningful
    order, after the optimal assignment."""
    jets = reconstruction.jets
    loss = hungarian if reconstruction.matched else mse
    return float(loss(jets.p4, jets.ptr, target.p4, target.ptr).mean())


def _statistics_columns(features: Sequence[str]) -> dict[str, str]:
    return {
        f"{feature}_{statistic}": f"{HEADINGS[feature]} {HEADINGS[statistic]}"
        for feature in features
        for statistic in TABLE_STATISTICS
    }


def _statistics_values(summaries: Iterable[dict[str, float]]) -> list[float]:
    return [numbers[statistic] for numbers in summaries for statistic in TABLE_STATISTICS]


def _statistics_rows(
    lead: tuple, features: Sequence[str], summaries: Iterable[dict[str, float]]
) -> list[tuple]:
    rows = []
    for feature, numbers in zip(features, summaries):
        counts = {name: int(numbers[name]) for name in ("n", "undefined")}
        rows.append((*lead, feature, *({**numbers, **counts}[name] for name in ALL_STATISTICS)))
    return rows


def particle_tables(
    reconstructions: Sequence[Reconstruction],
    target: Jets,
    caption: str,
    unit: str,
    unit_in_gev: float,
    resamples: int = 0,
) -> tuple[Table, Table]:
    """Errors of the particle features: median and IQR (arXiv:2212.07347, Table 2), and all statistics.

    Args:
        reconstructions: one row each; models of pixels have none, and the caption says so.
        target: the true jets.
        caption: a sentence that names the data.
        unit: the unit that the mean squared error is given in, squared.
        unit_in_gev: that unit in GeV.
        resamples: bootstrap samples behind the errors; none for 0.
    """
    rows, details = [], []
    caption = f"{without_particles(reconstructions)}{_vanished(reconstructions)}{caption}"
    for one in with_particles(reconstructions):
        summaries = _summaries(*_particle_errors(one, target), resamples)
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


def _vanished(reconstructions: Iterable[Reconstruction]) -> str:
    """A sentence for each model that gives back zero four-momenta: it has failed on them, whatever the errors."""
    sentences = []
    for one in with_particles(reconstructions):
        zero = int((one.jets.p4 == 0).all(-1).sum())
        if zero:
            sentences.append(f"{one.label}: {zero} of {len(one.jets.p4)} particles come back as zero momenta. ")
    return "".join(sentences)


def with_particles(reconstructions: Iterable[Reconstruction]) -> list[Reconstruction]:
    """The reconstructions that are particles, not pixels."""
    return [one for one in reconstructions if one.pixels is None]


def without_particles(reconstructions: Iterable[Reconstruction]) -> str:
    """The sentence, with a space after it, that names those without particles; empty if all have them."""
    labels = [one.label for one in reconstructions if one.pixels is not None]
    return f"{', '.join(labels)} is left out: its output is pixels, not particles. " if labels else ""


def jet_comparisons(
    reconstructions: Sequence[Reconstruction], target: Jets
) -> Iterator[tuple[str, str, Tensor]]:
    """What stands in the rows of the jet tables: label, energies and the errors of all jets.

    The sum of the pixels is compared with the jet, and with the sum of the pixels of the jet's own image; a third
    row compares these two, which is what the pixels alone do.
    """
    for one in reconstructions:
        if one.pixels is None:
            for energies, massless_particles in ENERGIES.items():
                yield one.label, energies, jet_errors(one, target, massless_particles)
            continue
        image = Jets(one.pixels.truth, torch.arange(len(target) + 1))
        yield one.label, "pixels", jet_errors(one, target)
        yield f"{one.label}, to truth in pixels", "pixels", jet_errors(one, image)
        yield "truth in pixels", "pixels", jet_errors(replace(one, jets=image), target)


def jet_tables(
    reconstructions: Sequence[Reconstruction], target: Jets, caption: str, resamples: int = 0
) -> tuple[Table, Table]:
    """Errors of the jet features: median and IQR (arXiv:2212.07347, Table 3), and all statistics.

    Each model has two rows: one with the energies as the model outputs them, one with E = |p|. For the rows of a
    model of pixels see :func:`jet_comparisons`.
    """
    rows, details = [], []
    for label, energies, errors in jet_comparisons(reconstructions, target):
        summaries = _summaries(errors, torch.arange(len(target)), resamples)
        rows.append((label, energies, *_statistics_values(summaries), len(target)))
        details += _statistics_rows((label, energies), JET_FEATURES, summaries)
    lead = {"model": "model", "energies": "energies"}
    what = (
        "Relative errors (reconstructed - true) / true of the jet features, a jet being the sum of its "
        f"particles; {ERRORS}; energies: as the model outputs them, or massless, E = |p| for each particle"
    )
    if any(one.pixels for one in reconstructions):
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


def compression_table(reconstructions: Sequence[Reconstruction]) -> Table:
    """Table of the sizes of the codes, by both definitions, without and with side information."""
    rows = []
    for one in reconstructions:
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
