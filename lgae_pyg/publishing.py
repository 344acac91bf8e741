"""Models for others: safetensors and a card in a folder, as hubs of models keep them."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lgae_pyg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lgae_pyg.files import write_text
from lgae_pyg.models import contract_of
from lgae_pyg.places import CARD, MODEL

#: The tables of the studies that a card shows, by the task of the model or, for an anomaly detector, its name.
TABLES = {
    "classification": "tagging/tagging.md",
    "reconstruction": "reconstruction/particle_reconstruction.md",
    "detector": "anomaly/anomaly.md",
}
#: Entries of a recipe of data that are places on one machine.
PLACES = ("root", "path", "card")
#: What a published model tells of its training.
TRAINING = ("optimizer", "schedule", "loss", "loader", "seed")


def publish(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    about: str = "",
    licence: str = "mit",
    results: str | os.PathLike[str] | None = None,
    score: str | None = None,
    ordinary: Any = None,
    classes: Sequence[str] = (),
    single: bool = False,
) -> Path:
    """Writes a trained model as a folder for others: ``model.safetensors`` and ``README.md``, its card.

    The folder can be given to :func:`lgae_pyg.load_model` as it is, or uploaded to a hub of models. Paths of this
    machine (roots of the data, folders of the run) are left out of it.

    With ``score``, the model is published as an anomaly detector: it brings along what that score is computed with
    (of scores of the codes, their mean and covariance in the training split), and the thresholds above which 10 %
    and 1 % of ordinary jets lie that the training has not seen.

    Args:
        source: a checkpoint, or the folder of a run.
        folder: where it goes; an earlier model there is replaced.
        about: sentences for the card: what the model is for, how it was trained, what it must not be used for.
        licence: short name of its licence.
        results: folder of an evaluation (``RUN/evaluation``), whose first table the card shows.
        score: a column of ``lgae score``: ``latent_mahalanobis``, ``chamfer_cartesian``; of taggers ``score``.
        ordinary: jets for the thresholds, as :func:`lgae_pyg.score` takes them; the test split of the training
            when omitted.
        classes: names of the classes that are ordinary among them; all when empty.
        single: keep the weights in single precision, in half of the bytes.

    Returns:
        The folder.

    Raises:
        OSError: the checkpoint or the results are not there.
        CheckpointError: the checkpoint cannot be used.
        ValueError: there is no such score, or there are too few ordinary jets.
    """
    found, folder = load_checkpoint(source), Path(folder)
    more: dict[str, Any] = {}
    if score is not None:
        from lgae_pyg.applications.detector import calibrate

        more["detector"], more["density"] = calibrate(source, score, ordinary, classes)
    model = copy.deepcopy(found.model)
    if single:
        model = model.to(torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    data = _without_paths(found.data) if found.data else None
    config = {key: found.config[key] for key in TRAINING if key in found.config}
    training: dict[str, Any] = {"epoch": found.epoch, "metrics": found.metrics, "config": config}
    training["trained_on"] = found.trained_on
    save_checkpoint(folder / MODEL, model, data=data, unit=found.unit, **training, **more)
    write_text(folder / CARD, _card(folder.name, found, data, about, licence, results, more.get("detector", {})))
    return folder


def _without_paths(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of data with the last part of each place alone."""
    places = {key: Path(value).name for key, value in recipe.items() if key in PLACES and isinstance(value, str)}
    return {**recipe, **places}


def _card(
    name: str,
    found: Checkpoint,
    data: Mapping[str, Any] | None,
    about: str,
    licence: str,
    results: str | os.PathLike[str] | None,
    detector: Mapping[str, Any],
) -> str:
    facts = contract_of(found.model)
    kind = "detector" if detector else facts.task
    tags = f"{facts.task}, anomaly-detection" if detector else facts.task
    size = sum(one.numel() for one in found.model.parameters())
    lines = [
        "---", f"license: {licence}", "library_name: lgae-pyg", f"tags: [jets, {tags}]", "---", "",
        f"# {name}", "", about, "",
        f"{facts.label}, {size} parameters, {facts.task}, momenta (E, px, py, pz) in {found.unit}.", "",
        "```python", "import lgae_pyg", "",
        f'model = lgae_pyg.load_model("{name}")  # or the path of this folder', "```", "",
    ]  # fmt: skip
    if detector:
        which = f"{detector['jets']:,} ordinary jets that the training has not seen ({detector['ordinary']})"
        lines += ["## Anomaly score", ""]
        lines += [f"`{detector['score']}`, larger for more unusual jets. Thresholds from {which}:", ""]
        lines += ["| share of ordinary jets above | ± | threshold |", "| ---: | ---: | ---: |"]
        for share, value in detector["thresholds"].items():
            error = (float(share) * (1 - float(share)) / detector["jets"]) ** 0.5
            lines.append(f"| {share} | {error:.2g} | {value:.6g} |")
        lines.append("")
    if data:
        short = {key: value for key, value in data.items() if isinstance(value, str | int | float | list)}
        lines += ["## Data", "", *(f"- {key}: {value}" for key, value in short.items()), ""]
    validation = {key: value for key, value in found.metrics.items() if key.startswith("val/")}
    if validation:
        lines += ["## Validation", "", *(f"- {key}: {value:.5g}" for key, value in validation.items()), ""]
    if results is not None:
        table = Path(results, TABLES[kind]).read_text(encoding="utf-8")
        lines += ["## Results", "", table.rstrip(), ""]
    return "\n".join(lines)
