"""``lgae data inspect``: what a file holds, and a card for it."""

from pathlib import Path

import h5py
import jet_layouts as write
import numpy as np
import pytest
import torch
from jet_layouts import Jets, deviation

from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError
from lgae_pyg.datasets import JetFiles
from lgae_pyg.datasets.recognition import recognise_card


def test_inspect_recognises_and_proposes(tmp_path: Path, capsys):
    jets = Jets()
    write.root_tree(tmp_path / "jets.root", jets)
    assert main(["data", "inspect", str(tmp_path / "jets.root")]) == 0
    text = capsys.readouterr().out
    assert "preset jetclass" in text and "part_charge" in text and f"{len(jets)} rows" in text
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["jets/constituents"] = jets.padded(np.roll(jets.p4, -1, axis=1))
        file["jets/truth"] = jets.y
        file["log"] = np.zeros(3)
    assert main(["data", "inspect", str(tmp_path / "own.h5"), "--out", str(tmp_path / "own.yaml")]) == 0
    text = capsys.readouterr().out
    assert "not recognised" in text and "guessed from its values" in text
    with pytest.raises(DataFileError, match="not recognised"):
        JetFiles(tmp_path / "own.h5", root=tmp_path / "store")
    found = JetFiles(tmp_path / "own.h5", tmp_path / "own.yaml", root=tmp_path / "store")
    assert deviation(found, jets.p4) < 1e-12


def test_inspect_names_files_that_are_none(tmp_path: Path, capsys):
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["data", "inspect", str(tmp_path / "notes.txt")]) == 1
    assert "notes.txt" in capsys.readouterr().err


def test_inspect_says_which_files_of_a_folder_are_of_another_kind(tmp_path: Path, capsys):
    jets = Jets()
    for name in ("a", "b", "c"):
        write.neutral(tmp_path / f"{name}.npz", jets)
    assert main(["data", "inspect", str(tmp_path)]) == 0
    assert "other columns" not in capsys.readouterr().out
    write.energyflow(tmp_path / "d.npz", jets)
    write.root_tree(tmp_path / "e.root", jets)
    assert main(["data", "inspect", str(tmp_path)]) == 0
    assert "2 of the 5 files have other columns than this one (d.npz, e.root)" in capsys.readouterr().out


def test_a_file_without_labels_is_recognised_where_none_are_read(tmp_path: Path):
    write.energyflow(tmp_path / "jets.npz", Jets())
    with np.load(tmp_path / "jets.npz") as whole:
        np.savez(tmp_path / "new.npz", X=whole["X"])
    with pytest.raises(DataFileError, match="But for its labels it is energyflow_qg: --no-labels"):
        recognise_card(str(tmp_path / "new.npz"))
    card = recognise_card(str(tmp_path / "new.npz"), labels=False)
    assert card.name == "energyflow_qg" and not card.labels
    unlabelled = {"base": "energyflow_qg", "labels": {"constant": "quark"}}
    found = JetFiles(tmp_path / "new.npz", unlabelled, root=tmp_path / "store")
    labelled = JetFiles(tmp_path / "jets.npz", root=tmp_path / "store")
    assert torch.equal(found.store.particle_fields["pos"], labelled.store.particle_fields["pos"])
