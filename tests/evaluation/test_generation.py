"""Distances of samples: exact answers."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.generation import study as generation
from lgae_pyg.evaluation.reconstruction.rebuilt import Jets
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.study import StudyOptions
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.metrics.wasserstein import wasserstein_1
from lgae_pyg.models import Reconstruction

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@given(numbers, st.floats(-50, 50))
@settings(max_examples=100, deadline=None)
def test_a_shifted_sample_is_as_far_as_the_shift(sample: list, shift: float) -> None:
    assert wasserstein_1(sample, np.add(sample, shift)) == pytest.approx(abs(shift), abs=1e-9)
    assert wasserstein_1(sample, sample[::-1]) == 0


def test_the_distance_by_hand() -> None:
    assert wasserstein_1([0.0, 1.0], [0.0, 3.0]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="not finite"):
        wasserstein_1([0.0, np.nan], [1.0])


def test_jets_against_themselves_and_permuted(jets) -> None:
    true = Jets(jets.pos * 1e3, jets.ptr)
    parts = list(zip(jets.ptr[:-1].tolist(), jets.ptr[1:].tolist()))[::-1]
    back = Jets(
        torch.cat([true.p4[a:b] for a, b in parts]),
        torch.tensor([0, *(b - a for a, b in parts)]).cumsum(0),
    )
    for other in (true, back):
        rows = generation._feature_rows(true, other, True, 5)
        assert len(rows) == 6 and all(row[2] == pytest.approx(0, abs=1e-9) for row in rows)
        assert all(row[4] > 0 for row in rows)  # two halves differ


def test_heavier_jets_are_as_far_as_they_are_heavier() -> None:
    p4 = torch.tensor([[5.0, 3.0, 0, 0]] * 40, dtype=torch.float64)
    heavier = torch.tensor([[(9 + 49) ** 0.5, 3.0, 0, 0]] * 40, dtype=torch.float64)
    ptr = torch.arange(41)
    rows = {row[0]: row for row in generation._feature_rows(Jets(p4, ptr), Jets(heavier, ptr), False, 5)}
    assert rows["W1 of mass"][2] == pytest.approx(3.0) and rows["W1 of pt"][2] == pytest.approx(0, abs=1e-9)


def test_pairs_are_drawn_as_pairs() -> None:
    """Every jet is 3 GeV heavier: whatever jets are drawn, the distance is 3, and its error is zero."""
    rng = np.random.default_rng(0)
    true = rng.exponential(50, 60)
    jet = np.arange(60)
    distance, error = generation._paired_distance(true, true + 3, jet, jet, 20)
    assert distance == pytest.approx(3) and error < 1e-12
    assert generation._halves(true, jet, 20)[1] > 0.1  # independent samples


def test_particles_are_drawn_by_jet() -> None:
    """Particles of a jet are copies of one another: there are as many independent values as jets."""
    rng = np.random.default_rng(0)
    true, found = rng.normal(size=(2, 30))
    jet = np.arange(30)
    alone = generation._paired_distance(true, found, jet, jet, 40)
    copies = generation._paired_distance(*(np.repeat(one, 9) for one in (true, found, jet, jet)), 40)
    assert copies == pytest.approx(alone)
class Same(torch.nn.Module):
    """Gives back what it is given."""

    label = "Same"

    def forward(self, batch):
        return Reconstruction(batch.pos, batch.ptr)


@pytest.fixture
def subject(massless_jet, generator, monkeypatch) -> Subject:
    """A perfect model and forty jets."""
    sizes = torch.randint(5, 20, (40,), generator=generator)
    pos = torch.cat([massless_jet(int(size), generator) for size in sizes])
    store = JetStore(torch.nn.functional.pad(sizes.cumsum(0), (1, 0)), {"pos": pos})
    monkeypatch.setattr(Subject, "background", lambda *_: Sample("QCD", store, "made here"))
    monkeypatch.setattr(Subject, "description", lambda *_: {"caption": "caption"})
    return Subject(Same(), "Same", "TeV", {})


@pytest.mark.parametrize("broken", [False, True], ids=["missing", "beside numpy 2"])
def test_without_jetnet_the_other_distances_remain_and_the_way_to_the_rest_is_named(
    subject, monkeypatch, tmp_path, broken
):
    for name in [name for name in sys.modules if name.partition(".")[0] == "jetnet"]:
        monkeypatch.delitem(sys.modules, name)
    if broken:
        (tmp_path / "jetnet.py").write_text("raise AttributeError('_ARRAY_API not found')\n")
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setitem(sys.modules, "jetnet", None)
    table = generation.run(subject, StudyOptions(jets=40, progress=False)).tables["generation"]
    assert "without FPD and KPD: jetnet is not installed here (pip install 'lgae-pyg[jetnet]')" in table.caption
    assert {row[1] for row in table.rows} >= {"W1 of mass", "W1 of pt"}
    assert not [row for row in table.rows if "energy flow" in row[1]]


def test_with_jetnet_a_perfect_model_is_as_near_as_the_halves(subject):
    pytest.importorskip("jetnet.evaluation", exc_type=ImportError)
    table = generation.run(subject, StudyOptions(jets=40, progress=False)).tables["generation"]
    rows = {row[1]: row for row in table.rows}
    for name in ("FPD of energy flow", "KPD of energy flow"):
        assert rows[name][3] == pytest.approx(rows[name][5], abs=2 * (rows[name][6] + 1e-3))
