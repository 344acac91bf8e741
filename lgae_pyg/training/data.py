"""The jets of a training: a data set's training and validation splits and their loaders."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from lgae_pyg.data import JetLoader
from lgae_pyg.datasets import JetDataset, build_dataset, stratified_choice


class JetDataModule(pl.LightningDataModule):
    """Makes the loaders of a training from the recipe of a data set.

    The order of the jets depends on the seed and the number of the epoch only, and Lightning keeps the
    position of the training loader in its checkpoints, so a training resumed within an epoch sees the jets
    that it would have seen.

    Args:
        recipe: as :func:`lgae_pyg.datasets.build_dataset` takes it.
        batch_size: jets per training step.
        eval_batch_size: jets per batch of the validation.
        seed: seed of the order, and of the choice of jets.
        train_jets: train on so many of the training jets, a choice of all classes alike; all when omitted. The
            smaller choice of the same seed is contained in the larger.
        val_jets: validate on so many of the validation jets, the same choice for all seeds; all when omitted.
        epoch_jets: an epoch has at least so many jets: a smaller training set is repeated within it.

    Raises:
        ValueError: if a split is empty, or has fewer jets than are asked for.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        batch_size: int = 256,
        eval_batch_size: int = 512,
        seed: int = 0,
        train_jets: int | None = None,
        val_jets: int | None = None,
        epoch_jets: int | None = None,
    ) -> None:
        super().__init__()
        try:
            self.train = build_dataset(recipe, "train")
            self.val = build_dataset(recipe, "val")
        except TypeError as error:
            raise ValueError(f"configuration of the data: {error}") from error
        for split, jets in (("training", self.train), ("validation", self.val)):
            if len(jets) == 0:
                raise ValueError(f"the {split} split of {recipe.get('name')} is empty: change data.fractions")
        self.train = _part("train_jets", self.train, train_jets, seed)
        self.val = _part("val_jets", self.val, val_jets, 0)
        self.repeats = max(1, round((epoch_jets or 0) / len(self.train)))
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.seed = seed

    def name_classes(self, names: Sequence[str]) -> tuple[str, ...]:
        """Numbers the classes by their place among these names, of which the data set must know all; without any,
        they keep their numbers. Returns the names of the classes, in the order of their numbers."""
        if names and set(names) <= set(self.train.class_names):
            self.train, self.val = (jets.with_classes(names) for jets in (self.train, self.val))
        return tuple(self.train.class_names)

    def train_dataloader(self) -> JetLoader:
        """Returns the shuffled training jets, each as often as an epoch needs it."""
        jets = self.train
        if self.repeats > 1:
            jets = jets[torch.arange(len(jets)).repeat(self.repeats)]
        return jets.loader(self.batch_size, shuffle=True, seed=self.seed, **self._share())

    def val_dataloader(self) -> JetLoader:
        """Returns the validation jets in their order."""
        return self.val.loader(self.eval_batch_size, **self._share())

    def _share(self) -> dict[str, int]:
        """Which jets this process reads, where a training is spread over several."""
        if self.trainer is None or self.trainer.world_size == 1:
            return {}
        return {"rank": self.trainer.global_rank, "num_replicas": self.trainer.world_size}


def _part(key: str, jets: JetDataset, number: int | None, seed: int) -> JetDataset:
    if number is None:
        return jets
    try:
        return jets[stratified_choice(jets.store.jet_field("y"), number, seed)]
    except ValueError as error:
        raise ValueError(f"loader.{key}={number}: {error}") from error
