"""Real jets in the field's formats, from the folder that LGAE_PYG_REAL_JETS names."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from jet_layouts import SINGLE, deviation

from lgae_pyg.datasets import JetFiles
from lgae_pyg.datasets.readers import open_reader

REAL = os.environ.get("LGAE_PYG_REAL_JETS", "")
TWINS = [
    ("toptagging_1400.npz", "neutral", "toptagging_1400", None, 0),
    ("toptagging_zenodo_table_200.h5", "top_tagging", "toptagging_1400", 100, 0),
    ("toptagging_lgn_200.h5", "lgn", "toptagging_1400", 100, 0),
    ("toptagging_weaver_200.parquet", "weaver", "toptagging_1400", 100, 0),
    ("quarkgluon_energyflow_200.npz", "energyflow_qg", "quarkgluon_1400", 100, SINGLE),
    ("jetclass_layout_300.root", "jetclass", "jetclass_10classes_300", None, 0),
]


@pytest.mark.skipif(not REAL, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
@pytest.mark.parametrize("name, card, twin, each, rounding", TWINS, ids=[one[0] for one in TWINS])
def test_real_files_equal_their_neutral_twins(tmp_path: Path, name, card, twin, each, rounding):
    found = JetFiles(Path(REAL, name), root=tmp_path, order="kept")
    assert found.card.name == card
    with np.load(Path(REAL, f"{twin}.npz")) as file:
        p4, ptr, label = file["p4"], file["ptr"], file["label"]
    rows = np.arange(len(label))
    if each:  # the first so many of each class
        rows = np.sort(np.concatenate([np.flatnonzero(label == number)[:each] for number in (0, 1)]))
    wanted = np.concatenate([p4[ptr[row] : ptr[row + 1]] for row in rows]).astype(float)
    assert found.store.sizes.tolist() == np.diff(ptr)[rows].tolist()
    assert found.store.jet_field("y").tolist() == label[rows].tolist()
    assert deviation(found, wanted) <= rounding


@pytest.mark.skipif(not REAL, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
@pytest.mark.parametrize(
    "name, card, jets, particles, tolerance",
    [
        ("cms_pfnano_10events.root", "pfnano", 24, 1076, None),
        ("cms_pfnano_10events.root", "pfnano_ak4", 64, 1801, None),
        ("delphes_example.root", "delphes", 22, 909, 1e-6),
        ("JetClassII_example.parquet", "jetclass2", 100, 4529, None),
        ("jetnet_layout/raw/*150.hdf5", "jetnet", 2058, 97503, 1e-4),
    ],
)
def test_real_files_have_the_jets_that_their_notes_count(tmp_path: Path, name, card, jets, particles, tolerance):
    found = JetFiles(os.path.join(REAL, name), card, tmp_path)
    assert (len(found), found.store.num_particles) == (jets, particles)
    if tolerance:  # the pT of the file is that of the particles
        total = torch.zeros(jets, 4, dtype=torch.float64)
        owner = torch.repeat_interleave(found.store.sizes)
        total.index_add_(0, owner, found.store.particle_fields["pos"].double())
        pt = found.store.jet_field("jet_ref")[:, 0]
        assert ((total[:, 1:3].norm(dim=1) / pt - 1).abs() < tolerance).all()


@pytest.mark.skipif(not REAL, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
def test_what_is_odd_in_a_real_delphes_file_is_named(tmp_path: Path, capsys):
    """Candidates without a momentum are counted; columns that hold whole objects are named by their class."""
    found = JetFiles(os.path.join(REAL, "delphes_example.root"), "delphes", tmp_path)
    at_rest = (found.store.particle_fields["pos"][:, 1:] == 0).all(dim=1).sum()
    assert found.store.meta["admission"]["at_rest"] == at_rest == 137
    types = {one.dtype for one in open_reader(os.path.join(REAL, "delphes_example.root")).columns.values()}
    assert "TLorentzVector" in " ".join(types) and max(map(len, types)) < 25
