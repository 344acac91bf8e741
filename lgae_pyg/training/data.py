"""The jets of a training: a data set's training and validation splits and their loaders."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl

from lgae_pyg.data import JetLoader
from lgae_pyg.datasets import build_dataset


class JetDataModule(pl.LightningDataModule):
    """Makes the loaders of a training from the recipe of a data set.

    The order of the jets depends on the seed and the number of the epoch only, and Lightning keeps the
    position of the training loader in its checkpoints, so a training resumed within an epoch sees the jets
    that it would have seen.

    Args:
        recipe: as :func:`lgae_pyg.datasets.build_dataset` takes it.
        batch_size: jets per training step.
        eval_batch_size: jets per batch of the validation.
        seed: seed of the order.
    """

    def __init__(
        self, recipe: Mapping[str, Any], batch_size: int = 256, eval_batch_size: int = 512, seed: int = 0
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
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.seed = seed

    def train_dataloader(self) -> JetLoader:
        """Returns the shuffled training jets."""
        return self.train.loader(self.batch_size, shuffle=True, seed=self.seed)

    def val_dataloader(self) -> JetLoader:
        """Returns the validation jets in their order."""
        return self.val.loader(self.eval_batch_size)
