"""``lgae compress`` and ``lgae decompress``: files in, files out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_jets import some_jets

import lgae_pyg
from lgae_pyg import places
from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.datasets import JetFiles
from lgae_pyg.models import LinearAE

pytest.importorskip("constriction")


@pytest.mark.parametrize(
    ("name", "card"), [("a.parquet", "weaver"), ("a.h5", "neutral"), ("a.npz", "neutral"), ("a", "")]
)
def test_files_in_and_out(name: str, card: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    some_jets(30).save(tmp_path / "jets.safetensors")
    files = str(tmp_path / "jets.safetensors"), str(tmp_path / "jets.lgj")
    assert main(["compress", *files, "--pt", "0.02", "--angle", "3", "--jet"]) == 0
    said = capsys.readouterr().out
    assert "bits per jet" in said and "sorted by falling pT" in said
    assert main(["decompress", files[1]]) == 0 and "every block fits" in capsys.readouterr().out
    assert main(["decompress", files[1], str(tmp_path / name)]) == 0
    told = "0: QCD, 1: top" in capsys.readouterr().out  # a file of this kind has no place for names
    assert told == name.endswith(".parquet")
    want = lgae_pyg.decompress(files[1])
    if card:
        store = JetFiles(tmp_path / name, card, order="kept", root=tmp_path / "root").store
    else:
        store = JetStore.load(tmp_path / name)
    assert store.ptr.tolist() == want.ptr.tolist()
    assert torch.equal(store.particle_fields["pos"][:].double(), want.particle_fields["pos"].double())
    assert store.jet_fields["y"][:].tolist() == want.jet_fields["y"].tolist()


def test_wrong_calls_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    some_jets(5).save(tmp_path / "jets.safetensors")
    jets = str(tmp_path / "jets.safetensors")
    for words, text in (
        (["compress", jets], "last the file to be written"),
        (["compress", jets, jets], "is a file of jets, and would be replaced"),
        (["compress", jets, str(tmp_path)], "is a folder"),
        (["compress", jets, str(tmp_path / "a"), "--pt", "2"], "between 0 and 1"),
        (["compress", str(tmp_path / "*"), str(tmp_path / "a"), "--angle", "-1"], "units of 1e-3, above 0"),
        (["decompress", jets], "is no file of compressed jets"),
        (["decompress", str(tmp_path / "missing")], "no such file"),
    ):
        assert main(words) == 1 and text in capsys.readouterr().err
    assert main(["compress", jets, str(tmp_path / "a")]) == 0
    assert main(["decompress", str(tmp_path / "a"), str(tmp_path / "a.csv")]) == 1
    assert "unknown suffix" in capsys.readouterr().err


def test_columns_that_are_left_out_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    jets, ptr = np.random.default_rng(0).normal(size=(9, 4)) + np.eye(4)[0] * 9, np.array([0, 4, 9])
    known = {"p4": jets, "ptr": ptr, "label": np.array([0, 1]), "class_names": np.array(["a", "b"])}
    np.savez(tmp_path / "jets.npz", **known, charge=np.ones(9), weight_of_run=np.ones(2))
    words = ["compress", str(tmp_path / "jets.npz"), str(tmp_path / "a")]
    assert main([*words, "--card", "neutral"]) == 0
    said = capsys.readouterr().out
    assert "left out of jets.npz: 2 columns that the card neutral does not name: charge, weight_of_run" in said
    assert "base: neutral; features: [columns of the particles]" in said
    card = tmp_path / "mine.yaml"
    card.write_text("base: neutral\nfeatures: [charge]\nobservers: [weight_of_run]\n")
    assert main([*words, "--card", str(card)]) == 0 and "left out" not in capsys.readouterr().out
    assert {"x", "pos"} == set(lgae_pyg.decompress(tmp_path / "a").particle_fields)
    some_jets(5).save(tmp_path / "store.safetensors")
    assert main(["compress", str(tmp_path / "store.safetensors"), str(tmp_path / "a")]) == 0
    assert "left out" not in capsys.readouterr().out


def test_models_go_by_name_folder_or_file(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    store = some_jets(60)
    store.save(tmp_path / "jets.safetensors")
    model = LinearAE(2, 8).fit(JetLoader(some_jets(60, (8, 8)), 60))
    save_checkpoint(tmp_path / "model.ckpt", model, unit="GeV")
    folder = lgae_pyg.publish(tmp_path / "model.ckpt", tmp_path / "shipped" / "small_ae")
    monkeypatch.setattr(places, "SHIPPED", tmp_path / "shipped")
    for name in ("small_ae", str(folder), str(folder / "model.safetensors")):
        words = ["compress", name, str(tmp_path / "jets.safetensors"), str(tmp_path / "a"), "--coder", "model"]
        assert main(words) == 0, capsys.readouterr().err
        found = lgae_pyg.decompress(tmp_path / "a", model=name)
        assert len(found) == 60
        assert main(["decompress", str(tmp_path / "a"), "--model", name]) == 0
