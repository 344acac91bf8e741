"""The equivariance scan by precision, on small models."""

import math
import statistics
from types import SimpleNamespace

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.text import Text
from torch_geometric.data import Batch

from lgae_pyg.data import JetData, JetStore
from lgae_pyg.evaluation import (
    Results,
    draw_study,
    equivariance_scan,
    evaluate_model,
    precision_scan,
    unit_records,
)
from lgae_pyg.evaluation.reconstruction import figures
from lgae_pyg.evaluation.symmetry.precision import PRECISIONS, has_precisions, in_precisions
from lgae_pyg.models import LGAE, LinearAE

SMALL = {
    "aggregation": "mean", "num_particles": 30, "latent_vectors": 2, "encoder_channels": (2, 2),
    "decoder_channels": (2, 2), "num_bells": 6, "mlp_depth": 2, "mlp_width": 2, "backend": "dense",
}  # fmt: skip


def output(model, jets):
    with torch.inference_mode():
        return model(jets).p4.double()


@pytest.fixture(scope="module")
def scan(massless_jet):
    """The scan of six full jets (those of one or two particles react to rounding much more than others)."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    jets = Batch.from_data_list([JetData(pos=massless_jet(30, generator)) for _ in range(6)])
    return precision_scan(LGAE(**SMALL), [jets], "Some jets.")


def test_copies_have_the_precision_of_their_name(jets):
    model, mixed = LGAE(**SMALL).eval(), LGAE(**SMALL, mixed_precision=True).eval()
    mixed.load_state_dict(model.state_dict())
    exact, size = output(model, jets), output(model, jets).norm()
    for one in (model, mixed):
        copies = in_precisions(one)
        assert tuple(copies) == PRECISIONS
        assert [next(copy.parameters()).dtype for copy in copies.values()] == [
            torch.float64, torch.float64, torch.float32
        ]  # fmt: skip
        torch.testing.assert_close(output(copies["float64"], jets), exact, rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(output(copies["mixed"], jets), output(mixed, jets), rtol=1e-12, atol=1e-15)
        for name in ("mixed", "float32"):
            assert 1e-11 < float((output(copies[name], jets) - exact).norm() / size) < 1e-3, name


def test_the_copy_built_like_the_model_keeps_its_back_end():
    copies = in_precisions(LGAE(**{**SMALL, "backend": "edge_list"}))
    assert [copy.config["backend"] for copy in copies.values()] == ["edge_list", "dense", "dense"]


def test_float64_and_its_limit_are_those_of_the_equivariance_scan(jets):
    model = LGAE(**SMALL).eval()
    by_precision = precision_scan(model, [jets]).records()
    usual = equivariance_scan(model, [jets], unit_records(1000.0), 1000.0).records()
    at = {(row["kind"], row["parameter"]): row for row in usual}
    assert [row["kind"] for row in by_precision] == 11 * ["boost"] + 3 * ["rotation"]
    for row in by_precision:
        other = at[row["kind"], row["parameter"]]
        assert row["float64"] == pytest.approx(other["network_norm"], rel=0.1, abs=0)
        if row["kind"] == "boost":
            assert row["limit_float64"] == pytest.approx(other["rounding"], rel=0.1, abs=0)


def test_errors_and_limits_lie_where_the_units_put_them(scan):
    boosts = [row for row in scan.records() if row["kind"] == "boost" and row["parameter"] > 0]
    assert boosts[-1]["gamma"] == math.cosh(10)
    assert boosts[-1]["float64"] < 10 * boosts[-1]["limit_float64"]
    assert 0.1 < statistics.median(row["float64"] / row["limit_float64"] for row in boosts) < 5
    for row in boosts:
        assert row["float32"] > 1e4 * row["float64"] and row["float32"] > 1e3 * row["mixed"]
    growth = math.log(boosts[-1]["limit_float64"] / boosts[0]["limit_float64"]) / math.log(boosts[-1]["gamma"])
    assert 1 < growth < 3


def test_the_limit_scales_with_the_unit(scan):
    units = torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps
    ratios = [row["limit_float32"] / row["limit_float64"] for row in scan.records() if row["gamma"] < 30]
    assert units / 20 < statistics.median(ratios) < 5 * units


def test_models_without_mixed_precision_are_not_scanned(jets):
    assert has_precisions(LGAE(**SMALL)) and not has_precisions(LinearAE())
    with pytest.raises(ValueError, match="LinearAE has no argument mixed_precision"):
        precision_scan(LinearAE(), [jets])


def make_dataset(massless_jet, generator, jets=8):
    momenta = [massless_jet(size, generator) for size in torch.randint(4, 13, (jets,), generator=generator)]
    ptr = torch.tensor([0, *(len(p4) for p4 in momenta)]).cumsum(0)
    labels = {"y": torch.zeros(jets, dtype=torch.long), "jet_id": torch.arange(jets)}
    recipe = {"name": "Toy", "classes": ["g"], "num_particles": 12}
    store = JetStore(ptr, {"pos": torch.cat(momenta)}, labels)
    return SimpleNamespace(store=store, unit="TeV", recipe=recipe, split="test")


def test_an_evaluation_writes_the_scan_and_draws_it_again(tmp_path, monkeypatch, massless_jet, generator):
    only = {"equivariance_precision": figures.FIGURES["equivariance_precision"]}
    monkeypatch.setattr(figures, "FIGURES", only)  # drawing is slow
    test, steps = make_dataset(massless_jet, generator), {"progress": False, "scan_jets": 3}
    results = evaluate_model(LGAE(**SMALL, mixed_precision=True), test, **steps)
    assert "mixed precision, unit TeV" in results.caption and "float64" not in results.caption
    table = results.tables["equivariance_precision"]
    assert "Toy, test split, g, 3 jets" in table.caption and "Model: LGAE mean τ=2, unit TeV" in table.caption
    results.save(tmp_path)
    first = {path: path.read_bytes() for path in draw_study(results, tmp_path, progress=False)}
    assert sorted(path.name for path in tmp_path.rglob("equivariance_precision.*")) == [
        f"equivariance_precision.{kind}" for kind in ("csv", "md", "pdf", "png")
    ]
    again = Results.load(tmp_path)
    draw_study(again, tmp_path, progress=False)
    assert again.tables["equivariance_precision"] == table and {path: path.read_bytes() for path in first} == first
    fitted = LinearAE(2, 12).fit([test.store.batch(slice(None))])
    assert "equivariance_precision" not in evaluate_model(fitted, test, **steps).tables


def test_the_figure_draws_all_curves_and_leaves_gaps(scan):
    broken = [(*row[:5], math.nan, *row[6:]) if row[2] > 1000 else row for row in scan.rows]
    table = type(scan)(scan.name, scan.caption, scan.columns, tuple(broken))
    figure = figures.FIGURES["equivariance_precision"](SimpleNamespace(tables={table.name: table}))
    (axes,) = figure.axes
    words = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
    assert "Some jets." in words and "not finite are not drawn" in words
    assert axes.get_xlabel() and axes.get_ylabel()
    assert axes.get_xscale() == axes.get_yscale() == "log"
    lines = {line.get_label(): line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 11}
    assert len(lines) == len(PRECISIONS) + 2
    assert [math.isnan(value) for value in lines["float32"]] == [True] + 7 * [False] + 3 * [True]
    assert list(lines["float64"][1:]) == scan.column("float64")[1:11]
    plt.close(figure)
