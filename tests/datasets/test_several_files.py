"""Several files as one data set: which are taken, their splits, and their precision."""

from pathlib import Path

import jet_layouts as write
import numpy as np
import pytest
import torch
from jet_layouts import Jets

from lgae_pyg.datasets import JetFiles


def test_several_files_patterns_and_folders(tmp_path: Path):
    for number, name in enumerate(("train_a", "val_a", "test_a")):
        (tmp_path / name).mkdir()
        write.neutral(tmp_path / name / f"{name}.npz", Jets(3 + number, number))
    card = {"base": "neutral", "split": {"files": {"train": "train*", "val": "val*", "test": "test*"}}}
    store = tmp_path / "store"
    found = JetFiles(tmp_path, card, store)
    assert len(found) == 12 and found.store.jet_field("file_id").unique().tolist() == [0, 1, 2]
    assert [Path(path).name for path in found.store.meta["files"]] == ["test_a.npz", "train_a.npz", "val_a.npz"]
    assert len(JetFiles(tmp_path, card, store, split="val")) == 4
    assert len(JetFiles(str(tmp_path / "*" / "t*.npz"), card, store)) == 8
    with pytest.raises(FileNotFoundError, match="none"):
        JetFiles(tmp_path / "none*.npz", card, store)


@pytest.mark.parametrize("limit", [1 << 20, 100, 2000])
@pytest.mark.parametrize("first", [np.float32, np.float64])
def test_files_of_two_precisions_are_kept_in_the_wider(tmp_path: Path, limit, first, monkeypatch):
    monkeypatch.setattr("lgae_pyg.datasets.jet_files.IN_MEMORY_BYTES", limit)
    last = np.float64 if first is np.float32 else np.float32
    parts = [(Jets(9, 0), first), (Jets(9, 1), first), (Jets(9, 2), last)]
    for number, (jets, kind) in enumerate(parts):
        np.savez(tmp_path / f"{number}.npz", p4=jets.p4.astype(kind), ptr=jets.ptr, label=jets.y)
    found = JetFiles(tmp_path, "neutral", tmp_path / "store")
    assert found.store.is_sharded == (limit < 1 << 20)
    batch = found.store.batch(slice(None))
    assert batch.pos.dtype == torch.float64
    wanted = np.concatenate([jets.p4.astype(kind) for jets, kind in parts])  # NumPy widens, too
    assert batch.pos.numpy().tolist() == wanted.tolist()
    assert any("all are kept in double" in line for line in found.summary)


def test_folders_give_the_split_of_their_files(tmp_path: Path):
    for number, folder in enumerate(("train_100M", "val_5M", "test_20M")):
        (tmp_path / folder).mkdir()
        write.root_tree(tmp_path / folder / f"HToBB_{number}.root", Jets(3 + number, number))
    for number, split in enumerate(("train", "val", "test")):
        assert len(JetFiles(tmp_path, "jetclass", tmp_path / "store", split=split)) == 3 + number
