"""The folder of a run: what is in it decides whether a training begins, goes on or is already done."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lgae_pyg.checkpoint import BEST, HEADER, LAST, read_checkpoint
from lgae_pyg.training.configuration import differences, flatten
from lgae_pyg.training.keep import RUN_STATE

OWNED = ("checkpoints", "wandb", "evaluation", "config.yaml", "metrics.csv", "nonfinite.safetensors")


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run and what was found in it.

    Attributes:
        path: the folder.
        last: the checkpoint to go on from, ``None`` for a new training.
        finished: why nothing is left to train, ``None`` if something is.
        wandb_id: id of the W&B run to continue.
        epoch: completed epochs.
    """

    path: Path
    last: Path | None = None
    finished: str | None = None
    wandb_id: str | None = None
    epoch: int = 0

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the smallest validation loss."""
        return self.checkpoints / BEST


def open_folder(path: Path, config: Mapping[str, Any]) -> RunFolder:
    """Looks at a run folder and decides what is to be done in it.

    A training whose configuration agrees is continued; limits (epochs, minutes, patience) may be raised.

    Args:
        path: the folder.
        config: resolved configuration; ``overwrite`` (begin anew) and ``resume`` (``True``: there must be
            something to continue; ``False``: there must not; ``None``: continue if there is) are looked at.

    Raises:
        FileNotFoundError: ``resume=true``, and nothing is there.
        FileExistsError: another training is there, or ``resume=false`` and one is there.
    """
    if config.get("overwrite"):
        clear(path)
    last = path / "checkpoints" / LAST
    if not last.exists():
        if config.get("resume"):
            raise FileNotFoundError(f"resume=true, but there is no {last} to go on from; leave resume out")
        return RunFolder(path)
    if config.get("resume") is False:
        raise FileExistsError(f"{path} holds a training: choose another name=..., or set overwrite=true")
    content = read_checkpoint(last)
    stored = content[HEADER]["config"]
    changes = differences(stored, config)
    if changes:
        raise FileExistsError(
            f"{path} holds a training with another configuration ({'; '.join(changes[:8])}): choose another "
            "name=..., or begin anew with overwrite=true"
        )
    state = content.get(RUN_STATE, {})
    limits = ("trainer.max_epochs", "trainer.max_minutes", "trainer.patience")
    before, after = flatten(stored), flatten(config)
    same_limits = all(before.get(key) == after.get(key) for key in limits)
    return RunFolder(
        path,
        last,
        state.get("finished") if same_limits else None,
        state.get("wandb_id"),
        content[HEADER]["epoch"] or 0,
    )


def clear(path: Path) -> None:
    """Removes what a training and its evaluation have written, and nothing else."""
    for name in OWNED:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
