"""The study of taggers: numbers by hand, what does not fit is left out, and its figures."""

import numpy as np
import pytest
import torch
from torch_geometric.nn import global_add_pool

from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.study import StudyOptions, run_study
from lgae_pyg.evaluation.subject import LeftOut, Subject
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
    assert drawn == {"tagging_roc.png", "tagging_scores.png"}


def test_headings_and_caption_say_what_is_meant(dataset):
    table = run_study("tagging", subject_of(BySize(), dataset), OPTIONS).tables["tagging"]
    headings = list(table.columns.values())
    assert headings[4:8] == ["rejection at 0.3", "± rejection at 0.3", "rejection at 0.5", "± rejection at 0.5"]
    assert "60 q+g jets" in table.caption and "trained on q+g" in table.caption and "QCD" not in table.caption


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
    dataset.store = dataset.store.select(slice(0, None, 2))
    with pytest.raises(LeftOut, match="only one"):
        run_study("tagging", subject_of(BySize(), dataset), OPTIONS)
