"""How well a model rebuilds jets: errors of particles and of whole jets, and the equivariance error."""

import math
from collections.abc import Callable
from typing import Any

import torch

from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.evaluation.baselines import fit_baselines, num_particles
from lgae_pyg.evaluation.reconstruction.pixels import Pixels
from lgae_pyg.evaluation.reconstruction.rebuilt import (
    Rebuilt,
    rebuild,
    to_arrays,
    to_plain,
    true_jets,
    with_particles,
)
from lgae_pyg.evaluation.reconstruction.tables import compression_table, jet_tables, particle_tables
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import choose, origin_of
from lgae_pyg.evaluation.study import Study, StudyOptions
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.evaluation.symmetry.equivariance import ANGLES, RAPIDITIES, equivariance_scan, unit_records
from lgae_pyg.evaluation.symmetry.precision import TRANSFORMATIONS, has_precisions, precision_scan
from lgae_pyg.files import first_line
from lgae_pyg.models import contract_of
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table

#: Why a model has no equivariance scan, and why it has no linear baseline.
NOT_SCANNED = (
    "{label} is not scanned for Lorentz equivariance: its images are made around the beam axis, and it gives back "
    "pixels, which no Lorentz transformation of the jet carries into one another."
)
NO_BASELINE = "{label} does not say how large its code is: there is no linear autoencoder of the same size."
NO_TRAINING = "There is no linear baseline, which is fitted on the jets of the training: {reason}."


def run(subject: Subject, options: StudyOptions) -> Results:
    """Tables of the errors of particles and jets, of the sizes of the codes and of equivariance scans.

    Args:
        subject: the model.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`; all jets are taken if ``jets`` is omitted.

    Raises:
        ValueError: if the model's output is not finite; the jets are named.
        OSError: if jets are missing.
    """
    dataset = subject.dataset(options.split, options.root)
    store, factor = choose(dataset.store.to(torch.float64), options.jets), subject.unit_in_gev
    models = {"model": (subject.label, subject.model)}
    notes, scan_jets = [], options.scan_jets
    if options.baseline:
        try:
            models |= fit_baselines(subject.model, subject.dataset("train"))
            notes += [NO_BASELINE.format(label=subject.label)] if len(models) == 1 else []
        except FileNotFoundError as error:
            notes.append(NO_TRAINING.format(reason=first_line(error)))
    if scan_jets and subject.pixels:
        notes, scan_jets = [*notes, NOT_SCANNED.format(label=subject.label)], 0
    caption = _caption(subject, dataset, len(store))
    batches = math.ceil(len(store) / options.batch_size) * len(models)
    with steps(batches + (_scan_steps(subject) if scan_jets else 0), options.progress, "reconstruction") as tick:
        target = true_jets(store, factor)
        rebuilt = []
        for key, (label, model) in models.items():
            facts, particles = contract_of(model), num_particles(model, dataset)
            pixels = Pixels(len(store)) if facts.output_kind == "pixels" else None
            jets = rebuild(model, store, options.batch_size, factor, pixels, tick)
            told, matched = int(facts.side_information), bool(facts.permutation_invariant)
            rebuilt.append(Rebuilt(key, label, jets, matched, int(facts.latent_size), told, particles, pixels))
        tables = list(jet_tables(rebuilt, target, " ".join([caption, *notes]), options.resamples))
        if with_particles(rebuilt):
            found = particle_tables(rebuilt, target, caption, subject.unit, factor, options.resamples)
            tables = [*tables, *found] if subject.pixels else [*found, *tables]
        tables.append(compression_table(rebuilt))
        if scan_jets:
            tables += _scans(subject, dataset, choose(store, scan_jets), options, tick)
    about = subject.description([], caption) | {"split": dataset.split, "jets": len(store)}
    about |= {"notes": notes, "rebuilt": to_plain(rebuilt)}
    return Results("reconstruction", {table.name: table for table in tables}, to_arrays(target, rebuilt), about)


def _scan_steps(subject: Subject) -> int:
    return len(RAPIDITIES) + len(ANGLES) + (len(TRANSFORMATIONS) if has_precisions(subject.model) else 0)


def _scans(
    subject: Subject, dataset: Any, few: JetStore, options: StudyOptions, tick: Callable[[], object]
) -> list[Table]:
    """The equivariance scan and, of models that know mixed precision, the same by precision."""
    factor, batches = subject.unit_in_gev, list(JetLoader(few, options.batch_size))
    caption = _caption(subject, dataset, len(few))
    records = options.records or unit_records(factor)
    tables = [equivariance_scan(subject.model, batches, records, factor, caption, tick)]
    if has_precisions(subject.model):
        caption = _caption(subject, dataset, len(few), precision=False)
        tables.append(precision_scan(subject.model, batches, caption, tick))
    return tables


def _caption(subject: Subject, dataset: Any, jets: int, precision: bool = True) -> str:
    """The sentences that name data and model, with or without the precision of the arithmetic."""
    classes = subject.classes if subject.elsewhere is None else dataset.class_names
    particles = (subject.elsewhere or subject.recipe).get("num_particles")
    parts = [f"Data: {origin_of(dataset)}", *(["+".join(classes)] if classes else []), f"{jets} jets"]
    parts += [f"up to {particles} particles"] if particles else []
    names = [subject.label] + ([subject.precision] if precision else [])
    return f"{', '.join(parts)}. Model: {', '.join(names)}, unit {subject.unit}."


STUDY = Study(
    "reconstruction",
    run,
    compared={
        "particle_reconstruction": "Reconstruction: particles",
        "jet_reconstruction": "Reconstruction: jets",
        "compression": "Sizes of the codes",
    },
    figures="lgae_pyg.evaluation.reconstruction.figures",
)
