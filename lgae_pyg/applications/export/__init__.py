"""Trained models as one file that needs nothing of this package: momenta in, scores (and rebuilt jets) out.

:func:`export_model` writes such a file and checks it against the model, :func:`open_export` opens it again.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from lgae_pyg.applications.export.anomaly import PaddedAutoencoder
from lgae_pyg.applications.export.check import Comparison, Program, check_export
from lgae_pyg.applications.export.files import (
    ExportError,
    open_export,
    read_description,
    write_export,
)
from lgae_pyg.applications.export.program import PaddedTagger
from lgae_pyg.applications.score_model import density_of
from lgae_pyg.applications.score_table import column_name
from lgae_pyg.checkpoint import Checkpoint, load_checkpoint, package_versions
from lgae_pyg.files import new_file
from lgae_pyg.lock import writing
from lgae_pyg.models import contract_of
from lgae_pyg.models.registry import model_fingerprint

__all__ = ["ExportError", "Exported", "export_model", "open_export", "read_description"]

#: Meaning of the numbers in all descriptions.
INPUTS = {
    "p4": "(jets, particles, 4), E, px, py, pz of each particle, in 'unit' and 'dtype'; two places at least",
    "count": "(jets,), int64, how many of the places of each jet hold a particle: the first ones",
}
OUTPUTS = {
    "classification": {"scores": "(jets, classes), softmax; NaN for a jet that no network can read"},
    "reconstruction": {
        "scores": "(jets, score_names), larger for more unusual jets; NaN for a jet that no model can read",
        "rebuilt": "(jets, places, 4), E, px, py, pz in 'unit' and 'dtype'; zero where there is no particle",
    },
}


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked.

    Attributes:
        path: the file.
        description: what is kept in it.
        comparison: its scores beside those of PyTorch.
        program: what it was made of.
    """

    path: Path
    description: dict[str, Any]
    comparison: Comparison
    program: Program


def export_model(
    source: str | os.PathLike[str] | Checkpoint,
    path: str | os.PathLike[str],
    unit: str = "GeV",
    num_particles: int | None = None,
    classes: list[str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Exported:
    """Writes a trained model with all that comes before and after it as one file, and compares it with PyTorch.

    Args:
        source: a checkpoint, or the folder of a run.
        path: the file: ``.onnx``, or ``.pt2`` for :func:`torch.export.load`.
        unit: unit of the momenta that the file takes.
        num_particles: jets are cut to so many leading particles; as in the training when omitted.
        classes: of a tagger, names of the classes by their number; those of the checkpoint, or their numbers, when
            omitted.
        dtype: precision of the momenta that the file takes.

    Raises:
        ExportError: if the model cannot be written, or would give other scores; an older file is left as it was.
        ValueError: if there is no form for padded jets of this model, or an option does not fit it.
        ImportError: without the packages for ONNX.
    """
    found = source if isinstance(source, Checkpoint) else load_checkpoint(source)
    program = _program(found, unit, num_particles, dtype)
    task, model = contract_of(found.model).task, cast(Any, found.model)
    description = {
        "format": 1,
        "model": model.config["name"],
        "fingerprint": model_fingerprint(model),
        "config": model.config,
        "unit": unit,
        "dtype": str(dtype).removeprefix("torch."),
        "num_particles": program.num_particles,
        **_scores(found, program, classes),
        "inputs": INPUTS,
        "outputs": OUTPUTS[task],
        "versions": package_versions(),
    }
    path = Path(path)
    with writing(path, "export"), new_file(path, path.suffix) as untried:
        write_export(program, untried, description)
        comparison = check_export(program, open_export(untried, threads=1))
    return Exported(path, description, comparison, program)


def _program(found: Checkpoint, unit: str, num_particles: int | None, dtype: torch.dtype) -> Program:
    """What the file is to compute."""
    trained, model = (found.data or {}).get("num_particles"), cast(Any, found.model)
    if contract_of(model).task == "classification":
        return PaddedTagger(model, unit, num_particles or trained, dtype)
    cut = num_particles or (min(trained, model.num_particles or trained) if trained else None)
    return PaddedAutoencoder(model, unit, cut, dtype, density_of(found))


def _scores(found: Checkpoint, program: Program, classes: list[str] | None) -> dict[str, Any]:
    """What the description says of the scores."""
    if isinstance(program, PaddedTagger):
        return {"classes": _class_names(found, classes)}
    if classes:
        raise ValueError(f"{found.model.label} is an autoencoder and has no classes: leave them out")
    headline = found.detector.get("score") or cast(Any, found.model).anomaly_score
    more = {"detector": found.detector} if found.detector else {}
    return {"score_names": program.names, "headline": column_name(headline), **more}


def _class_names(found: Checkpoint, given: list[str] | None) -> list[str]:
    """Names of the classes: those given, or those of the checkpoint where they are as many, or numbers."""
    number: int = cast(Any, found.model).num_classes
    if given and len(given) != number:
        raise ValueError(f"the model has {number} classes, not {len(given)}: {', '.join(given)}")
    known = given or found.class_names or (found.data or {}).get("classes") or []
    return list(known) if len(known) == number else [f"class {place}" for place in range(number)]
