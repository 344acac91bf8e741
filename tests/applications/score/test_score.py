"""Scores of jets: those of the studies, in the order of the jets, with a row for every jet."""

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from score_jets import EMPTY, JETS, NAMES, NEGATIVE, NOT_FINITE, SLOTS

import lgae_pyg
from lgae_pyg.applications.score_job import choose_card, cut
from lgae_pyg.applications.score_model import Scorer, choose_device
from lgae_pyg.checkpoint import load_checkpoint, load_model, save_checkpoint
from lgae_pyg.checksums import fingerprint
from lgae_pyg.cli import main
from lgae_pyg.data import JetData
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import admit, faults
from lgae_pyg.data.store import raw_files
from lgae_pyg.datasets import JetFiles, from_numpy
from lgae_pyg.datasets.reading import Piece
from lgae_pyg.evaluation.study import StudyOptions, run_study
from lgae_pyg.evaluation.subject import Subject, run_model
from lgae_pyg.models import LinearAE, LorentzNet

OPTIONS = StudyOptions(resamples=2, progress=False)
REAL = os.environ.get("LGAE_PYG_REAL_JETS", "")
BAD = [NOT_FINITE, EMPTY, NEGATIVE]


def test_scores_of_a_tagger_are_those_of_its_study(tagger: Path, file: Path) -> None:
    table = lgae_pyg.score(tagger, file)
    study = run_study("tagging", Subject.load(tagger, jets=file), OPTIONS).arrays
    rows = study["jet_id"]
    assert len(rows) == JETS - 3 and len(table) == JETS
    both = np.stack([table["score_QCD"], table["score_top"]], 1)
    np.testing.assert_allclose(both[rows], study["scores"], rtol=1e-12)
    assert np.ptp(both[rows][:, 1]) > 0
    assert (table["score"] == table["score_top"])[rows].all() and (table["y"][rows] == study["y"]).all()


def test_scores_of_an_autoencoder_are_those_of_its_study(autoencoder: Path, file: Path) -> None:
    table = lgae_pyg.score(autoencoder, file, latents=True)
    arrays = run_study("anomaly", Subject.load(autoencoder, jets=file), StudyOptions(resamples=2, progress=False,
                       signals=["top"])).arrays  # fmt: skip
    known = {"jet_id", "class", "mass", "multiplicity"}
    for name in NAMES:
        scores = {key.split("/")[1] for key in arrays if key.startswith(f"{name}/")} - known
        assert {one if one != "jet_mass" else "jet_mass_error" for one in scores} == set(table.scores)
        for score in scores:
            mine = table["jet_mass_error" if score == "jet_mass" else score][arrays[f"{name}/jet_id"]]
            np.testing.assert_allclose(mine, arrays[f"{name}/{score}"], rtol=1e-9, err_msg=score)
    assert table.meta["headline"] in table.scores
    assert table.latents.shape == (JETS, 16) and table.meta["latents"][0] == "v_1 E"


def test_scores_of_codes_are_fitted_on_a_reference_alone(tmp_path: Path, autoencoder: Path, file: Path) -> None:
    jets = JetFiles(file, num_particles=SLOTS, unit="TeV", split="train")
    whole = save_checkpoint(tmp_path / "whole.ckpt", load_model(autoencoder), unit="TeV", data=jets.recipe)
    subject = Subject.load(whole, jets=file)
    arrays = run_study("anomaly", subject, StudyOptions(resamples=2, progress=False, signals=["top"])).arrays
    table = lgae_pyg.score(whole, file, reference="train")
    other = lgae_pyg.score(whole, file, reference=file)
    for score in ("latent_mahalanobis", "latent_forest"):
        rows = arrays["top/jet_id"]
        np.testing.assert_allclose(table[score][rows], arrays[f"top/{score}"], rtol=1e-9)
        assert not np.allclose(other[score][rows], arrays[f"top/{score}"], rtol=1e-3)
    assert "latent_mahalanobis" not in lgae_pyg.score(whole, file).columns
    with pytest.raises(ValueError, match="does not say"):
        lgae_pyg.score(autoencoder, file, reference="train")


@pytest.mark.parametrize("kind", ["tagger", "autoencoder"])
def test_bad_jets_keep_their_rows(request, kind: str, file: Path, arrays) -> None:
    table = lgae_pyg.score(request.getfixturevalue(kind), file)
    assert table["jet"].tolist() == list(range(JETS)) and set(table["file"]) == {"jets.npz"}
    assert np.flatnonzero(table["status"] != "").tolist() == BAD
    assert table["status"][BAD].tolist() == ["not finite", "empty", "of negative energy"]
    for score in table.scores:
        assert np.flatnonzero(~np.isfinite(table[score])).tolist() == BAD, score
    assert table["y"].tolist() == arrays.label.tolist()
    assert table.meta["admission"]["dropped"] == {"empty": 1, "not finite": 1, "of negative energy": 1}


