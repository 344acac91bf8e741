"""Raw files are told apart by every byte, and read again only when something may have changed."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from jetnet_files import make_arrays, write_file

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets import JetFiles, JetNet, base

JETS = 4_000
CARD = {"axes": {"jets": ["E", "px", "py", "pz"]}, "momenta": {name: name for name in ("E", "px", "py", "pz")}}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of more than two megabytes."""
    features, jets = make_arrays(100)
    repeats = JETS // 100
    write_file(tmp_path / "raw" / "g.hdf5", np.tile(features, (repeats, 1, 1)), np.tile(jets, (repeats, 1)))
    return tmp_path


def change_the_middle(path: Path, like: os.stat_result | None = None) -> None:
    """Other numbers in one jet; the size, and if need be the time stamps, stay."""
    with h5py.File(path, "r+") as file:
        file["particle_features"][JETS // 2, 0, 2] *= 0.5
    if like is not None:
        os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))


@pytest.mark.parametrize("hidden", [False, True])
def test_other_jets_in_the_middle_are_noticed(large: Path, hidden: bool) -> None:
    raw = large / "raw" / "g.hdf5"
    before = JetNet(large, ["g"]).store.particle_fields["pos"].clone()
    status = raw.stat()
    change_the_middle(raw, status if hidden else None)
    assert raw.stat().st_size == status.st_size
    assert (JetNet(large, ["g"]).store.particle_fields["pos"] != before).any()


def test_untouched_files_are_not_read_again(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    JetNet(large, ["g"])
    taken = []
    monkeypatch.setattr(base, "fingerprint", lambda path: taken.append(path) or "")
    made = (large / "processed").iterdir()
    before = {path: path.stat().st_mtime_ns for path in made}
    JetNet(large, ["g"])
    assert taken == []
    monkeypatch.undo()
    shutil.copy(large / "raw" / "g.hdf5", large / "copy")
    os.replace(large / "copy", large / "raw" / "g.hdf5")  # another file, the same bytes
    JetNet(large, ["g"])
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("kind", ["i4", "f4"])
def test_a_table_of_zeros_is_no_set_of_jets(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "zeros.h5", "w") as file:
        file["jets"] = np.zeros((50, 4, 4), kind)
    with pytest.raises(DataFileError, match="50 jets read, 0 kept; dropped: 50 empty"):
        JetFiles(tmp_path / "zeros.h5", CARD, tmp_path / "store")
