"""What the study of data efficiency trains."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Words that say where and how fast a training runs, not what it learns.
_INDIFFERENT = ("runs", "trainer.threads")


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        experiment: name of a Hydra experiment, and what is changed of it: ``NAME+KEY=VALUE+...``.
        jets: training jets.
        seed: of weights, order and choice of the jets.
    """

    experiment: str
    jets: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{re.sub(r'[^A-Za-z0-9_]+', '-', self.experiment)}_{self.jets}_seed{self.seed}"

    @property
    def words(self) -> list[str]:
        """The experiment and its changes for Hydra."""
        name, *changes = self.experiment.split("+")
        return [f"experiment={name}", *changes]


@dataclass(frozen=True)
class Plan:
    """What the study trains, and how.

    Args:
        experiments: names of Hydra experiments, each with its changes: ``NAME+KEY=VALUE+...``.
        sizes: numbers of training jets.
        seeds: seeds of each size.
        folder: where runs and results go.
        shown: jets that each training is shown in all, whatever the size: a small set is shown more often.
        epochs: after how many parts of that the validation loss is looked at; the best weights are taken.
        val_jets: jets of the validation, the same for all.
        test_jets: jets that the errors are measured on, the same for all.
        processes: trainings at a time.
        threads: threads of each.
        overrides: further words for Hydra, e.g. ``data.root=...``.

    Raises:
        ValueError: if a number is below one, something is named twice, or ``shown`` is less than a training set.
    """

    experiments: Sequence[str]
    sizes: Sequence[int]
    seeds: Sequence[int]
    folder: Path
    shown: int = 200_000
    epochs: int = 8
    val_jets: int = 1000
    test_jets: int = 5000
    processes: int = 1
    threads: int = 1
    overrides: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("experiments", "sizes", "seeds"):
            values = list(getattr(self, name))
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}={','.join(map(str, values))}: give at least one, and each once")
        numbers = {name: getattr(self, name) for name in _COUNTS} | {"sizes": min(self.sizes)}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if max(self.sizes) > self.shown:
            raise ValueError(
                f"shown={self.shown}: a training set of {max(self.sizes)} jets could not be seen once; show more"
            )

    def jobs(self) -> list[Job]:
        """All trainings, small ones first."""
        return [Job(e, size, seed) for size in sorted(self.sizes) for seed in self.seeds for e in self.experiments]

    def words(self, job: Job) -> list[str]:
        """The words of a training for Hydra."""
        per_epoch = max(1, self.shown // self.epochs)
        experiment, *changes = job.words
        return [
            experiment, f"name={job.name}", f"runs={self.folder / 'runs'}", f"seed={job.seed}",
            f"loader.train_jets={job.jets}", f"loader.val_jets={self.val_jets}", f"loader.epoch_jets={per_epoch}",
            f"trainer.max_epochs={self.epochs_of(job)}", "trainer.max_minutes=null",
            f"trainer.threads={self.threads}", "logger=csv", *self.overrides, *changes,
        ]  # fmt: skip

    def shown_to(self, job: Job) -> int:
        """Jets that a training is shown which is not stopped early: :attr:`shown`, up to whole passes."""
        repeats = max(1, round(max(1, self.shown // self.epochs) / job.jets))  # as JetDataModule repeats them
        return job.jets * repeats * self.epochs_of(job)

    def settings(self, job: Job) -> dict[str, Any]:
        """What the numbers of a job depend on: results with other settings are not mixed with these."""
        return without_indifferent({"words": self.words(job), "test_jets": self.test_jets})

    def epochs_of(self, job: Job) -> int:
        """Epochs of a training that is not stopped early."""
        per_epoch = max(job.jets, self.shown // self.epochs)
        return max(1, round(self.shown / per_epoch))


_COUNTS = ("shown", "epochs", "val_jets", "test_jets", "processes", "threads")


def without_indifferent(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a job without the words that do not change its numbers."""
    words = [word for word in settings["words"] if word.partition("=")[0] not in _INDIFFERENT]
    return {**settings, "words": words}
