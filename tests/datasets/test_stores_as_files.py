"""A store that was written before is read like any file of jets: as it lies, or through the gate."""

from pathlib import Path

import jet_layouts as write
import numpy as np
import pytest
import torch
from jet_layouts import Jets, deviation

from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError, JetStore
from lgae_pyg.datasets import JetFiles, build_dataset, from_arrays


@pytest.fixture
def jets() -> Jets:
    return Jets(30)


@pytest.fixture
def folder(tmp_path: Path, jets: Jets) -> Path:
    """What ``lgae data convert`` made of the top tagging table, with its split."""
    write.pandas_table(tmp_path / "top.h5", jets)
    assert main(["data", "convert", "top_tagging", str(tmp_path / "top.h5"), "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def same(found: JetFiles, store: JetStore) -> bool:
    one, other = found.store.batch(slice(None)), store.batch(slice(None))
    return set(one.keys()) == set(other.keys()) and all(torch.equal(one[key], other[key]) for key in one.keys())


def test_a_converted_folder_is_used_where_it_lies(folder: Path, jets: Jets, tmp_path: Path) -> None:
    found = JetFiles(folder, root=tmp_path / "store")
    assert same(found, JetStore.load(folder)) and found.store.is_sharded
    assert not (tmp_path / "store" / "processed").exists() or not list((tmp_path / "store/processed").iterdir())
    assert found.class_names == ("QCD", "top") and found.summary[0] == "30 jets read, 30 kept"
    assert JetFiles(folder, root=tmp_path / "store", unit="TeV").unit == "TeV"
    tev = JetFiles(folder, root=tmp_path / "store", unit="TeV").store.batch(slice(None))
    assert tev.unit == "TeV" and torch.allclose(1000 * tev.pos, found.store.batch(slice(None)).pos)


def test_the_published_split_and_the_recipe_are_kept(folder: Path, tmp_path: Path) -> None:
    for place, split in enumerate(("train", "test", "val")):
        found = JetFiles(folder, root=tmp_path / "store", split=split)
        assert found.store.jet_field("jet_id").tolist() == list(range(place, 30, 3))
    again = build_dataset(JetFiles(folder, root=tmp_path / "store").recipe, "val")
    assert same(again, JetFiles(folder, root=tmp_path / "store", split="val").store)


def test_what_has_to_be_cut_or_chosen_goes_through_the_gate(folder: Path, jets: Jets, tmp_path: Path) -> None:
    found = JetFiles(folder, root=tmp_path / "store", num_particles=3)
    assert found.store.max_particles == 3 and any("jets cut" in line for line in found.summary)
    assert any("E < |p|" in line or "have mass" in line for line in found.summary)
    leading = np.concatenate([jets.p4[first : first + 3][:size] for first, size in zip(jets.ptr, jets.sizes)])
    assert deviation(found, leading) < write.SINGLE
    top = JetFiles(folder, root=tmp_path / "store", classes=["top"], max_jets=4)
    assert top.class_names == ("top",) and top.store.jet_field("jet_id").tolist() == [1, 3, 5, 7]
    assert JetStore.load(folder).max_particles > 3  # the folder is as it was


def test_fields_of_all_kinds_survive_the_gate(tmp_path: Path, jets: Jets) -> None:
    columns = {"features": {"charge": jets.charge, "m": jets.m}, "observers": {"pt": jets.jet_pt}}
    columns |= {"weight": jets.jet_pt, "class_names": write.NAMES}
    first = from_arrays(jets.p4, jets.ptr, jets.y, unit="GeV", **columns)
    first.store.save(tmp_path / "mine.safetensors")
    ready = JetFiles(tmp_path / "mine.safetensors", root=tmp_path / "store")
    assert same(ready, first.store)
    cut = JetFiles(tmp_path / "mine.safetensors", root=tmp_path / "store", num_particles=2)
    assert cut.store.meta["x_names"] == ["charge", "m"] and cut.store.meta["observer_names"] == ["pt"]
    assert torch.equal(cut.store.jet_field("weight"), first.store.jet_field("weight"))
    assert torch.equal(cut.store.jet_field("observers"), first.store.jet_field("observers"))
    assert torch.equal(cut.store.jet(0).x, first.store.jet(0).x[:2])
    assert torch.equal(cut.store.jet(0).pos, first.store.jet(0).pos[:2])


def test_a_store_that_did_not_pass_the_gate_passes_it(tmp_path: Path, jets: Jets) -> None:
    turned = torch.from_numpy(jets.p4[::-1].copy())
    ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(jets.sizes[::-1])]))
    store = JetStore(ptr, {"pos": turned}, meta={"unit": "GeV"})
    store.save(tmp_path / "mine.safetensors")
    assert any("jets sorted" in line for line in JetFiles(tmp_path / "mine.safetensors").summary)
    store.meta = {}
    store.save(tmp_path / "mine.safetensors")
    with pytest.raises(DataFileError, match=r"mine\.safetensors does not say its unit"):
        JetFiles(tmp_path / "mine.safetensors")


def test_several_stores_and_foreign_units(tmp_path: Path, folder: Path) -> None:
    write.pandas_table(tmp_path / "more.h5", Jets(5, 1))
    words = ["data", "convert", "top_tagging", str(tmp_path / "more.h5")]
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    both = JetFiles([folder, tmp_path / "b"], root=tmp_path / "store")
    assert len(both) == 35 and both.store.jet_field("file_id").tolist() == 30 * [0] + 5 * [1]
    assert main([*words, "--out", str(tmp_path / "c"), "--unit", "TeV"]) == 0
    with pytest.raises(DataFileError, match="is in TeV, not in GeV"):
        JetFiles([folder, tmp_path / "c"], root=tmp_path / "store")
    write.neutral(tmp_path / "x.npz", Jets(4))
    assert main(["data", "convert", "neutral", str(tmp_path / "x.npz"), "--out", str(tmp_path / "d")]) == 0
    assert JetFiles(tmp_path / "d", root=tmp_path / "store").class_names == ("QCD", "top")


def test_changes_and_damage_are_noticed(tmp_path: Path, folder: Path, jets: Jets) -> None:
    cut = JetFiles(folder, root=tmp_path / "store", num_particles=3)
    shard = next(folder.glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1
    shard.write_bytes(content)
    for particles in (None, 4):
        with pytest.raises(DataFileError, match="damaged"):
            JetFiles(folder, root=tmp_path / "store", num_particles=particles).store.batch(slice(None))
    assert len(JetFiles(folder, root=tmp_path / "store", num_particles=3)) == len(cut)


def test_inspect_shows_a_store(folder: Path, capsys) -> None:
    assert main(["data", "inspect", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "store" in text and "observers/truthE" in text and "checksums (CRC-32)" in text


def test_a_folder_of_files_does_not_give_its_stores(folder: Path, tmp_path: Path) -> None:
    assert len(JetFiles(tmp_path, root=tmp_path / "store")) == 30  # top.h5 alone
