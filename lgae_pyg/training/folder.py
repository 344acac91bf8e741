"""The folder of a run: what is in it decides whether a training begins, goes on or is already done."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from lgae_pyg.checkpoint import BEST, HEADER, LAST, read_checkpoint
from lgae_pyg.processes import leads
from lgae_pyg.training.configuration import differences, flatten, save_config
from lgae_pyg.training.keep import RUN_STATE

OWNED = ("checkpoints", "wandb", "evaluation", "config.yaml", "metrics.csv", "nonfinite.safetensors")

#: Where a training that is overwritten waits for the new one's first checkpoint.
FORMER = ".former"

_PORTION = 1 << 20  # particles that are summed at once


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run and what was found in it.

    Attributes:
        path: the folder.
        last: the checkpoint to go on from, ``None`` for a new training.
        finished: why nothing is left to train, ``None`` if something is.
        wandb_id: id of the W&B run to continue.
        epoch: completed epochs.
        jets: what :func:`jets_seen` said of the jets of the training so far; empty if unknown.
        header: of the checkpoint to go on from; empty for a new training.
    """

    path: Path
    last: Path | None = None
    finished: str | None = None
    wandb_id: str | None = None
    epoch: int = 0
    jets: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)

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

    A training whose configuration agrees is continued; limits (epochs, minutes, patience) may be raised, and its
    jets may have moved. Nothing is changed yet, see :func:`begin`.

    Args:
        path: the folder.
        config: resolved configuration; ``overwrite`` (begin anew) and ``resume`` (``True``: there must be
            something to continue; ``False``: there must not; ``None``: continue if there is) are looked at.

    Raises:
        FileNotFoundError: ``resume=true``, and nothing is there.
        FileExistsError: another training is there, or ``resume=false`` and one is there.
    """
    settle(path)
    if config.get("overwrite"):
        return RunFolder(path)
    last = path / "checkpoints" / LAST
    if not last.exists():
        if config.get("resume"):
            raise FileNotFoundError(f"resume=true, but there is no {last} to go on from; leave resume out")
        return RunFolder(path)
    if config.get("resume") is False:
        raise FileExistsError(f"{path} holds a training: {advice(path)}")
    content = read_checkpoint(last)
    stored = content[HEADER]["config"]
    changes = differences(stored, config)
    if changes:
        raise FileExistsError(
            f"{path} holds a training with another configuration ({'; '.join(changes[:8])}): {advice(path)}"
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
        content.get("callbacks", {}).get(JetsSeen.__name__, {}),
        content[HEADER],
    )


def advice(path: Path) -> str:
    """Returns what to do where another training is in the way."""
    there = ", ".join(name for name in OWNED if (path / name).exists())
    return f"choose another name=...; overwrite=true would begin anew and delete what is there ({there})"


def begin(run: RunFolder, config: Mapping[str, Any], data: Any) -> "JetsSeen":
    """Prepares the folder for a training that is now sure to begin, or to go on.

    Args:
        run: what :func:`open_folder` found.
        config: resolved configuration, written to ``config.yaml``; with ``overwrite``, a former training is
            set aside until the new one has a checkpoint.
        data: the jets, with ``train`` and ``val``.

    Returns:
        A callback that keeps what the jets were in the checkpoints.

    Raises:
        ValueError: the jets are not those that the training has seen so far.
    """
    seen = {name: jets_seen(jets) for name, jets in (("train", data.train), ("val", data.val))}
    other = [name for name, jets in seen.items() if name in run.jets and not same_jets(run.jets[name], jets)]
    if other:
        raise ValueError(
            f"the jets in {data.train.recipe['root']} ({', '.join(other)}) are not those that the training in "
            f"{run.path} has seen: set data.root=... to those, or {advice(run.path)}"
        )
    if leads():
        if config.get("overwrite"):
            set_aside(run.path)
        save_config(run.path / "config.yaml", config)
    return JetsSeen(seen)


def jets_seen(jets: Any) -> dict[str, Any]:
    """Returns numbers that tell a set of jets from another: how many jets and particles there are, and sums of all
    momenta, once plain and once with weights that depend on the place, so that the order counts."""
    store = jets.store
    momenta, sums = store.particle_fields["pos"], torch.zeros(3, 4, dtype=torch.float64)
    for first in range(0, len(momenta), _PORTION):  # of more than memory may hold
        part = momenta[first : first + _PORTION].double()
        weights = torch.cos(torch.arange(first, first + len(part), dtype=torch.float64))
        sums += torch.stack([part.sum(0), weights @ part, part.abs().sum(0)])
    return {"jets": len(jets), "particles": len(momenta), "sums": sums.tolist()}


def same_jets(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two results of :func:`jets_seen` mean the same jets, up to rounding on other machines."""
    if (one["jets"], one["particles"]) != (other["jets"], other["particles"]):
        return False
    first, second = (torch.tensor(jets["sums"], dtype=torch.float64) for jets in (one, other))
    return bool(((first - second).abs() <= 1e-9 * second[-1:].clamp(min=1e-300)).all())


class JetsSeen(pl.Callback):
    """Keeps in the checkpoints of a training what its jets were.

    Args:
        jets: what :func:`jets_seen` says of each split.
    """

    def __init__(self, jets: Mapping[str, Any]) -> None:
        self.jets = dict(jets)

    def state_dict(self) -> dict[str, Any]:
        """Returns what the jets were."""
        return self.jets


def set_aside(path: Path) -> None:
    """Moves what a training and its evaluation have written, and nothing else, to the folder ``.former``."""
    former = path / FORMER
    for name in OWNED:
        if (path / name).exists():
            former.mkdir(exist_ok=True)
            os.rename(path / name, former / name)


def settle(path: Path) -> None:
    """Decides what becomes of a training that was set aside: the new one has its place once it has a checkpoint;
    one that did not get so far leaves the former as it was. Nothing is done where nothing was set aside."""
    former = path / FORMER
    if not former.is_dir() or not leads():
        return
    if not (path / "checkpoints" / LAST).exists():
        for name in OWNED:
            remove(path / name)
            if (former / name).exists():
                os.rename(former / name, path / name)
    remove(former)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