def test_jets_are_measured_before_they_are_cut(tagger: Path, file: Path, arrays) -> None:
    table = lgae_pyg.score(tagger, file)
    assert (table["num_particles"] == np.diff(arrays.ptr)).all() and table["num_particles"].max() > SLOTS
    number = int(table["num_particles"].argmax())
    energy, px, py, pz = arrays.p4[arrays.ptr[number] : arrays.ptr[number + 1]].astype(float).sum(0)
    pt = np.hypot(px, py)
    found = [table[f"jet_{name}"][number] for name in ("pt", "eta", "phi", "mass")]
    wanted = [pt, np.arcsinh(pz / pt), np.arctan2(py, px), np.sqrt(energy**2 - px**2 - py**2 - pz**2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_jets_in_memory_have_the_scores_of_the_file(tagger: Path, file: Path, arrays) -> None:
    table = lgae_pyg.score(tagger, file)
    ptr, sound = arrays.ptr, np.delete(np.arange(JETS), BAD)
    flat = FlatJets(arrays.p4, ptr)
    lists = [JetData(pos=torch.from_numpy(arrays.p4[ptr[i] : ptr[i + 1]]), unit="GeV") for i in range(JETS)]
    padded = np.zeros((JETS, 12, 4))
    for i in range(JETS):
        padded[i, : ptr[i + 1] - ptr[i]] = arrays.p4[ptr[i] : ptr[i + 1]]
    for jets in (flat, lists):
        again = lgae_pyg.score(load_checkpoint(tagger), jets)
        np.testing.assert_allclose(again["score"], table["score"], rtol=1e-5)
        assert again["status"].tolist() == table["status"].tolist()
    again = lgae_pyg.score(tagger, from_numpy(padded[sound], unit="GeV"))
    np.testing.assert_allclose(again["score"], table["score"][sound], rtol=1e-5)
    again = lgae_pyg.score(tagger, JetFiles(file))
    np.testing.assert_allclose(again["score"], table["score"][sound], rtol=1e-5)
    assert again["jet"].tolist() == sound.tolist() and again["y"].tolist() == arrays.label[sound].tolist()


def test_a_module_is_not_changed(tagger: Path, arrays) -> None:
    model = load_model(tagger).train()
    before = next(model.parameters()).dtype
    lgae_pyg.score(model, FlatJets(arrays.p4, arrays.ptr))
    assert model.training and next(model.parameters()).dtype == before == torch.float32


def test_jets_without_unit_are_looked_at(tagger: Path, arrays) -> None:
    jets = [JetData(pos=torch.from_numpy(arrays.p4[arrays.ptr[i] : arrays.ptr[i + 1]])) for i in (0, 1, 2)]
    with pytest.raises(ValueError, match="TeV"):  # they are in GeV, a thousand times too heavy
        lgae_pyg.score(tagger, jets)


def test_what_cannot_be_scored_is_refused(tagger: Path, file: Path) -> None:
    with pytest.raises(ValueError, match="has no codes"):
        lgae_pyg.score(tagger, file, latents=True)
    with pytest.raises(ValueError, match="from_numpy"):
        lgae_pyg.score(tagger, np.zeros((3, 4)))
    with pytest.raises(FileNotFoundError):
        lgae_pyg.score(tagger, file.with_name("missing.npz"))


def test_several_files_keep_their_order_and_names(tagger: Path, file: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / "jets.npz"
    other.write_bytes(file.read_bytes())
    table = lgae_pyg.score(tagger, [other, file])
    assert table["jet"].tolist() == 2 * list(range(JETS))
    assert table["file"].tolist() == JETS * [os.path.join("more", "jets.npz")] + JETS * ["jets.npz"]
    np.testing.assert_array_equal(table["score"][:JETS], table["score"][JETS:])


def test_whole_jet_scores_of_a_conserving_model_are_left_out(file: Path, massless_jet, generator) -> None:
    pos = torch.cat([massless_jet(SLOTS, generator) for _ in range(20)])
    from lgae_pyg.data import JetLoader, JetStore

    store = JetStore(torch.arange(0, 20 * SLOTS + 1, SLOTS), {"pos": pos}, meta={"unit": "TeV"})
    model = LinearAE(2, SLOTS, conserve_momentum=True).fit(JetLoader(store, 20))
    model.unit = "TeV"
    table = lgae_pyg.score(model, file)
    assert "chamfer_cartesian" in table.scores and not any(name.startswith("jet_") for name in table.scores)
    assert any("left out" in note for note in table.meta["notes"])


def test_a_card_is_that_of_the_training_where_it_fits(lists: Path, file: Path) -> None:
    trained = choose_card({"base": "weaver", "name": "mine", "labels": {}}, [str(lists)], None)
    assert choose_card(None, [str(lists)], trained).name == "mine"
    assert choose_card(None, [str(file)], trained).name == "neutral"


def test_files_without_classes(tagger: Path, file: Path, tmp_path: Path, arrays) -> None:
    np.savez(tmp_path / "data.npz", p4=arrays.p4, ptr=arrays.ptr)
    with pytest.raises(ValueError, match="label"):
        lgae_pyg.score(tagger, tmp_path / "data.npz", card="neutral")
    table = lgae_pyg.score(tagger, tmp_path / "data.npz", card="neutral", labels=False)
    assert set(table["y"]) == {-1}
    np.testing.assert_array_equal(table["score"], lgae_pyg.score(tagger, file)["score"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=12), st.integers(1, 8))
def test_pieces_get_their_jets_however_chunks_are_cut(chunks: list[tuple[int, bool]], step: int) -> None:
    """Chunks of any sizes, of which a selection may have taken every second jet."""
    parts, first = [], 0
    for size, selected in chunks:
        rows = np.arange(first, first + size)[:: 2 if selected else 1]
        parts.append(FlatJets(np.repeat(rows, 2)[:, None] * np.ones(4), 2 * np.arange(len(rows) + 1), rows=rows))
        first += size
    pieces = [Piece(0, start, min(start + step, first)) for start in range(0, first, step)]
    found = list(cut(iter(parts), pieces))
    assert [piece for piece, _ in found] == pieces
    assert [row for _, held in found for jets in held for row in jets.rows] == [r for p in parts for r in p.rows]
    for piece, held in found:
        assert len(held) <= 1
        for jets in held:
            assert ((jets.rows >= piece.first) & (jets.rows < piece.stop)).all()
            np.testing.assert_array_equal(jets.p4[:, 0], np.repeat(jets.rows, 2))


NUMBERS = st.sampled_from([1.0, 2.0, 0.0, -1.0, np.nan, np.inf])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4), min_size=1, max_size=8))
def test_faults_are_what_the_gate_drops(jets: list[list[tuple[float, float]]]) -> None:
    p4 = np.array([(energy, px / 9, 0, 0) for jet in jets for energy, px in jet], dtype=np.float64).reshape(-1, 4)
    ptr = np.concatenate([[0], np.cumsum([len(jet) for jet in jets])])
    flat = FlatJets(p4, ptr, {"charge": np.nan_to_num(p4[:, 1], posinf=0.0)})
    reasons = faults(flat)
    kept, account = admit(flat)
    assert np.flatnonzero(reasons == "").tolist() == kept.rows.tolist()
    words, counts = np.unique([one for one in reasons if one], return_counts=True)
    assert dict(zip(words.tolist(), counts.tolist())) == account.dropped


