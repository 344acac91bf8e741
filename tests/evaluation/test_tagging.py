"""The study of taggers: numbers by hand, what does not fit is left out, and its figures."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch_geometric.nn import global_add_pool

from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.efficiency.measures import merits_of
from lgae_pyg.evaluation.study import StudyOptions, run_study
from lgae_pyg.evaluation.subject import LeftOut, Subject
from lgae_pyg.lorentz import boost
from lgae_pyg.lorentz.kinematics import mass
from lgae_pyg.metrics.roc import area_under_curve
from lgae_pyg.models import LinearAE, Tagger

OPTIONS = StudyOptions(resamples=20, progress=False)


class BySize(Tagger):
    """The more particles, the more of the last class."""

    def forward(self, batch):
        sizes = global_add_pool(torch.ones_like(batch.pos[:, :1]), batch.batch)
        return sizes * torch.arange(self.num_classes) / 10


class Jets:
    """What a study asks of a data set."""

    def __init__(self, store, names):
        self.store, self.class_names, self.unit, self.split = store, names, "TeV", "test"
        self.origin, self.recipe = "made by hand", {"name": "by hand", "classes": list(names)}


@pytest.fixture
def dataset(massless_jet, generator):
    """Sixty jets of two classes, the second of which has more particles, mostly."""
    y = torch.arange(60) % 2
    sizes = (torch.randint(2, 12, (60,), generator=generator) + 4 * y).clamp(max=14)
    pos = torch.cat([massless_jet(int(size), generator) for size in sizes])
    ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
    return Jets(JetStore(ptr, {"pos": pos}, {"y": y, "jet_id": torch.arange(60)}), ("q", "g"))


def subject_of(model, dataset):
    return Subject(model.double(), model.label, "TeV", dataset.recipe, {}, {"test": dataset})


def test_the_numbers_are_those_of_the_scores(dataset, tmp_path):
    results = run_study("tagging", subject_of(BySize(), dataset), OPTIONS, tmp_path)
    (row,) = results.tables["tagging"].records()
    y, sizes = dataset.store.jet_field("y").numpy(), dataset.store.sizes.numpy()
    assert row["signal"] == "g" and row["model"] == "BySize"
    assert row["auc"] == pytest.approx(area_under_curve(sizes[y == 0], sizes[y == 1]), rel=1e-12)
    assert row["auc"] > 0.7 and 0 < row["auc_error"] < 0.2
    assert row["accuracy"] == pytest.approx((y == 1).mean())  # every jet has more than no particles
    assert results.arrays["jet_id"].tolist() == list(range(60))
    drawn = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {f"tagging_{name}.png" for name in ("roc", "confusion", "scores", "calibration", "kinematics")}


def test_rows_of_the_confusion_matrix_are_true_classes(dataset):
    """A model that takes jets of seven particles and more for g."""
    model = BySize()
    model.forward = lambda batch: (batch.ptr.diff()[:, None] - 6.5) * torch.tensor([0.0, 1.0], dtype=torch.float64)
    results = run_study("tagging", subject_of(model, dataset), OPTIONS)
    y, large = dataset.store.jet_field("y"), dataset.store.sizes > 6
    counts = results.arrays["confusion"]
    expected = [[int(((y == a) & (large == bool(b))).sum()) for b in (0, 1)] for a in (0, 1)]
    assert counts.tolist() == expected and counts[0, 1] != counts[1, 0]
    rows = results.tables["tagging_confusion"].records()
    assert [row["true"] for row in rows] == ["q", "g"] and rows[0]["as_1"] == pytest.approx(counts[0, 1] / 30)
    assert results.tables["tagging"].records()[0]["accuracy"] == pytest.approx(np.trace(counts) / 60)


def test_a_score_that_only_knows_the_mass_is_worth_nothing_at_equal_mass(generator):
    """Two classes of pairs back to back, of different masses on average; the score is the mass."""
    y = torch.arange(4000) % 2
    masses = 0.08 + 0.04 * y + 0.05 * torch.randn(4000, generator=generator, dtype=torch.float64)
    masses = masses.clamp(0.005, 0.29)
    half, zero = masses / 2, torch.zeros_like(masses)
    pos = torch.stack([torch.stack([half, sign * half, zero, zero], -1) for sign in (1, -1)], 1).flatten(0, 1)
    pos = pos @ boost(1.0, "x").T
    jets = Jets(JetStore(2 * torch.arange(4001), {"pos": pos}, {"y": y, "jet_id": torch.arange(4000)}), ("q", "t"))
    model = BySize()
    model.forward = lambda batch: torch.stack([jet_mass(batch), jet_mass(batch) * 0], -1).flip(-1) * 10
    results = run_study("tagging", subject_of(model, jets), OPTIONS)
    (row,) = results.tables["tagging"].records()
    assert row["auc"] > 0.65 and row["auc_equal_mass"] == pytest.approx(0.5, abs=0.06)
    assert 0 < row["auc_equal_mass_error"] < 0.03
    assert results.arrays["mass"] == pytest.approx(1000 * masses.numpy(), rel=1e-6)
    assert results.arrays["pt"] == pytest.approx(1000 * np.sinh(1.0) * masses.numpy(), rel=1e-9)


def jet_mass(batch):
    return mass(global_add_pool(batch.pos, batch.batch))


def test_headings_and_caption_say_what_is_meant(dataset):
    table = run_study("tagging", subject_of(BySize(), dataset), OPTIONS).tables["tagging"]
    headings = list(table.columns.values())
    rejections = [f"rejection at {share} %" for share in (30, 50)]
    assert headings[4:8] == [f"{sign}{one}" for one in rejections for sign in ("", "± ")]
    assert headings[8:] == ["AUC, equal mass", "± AUC, equal mass", "accuracy", "± accuracy"]
    assert "± rejection at" in table.to_text().splitlines()[0] and "30 %" in table.to_text().splitlines()[1]
    assert "Data: made by hand, test split, 60 q+g jets" in table.caption
    assert "trained on q+g" in table.caption and "QCD" not in table.caption


def test_more_classes_stand_against_all_others(dataset):
    model = BySize()
    model.num_classes = 3
    results = run_study("tagging", subject_of(model, dataset), OPTIONS)
    assert [row["signal"] for row in results.tables["tagging"].records()] == ["q", "g"]  # there is no third jet
    assert results.description["classes"] == ["q", "g", "class 2"]
    assert np.allclose(results.arrays["scores"].sum(1), 1)


def test_what_does_not_fit_is_left_out(dataset):
    with pytest.raises(LeftOut, match="no tagger"):
        run_study("tagging", subject_of(LinearAE(2), dataset), OPTIONS)
    with pytest.raises(LeftOut, match="does not rebuild jets"):
        run_study("reconstruction", subject_of(BySize(), dataset), OPTIONS)
    three = {"y": torch.arange(60) % 3, "jet_id": torch.arange(60)}
    dataset.store = JetStore(dataset.store.ptr, {"pos": dataset.store.particle_fields["pos"]}, three)
    with pytest.raises(LeftOut, match="class number 2, but BySize knows 2"):
        run_study("tagging", subject_of(BySize(), dataset), OPTIONS)
    dataset.store = dataset.store.select(slice(0, None, 3))
    with pytest.raises(LeftOut, match="only one"):
        run_study("tagging", subject_of(BySize(), dataset), OPTIONS)


def test_the_merits_of_a_training_are_those_of_the_study(dataset):
    subject = subject_of(BySize(), dataset)
    merits = merits_of(subject, 1000)
    (row,) = run_study("tagging", subject, OPTIONS).tables["tagging"].records()
    for name in ("auc", "accuracy", "rejection_0.5"):
        assert merits[name] == row[name]
    assert merits["jets"] == 60 and merits["auc_error"] > 0


def test_bins_of_the_scores_follow_the_number_of_jets():
    from lgae_pyg.training.tagging_panels import draw_scores, score_bins

    assert [score_bins(jets) for jets in (1, 30, 150, 1000, 10**6)] == [5, 6, 11, 20, 50]
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    score = np.clip(rng.normal(0.2 + 0.6 * y, 0.1), 0, 1)
    axes = Figure().subplots()
    draw_scores(axes, np.stack([1 - score, score], -1), y, 1, ("QCD", "top"))
    drawn = [patch.get_data() for patch in axes.patches]
    assert [len(one.values) for one in drawn] == [11, 11]
    assert all(np.nansum(one.values) / 11 == pytest.approx(1) for one in drawn)  # densities
    low, high = axes.get_ylim()
    assert low < min(np.nanmin(one.values) for one in drawn) and high > 3 * max(np.nanmax(o.values) for o in drawn)


def test_the_highest_rejection_is_not_on_the_frame():
    from lgae_pyg.training.tagging_panels import draw_roc

    y, score = np.arange(100) % 2, np.linspace(0, 1, 100) + np.arange(100) % 2
    axes = Figure().subplots()
    draw_roc(axes, np.stack([-score, score], -1), y, [1], ("QCD", "top"))
    assert axes.get_ylim()[1] > 50  # as many background jets as there are
