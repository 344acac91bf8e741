"""Samples of whole jets: are the rebuilt jets, taken together, distributed as the true ones?"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from lgae_pyg.evaluation.reconstruction.pixels import Pixels
from lgae_pyg.evaluation.reconstruction.rebuilt import Jets, rebuild, true_jets
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import Sample, batches_of
from lgae_pyg.evaluation.study import Study, StudyOptions
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.metrics import bootstrap_weighted
from lgae_pyg.metrics.features import JET_FEATURES, PARTICLE_FEATURES, jet_features, particle_features
from lgae_pyg.metrics.wasserstein import wasserstein_1
from lgae_pyg.ops.graphs import node_to_graph
from lgae_pyg.ops.jets import pad_jets
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table

Array = NDArray[np.float64]

#: Jets that are compared, at most: EFPs take a millisecond each.
JETS = 10_000
#: Bootstrap samples of a distance.
RESAMPLES = 40
UNITS = {"mass": "GeV", "pt": "GeV", "eta": "", "phi": "rad", "pt_rel": "", "eta_rel": "", "phi_rel": "rad"}
SMALLEST_KPD_BATCH = 1000
EXPLANATION = (
    "Distances between the distributions of true and rebuilt jets. W1: Wasserstein-1 distance of a feature; true "
    "and rebuilt jets are pairs, and ± draws them as pairs, jet by jet (bootstrap). FPD and KPD: Fréchet and "
    "kernel physics distance (arXiv:2211.10295) of 36 energy flow polynomials, of true jets to other rebuilt "
    "ones, errors of jetnet. Halves: the same between two random halves of the true jets, independent of each "
    "other: what chance alone does to samples of that size. A perfect model would have that of FPD and KPD; of W1 "
    "it would have 0, since its jets are pairs: a value below the halves is less than two such samples could show"
)
WITHOUT_JETNET = "without FPD and KPD: jetnet is not installed here (pip install 'lgae-pyg[jetnet]')"


def run(subject: Subject, options: StudyOptions) -> Results:
    """Distances between the distributions of true and rebuilt jets, beside those of two halves of the true ones.

    Wasserstein-1 distances of jet and particle features; Fréchet and kernel physics distance (Kansal et al.,
    arXiv:2211.10295) of 36 energy flow polynomials, through ``jetnet``, where that is installed.

    Args:
        subject: the model.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`; at most :data:`JETS` jets are compared.

    Raises:
        ValueError: if the model's output is not finite; the jets are named.
        OSError: if jets are missing.
    """
    sample = _shuffled(subject.background(min(options.sample, JETS), options.split, options.root))
    scale, notes = subject.unit_in_gev, [EXPLANATION]
    pixels = Pixels(len(sample)) if subject.pixels else None
    with steps(batches_of([sample], options.batch_size) + 5, options.progress, "generation") as tick:
        true = true_jets(sample.store, scale)
        found = rebuild(subject.model, sample.store, options.batch_size, scale, pixels, tick)
        rows = _feature_rows(true, found, not subject.pixels, min(options.resamples, RESAMPLES))
        tick()
        if subject.pixels:
            notes.append("the output is pixels: jets only, as sums of pixels")
        elif (judge := _jetnet_evaluation()) is None:
            notes.append(WITHOUT_JETNET)
        else:
            rows += _physics_rows(true, found, tick, judge)
    description = subject.description([sample])
    columns = {
        "model": "model", "distance": "distance", "unit": "unit", "value": "true to rebuilt", "error": "± rebuilt",
        "floor": "halves", "floor_error": "± halves",
    }  # fmt: skip
    caption = f"{'; '.join(notes)}. {description['caption']}"
    table = Table("generation", caption, columns, tuple((subject.label, *row) for row in rows))
    arrays = {"true/" + name: values for name, values in _features(true).items()}
    arrays |= {"found/" + name: values for name, values in _features(found, not subject.pixels).items()}
    return Results("generation", {"generation": table}, arrays, description)


def _shuffled(sample: Sample) -> Sample:
    """The jets in random order, so that halves of them are alike."""
    order = np.random.default_rng(0).permutation(len(sample))
    return replace(sample, store=sample.store.select(order))


def _features(jets: Jets, particles: bool = True) -> dict[str, Array]:
    whole = jet_features(jets.p4, jets.ptr).numpy()
    features = {name: whole[:, column] for column, name in enumerate(JET_FEATURES) if name != "phi"}
    if particles:
        parts = particle_features(jets.p4, jets.ptr).numpy()
        features |= {name: parts[:, column] for column, name in enumerate(PARTICLE_FEATURES)}
    return features


def _feature_rows(true: Jets, found: Jets, particles: bool, resamples: int) -> list[tuple]:
    """Name, unit and W1 of each feature, of true and rebuilt jets and of two halves of the true ones; errors."""
    truth, rows = _features(true), []
    for name, rebuilt in _features(found, particles).items():
        jets = [_jet_of(name, one) for one in (true, found)]
        paired = _paired_distance(truth[name], rebuilt, *jets, resamples)
        rows.append(
            (f"W1 of {name.replace('_', ' ')}", UNITS[name], *paired, *_halves(truth[name], jets[0], resamples))
        )
    return rows


def _jet_of(name: str, jets: Jets) -> NDArray[np.int64]:
    """The number of the jet that each value of a feature belongs to."""
    return (node_to_graph(jets.ptr) if name in PARTICLE_FEATURES else torch.arange(len(jets))).numpy()


def _paired_distance(
    true: Array, found: Array, true_jet: NDArray, found_jet: NDArray, resamples: int
) -> tuple[float, float]:
    """W1 of two samples that come from the same jets, and its error: whole jets are drawn, true and rebuilt."""
    size = int(max(true_jet.max(), found_jet.max())) + 1
    error = bootstrap_weighted([size], lambda n: wasserstein_1(true, found, n[true_jet], n[found_jet]), resamples)
    return wasserstein_1(true, found), error


def _halves(values: Array, jet: NDArray, resamples: int) -> tuple[float, float]:
    """W1 of the first and the second half of a sample, and its error: jets of either are drawn independently."""
    (first, second), (one, other) = np.array_split(values, 2), np.array_split(jet, 2)
    other = other - other.min()
    sizes = [int(part.max()) + 1 for part in (one, other)]
    error = bootstrap_weighted(sizes, lambda n, m: wasserstein_1(first, second, n[one], m[other]), resamples)
    return wasserstein_1(first, second), error


def _jetnet_evaluation() -> ModuleType | None:
    """jetnet's metrics; ``None`` where it is missing or cannot be imported (beside numpy 2)."""
    try:
        from jetnet import evaluation
    except (ImportError, AttributeError):
        return None
    return evaluation


def _physics_rows(true: Jets, found: Jets, tick: Callable[[], object], judge: ModuleType) -> list[tuple]:
    """FPD and KPD by jetnet, of samples of the same sizes for model and halves."""
    features = []
    for jets in (true, found):
        features.append(_energy_flow(jets, judge))
        tick()
    true_features, found_features = features
    half = len(true_features) // 2
    pairs = ((true_features[:half], found_features[half:]), (true_features[:half], true_features[half:]))
    sizes = {"min_samples": max(half // 4, 2), "max_samples": half}
    batch = {"batch_size": max(half // 5, min(half, SMALLEST_KPD_BATCH))}
    rows = []
    for name, function, options in (("FPD", judge.fpd, sizes), ("KPD", judge.kpd, batch)):
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            numbers = [float(value) for pair in pairs for value in function(*pair, **options)]
        rows.append((f"{name} of energy flow", "", *numbers))
        tick()
    return rows


def _energy_flow(jets: Jets, judge: ModuleType) -> Array:
    pt, eta, phi = particle_features(jets.p4, jets.ptr).unbind(-1)
    padded, _ = pad_jets(torch.stack([eta, phi, pt], -1), jets.ptr)
    return judge.get_fpd_kpd_jet_features(padded.numpy(), efp_jobs=1)


STUDY = Study(
    "generation",
    run,
    compared={"generation": "Samples of whole jets"},
    figures="lgae_pyg.evaluation.generation.figures",
)
