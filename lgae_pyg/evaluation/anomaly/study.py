"""Anomaly detection: a model of one kind of jets is shown others (arXiv:2212.07347, section 4.3)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lgae_pyg.evaluation.anomaly.density import LatentDensity, latent_invariants
from lgae_pyg.evaluation.anomaly.tables import Scores, anomaly_tables
from lgae_pyg.evaluation.baselines import fit_baselines
from lgae_pyg.evaluation.study import StudyOptions
from lgae_pyg.evaluation.study_results import StudyResults
from lgae_pyg.evaluation.subject import Sample, Subject, batches_of, run_model
from lgae_pyg.losses import jet_sum
from lgae_pyg.metrics import exact_emd
from lgae_pyg.metrics.anomaly_scores import (
    JET_SCORES,
    WAYS,
    image_scores,
    jet_scores,
    particle_scores,
)
from lgae_pyg.metrics.features import jet_features
from lgae_pyg.ops.images import pixel_momenta
from lgae_pyg.progress import steps

#: The score that a model is judged by, fixed beforehand: Chamfer in the coordinates that the model works in,
#: pixels for images, as in the paper.
HEADLINES = {"GNNAE": "chamfer_relative", "CNNAE": "mse_pixels"}
HEADLINE = "chamfer_cartesian"
#: The baseline's score, whatever the model.
BASELINE_SCORE = "chamfer_cartesian"
#: Relative error of the jet's momentum below which it is rounding, and no score.
CONSERVED = 1e-9
#: Jets of the training split that the density of the codes is fitted on.
FITTED = 20_000


def run(subject: Subject, options: StudyOptions) -> StudyResults:
    """Scores ordinary and anomalous jets, and measures how well each score tells them apart.

    The density of the codes and the linear baseline are fitted on the training split, so no scored jet was seen
    before. The sign of a score is fixed: larger means more anomalous.

    Args:
        subject: the model.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`.

    Raises:
        ValueError: if a score is NaN, or the model was trained on one of the signals.
        OSError: if jets are missing.
    """
    background = subject.background(options.jets, options.split, options.root)
    signals = subject.signals(options.signals, options.jets, options.root)
    train = subject.dataset("train", options.root)
    ordinary = Sample("train", train.store, train.origin).choose(FITTED)
    samples = [background, *signals]
    count = batches_of([*samples, ordinary], options.batch_size)
    with steps(count, options.progress, "anomaly") as tick:
        density = LatentDensity(_codes(subject, ordinary, options.batch_size, tick))
        linear = _linear_baseline(subject, train, background)
        found = {
            sample.name: _sample_scores(subject, linear, density, sample, options, tick) for sample in samples
        }
    notes = drop_conserved(found)
    about = subject.description(samples) | {
        "background": background.name,
        "signals": [sample.name for sample in signals],
        "headline": headline(subject.model),
        "notes": notes,
    }
    about["caption"] = " ".join([*notes, about["caption"]])
    tables = anomaly_tables(found, about, options.resamples, options.progress)
    arrays = {f"{name}/{score}": values for name, one in found.items() for score, values in one.items()}
    return StudyResults("anomaly", tables, arrays, about)


def headline(model: torch.nn.Module) -> str:
    """The score that a model is judged by."""
    return HEADLINES.get(getattr(model, "config", {}).get("name"), HEADLINE)


def drop_conserved(found: Mapping[str, Scores]) -> list[str]:
    """Leaves out the scores of the whole jet if a model conserves the momentum: they would be rounding errors.

    Args:
        found: the scores of each sample; changed.

    Returns:
        A sentence, if something was left out.
    """
    largest = max(float(one.pop("relative_momentum_error").max()) for one in found.values())
    if largest > CONSERVED:
        return []
    for one in found.values():
        for name in JET_SCORES:
            one.pop(name)
    return [f"Scores of the whole jet are left out: its momentum comes back to {largest:.0e}."]


def _codes(subject: Subject, sample: Sample, batch_size: int, tick: Callable[[], object]) -> NDArray[np.float64]:
    runs = run_model(subject.model, sample.store, batch_size, tick)
    return torch.cat([latent_invariants(result.latent) for _, result in runs]).double().numpy()


def _linear_baseline(subject: Subject, train: Any, background: Sample) -> torch.nn.Module:
    with torch.inference_mode():
        first = subject.model(background.store.batch([0]))
    _, linear = fit_baselines(subject.model, first, train)["linear"]
    return linear.eval().double()


def _sample_scores(
    subject: Subject,
    linear: torch.nn.Module,
    density: LatentDensity,
    sample: Sample,
    options: StudyOptions,
    tick: Callable[[], object],
) -> Scores:
    parts: list[Mapping[str, Any]] = []
    codes = []
    runs = run_model(subject.model, sample.store, options.batch_size, tick)
    for batch, result in runs:
        codes.append(latent_invariants(result.latent))
        parts.append(
            {
                **model_scores(subject.model, batch, result, subject.unit_in_gev, options.emd),
                **_baseline_scores(linear, batch, subject.unit_in_gev),
                **_truth(batch, subject.unit_in_gev),
            }
        )
    scores = {name: np.concatenate([np.asarray(part[name].cpu()) for part in parts]) for name in parts[0]}
    return {**scores, **density.scores(torch.cat(codes).double().numpy())}


def model_scores(
    model: torch.nn.Module, batch: Any, result: Any, unit_in_gev: float, emd: bool = False
) -> dict[str, torch.Tensor]:
    """The scores of a batch of jets, by name, from what a model makes of them.

    Scores of particles are left out for pixels; ``mse`` in the order of the lists for models whose order has no
    meaning. ``relative_momentum_error`` is beside them, the largest component of the error of the jet's momentum
    in units of its energy.

    Args:
        model: the model.
        batch: the jets.
        result: what the model returned.
        unit_in_gev: unit of both.
        emd: add the exact energy mover's distance.
    """
    target, target_ptr = batch.pos.double() * unit_in_gev, batch.ptr
    p4, ptr = result.p4.double() * unit_in_gev, result.ptr
    if getattr(result, "images", None) is not None:
        images = result.images
        truth = pixel_momenta(images.target, images.axis, images.max_radius).sum(1).double() * unit_in_gev
        total, offsets = jet_sum(p4, ptr), torch.arange(len(truth) + 1)
        scores = {**image_scores(images.output, images.target), **jet_scores(total, offsets, truth, offsets)}
        return {**scores, "relative_momentum_error": _momentum_error(total, truth)}
    ways = [way for way in WAYS if way != "mse" or not model.permutation_invariant]
    scores = particle_scores(p4, ptr, target, target_ptr, ways=ways) | jet_scores(p4, ptr, target, target_ptr)
    if emd:
        scores["emd"] = exact_emd(p4, ptr, target, target_ptr, relative_to="own")
    error = _momentum_error(jet_sum(p4, ptr), jet_sum(target, target_ptr))
    return {**scores, "relative_momentum_error": error}


def _momentum_error(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return (found - true).abs().amax(-1) / true[:, 0]


def _baseline_scores(linear: torch.nn.Module, batch: Any, unit_in_gev: float) -> dict[str, torch.Tensor]:
    way, _, space = BASELINE_SCORE.partition("_")
    with torch.inference_mode():
        result = linear(batch)
    p4, target = (momenta.double() * unit_in_gev for momenta in (result.p4, batch.pos))
    scores = particle_scores(p4, result.ptr, target, batch.ptr, [space], [way])
    return {f"linear_{BASELINE_SCORE}": scores[BASELINE_SCORE]}


def _truth(batch: Any, unit_in_gev: float) -> dict[str, torch.Tensor]:
    """What is known of a jet without any model: its mass, and how many particles it has."""
    features = jet_features(batch.pos.double() * unit_in_gev, batch.ptr)
    return {"mass": features[:, 0], "multiplicity": batch.ptr.diff().double()}
