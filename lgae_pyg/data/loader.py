"""Batches of jets from a flat store, with exact resumption in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data.jet import JetData
from lgae_pyg.data.store import JetStore


class JetLoader:
    r"""Iterates over the batches of a :class:`~lgae_pyg.data.store.JetStore`.

    The batches are those of ``torch_geometric.loader.DataLoader`` over the same jets, gathered some hundred
    times faster. The order of the jets is a function of the seed and the number of the epoch alone:
    :math:`\pi_{s, e}` is drawn by a generator seeded with :math:`(s, e)`. So the position ``(epoch, next
    batch)`` is all that a checkpoint needs (:meth:`state_dict`) to go on with exactly the batches that an
    uninterrupted run would have seen.

    When an epoch has been read to its end, the next iteration is the next epoch. An iteration that is given
    up midway starts the same epoch afresh, unless :meth:`load_state_dict` or :meth:`set_epoch` says
    otherwise. Lightning stores and restores the state by itself, and sets the epoch. Where a run is spread
    over several processes, each of them reads all batches: give each a selection of the store.

    Args:
        store: The jets.
        batch_size: Jets per batch.
        shuffle: Draw a new order each epoch.
        seed: Seed of the order.
        drop_last: Leave out a last batch that is smaller than the others.
        transform: Change applied to each jet (slower: jets are then made one by one).
    """

    def __init__(
        self,
        store: JetStore,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Callable[[JetData], JetData] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative, but is {seed}.")
        self.store = store
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.transform = transform
        self._epoch = 0
        self._next_batch = 0
        self._start = 0

    def __len__(self) -> int:
        """Number of batches of a whole epoch."""
        jets = len(self.store)
        return jets // self.batch_size if self.drop_last else -(-jets // self.batch_size)

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._epoch

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for an object with ``set_epoch``."""
        return SimpleNamespace(sampler=self, batch_size=self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """Numbers of the jets in the order of that epoch, (J,)."""
        if not self.shuffle:
            return torch.arange(len(self.store))
        return torch.from_numpy(np.random.default_rng([self.seed, epoch]).permutation(len(self.store)))

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of that epoch; does nothing in the middle of the same epoch."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._next_batch = self._start = 0

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self._epoch, self._start
        self._next_batch, self._start = start, 0
        order = self.order(epoch)
        for number in range(start, len(self)):
            batch = self._gather(order[number * self.batch_size : (number + 1) * self.batch_size])
            # Counted before the batch is handed out: whoever saves while working on it has consumed it.
            last = number + 1 == len(self)
            self._epoch, self._next_batch = (epoch + 1, 0) if last else (epoch, number + 1)
            yield batch

    def _gather(self, ids: Tensor) -> Batch:
        if self.transform is None:
            return self.store.batch(ids)
        return Batch.from_data_list([self.transform(self.store.jet(number)) for number in ids.tolist()])

    def state_dict(self) -> dict[str, int]:
        """The position, and what the order depends on, as plain integers."""
        return {
            "epoch": self._epoch,
            "next_batch": self._next_batch,
            "seed": self.seed,
            "shuffle": int(self.shuffle),
            "batch_size": self.batch_size,
            "jets": len(self.store),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to a stored position: the next iteration starts there.

        Args:
            state: What :meth:`state_dict` gave.

        Raises:
            ValueError: if the position lies inside an epoch and this loader has another order of jets.
        """
        mine = self.state_dict()
        if state["next_batch"]:
            for key in ("seed", "shuffle", "batch_size", "jets"):
                if state[key] != mine[key]:
                    raise ValueError(
                        f"The run was stopped inside an epoch with {key} = {state[key]}, this loader has "
                        f"{mine[key]}: use the same value, or a checkpoint made between two epochs."
                    )
        self._epoch = state["epoch"]
        self._next_batch = self._start = state["next_batch"]
