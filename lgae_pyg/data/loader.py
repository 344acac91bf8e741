"""Batches of jets from a flat store, with exact resumption in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data.jet import JetData
from lgae_pyg.data.store import JetStore

#: Jets of a sharded store that are read together: as many as lie in one window of the order.
BLOCK, WINDOW = 1 << 8, 1 << 16


class JetLoader:
    r"""Iterates over the batches of a :class:`~lgae_pyg.data.store.JetStore`.

    The batches are those of ``torch_geometric.loader.DataLoader`` over the same jets, gathered some hundred
    times faster. The order of the jets is a function of the seed and the number of the epoch alone:
    :math:`\pi_{s, e}` is drawn by a generator seeded with :math:`(s, e)`. So the position ``(epoch, next
    batch)`` is all that a checkpoint needs (:meth:`state_dict`) to go on with exactly the batches that an
    uninterrupted run would have seen.

    Every iteration is a new epoch, also after one that was given up midway, unless :meth:`set_epoch` or
    :meth:`load_state_dict` says where to go on. Without a seed, one is drawn from torch's global generator when
    the order is first needed, so that loaders made one after another differ, and ``torch.manual_seed`` repeats
    them all, as with the ``DataLoader``; with a seed, every new loader begins with the same order. Lightning
    stores and restores the state by itself, and sets the epoch.

    **Larger than memory.** Of a sharded store with more than ``WINDOW`` = 65,536 jets, blocks of ``BLOCK`` = 256
    jets that are neighbours on disk are shuffled, each 256 of them are a window, and the jets of a window are
    shuffled. So a window is read in stretches of 256 jets and kept in memory, and every jet is read once an epoch.
    If a file holds one class after another, the share :math:`f` of a class in a window still varies by
    :math:`\sqrt{f (1 - f) / 256}`, as much as in a batch of 256 jets of a full shuffle. Smaller stores, and those
    of a single file, are shuffled fully.

    **Several processes.** With ``num_replicas`` :math:`R`, every step takes the next :math:`R B` jets of the
    common order, and process ``rank`` takes each :math:`R`-th of them. So the shares are disjoint, together they
    are all jets (nothing is repeated to fill up), all processes take the same number of steps, and the state is
    that of one process with batches of :math:`R B` jets. In the last step the shares may be smaller, or larger by
    one jet where fewer than :math:`R` would be left over for a step of their own.

    Args:
        store: The jets.
        batch_size: Jets per batch (of each process).
        shuffle: Draw a new order each epoch.
        seed: Seed of the order, the same in all processes.
        drop_last: Leave out a last batch that is smaller than the others.
        transform: Change applied to each jet (slower: jets are then made one by one).
        rank: Number of this process.
        num_replicas: Number of processes that share the jets.

    Raises:
        ValueError: for a batch size below 1, a negative seed, a rank that is none, and jets that are shared
            without a seed or are fewer than the processes.
    """

    def __init__(
        self,
        store: JetStore,
        batch_size: int,
        shuffle: bool = False,
        seed: int | None = None,
        drop_last: bool = False,
        transform: Callable[[JetData], JetData] | None = None,
        rank: int = 0,
        num_replicas: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must not be negative, but is {seed}.")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank must be at least 0 and below num_replicas = {num_replicas}, but is {rank}.")
        if num_replicas > 1 and shuffle and seed is None:
            raise ValueError("Processes that share the jets must agree on their order: give a seed.")
        if 0 < len(store) < num_replicas:
            raise ValueError(f"{len(store)} jets cannot be shared by {num_replicas} processes.")
        self.store = store
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.transform = transform
        self.rank = rank
        self.num_replicas = num_replicas
        self._seed = seed
        self._drawn = seed is None
        self._epoch = 0
        self._next_batch = 0
        self._start = 0
        self._begun = False

    def __len__(self) -> int:
        """Number of batches of a whole epoch."""
        full, rest = divmod(len(self.store), self._step)
        return full + (not self.drop_last and rest >= (self.num_replicas if full else 1))

    @property
    def _step(self) -> int:
        """Jets that all processes together take in one step."""
        return self.batch_size * self.num_replicas

    @property
    def seed(self) -> int:
        """Seed of the order; 0 for a loader that neither shuffles nor was given one."""
        if self._seed is None:
            self._seed = int(torch.randint(2**62, ())) if self.shuffle else 0
        return self._seed

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._epoch

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for an object with ``set_epoch``."""
        return SimpleNamespace(sampler=self, batch_size=self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """Numbers of the jets in the order of that epoch, shape (J,)."""
        if not self.shuffle:
            return torch.arange(len(self.store))
        rng, jets = np.random.default_rng([self.seed, epoch]), len(self.store)
        if not self.store.is_sharded or jets <= WINDOW:
            return torch.from_numpy(rng.permutation(jets))
        return torch.from_numpy(_block_order(rng, jets))

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is that epoch; a position loaded inside it is kept."""
        self._begun = False
        if epoch != self._epoch:
            self._epoch = epoch
            self._next_batch = self._start = 0

    def __iter__(self) -> Iterator[Batch]:
        if self._begun:  # and given up midway
            self._epoch += 1
        epoch, start, batches = self._epoch, self._start, len(self)
        self._next_batch, self._start, self._begun = start, 0, True
        order, step = self.order(epoch), self._step
        stops = [(number + 1) * step for number in range(batches)]
        if batches and not self.drop_last:
            stops[-1] = len(order)
        shares = (
            order[number * step + self.rank : stops[number] : self.num_replicas]
            for number in range(start, batches)
        )
        for number, batch in enumerate(self._read(shares), start):
            last = number + 1 == batches
            # Counted before the batch is handed out: whoever saves while working on it has consumed it.
            self._epoch, self._next_batch = (epoch + 1, 0) if last else (epoch, number + 1)
            self._begun = not last
            yield batch

    def _read(self, shares: Iterator[Tensor]) -> Iterator[Batch]:
        """The batches of these jets. Of shards, the jets of a window's worth of batches are read together."""
        if not self.store.is_sharded:
            yield from (self._gather(self.store, ids) for ids in shares)
            return
        while portion := list(islice(shares, max(1, WINDOW // self._step))):
            store, places = self.store.gather(torch.cat(portion)), torch.arange(sum(map(len, portion)))
            yield from (self._gather(store, ids) for ids in places.split([len(ids) for ids in portion]))

    def _gather(self, store: JetStore, ids: Tensor) -> Batch:
        if self.transform is None:
            return store.batch(ids)
        return Batch.from_data_list([self.transform(store.jet(number)) for number in ids.tolist()])

    def state_dict(self) -> dict[str, int]:
        """The position, and what the order depends on, as plain integers."""
        return {
            "epoch": self._epoch,
            "next_batch": self._next_batch,
            "seed": self.seed,
            "shuffle": int(self.shuffle),
            "batch_size": self._step,
            "jets": len(self.store),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to a stored position: the next iteration starts there, in the order of the stored seed if this
        loader was not given one.

        Args:
            state: What :meth:`state_dict` gave.

        Raises:
            ValueError: if the position lies inside an epoch and this loader has another order of jets.
        """
        if self._drawn and self.shuffle == bool(state["shuffle"]):
            self._seed = state["seed"]
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
        self._begun = False


def _block_order(rng: np.random.Generator, jets: int) -> np.ndarray:
    """Numbers of the jets, (J,): blocks of neighbours in random order, shuffled within each window of them."""
    blocks = rng.permutation(-(-jets // BLOCK))
    order = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
    order = order[order < jets]
    for first in range(0, jets, WINDOW):
        rng.shuffle(order[first : first + WINDOW])
    return order