FILES = [
    "toptagging_1400.npz",
    "quarkgluon_energyflow_200.npz",
    "toptagging_lgn_200.h5",
    "jetclass_layout_300.root",
]
FILES += ["toptagging_weaver_200.parquet", "toptagging_zenodo_table_200.h5", "cms_pfnano_10events.root"]
FILES += ["delphes_example.root", "JetClassII_example.parquet", "jetnet_layout/raw/t150.hdf5"]


@pytest.mark.skipif(not REAL, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
@pytest.mark.parametrize("name", FILES)
def test_real_jets_are_scored_as_a_data_set_of_them_is(tagger: Path, tmp_path: Path, name: str) -> None:
    table = lgae_pyg.score(tagger, Path(REAL, name))
    data = JetFiles(Path(REAL, name), root=tmp_path, num_particles=SLOTS, unit="TeV")
    sound = table["status"] == ""
    assert table["jet"][sound].tolist() == data.store.jet_field("jet_id").tolist()
    logits = load_model(tagger).double()(data.store.to(torch.float64).batch(slice(None)))
    np.testing.assert_allclose(table["score"][sound], logits.softmax(-1)[:, 1].detach(), rtol=1e-9)


@pytest.mark.skipif(not REAL, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
def test_rows_of_several_jets_are_called_events(tagger: Path, tmp_path: Path, capsys) -> None:
    out = str(tmp_path / "scores.npz")
    assert main(["score", str(tagger), str(Path(REAL, "delphes_example.root")), "--out", out, "--quiet"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "10 events in " in last and last.endswith("(22 jets)")


def test_the_model_is_known_by_its_weights(tagger: Path) -> None:
    model = load_model(tagger)
    before = Scorer.of(model).fingerprint
    assert before == Scorer.of(tagger).fingerprint
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-6
    assert Scorer.of(model).fingerprint != before


def test_features_are_those_of_the_training(tmp_path: Path, file: Path, arrays) -> None:
    np.savez(tmp_path / "more.npz", p4=arrays.p4, ptr=arrays.ptr, a=arrays.p4[:, 0], b=arrays.p4[:, 1] * 0)
    base = {"base": "neutral", "labels": {}}
    data = {"name": "JetFiles", "path": "gone.npz", "unit": "TeV", "card": {**base, "features": ["a", "b"]}}
    model = LorentzNet(2, hidden=4, layers=1, extra_scalars=2)
    path = save_checkpoint(tmp_path / "features.ckpt", model, unit="TeV", data=data)
    assert len(lgae_pyg.score(path, tmp_path / "more.npz")) == JETS
    with pytest.raises(ValueError, match="in the same order"):
        lgae_pyg.score(path, tmp_path / "more.npz", card={**base, "features": ["b", "a"]})


def test_classes_whose_columns_would_be_alike_have_numbers(tagger: Path, file: Path, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "alike.ckpt", load_model(tagger), class_names=["b/c", "b c"])
    table = lgae_pyg.score(path, file)
    assert table.scores == ["score_0", "score_1", "score"] and table.meta["model_classes"] == ["b/c", "b c"]
    path = save_checkpoint(tmp_path / "words.ckpt", load_model(tagger), class_names=["b/c", "../x"])
    assert lgae_pyg.score(path, file).scores == ["score_b_c", "score_.._x", "score"]


def test_devices_are_chosen_by_name(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == choose_device("cpu:0") == "cpu"
    wrong = {"cuda": "finds no GPU", "cuda:1": "finds no GPU", "gpu": "unknown", "cuda:x": "unknown"}
    for name, text in wrong.items():
        with pytest.raises(ValueError, match=text):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose_device(name) for name in ("auto", "cuda", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    with pytest.raises(ValueError, match="there are 2, counted from 0"):
        choose_device("cuda:2")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_scores_on_a_missing_device_are_refused(tagger: Path, file: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(ValueError, match="no GPU here"):
        lgae_pyg.score(tagger, file, device="cuda")
    assert main(["score", str(tagger), str(file), "--out", str(tmp_path / "a.npz"), "--device", "cuda"]) == 1
    assert "auto, which takes what there is" in capsys.readouterr().err and not (tmp_path / "a.npz").exists()
    np.testing.assert_array_equal(
        lgae_pyg.score(tagger, file, device="auto")["score"], lgae_pyg.score(tagger, file)["score"]
    )


@pytest.mark.parametrize("kind", ["tagger", "autoencoder"])
def test_jets_and_results_are_moved(request, kind: str, file: Path) -> None:
    """A device that goes by another name than ``cpu``: all is moved there and back."""
    path = request.getfixturevalue(kind)
    jets = JetFiles(file, num_particles=SLOTS, unit="TeV").store
    model = load_model(path).double()
    here, there = (run_model(model, jets.to(torch.float64), 16, device=name) for name in ("cpu", "cpu:0"))
    for (batch, result), (again, moved) in zip(here, there, strict=True):
        assert torch.equal(batch.pos, again.pos)
        parts = [[one] if kind == "tagger" else [one.p4, *one.latent] for one in (result, moved)]
        assert all(torch.equal(one, two) for one, two in zip(*parts, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["tagger", "autoencoder"])
def test_scores_on_a_gpu_are_those_of_the_cpu(request, kind: str, file: Path) -> None:
    path = request.getfixturevalue(kind)
    here, there = (lgae_pyg.score(path, file, device=name) for name in ("cpu", "cuda"))
    for name in here.scores:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-6, atol=1e-9)


def test_jets_of_the_training_are_noticed(tagger: Path, file: Path, tmp_path: Path, capsys) -> None:
    files = raw_files(JetFiles(file, num_particles=SLOTS, unit="TeV").store.meta)
    assert files == {fingerprint(file): "jets.npz"}
    path = save_checkpoint(tmp_path / "seen.ckpt", load_model(tagger), unit="TeV", trained_on=files)
    with pytest.warns(UserWarning, match=r"PFN was trained on copy\.npz"):
        lgae_pyg.score(path, shutil.copy(file, tmp_path / "copy.npz"))
    assert main(["score", str(path), str(file), "--out", str(tmp_path / "a.npz"), "--quiet"]) == 0
    assert "was trained on jets.npz" in capsys.readouterr().out
    np.savez(tmp_path / "other.npz", **{**np.load(file), "label": np.zeros(JETS, int)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "was trained on" not in str(lgae_pyg.score(path, tmp_path / "other.npz").meta["notes"])
        lgae_pyg.score(tagger, file)  # of whose training nothing is known
