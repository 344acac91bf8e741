"""The evaluation of an autoencoder: from a checkpoint to tables, arrays and figures."""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from lgae_pyg.checkpoint import find_checkpoint, load_checkpoint, package_versions
from lgae_pyg.data import JetLoader
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.datasets import build_dataset
from lgae_pyg.evaluation.baselines import fit_baselines, num_particles
from lgae_pyg.evaluation.labels import describe_model
from lgae_pyg.evaluation.reconstruction.pixels import PixelCollector
from lgae_pyg.evaluation.reconstruction.rebuilt import (
    Jets,
    Reconstruction,
    compression_table,
    jet_tables,
    particle_tables,
    reconstruct,
    with_particles,
)
from lgae_pyg.evaluation.results import EvaluationResults
from lgae_pyg.evaluation.subject import choose
from lgae_pyg.evaluation.symmetry.equivariance import ANGLES, RAPIDITIES, Records, equivariance_scan, unit_records
from lgae_pyg.evaluation.symmetry.precision import TRANSFORMATIONS, has_precisions, precision_scan
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table

#: Why a model has no equivariance scan.
NOT_SCANNED = (
    "{label} is not scanned for Lorentz equivariance: its images are made around the beam axis, and it gives back "
    "pixels, which no Lorentz transformation of the jet carries into one another."
)


def evaluate(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    max_jets: int | None = None,
    batch_size: int = 64,
    baseline: bool = True,
    progress: bool = True,
    split: str = "test",
    data_root: str | os.PathLike[str] | None = None,
    scan_jets: int = 200,
    resamples: int = 200,
) -> EvaluationResults:
    """Measures how well a trained model rebuilds jets and keeps the Lorentz symmetry.

    Args:
        source: folder of a run (its best model is taken) or a checkpoint file.
        out: folder for tables, arrays and figures; nothing is written when omitted.
        max_jets: a random choice of that many jets, the same each time; all of them when omitted.
        batch_size: jets per batch. Small batches stay in the processor's cache.
        baseline: add the linear autoencoders of the same compression, fitted on the training split.
        progress: show a progress bar.
        split: the split of the data set that the jets are taken from.
        data_root: root folder of other jets, read as the recipe of the training data says. The baselines are
            fitted on the training data all the same.
        scan_jets: the number of jets in the equivariance scans; 0 leaves them out.
        resamples: bootstrap samples of the jets behind the statistical errors.

    Raises:
        ValueError: if the checkpoint does not say what it was trained on, the units differ, or the model's
            output is not finite (the jets are named).
        OSError: if the checkpoint or the data are not there.
    """
    checkpoint = load_checkpoint(source)
    if checkpoint.data is None:
        raise ValueError(
            f"{checkpoint.path} does not say which data the model was trained on (entry 'data'), as imported ones "
            "do not: evaluate it in Python, with load_model and lgae_pyg.evaluation.evaluate_model"
        )
    if data_root is not None and not Path(data_root).is_dir():
        raise FileNotFoundError(f"there is no data folder {data_root}: nothing is evaluated")
    elsewhere = {} if data_root is None else {"root": os.fspath(data_root)}
    test = build_dataset(checkpoint.data, split, **elsewhere)
    if test.unit != checkpoint.unit:
        raise ValueError(
            f"{checkpoint.path}: the model works in {checkpoint.unit}, the data set in {test.unit}"
        )
    results = evaluate_model(
        checkpoint.model,
        test,
        build_dataset(checkpoint.data, "train") if baseline else None,
        max_jets=max_jets,
        batch_size=batch_size,
        progress=progress,
        scan_jets=scan_jets,
        resamples=resamples,
        description={"checkpoint": os.fspath(checkpoint.path), "epoch": checkpoint.epoch, "split": split},
    )
    if out is not None:
        from lgae_pyg.evaluation.reconstruction.figures import draw_figures

        results.save(out)
        draw_figures(results, Path(out) / "figures", progress)
    return results


