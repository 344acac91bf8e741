"""The anomaly study: on a model whose errors are known, and its parts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.anomaly import study as anomaly
from lgae_pyg.evaluation.anomaly.density import LatentDensity
from lgae_pyg.evaluation.anomaly.tables import UNION
from lgae_pyg.evaluation.latent.codes import latent_invariants
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.study import StudyOptions, draw_study, run_study
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.lorentz import from_pt_eta_phi_m, random_lorentz
from lgae_pyg.models import Latent

CONFIG = {"name": "Echo", "num_particles": 4}


class Echo(nn.Module):
    """Gives each jet back with an error that grows with its mass, and has the total momentum as its code."""

    config, label = CONFIG, "Echo"
    permutation_invariant, latent_size, side_information = False, 8, 1

    def __init__(self, broken: float = 0.0) -> None:
        super().__init__()
        self.broken = broken

    def forward(self, batch):
        jet = torch.zeros(len(batch.ptr) - 1, 4, dtype=batch.pos.dtype).index_add(0, batch.batch, batch.pos)
        square = (jet[:, 0] ** 2 - jet[:, 1:].square().sum(-1)).clamp(min=0)
        p4 = batch.pos * (1 + self.broken + square[batch.batch, None])
        latent = Latent(square[:, None], jet[:, None, :])
        return SimpleNamespace(p4=p4, ptr=batch.ptr, latent=latent, images=None)


def store(jets: int, spread: float, seed: int) -> JetStore:
    """Jets of four particles around random axes; the wider, the heavier."""
    generator = torch.Generator().manual_seed(seed)
    shape = (jets, 4)
    pt = 0.25 * (1 + 0.2 * torch.rand(shape, generator=generator, dtype=torch.float64))
    around = spread * torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    pos = from_pt_eta_phi_m(pt, around[0], around[1] + torch.rand(jets, 1, generator=generator))
    y = torch.zeros(jets, dtype=torch.long)
    return JetStore(4 * torch.arange(jets + 1), {"pos": pos.flatten(0, 1)}, {"y": y})


class Toy(Subject):
    """A subject whose samples are made here: signals have wider jets."""

    def dataset(self, split=None, root=None):
        made = store(300, 0.05, {"train": 1, "test": 2}[split or "test"])
        return SimpleNamespace(store=made, origin="toy", unit="TeV", recipe=self.recipe)

    def background(self, jets=None, split=None, root=None):
        return Sample("QCD", self.dataset(split).store, "toy")

    def signals(self, classes=None, jets=20_000, root=None):
        return [Sample("t", store(200, 0.12, 3), "toy"), Sample("w", store(250, 0.05, 4), "toy")]


def subject(broken: float = 0.0) -> Toy:
    return Toy(Echo(broken).double(), "Echo", "TeV", {"name": "toy", "num_particles": 4, "classes": ["g", "q"]})


OPTIONS = StudyOptions(resamples=8, progress=False)


@pytest.fixture(scope="module")
def results() -> Results:
    return anomaly.run(subject(), OPTIONS)


def test_a_score_that_grows_with_the_mass_is_as_good_as_the_mass(results: Results) -> None:
    rows = {(row["score"], row["signal"]): row for row in results.tables["anomaly_scores"].records()}
    assert rows["jet mass", "t"]["auc"] > 0.95 and rows["jet mass alone", "t"]["auc"] > 0.95
    assert rows["jet mass alone", "w"]["auc"] == pytest.approx(0.5, abs=0.08)
    number, total = rows["number of particles alone", "t"], rows["number of particles alone", UNION]
    assert number["auc"] == 0.5 and number["auc_error"] == 0 and total["auc"] == 0.5
    for score, signal in rows:
        if signal == UNION:
            parts = [rows[score, name]["auc"] for name in ("t", "w")]
            assert rows[score, signal]["auc"] == pytest.approx((200 * parts[0] + 250 * parts[1]) / 450)


def test_the_first_table_compares_the_headline(results: Results) -> None:
    table = next(iter(results.tables.values()))
    assert table.name == "anomaly"
    assert table.column("score")[:2] == ["chamfer cartesian (headline)", "chamfer lorentz"]
    assert "toy, 300 QCD, 200 t, 250 w jets" in table.caption
    blank = {"efficiency_0.001", "efficiency_0.001_error"}  # less than one of 300 background jets
    for row in table.records():
        assert {name for name, value in row.items() if value != value} == blank


def test_results_are_read_back_and_drawn(results: Results, tmp_path) -> None:
    results.save(tmp_path)
    found = Results.load(tmp_path)
    assert found.tables["anomaly"].to_csv() == results.tables["anomaly"].to_csv()
    np.testing.assert_array_equal(found.arrays["t/mass"], results.arrays["t/mass"])
    names = {path.name for path in draw_study(found, tmp_path, progress=False)}
    assert {"anomaly_roc.png", "anomaly_mass.pdf"} <= names


def test_a_score_that_is_nan_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"not finite|NaN"):
        anomaly.run(subject(broken=math.nan), OPTIONS)


def test_rounding_is_no_score() -> None:
    def found(error: float) -> dict:
        names = ("chamfer_cartesian", "jet_cartesian", "jet_polar", "jet_lorentz", "jet_mass")
        return {"QCD": {name: np.ones(3) for name in names} | {"relative_momentum_error": np.full(3, error)}}

    exact, inexact = found(1e-15), found(1e-3)
    assert "left out" in anomaly.drop_conserved(exact)[0] and list(exact["QCD"]) == ["chamfer_cartesian"]
    assert anomaly.drop_conserved(inexact) == [] and "jet_mass" in inexact["QCD"]


def test_invariants_of_a_code_are_invariant(generator: torch.Generator) -> None:
    real, imaginary = torch.randn(2, 5, 3, 4, generator=generator, dtype=torch.float64)
    scalars = torch.randn(5, 2, generator=generator, dtype=torch.complex128)
    transform = random_lorentz(1.0, generator=generator)
    plain = latent_invariants(Latent(scalars, torch.complex(real, imaginary)))
    moved = latent_invariants(Latent(scalars, torch.complex(real @ transform.T, imaginary @ transform.T)))
    assert plain.shape == (5, 4 + 6 * 7 // 2)
    torch.testing.assert_close(moved, plain, rtol=1e-6, atol=1e-6)
    mass = real[:, 0, 0] ** 2 - real[:, 0, 1:].square().sum(-1)
    torch.testing.assert_close(plain[:, 4], mass.sign() * mass.abs().sqrt())


def test_the_mahalanobis_distance_is_that_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    mixing = np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 0.0]])
    codes = rng.normal(size=(4000, 2)) @ mixing + [1.0, 2.0, 7.0]  # the third number is a constant
    density = LatentDensity(codes)
    inverse = np.linalg.inv(np.cov(codes[:, :2].T, bias=True))
    asked = rng.normal(size=(10, 3)) * [3, 3, 0] + [0, 0, 7]
    off = asked[:, :2] - codes[:, :2].mean(0)
    found = density.scores(asked)
    np.testing.assert_allclose(found["latent_mahalanobis"], np.sqrt(np.einsum("bi,ij,bj->b", off, inverse, off)))
    far, near = density.scores(np.array([[30.0, 30, 7], [1.0, 2, 7]]))["latent_forest"]
    assert far > near


def test_codes_that_tell_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="collapsed"):
        LatentDensity(np.ones((20, 3)))
    with pytest.raises(ValueError, match="not finite, the first is that of jet 1"):
        LatentDensity(np.array([[1.0], [np.inf]]))


def test_unknown_studies_and_known_signals() -> None:
    with pytest.raises(ValueError, match=r"unknown study 'anomalies': choose one of .*did you mean anomaly\?"):
        run_study("anomalies", subject(), OPTIONS)
    with pytest.raises(ValueError, match="trained on g: choose other signals"):
        Subject(Echo(), "Echo", "TeV", {"name": "toy", "classes": ["g", "q"]}).signals(["g"])
    assert Subject(Echo(), "Echo", "TeV", {"classes": ["t"]}).other_classes() == ("g", "q")
