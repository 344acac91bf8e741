"""``lgae compress`` and ``lgae decompress``: files in, files out."""

from pathlib import Path

import pytest
import torch
from compressed_jets import some_jets

import lgae_pyg
from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.datasets import JetFiles

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
        (["decompress", jets], "is no file of compressed jets"),
        (["decompress", str(tmp_path / "missing")], "No such file"),
    ):
        assert main(words) == 1 and text in capsys.readouterr().err
    assert main(["compress", jets, str(tmp_path / "a")]) == 0
    assert main(["decompress", str(tmp_path / "a"), str(tmp_path / "a.csv")]) == 1
    assert "unknown suffix" in capsys.readouterr().err
