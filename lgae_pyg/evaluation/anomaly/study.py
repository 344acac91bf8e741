"""Anomaly detection: a model of one kind of jets is shown others (arXiv:2212.07347, section 4.3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lgae_pyg.evaluation.anomaly.density import LatentDensity
from lgae_pyg.evaluation.anomaly.supervised import described, load_references, not_among, rows_of, without_seen
from lgae_pyg.evaluation.anomaly.tables import RANK, Scores, anomaly_tables
from lgae_pyg.evaluation.baselines import fit_baselines
from lgae_pyg.evaluation.latent.codes import latent_invariants
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import Sample, batches_of
from lgae_pyg.evaluation.study import Study, StudyOptions, of_detectors
from lgae_pyg.evaluation.subject import Subject, run_model
from lgae_pyg.files import first_line
from lgae_pyg.losses import jet_sum
from lgae_pyg.metrics import exact_emd
from lgae_pyg.metrics.anomaly_scores import JET_SCORES, WAYS, image_scores, jet_scores, particle_scores
from lgae_pyg.metrics.features import jet_features
from lgae_pyg.metrics.mass_rank import rank_at_equal_mass
from lgae_pyg.models import contract_of
from lgae_pyg.ops.images import pixel_momenta
from lgae_pyg.progress import steps

#: The baseline's score, whatever the model.
BASELINE_SCORE = "chamfer_cartesian"
#: Relative error of the jet's momentum below which it is rounding, and no score.
CONSERVED = 1e-9
#: Jets of the training split that the density of the codes is fitted on.
FITTED = 20_000


def run(subject: Subject, options: StudyOptions) -> Results:
    """Scores ordinary and anomalous jets, and measures how well each score tells them apart.

    The density of the codes and the linear baseline are fitted on the training split, so no scored jet was seen
    before; models that do not show their codes have neither. Taggers with a class of the background give the
    probability that a jet is of another (:meth:`~lgae_pyg.models.Tagger.anomaly_scores`). With further background
    jets (``options.calibration``) there is the rank of the headline score among those of equal mass, too
    (:func:`~lgae_pyg.metrics.mass_rank.rank_at_equal_mass`). The sign of a score is
    fixed: larger means more anomalous. The arrays hold the scores of every jet, ``SAMPLE/SCORE``, and beside them
    ``SAMPLE/class`` and ``SAMPLE/jet_id``, by which the jet is found in the data.

    Args:
        subject: the model.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`.

    Raises:
        LeftOut: if the data have no classes by name.
        ValueError: if a score is NaN, or the model was trained on one of the signals.
        OSError: if jets are missing.
    """
    background, signals = subject.contrast(options.signals, options.sample, options.split, options.root)
    references = load_references(options.supervised)
    samples, notes = without_seen([background, *signals], references)
    background, *signals = samples
    notes += [note for one in references.values() for note in one.notes(background, signals)]
    detector = subject.facts.task == "classification"
    try:
        ordinary = [] if detector else [Sample.of("train", subject.dataset("train", options.root)).choose(FITTED)]
    except FileNotFoundError as error:
        ordinary = []
        notes.append(f"No density of codes and no linear baseline: no training jets ({first_line(error)}).")
    others, more = _calibration(subject, background, options)
    notes += more
    batches = batches_of([*samples, *ordinary, *others, *samples * len(references)], options.batch_size)
    with steps(batches, options.progress, "anomaly") as tick:
        density, linear = _fitted(subject, ordinary, options, tick)
        found = {one.name: _sample_scores(subject, linear, density, one, options, tick) for one in samples}
        for sample in others:
            _add_ranks(found, _sample_scores(subject, linear, density, sample, options, tick), subject)
        for name, reference in references.items():
            for one in samples:
                found[one.name][name] = reference.score(one, subject.unit, background, options.batch_size, tick)
    notes += drop_conserved(found)
    about = subject.description(samples) | {
        "background": background.name,
        "signals": [sample.name for sample in signals],
        "headline": subject.facts.anomaly_score,
        "notes": notes,
        **({"supervised": described(references)} if references else {}),
    }
    about["caption"] = " ".join([*notes, about["caption"]])
    tables = anomaly_tables(found, about, options.resamples, options.progress)
    arrays = {f"{one.name}/{name}": values for one in samples for name, values in one.identities().items()}
    arrays |= {f"{name}/{score}": values for name, one in found.items() for score, values in one.items()}
    return Results("anomaly", tables, arrays, about)


def _calibration(
    subject: Subject, background: Sample, options: StudyOptions
) -> tuple[list[Sample], list[str]]:
    """Further background jets, none of which is judged, and a sentence on them; nothing if none were given."""
    if options.calibration is None:
        return [], []
    sample = subject.in_files(options.calibration, "calibration")
    new = not_among(rows_of([background]), sample)
    kept = sample if new is None else replace(sample, store=sample.store.select(np.flatnonzero(new)))
    if not len(kept):
        raise ValueError(f"{options.calibration}: all of its jets are among those that are judged: give others")
    left_out = len(sample) - len(kept)
    lost = f" ({left_out} others of the files are judged themselves)" if left_out else ""
    return [kept], [f"Rank at equal mass: among {len(kept)} other background jets, {sample.origin}{lost}."]


def _add_ranks(found: Mapping[str, Scores], calibration: Scores, subject: Subject) -> None:
    """Puts the rank of the headline score beside all scores."""
    headline = subject.facts.anomaly_score
    others = calibration[headline], calibration["mass"]
    for one in found.values():
        one[RANK] = rank_at_equal_mass(one[headline], one["mass"], *others)


def drop_conserved(found: Mapping[str, Scores]) -> list[str]:
    """Leaves out the scores of the whole jet if a model conserves the momentum: they would be rounding errors.

    Args:
        found: the scores of each sample; changed.

    Returns:
        A sentence, if something was left out.
    """
    if any("relative_momentum_error" not in one for one in found.values()):
        return []
    largest = max(float(one.pop("relative_momentum_error").max()) for one in found.values())
    if largest > CONSERVED:
        return []
    for one in found.values():
        for name in JET_SCORES:
            one.pop(name)
    return [f"Scores of the whole jet are left out: its momentum comes back to {largest:.0e}."]


def _fitted(
    subject: Subject, ordinary: Sequence[Sample], options: StudyOptions, tick: Callable[[], object]
) -> tuple[LatentDensity | None, torch.nn.Module | None]:
    """What is fitted on jets of the training: the density of the codes, and the linear baseline."""
    if not ordinary:
        return None, None
    codes = sample_codes(subject, ordinary[0], options.batch_size, tick)
    _, linear = fit_baselines(subject.model, subject.dataset("train", options.root)).get("linear", (None, None))
    return None if codes is None else LatentDensity(codes), linear


def sample_codes(
    subject: Subject, sample: Sample, batch_size: int, tick: Callable[[], object] = lambda: None
) -> NDArray[np.float64] | None:
    """Invariants of the codes of a sample; ``None`` if the model does not show them."""
    latents = [result.latent for _, result in run_model(subject.model, sample.store, batch_size, tick)]
    if any(latent is None for latent in latents):
        return None
    return torch.cat([latent_invariants(latent) for latent in latents]).double().numpy()


def _sample_scores(
    subject: Subject,
    linear: torch.nn.Module | None,
    density: LatentDensity | None,
    sample: Sample,
    options: StudyOptions,
    tick: Callable[[], object],
) -> Scores:
    parts: list[Mapping[str, Any]] = []
    codes = []
    for batch, result in run_model(subject.model, sample.store, options.batch_size, tick):
        codes += [] if density is None else [latent_invariants(result.latent)]
        parts.append(
            {
                **model_scores(subject.model, batch, result, subject.unit_in_gev, options.emd),
                **({} if linear is None else _baseline_scores(linear, batch, subject.unit_in_gev)),
                **_truth(batch, subject.unit_in_gev),
            }
        )
    scores = {name: np.concatenate([np.asarray(part[name].cpu()) for part in parts]) for name in parts[0]}
    return scores if density is None else {**scores, **density.scores(torch.cat(codes).double().numpy())}


def model_scores(
    model: torch.nn.Module, batch: Any, result: Any, unit_in_gev: float, emd: bool = False
) -> dict[str, torch.Tensor]:
    """The scores of a batch of jets, by name, from what a model makes of them.

    Scores of particles are left out for pixels; ``mse`` in the order of the lists for models whose order has no
    meaning. Of a tagger there is one. ``relative_momentum_error`` is beside those of autoencoders, the
    largest component of the error of the jet's momentum in units of its energy.

    Args:
        model: the model.
        batch: the jets.
        result: what the model returned.
        unit_in_gev: unit of both.
        emd: add the exact energy mover's distance.
    """
    facts = contract_of(model)
    if facts.task == "classification":
        return {facts.anomaly_score: model.anomaly_scores(result)}
    target, target_ptr = batch.pos.double() * unit_in_gev, batch.ptr
    p4, ptr = result.p4.double() * unit_in_gev, result.ptr
    if facts.output_kind == "pixels":
        images = result.images
        truth = pixel_momenta(images.target, images.axis, images.max_radius).sum(1).double() * unit_in_gev
        total, offsets = jet_sum(p4, ptr), torch.arange(len(truth) + 1)
        scores = {**image_scores(images.output, images.target), **jet_scores(total, offsets, truth, offsets)}
        return {**scores, "relative_momentum_error": _momentum_error(total, truth)}
    ways = [way for way in WAYS if way != "mse" or not facts.permutation_invariant]
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


STUDY = Study(
    "anomaly",
    run,
    compared={"anomaly": "Anomaly detection"},
    figures="lgae_pyg.evaluation.anomaly.figures",
    fits=of_detectors,
)
