"""The study of robustness: its transformations by physics, and models that have a symmetry, or not."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_tagging import BySize, Jets, subject_of
from torch_geometric.nn import global_add_pool

from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.evaluation.robustness.study import deviation, deviations_of
from lgae_pyg.evaluation.robustness.transformations import (
    GAMMAS,
    ON_AXIS,
    STRENGTHS,
    frames,
    on_axis,
    to_x_axis,
)
from lgae_pyg.evaluation.study import StudyOptions, run_study
from lgae_pyg.evaluation.subject import LeftOut
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m, mass, transverse_momentum
from lgae_pyg.models import LinearAE, LorentzNet

METRIC = torch.diag(torch.tensor([1.0, -1, -1, -1], dtype=torch.float64))
OPTIONS = StudyOptions(resamples=10, progress=False, jets=40, batch_size=16)


def column(quantity):
    """Logits that fall and rise with a number of the jet in TeV, centred on the middle jet."""

    class OfJets(BySize):
        def forward(self, batch):
            values = 20 * (quantity(global_add_pool(batch.pos, batch.batch)) - 0.1)
            return torch.stack([-values, values], -1)

    return OfJets()


@pytest.fixture
def dataset(generator):
    """Forty jets of three prongs, half of them with a larger mass, anywhere in the detector."""
    eta, phi = torch.rand(2, 40, 1, generator=generator, dtype=torch.float64) * 3 - 1.5
    y = torch.arange(40) % 2
    spread = (0.1 + 0.25 * y)[:, None] * torch.randn(2, 40, 3, generator=generator, dtype=torch.float64)
    pt = 0.1 + 0.3 * torch.rand(40, 3, generator=generator, dtype=torch.float64)
    pos = from_pt_eta_phi_m(pt, eta + spread[0], phi + spread[1]).flatten(0, 1)
    fields = {"y": y, "jet_id": torch.arange(40)}
    return Jets(JetStore(3 * torch.arange(41), {"pos": pos}, fields), ("q", "t"))


@given(
    st.floats(50, 2000), st.floats(-3, 3), st.floats(-math.pi, math.pi), st.floats(1, 300), st.floats(1, 5),
    st.sampled_from(ON_AXIS),
)  # fmt: skip
def test_jets_come_to_the_axis_and_stay_there(pt, eta, phi, m, strength, name):
    numbers = (torch.tensor([one], dtype=torch.float64) for one in (pt, eta, phi, m))
    total = from_pt_eta_phi_m(*numbers)
    place = to_x_axis(total)
    placed = torch.einsum("bij,bj->bi", place, total)
    assert placed[0, 1] == pytest.approx(pt, rel=1e-9) and placed[0, 2:].abs().max() < 1e-9 * placed[0, 0]
    change = on_axis(name, strength, placed)
    moved = torch.einsum("bij,bj->bi", change, placed)
    assert moved[0, 1] > 0 and moved[0, 2:].abs().max() < 1e-9 * moved[0, 0]
    for matrix in (place[0], change[0]):
        torch.testing.assert_close(matrix.T @ METRIC @ matrix, METRIC, atol=1e-9 * matrix.abs().max() ** 2, rtol=0)
        assert torch.linalg.det(matrix) == pytest.approx(1, abs=1e-7) and matrix[0, 0] >= 1 - 1e-12


def test_transformations_are_what_their_names_say():
    total = torch.tensor([[1.0, 0.8, 0, 0]], dtype=torch.float64)
    quarter = on_axis("y-z rotation", 0.5, total)[0]
    assert (quarter @ torch.tensor([1.0, 0, 1, 0], dtype=torch.float64)).tolist() == pytest.approx([1, 0, 0, 1])
    assert (on_axis("x boost", 2.0, total)[0] @ total[0])[0] == pytest.approx(2 + math.sqrt(3) * 0.8)
    for axis, name in ((3, "z tilt"), (2, "y tilt")):
        particle = torch.zeros(4, dtype=torch.float64)
        particle[0] = particle[axis] = 1.0
        moved = on_axis(name, 1.5, total)[0] @ particle
        assert moved[1] > 0.5 and moved[5 - axis].abs() < 1e-12  # tilted in the plane of x and the axis alone
    for name in ON_AXIS:
        start = on_axis(name, 0.0 if "rotation" in name else 1.0, total)[0]
        torch.testing.assert_close(start, torch.eye(4, dtype=torch.float64))


def test_an_invariant_model_stays_and_one_that_uses_pt_does_not(dataset):
    batches, changes = list(JetLoader(dataset.store, 16)), list(frames())
    stays, moves = (
        deviations_of(column(quantity), batches, changes, "float64") for quantity in (mass, transverse_momentum)
    )
    single = deviations_of(column(mass), batches, changes, "float32")
    for change, one, other, rough in zip(changes, stays, moves, single):
        if change.kind == "rotation" or change.parameter <= 10:
            assert one[0] < 1e-9 and one[3] == 0
            assert 1e-8 < rough[0] < 0.2
        along = change.kind == "boost" and change.axis == "z"
        assert (other[0] < 1e-9 if along and change.parameter <= 10 else along or other[0] > 0.1)
    assert len(changes) == 3 * len(GAMMAS) + 4 and {len(one.matrices) for one in changes} == {1, 2}


def test_deviations_by_hand():
    plain = torch.tensor([[0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    moved = torch.tensor([[[0.0, 1.0], [0.0, 3.0]]], dtype=torch.float64)
    change = torch.sigmoid(torch.tensor(3.0)) - torch.sigmoid(torch.tensor(-1.0))
    assert deviation(plain, moved) == pytest.approx((4.0, 2.0, float(change) / 2, 0.5))


def test_beams_that_move_along_restore_the_symmetry_and_the_model_is_left_as_it_was(dataset):
    torch.manual_seed(0)
    model = LorentzNet(hidden=8, layers=2, beams=True).double().eval()
    model.unit = "TeV"
    beams = model.references.clone()
    batches, changes = list(JetLoader(dataset.store, 16)), [one for one in frames() if one.parameter <= 2]
    moved, fixed = (deviations_of(model, batches, changes, "float64", way) for way in ("moved", "fixed"))
    assert max(one[0] for one in moved) < 1e-9 and min(one[0] for one in fixed) > 1e-6
    assert torch.equal(model.references, beams) and model.dtype == torch.float64


def test_curves_of_models_with_and_without_the_symmetry(dataset, tmp_path):
    results = run_study("robustness", subject_of(column(mass), dataset), OPTIONS, tmp_path)
    curves = results.tables["robustness_curves"].records()
    assert len({row["accuracy"] for row in curves}) == 1 and curves[0]["accuracy"] > 0.7
    assert {(row["transformation"]) for row in curves} == {"none", *ON_AXIS} and len(curves) == 29
    assert [row["strength"] for row in curves if row["transformation"] == "x boost"] == list(STRENGTHS)
    (row,) = results.tables["robustness"].records()
    assert row["max_logit"] < 1e-9 and math.isnan(row["max_logit_fixed"])
    assert row["lowest_1"] == row["accuracy"] and 0 < row["accuracy_error"] < 0.2
    drawn = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {"robustness_curves.png", "robustness_invariance.png"}

    def breadth(total):  # grows with energies, as boosts along the jet do
        return transverse_momentum(total) * 0.2

    curves = run_study("robustness", subject_of(column(breadth), dataset), OPTIONS).tables["robustness_curves"]
    boosted = [row["accuracy"] for row in curves.records() if row["transformation"] == "x boost"]
    turned = [row["accuracy"] for row in curves.records() if row["transformation"] == "y-z rotation"]
    assert len(set(turned)) == 1 and boosted[-1] == 0.5  # every jet is far above the threshold


def test_only_taggers_are_asked(dataset):
    with pytest.raises(LeftOut, match="no tagger"):
        run_study("robustness", subject_of(LinearAE(2), dataset), OPTIONS)
