"""Exported files give the model's scores, say what they are, and are refused where they are something else."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from export_cases import padded, small_model

import lgae_pyg
from lgae_pyg.applications.export import ExportError, check, export_model, files, open_export, read_description
from lgae_pyg.applications.export.program import PaddedTagger
from lgae_pyg.checkpoint import load_checkpoint, save_checkpoint
from lgae_pyg.cli import main

FOLDER = os.environ.get("LGAE_PYG_REAL_JETS", "")


def written(name: str, folder: Path, **options) -> Path:
    """A checkpoint of a small model, float32."""
    return save_checkpoint(folder / "model.ckpt", small_model(name, torch.float32), unit="TeV", **options)


def onnx_packages() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)


@pytest.mark.parametrize(
    "name, cut",
    [
        ("PFN, friends", 12),
        ("LorentzNet", 12),
        pytest.param("ParticleNet, pairs", None, marks=pytest.mark.slow),
        pytest.param("LorentzNet, beams", None, marks=pytest.mark.slow),
    ],
)
def test_onnx_gives_the_scores_of_pytorch(name, cut, tmp_path):
    onnx_packages()
    made = export_model(written(name, tmp_path), tmp_path / "model.onnx", num_particles=cut)
    assert made.comparison.decisions == 0 and made.comparison.largest < 1e-5
    score = open_export(made.path, threads=1)
    p4, ptr = check.trial_jets("GeV", torch.float32, seed=9)
    assert check.compare(made.program, score, p4, ptr, spare=9).largest < 1e-5
    one = check.compare(made.program, score, p4[ptr[11] : ptr[12]], torch.tensor([0, int(ptr[12] - ptr[11])]))
    assert one.largest < 1e-5 and one.file.shape == (1, 2)
    bad = np.full((2, 4, 4), np.nan, np.float32)
    bad[1, 0] = 5.0, 3.0, 0.0, 4.0
    found = score(bad, np.array([2, 1]))
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()
    assert os.fspath(Path(__file__).parents[2]).encode() not in made.path.read_bytes()


def test_pt2_gives_the_scores_of_pytorch_and_holds_no_pickles(tmp_path, jets):
    recipe = {"name": "PythiaJets", "num_particles": 25, "classes": ["q", "t"]}
    made = export_model(written("PFN", tmp_path, data=recipe), tmp_path / "model.pt2", unit="TeV")
    assert made.comparison.largest < 1e-6
    with zipfile.ZipFile(made.path) as archive:
        pickled = [entry.filename for entry in archive.infolist() if archive.read(entry)[:1] == b"\x80"]
        nested = [entry.filename for entry in archive.infolist() if archive.read(entry)[:2] == b"PK"]
    assert not [name for name in pickled if "/weights/" not in name] and not nested
    facts = read_description(made.path)
    assert (facts["unit"], facts["num_particles"], facts["classes"]) == ("TeV", 25, ["q", "t"])
    assert facts["model"] == "PFN" and len(facts["fingerprint"]) == 64
    p4, count = padded(jets)
    found = open_export(made.path)(p4.float().numpy(), count.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(found, made.program(p4.float(), count).numpy(), atol=1e-6)


def test_pickles_are_refused(tmp_path):
    program = PaddedTagger(small_model("PFN", torch.float32))
    exported = torch.export.export(program, (torch.ones(2, 3, 4), torch.tensor([3, 2])), strict=False)
    path = tmp_path / "model.pt2"
    torch.export.save(exported, path, extra_files={files.KEY: json.dumps({"dtype": "float32"})})
    with pytest.raises(ExportError, match="pickled objects"):
        open_export(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
@pytest.mark.parametrize("ending", ["pt2", "onnx"])
def test_other_files_are_refused(ending, content, tmp_path):
    if ending == "onnx":
        onnx_packages()
    path = tmp_path / f"model.{ending}"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="no export of lgae_pyg"):
        open_export(path)


def test_a_file_with_other_numbers_is_no_export(tmp_path, monkeypatch):
    checkpoint = written("PFN", tmp_path)
    program = PaddedTagger(load_checkpoint(checkpoint).model)
    score = files.open_export(files.write_export(program, tmp_path / "model.pt2", {"dtype": "float32"}))
    check.check_export(program, score)
    with torch.no_grad():
        program.model.jet_layers[-1].bias += torch.tensor([1e-2, 0.0])
    with pytest.raises(ExportError, match="the file is not the model"):
        check.check_export(program, score)
    monkeypatch.setitem(PaddedTagger.limits, torch.float32, -1.0)
    old = tmp_path / "other.pt2"
    old.write_bytes(b"as it was")
    with pytest.raises(ExportError, match="the file is not the model"):
        export_model(checkpoint, old)
    assert old.read_bytes() == b"as it was" and len(list(tmp_path.glob(".*"))) == 0


def test_the_command_prints_difference_and_latency(tmp_path, capsys):
    checkpoint = written("PFN", tmp_path)
    out = os.fspath(tmp_path / "model.pt2")
    words = ["export", os.fspath(checkpoint), "--out", out, "--classes", "QCD,top", "--latency", "--repeats", "3"]
    assert main([*words, "--particles", "30"]) == 0
    printed = capsys.readouterr().out
    assert "scores of QCD, top" in printed and "largest difference" in printed and "99 %" in printed
    assert "no larger jets, since the file keeps the 30 leading particles" in " ".join(printed.split())
    assert main(["export", os.fspath(checkpoint), "--out", os.fspath(tmp_path / "model.txt")]) == 1
    assert main(["export", os.fspath(checkpoint), "--out", out, "--classes", "QCD"]) == 1
    assert "2 classes, not 1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
@pytest.mark.parametrize("name", ["PFN", "ParticleNetLite", "LorentzNet, beams"])
def test_decisions_on_real_jets_are_those_of_pytorch(name, tmp_path):
    onnx_packages()
    made = export_model(written(name, tmp_path), tmp_path / "model.onnx")
    for jets in ("toptagging_1400", "quarkgluon_1400"):
        with np.load(Path(FOLDER) / f"{jets}.npz", allow_pickle=False) as file:
            p4, ptr = (torch.from_numpy(file[key].astype(kind)) for key, kind in (("p4", "f4"), ("ptr", "i8")))
        found = check.compare(made.program, open_export(made.path), p4, ptr)
        print(f"{name}, {jets}: {found}")
        assert found.decisions == 0 and found.largest < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
def test_a_file_of_the_shipped_tagger_decides_as_lgae_score(tmp_path):
    """In single precision what is scored in double precision, from a file of single precision."""
    onnx_packages()
    path = Path(FOLDER) / "toptagging_1400.npz"
    file = open_export(export_model("lorentz_net_tops", tmp_path / "tops.onnx").path, threads=1)
    with np.load(path, allow_pickle=False) as jets:
        found = file(*(part.numpy() for part in padded_jets(jets["p4"], jets["ptr"])))[:, 1]
    wanted = np.asarray(lgae_pyg.score("lorentz_net_tops", path)["score"])
    off, others = np.abs(found - wanted).max(), int(((found > 0.5) != (wanted > 0.5)).sum())
    print(f"{len(found)} jets: largest difference {off:.1e}, other decisions {others}")
    assert off < 0.01 and others == 0


def padded_jets(p4: np.ndarray, ptr: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Momenta of shape (jets, places, 4), and how many places of each jet hold a particle."""
    count = torch.from_numpy(np.diff(ptr)).long()
    return torch.nn.utils.rnn.pad_sequence(torch.from_numpy(p4).split(count.tolist()), batch_first=True), count
