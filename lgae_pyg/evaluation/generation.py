"""Samples of whole jets: are the rebuilt jets, taken together, distributed as the true ones?"""

import contextlib
import os
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from lgae_pyg.evaluation.reconstruction import Jets
from lgae_pyg.evaluation.studies import StudyOptions
from lgae_pyg.evaluation.study_results import StudyResults
from lgae_pyg.evaluation.subject import Sample, Subject, batches_of, run_model
from lgae_pyg.losses import jet_sum
from lgae_pyg.metrics import bootstrap
from lgae_pyg.metrics.features import JET_FEATURES, PARTICLE_FEATURES, jet_features, particle_features
from lgae_pyg.metrics.wasserstein import wasserstein_1
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


def run(subject: Subject, options: StudyOptions) -> StudyResults:
    """Distances between the distributions of true and rebuilt jets, beside those of two halves of the true ones.

    Wasserstein-1 distances of jet and particle features; Fréchet and kernel physics distance (Kansal et al.,
    arXiv:2211.10295) of 36 energy flow polynomials, through ``jetnet``; where it is not installed, these two are
    left out with a warning.

    Args:
        subject: the model.
        options: see :class:`~lgae_pyg.evaluation.studies.StudyOptions`; at most :data:`JETS` jets are compared.
    """
    sample = _shuffled(subject.background(min(options.jets, JETS), options.split, options.root))
    with steps(batches_of([sample], options.batch_size) + 4, options.progress, "generation") as tick:
        true, found, pixels = _jets(subject, sample, options.batch_size, tick)
        arrays = {"true/" + name: values for name, values in _features(true).items()}
        arrays |= {"found/" + name: values for name, values in _features(found, not pixels).items()}
        rows = _feature_rows(arrays, min(options.resamples, RESAMPLES))
        tick()
        evaluation = None if pixels else _jetnet_evaluation()
        if evaluation is not None:
            rows += _physics_rows(true, found, tick, evaluation)
    note = (
        "Distances between the distributions of true and rebuilt jets. W1: Wasserstein-1 distance of a feature, ± "
        "bootstrap; FPD and KPD: Fréchet and kernel physics distance (arXiv:2211.10295) of 36 energy flow "
        "polynomials, errors of jetnet. Halves: the same between two random halves of the true jets, what a "
        "perfect model would have"
    )
    if pixels:
        note += "; the output is pixels: jets only, as sums of pixels"
    elif evaluation is None:
        note += "; without FPD and KPD: jetnet was not installed"
    description = subject.description([sample])
    columns = {
        "model": "model", "distance": "distance", "unit": "unit", "value": "true to rebuilt", "error": "±",
        "floor": "halves", "floor_error": "±",
    }  # fmt: skip
    table = Table(
        "generation", f"{note}. {description['caption']}", columns, tuple((subject.label, *row) for row in rows)
    )
    return StudyResults("generation", {"generation": table}, arrays, description)


def _shuffled(sample: Sample) -> Sample:
    """The jets in random order, so that halves of them are alike."""
    order = np.random.default_rng(0).permutation(len(sample))
    return Sample(sample.name, sample.store.select(order), sample.origin)


def _jets(
    subject: Subject, sample: Sample, batch_size: int, tick: Callable[[], object]
) -> tuple[Jets, Jets, bool]:
    """True and rebuilt jets in GeV, and whether the latter are sums of pixels."""
    momenta, sizes, outputs, counts = [], [], [], []
    pixels = False
    for batch, result in run_model(subject.model, sample.store, batch_size, tick):
        momenta.append(batch.pos.double())
        sizes.append(batch.ptr.diff())
        p4, number = result.p4.double(), result.ptr.diff()
        if getattr(result, "images", None) is not None:
            p4, number, pixels = jet_sum(p4, result.ptr), torch.ones_like(number), True
        outputs.append(p4)
        counts.append(number)
    scale = subject.unit_in_gev
    return _together(momenta, sizes, scale), _together(outputs, counts, scale), pixels


def _together(momenta: list, sizes: list, scale: float) -> Jets:
    counts = torch.cat(sizes)
    return Jets(torch.cat(momenta) * scale, torch.cat([counts.new_zeros(1), counts.cumsum(0)]))


def _features(jets: Jets, particles: bool = True) -> dict[str, Array]:
    whole = jet_features(jets.p4, jets.ptr).numpy()
    features = {name: whole[:, column] for column, name in enumerate(JET_FEATURES) if name != "phi"}
    if particles:
        parts = particle_features(jets.p4, jets.ptr).numpy()
        features |= {name: parts[:, column] for column, name in enumerate(PARTICLE_FEATURES)}
    return features


def _feature_rows(arrays: dict[str, Array], resamples: int) -> list[tuple]:
    rows = []
    for key, found in arrays.items():
        kind, _, name = key.partition("/")
        if kind != "found":
            continue
        true = arrays[f"true/{name}"]
        halves = np.array_split(true, 2)
        row: list = [f"W1 of {name.replace('_', ' ')}", UNITS[name]]
        for pair in ((true, found), halves):
            row += [wasserstein_1(*pair), float(bootstrap(pair, wasserstein_1, resamples))]
        rows.append(tuple(row))
    return rows


def _jetnet_evaluation() -> ModuleType | None:
    """jetnet's metrics; ``None``, with a warning, where it is missing or cannot be imported (beside numpy 2)."""
    try:
        from jetnet import evaluation
    except (ImportError, AttributeError) as error:
        warnings.warn(
            f"FPD and KPD are left out, since they need jetnet ({error}): pip install 'lgae-pyg[jetnet]' "
            "(numpy 1.26, Python up to 3.12)",
            stacklevel=3,
        )
        return None
    return evaluation


def _physics_rows(true: Jets, found: Jets, tick: Callable[[], object], evaluation: ModuleType) -> list[tuple]:
    """FPD and KPD by jetnet, of samples of the same sizes for model and halves."""
    features = []
    for jets in (true, found):
        features.append(_energy_flow(jets, evaluation))
        tick()
    true_features, found_features = features
    half = len(true_features) // 2
    pairs = ((true_features[:half], found_features[half:]), (true_features[:half], true_features[half:]))
    sizes = {"min_samples": max(half // 4, 2), "max_samples": half}
    batch = {"batch_size": max(half // 5, min(half, SMALLEST_KPD_BATCH))}
    rows = []
    for name, function, options in (("FPD", evaluation.fpd, sizes), ("KPD", evaluation.kpd, batch)):
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            numbers = [float(value) for pair in pairs for value in function(*pair, **options)]
        rows.append((f"{name} of energy flow", "", *numbers))
        tick()
    return rows


def _energy_flow(jets: Jets, evaluation: ModuleType) -> Array:
    pt, eta, phi = particle_features(jets.p4, jets.ptr).unbind(-1)
    padded, _ = pad_jets(torch.stack([eta, phi, pt], -1), jets.ptr)
    return evaluation.get_fpd_kpd_jet_features(padded.numpy(), efp_jobs=1)
