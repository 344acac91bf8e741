"""Models for others: safetensors and a card in a folder, as hubs of models keep them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lgae_pyg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lgae_pyg.files import write_text
from lgae_pyg.models import contract_of
from lgae_pyg.weights import CARD, MODEL

#: The table of a study that a card shows, by the task of the model.
TABLES = {"classification": "tagging/tagging.md", "reconstruction": "reconstruction/reconstruction.md"}
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
) -> Path:
    """Writes a trained model as a folder for others: ``model.safetensors`` and ``README.md``, its card.

    The folder can be given to :func:`lgae_pyg.load_model` as it is, or uploaded to a hub of models. Paths of this
    machine (roots of the data, folders of the run) are left out of it.

    Args:
        source: a checkpoint, or the folder of a run.
        folder: where it goes; an earlier model there is replaced.
        about: sentences for the card: what the model is for, how it was trained, what it must not be used for.
        licence: short name of its licence.
        results: folder of an evaluation (``RUN/evaluation``), whose first table the card shows.

    Returns:
        The folder.

    Raises:
        OSError: the checkpoint or the results are not there.
        CheckpointError: the checkpoint cannot be used.
    """
    found, folder = load_checkpoint(source), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = _without_paths(found.data) if found.data else None
    config = {key: found.config[key] for key in TRAINING if key in found.config}
    training = {"epoch": found.epoch, "metrics": found.metrics, "config": config}
    save_checkpoint(folder / MODEL, found.model, data=data, unit=found.unit, **training)
    write_text(folder / CARD, _card(folder.name, found, data, about, licence, results))
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
) -> str:
    facts = contract_of(found.model)
    size = sum(one.numel() for one in found.model.parameters())
    lines = [
        "---", f"license: {licence}", "library_name: lgae-pyg", f"tags: [jets, {facts.task}]", "---", "",
        f"# {name}", "", about, "",
        f"{facts.label}, {size} parameters, {facts.task}, momenta (E, px, py, pz) in {found.unit}.", "",
        "```python", "import lgae_pyg", "",
        f'model = lgae_pyg.load_model("{name}")  # or the path of this folder', "```", "",
    ]  # fmt: skip
    if data:
        short = {key: value for key, value in data.items() if isinstance(value, str | int | float | list)}
        lines += ["## Data", "", *(f"- {key}: {value}" for key, value in short.items()), ""]
    validation = {key: value for key, value in found.metrics.items() if key.startswith("val/")}
    if validation:
        lines += ["## Validation", "", *(f"- {key}: {value:.5g}" for key, value in validation.items()), ""]
    if results is not None:
        table = Path(results, TABLES[facts.task]).read_text(encoding="utf-8")
        lines += ["## Results", "", table.rstrip(), ""]
    return "\n".join(lines)
