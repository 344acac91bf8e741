"""Taggers with a class of the background as anomaly detectors: the study evaluates them as any other model."""

import numpy as np
import pytest
import torch

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.anomaly.study import drop_conserved
from lgae_pyg.evaluation.anomaly.tables import RANK
from lgae_pyg.evaluation.study import StudyOptions, find_study, run_study
from lgae_pyg.evaluation.subject import LeftOut, Subject
from lgae_pyg.lorentz import from_pt_eta_phi_m
from lgae_pyg.metrics.mass_rank import rank_at_equal_mass
from lgae_pyg.metrics.roc import area_under_curve
from lgae_pyg.models import PFN


def jets(number: int, spread: float, seed: int, names=("QCD",), y=None) -> JetStore:
    """Jets of four particles in TeV; the wider, the heavier."""
    g = torch.Generator().manual_seed(seed)
    pt = 0.25 * (1 + 0.2 * torch.rand(number, 4, generator=g, dtype=torch.float64)).sort(1, descending=True).values
    around = spread * torch.randn(2, number, 4, generator=g, dtype=torch.float64)
    pos = from_pt_eta_phi_m(pt, around[0], around[1])
    fields = {"y": torch.zeros(number, dtype=torch.long) if y is None else y}
    meta = {"unit": "TeV", "class_names": list(names)}
    return JetStore(4 * torch.arange(number + 1), {"pos": pos.flatten(0, 1)}, fields, meta)


@pytest.fixture
def detector(tmp_path):
    """A checkpoint of an untrained tagger, and the store that it says it was trained on."""
    torch.manual_seed(0)
    y = torch.arange(200) % 2
    jets(200, 0.05, 1, ("background", "contrast"), y).save(tmp_path / "contrast.store")
    model = PFN(particle_widths=(8,), jet_widths=(8,))
    recipe = {"name": "JetFiles", "path": str(tmp_path / "contrast.store"), "unit": "TeV", "seed": 0}
    path = tmp_path / "best.ckpt"
    save_checkpoint(path, model, unit="TeV", data=recipe, class_names=("background", "contrast"))
    for name, spread in (("qcd", 0.05), ("top", 0.2)):
        jets(150, spread, 2, (name,)).save(tmp_path / f"{name}.store")
    return path


def test_the_score_is_the_probability_of_the_other_classes():
    model = PFN(num_classes=3)
    with pytest.raises(ValueError, match="no class of PFN is called background"):
        model.anomaly_scores(torch.zeros(1, 3))
    model.class_names = ("contrast", "background", "more")
    logits = torch.tensor([[0.0, 0.0, 0.0], [-60.0, 0.0, -80.0]])
    found = model.anomaly_scores(logits)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([2 / 3, float(np.exp(-60.0))], rel=1e-12)


def test_only_taggers_with_a_background_are_for_the_study():
    fits, model = find_study("anomaly").fits, PFN()
    assert "background" in fits(model)
    model.class_names = ("background", "contrast")
    assert fits(model) is None


def test_a_detector_is_evaluated_as_any_other_model(detector, tmp_path):
    subject = Subject.load(detector, jets=str(tmp_path / "qcd.store"))
    options = StudyOptions(signals=[str(tmp_path / "top.store")], resamples=5, progress=False)
    results = run_study("anomaly", subject, options, tmp_path / "out")
    about = results.description
    assert (about["headline"], about["background"], about["signals"]) == ("not_background", "qcd", ["top"])
    scores = [results.arrays[f"{name}/not_background"] for name in ("qcd", "top")]
    with torch.inference_mode():
        store = jets(150, 0.05, 2, ("qcd",))
        expected = subject.model.scores(store.batch(range(150)))[:, 1]
    np.testing.assert_allclose(scores[0], expected.numpy(), rtol=1e-9)
    row = results.tables["anomaly"].records()[0]
    assert row["auc_top"] == pytest.approx(area_under_curve(*scores))
    assert {one["score"] for one in results.tables["anomaly_sculpting"].records()} >= {"jet mass alone"}
    assert (tmp_path / "out" / "figures" / "anomaly_roc.png").exists()


def test_without_other_files_the_background_is_that_class_of_its_own_test_jets(detector, tmp_path):
    subject = Subject.load(detector)
    background, signals = subject.contrast([str(tmp_path / "top.store")])
    assert background.name == "background" and len(background) == 20
    assert [one.name for one in signals] == ["top"]
    with pytest.raises(LeftOut, match="trained without signals: say with --signals"):
        subject.contrast()


def test_the_background_is_named_after_the_classes_that_there_are(detector, tmp_path):
    y = torch.arange(150) % 2
    jets(150, 0.05, 2, ("g", "q", "t"), y).save(tmp_path / "three.store")
    subject = Subject.load(detector, jets=str(tmp_path / "three.store"))
    background, _ = subject.contrast([str(tmp_path / "top.store")])
    assert background.name == "QCD" and len(background) == 150


def test_a_model_without_momenta_drops_no_score():
    found = {"a": {"not_background": np.zeros(2)}, "b": {"not_background": np.ones(2)}}
    assert drop_conserved(found) == []
    assert set(found["a"]) == {"not_background"}


def test_the_score_is_ranked_among_other_background_jets_of_equal_mass(detector, tmp_path):
    """Those that are judged themselves, known by file and row, are left out; the rank is that of the function."""
    jets(450, 0.05, 3, ("qcd",)).save(tmp_path / "more.store")
    subject = Subject.load(detector, jets=str(tmp_path / "qcd.store"))
    options = {"signals": [str(tmp_path / "top.store")], "resamples": 2, "progress": False}
    results = run_study("anomaly", subject, StudyOptions(**options, calibration=tmp_path / "more.store"))
    first, _ = subject.contrast(options["signals"])
    other = run_study(
        "anomaly", Subject.load(detector, jets=str(tmp_path / "more.store")), StudyOptions(**options)
    ).arrays
    others = other["qcd/not_background"], other["qcd/mass"]
    for name in ("qcd", "top"):
        mine = (results.arrays[f"{name}/{kind}"] for kind in ("not_background", "mass"))
        expected = rank_at_equal_mass(*mine, *others)
        np.testing.assert_allclose(results.arrays[f"{name}/{RANK}"], expected, atol=1e-3)
    assert "among 450 other background jets" in results.caption
    names = [one["score"] for one in results.tables["anomaly"].records()]
    assert names[:2] == ["not background (headline)", "rank at equal mass"]

    mixed = StudyOptions(**options, jets=100, calibration=tmp_path / "qcd.store")
    assert "among 50 other" in run_study("anomaly", subject, mixed).caption
    with pytest.raises(ValueError, match="all of its jets are among those that are judged"):
        run_study("anomaly", subject, StudyOptions(**options, calibration=tmp_path / "qcd.store"))
    assert len(first) == 150
