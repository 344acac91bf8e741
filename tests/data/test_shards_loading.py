"""Jets in shards reach data sets and loaders in the order of those in memory, and are shuffled by blocks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_tools import assert_same, make_store, parts, write
from torch_geometric.loader import DataLoader

from lgae_pyg.data import JetLoader, JetStore, JetStoreWriter
from lgae_pyg.data import loader as loader_module
from lgae_pyg.datasets import JetDataset, JetFiles, jet_files


class Streamed(JetDataset):
    """Jets that are written as they come."""

    def __init__(self, root, jets: int = 60, split: str = "all") -> None:
        super().__init__(root, {"unit": "GeV", "jets": jets}, split)

    raw_file_names = ()

    def download(self) -> None: ...

    def write_store(self, path: Path) -> None:
        store = make_store([1 + number % 4 for number in range(self.recipe["jets"])])
        with JetStoreWriter(path, self.described({"class_names": ["QCD", "top"]}), 300) as writer:
            for part in parts(store, [20, 41]):
                writer.add(*part)


def test_a_data_set_may_write_its_jets_in_shards(tmp_path: Path):
    data = Streamed(tmp_path)
    assert data.store.is_sharded and data.class_names == ("QCD", "top") and len(data) == 60
    ids = [Streamed(tmp_path, split=split).store.jet_field("jet_id") for split in ("train", "val", "test")]
    assert sorted(torch.cat(ids).tolist()) == list(range(60))
    path = Path(data.processed_paths[0])
    (path / "index.json").unlink()
    assert_same(Streamed(tmp_path).store.batch(slice(None)), data.store.batch(slice(None)))
    made = (path / "index.json").stat().st_mtime_ns
    Streamed(tmp_path)
    assert (path / "index.json").stat().st_mtime_ns == made


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_pyg_read_shards(tmp_path: Path, start: str):
    data = Streamed(tmp_path)
    expected = [data.store.batch(list(range(first, first + 20))) for first in (0, 20, 40)]
    found = DataLoader(data, 20, num_workers=2, multiprocessing_context=start)
    for mine, other in zip(found, expected, strict=True):
        assert_same(mine, other)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(loader_module, "BLOCK", 4)
    monkeypatch.setattr(loader_module, "WINDOW", 16)


def test_stores_that_fit_a_window_keep_the_order_of_a_file(tmp_path: Path):
    store = make_store([1] * 90)
    loaded = JetStore.load(write(tmp_path, store))
    ours, theirs = (JetLoader(jets, 7, shuffle=True, seed=3) for jets in (loaded, store))
    for mine, other in zip(ours, theirs, strict=True):
        assert_same(mine, other)


def test_blocks_are_shuffled_within_windows(tmp_path: Path, small_windows):
    loaded = JetStore.load(write(tmp_path, make_store([1] * 90)))
    loader = JetLoader(loaded, 7, shuffle=True, seed=3)
    order = loader.order(0)
    assert sorted(order.tolist()) == list(range(90))
    assert not torch.equal(order, loader.order(1)) and torch.equal(order, JetLoader(loaded, 9, True, 3).order(0))
    for window in order.split(16):
        assert len((window // 4).unique()) <= 5  # blocks, of which one may be cut
        assert len(window) < 12 or (window.diff() == 1).double().mean() < 0.5  # neighbours are torn apart
    assert [ids for batch in loader for ids in batch.jet_id.tolist()] == order.tolist()


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shards_are_read_as_memory_in_the_same_order(tmp_path: Path, small_windows, replicas, drop_last):
    store = make_store([1 + number % 3 for number in range(101)])
    loaded = JetStore.load(write(tmp_path, store))
    seen = []
    for rank in range(replicas):
        loader = JetLoader(loaded, 5, True, 1, drop_last, rank=rank, num_replicas=replicas)
        order = loader.order(0)
        for number, batch in enumerate(loader):
            last = number + 1 == len(loader) and not drop_last
            stop = len(order) if last else (number + 1) * 5 * replicas
            assert_same(batch, store.batch(order[number * 5 * replicas + rank : stop : replicas]))
            seen += batch.jet_id.tolist()
        assert number + 1 == len(loader)
    assert len(set(seen)) == len(seen) and (drop_last or len(seen) == 101)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 45), st.integers(1, 20))
def test_resuming_inside_an_epoch_of_shards(tmp_path_factory, stop, batch_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader_module, "BLOCK", 4)
        patch.setattr(loader_module, "WINDOW", 16)
        loaded = JetStore.load(write(tmp_path_factory.mktemp("jets") / "store", make_store([1] * 70)))

        def loader() -> JetLoader:
            return JetLoader(loaded, batch_size, shuffle=True, seed=5)

        whole = loader()
        uninterrupted = [batch.jet_id.tolist() for _ in range(2) for batch in whole]
        stopped, seen = loader(), []
        state = stopped.state_dict()
        for batch in stopped:
            if len(seen) == stop:
                break
            seen.append(batch.jet_id.tolist())
            state = stopped.state_dict()
        resumed = loader()
        resumed.load_state_dict(state)
        while len(seen) < len(uninterrupted):
            seen += [batch.jet_id.tolist() for batch in resumed]
        assert seen[: len(uninterrupted)] == uninterrupted


def test_many_jets_from_files_are_written_in_shards(tmp_path: Path, monkeypatch):
    store = make_store([1 + number % 4 for number in range(60)])
    momenta = store.particle_fields["pos"].numpy()
    momenta[:, 0] = 2 * np.linalg.norm(momenta[:, 1:], axis=1)
    for name, chosen in (("a", slice(0, 30)), ("b", slice(30, 60))):
        few = store.gather(chosen).select(slice(None))
        np.savez(
            tmp_path / name,
            p4=few.batch(slice(None)).pos,
            ptr=few.batch(slice(None)).ptr,
            label=few.jet_field("y"),
        )
    one = JetFiles(tmp_path, root=tmp_path / "one")
    monkeypatch.setattr(jet_files, "IN_MEMORY_BYTES", 100)
    many = JetFiles(tmp_path, root=tmp_path / "many")
    assert many.store.is_sharded and not one.store.is_sharded and len(many) == 60
    found, expected = many.store.batch(slice(None)), one.store.batch(slice(None))
    assert_same(found, expected)
    assert many.store.meta == one.store.meta
    assert many.class_names == one.class_names and many.summary == one.summary