def evaluate_model(
    model: torch.nn.Module,
    test: Any,
    train: Any | None = None,
    *,
    max_jets: int | None = None,
    batch_size: int = 64,
    progress: bool = True,
    scan_jets: int = 200,
    resamples: int = 200,
    records: Records | None = None,
    description: Mapping[str, Any] | None = None,
) -> EvaluationResults:
    """As :func:`evaluate`, for a model and data sets at hand; nothing is written.

    Args:
        model: an autoencoder; a copy of it is evaluated, in float64 (or mixed precision, if it is built so).
        test: the jets, a data set with ``store``, ``unit`` and ``recipe``.
        train: the jets that the linear baselines are fitted on; no baselines when omitted.
        max_jets: see :func:`evaluate`.
        batch_size: see :func:`evaluate`.
        progress: see :func:`evaluate`.
        scan_jets: see :func:`evaluate`.
        resamples: see :func:`evaluate`.
        records: the way from momenta in GeV to the model's input and back, where it is more than the unit.
        description: plain values that are kept with the results.
    """
    model = copy.deepcopy(model).eval().double()
    factor = UNITS_IN_GEV[test.unit]
    store = choose(test.store, max_jets)
    target = _true_jets(JetLoader(store, 4096), factor)
    models = {"model": (describe_model(model), model)}
    first = _first_result(model, store)
    if train is not None:
        models |= fit_baselines(model, first, train)
    notes = []
    if scan_jets and getattr(first, "images", None) is not None:
        notes, scan_jets = [NOT_SCANNED.format(label=describe_model(model))], 0
    jets_and_scan = len(JetLoader(store, batch_size)) * len(models)
    with steps(jets_and_scan + (_scan_steps(model) if scan_jets else 0), progress) as tick:
        reconstructions = [
            _reconstruction(key, label, one, _ticking(JetLoader(store, batch_size), tick), test, len(store))
            for key, (label, one) in models.items()
        ]
        caption = _caption(test, len(target), model)
        tables = list(jet_tables(reconstructions, target, " ".join([caption, *notes]), resamples))
        if with_particles(reconstructions):
            tables = [*particle_tables(reconstructions, target, caption, test.unit, factor, resamples), *tables]
        tables.append(compression_table(reconstructions))
        if scan_jets:
            tables += _scans(model, test, choose(store, scan_jets), batch_size, records, tick)
    about = {"caption": caption, "unit": test.unit, "recipe": dict(test.recipe), "notes": notes}
    about |= {"versions": package_versions(), **(description or {})}
    return EvaluationResults(target, reconstructions, {table.name: table for table in tables}, about)


def _scan_steps(model: torch.nn.Module) -> int:
    return len(RAPIDITIES) + len(ANGLES) + (len(TRANSFORMATIONS) if has_precisions(model) else 0)


def _scans(
    model: torch.nn.Module, test: Any, few: Any, batch_size: int, records: Records | None, tick: Callable[[], None]
) -> list[Table]:
    """The equivariance scan and, of models that know mixed precision, the same by precision."""
    factor = UNITS_IN_GEV[test.unit]
    way, caption = records or unit_records(factor), _caption(test, len(few), model)
    tables = [equivariance_scan(model, JetLoader(few, batch_size), way, factor, caption, tick)]
    if has_precisions(model):
        caption = _caption(test, len(few), model, precision=False)
        tables.append(precision_scan(model, JetLoader(few, batch_size), caption, tick))
    return tables


def default_folder(
    source: str | os.PathLike[str], split: str = "test", data_root: str | os.PathLike[str] | None = None
) -> Path:
    """Where results go if nobody says: ``evaluation`` in the folder of the run, or beside the checkpoint.

    Other checkpoints than the best, other splits and other data have folders of their own
    (``evaluation_last``, ``evaluation_val``, ...).
    """
    file = find_checkpoint(source)
    run = file.parent.parent if file.parent.name == "checkpoints" else file.parent
    parts = ["evaluation"]
    parts += [file.stem] if file.stem != "best" else []
    parts += [split] if split != "test" else []
    parts += [Path(data_root).resolve().name] if data_root is not None else []
    return run / "_".join(parts)


def _true_jets(batches: Iterable[Any], factor: float) -> Jets:
    momenta, sizes = zip(*((batch.pos.double() * factor, batch.ptr.diff()) for batch in batches))
    counts = torch.cat(sizes)
    return Jets(torch.cat(momenta), torch.cat([counts.new_zeros(1), counts.cumsum(0)]))


def _first_result(model: torch.nn.Module, store: Any) -> Any:
    """What the model makes of one jet: which kind of output, and of code, it has."""
    with torch.inference_mode():
        return model(store.batch([0]))


def _reconstruction(
    key: str, label: str, model: torch.nn.Module, batches: Iterator[Any], test: Any, jets_in_all: int
) -> Reconstruction:
    collector = PixelCollector(jets_in_all)
    jets = reconstruct(model, batches, UNITS_IN_GEV[test.unit], collector)
    return Reconstruction(
        key=key,
        label=label,
        jets=jets,
        matched=bool(model.permutation_invariant),
        latent_size=int(model.latent_size),
        side_information=int(model.side_information),
        num_particles=num_particles(model, test),
        pixels=collector.collected(),
    )


def _caption(dataset: Any, jets: int, model: torch.nn.Module, precision: bool = True) -> str:
    """The sentences that name data and model, with or without the precision of the arithmetic."""
    recipe = dataset.recipe
    classes = "+".join(recipe.get("classes", ()))
    particles = recipe.get("num_particles")
    origin = getattr(dataset, "origin", recipe["name"])
    parts = [f"Data: {origin} {classes}".rstrip(), f"{jets} jets of the {dataset.split} split"]
    parts += [f"up to {particles} particles"] if particles else []
    mixed = getattr(model, "config", {}).get("mixed_precision", False)
    names = [describe_model(model)] + (["mixed precision" if mixed else "float64"] if precision else [])
    return f"{', '.join(parts)}. Model: {', '.join(names)}, unit {dataset.unit}."


def _ticking(batches: Iterable[Any], tick: Callable[[], None]) -> Iterator[Any]:
    for batch in batches:
        yield batch
        tick()
