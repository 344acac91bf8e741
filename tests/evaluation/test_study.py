"""The evaluation on models whose errors are known."""

import math
from types import SimpleNamespace

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.text import Text
from torch import nn

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.evaluation import Records, Results, default_folder, draw_study, evaluate, evaluate_model, subject
from lgae_pyg.evaluation.reconstruction.figures import FIGURES
from lgae_pyg.evaluation.reconstruction.rebuilt import stored
from lgae_pyg.lorentz import from_pt_eta_phi_m
from lgae_pyg.models import LinearAE

PARTICLES = 8


def make_store(jets, seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(4, PARTICLES + 1, (jets,), generator=generator)
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    jet = torch.repeat_interleave(sizes)
    pt, eta, phi = torch.rand(3, len(jet), generator=generator, dtype=torch.float64)
    axis = torch.randn(2, jets, generator=generator, dtype=torch.float64)[:, jet]
    p4 = from_pt_eta_phi_m(0.1 * pt + 0.01, axis[0] + 0.4 * eta, axis[1] + 0.4 * phi)
    labels = {"y": torch.zeros(jets, dtype=torch.long), "jet_id": torch.arange(100, 100 + jets)}
    return JetStore(ptr, {"pos": p4}, labels)


def make_dataset(jets, seed, split="test"):
    recipe = {"name": "Toy", "classes": ["g"], "num_particles": PARTICLES}
    return SimpleNamespace(store=make_store(jets, seed), unit="TeV", recipe=recipe, split=split)


class Fake(nn.Module):
    """Returns its input after a change."""

    latent_size, side_information = 24, 1
    config = {"name": "Fake", "num_particles": PARTICLES, "decode": "jet"}  # noqa: RUF012

    def __init__(self, change=lambda p4, batch: p4, permutation_invariant=False):
        super().__init__()
        self.change, self.permutation_invariant = change, permutation_invariant

    def forward(self, batch):
        return SimpleNamespace(p4=self.change(batch.pos, batch), ptr=batch.ptr)


def reverse(p4, batch):
    starts, ends = batch.ptr[:-1], batch.ptr[1:]
    return p4[torch.cat([torch.arange(b - 1, a - 1, -1) for a, b in zip(starts.tolist(), ends.tolist())])]


def quick(model, jets=40, train=None, **options):
    return evaluate_model(model, make_dataset(jets, 1), train, progress=False, scan_jets=0, **options)


def error_values(results):
    names = ("particle_reconstruction", "jet_reconstruction")
    tables = [results.tables[name] for name in names]
    return [
        value
        for table in tables
        for record in table.records()
        for column, value in record.items()
        if column.endswith(("median", "iqr", "mse"))
    ]


def test_zero_momenta_are_counted_in_the_caption():
    """A network that has collapsed has small spreads and a perfect symmetry: the table must say what it is."""

    def silence_first(p4, batch):
        changed = p4.clone()
        changed[batch.ptr[:-1]] = 0
        return changed

    caption = quick(Fake(silence_first)).tables["particle_reconstruction"].caption
    particles = len(make_dataset(40, 1).store.batch(range(40)).pos)
    assert f"Fake: 40 of {particles} particles come back as zero momenta." in caption
    assert "zero momenta" not in quick(Fake()).tables["particle_reconstruction"].caption


def test_a_perfect_model_has_no_errors():
    values = error_values(quick(Fake()))
    assert len(values) == 7 + 2 * 8
    assert max(map(abs, values)) < 1e-12


def test_a_permuted_perfect_copy_has_no_errors_under_matching():
    assert max(map(abs, error_values(quick(Fake(reverse, permutation_invariant=True))))) < 1e-9
    in_slot_order = quick(Fake(reverse)).tables["particle_reconstruction"]
    assert in_slot_order.column("pt_rel_iqr")[0] > 0.3


def test_a_known_change_has_the_known_median():
    results = quick(Fake(lambda p4, batch: 1.25 * p4))
    jets = results.tables["jet_reconstruction"].records()[0]
    assert jets["mass_median"] == pytest.approx(0.25) and jets["pt_median"] == pytest.approx(0.25)
    assert jets["mass_iqr"] == pytest.approx(0, abs=1e-9) and jets["eta_median"] == pytest.approx(0, abs=1e-12)
    particles = results.tables["particle_reconstruction"].records()[0]
    assert particles["pt_rel_median"] == pytest.approx(0, abs=1e-12)
    target, _ = stored(results)
    expected = (0.25**2 * target.p4.square()).sum(-1) / 4e6
    jet = torch.repeat_interleave(target.ptr.diff())
    per_jet = torch.zeros(40, dtype=torch.float64).index_add(0, jet, expected) / target.ptr.diff()
    assert particles["mse"] == pytest.approx(float(per_jet.mean()))


def test_energies_as_output_and_massless_particles_are_told_apart():
    factors = torch.tensor([1.5, 1.0, 1.0, 1.0], dtype=torch.float64)
    records = quick(Fake(lambda p4, batch: p4 * factors)).tables["jet_reconstruction"].records()
    assert [record["energies"] for record in records] == ["as output", "massless"]
    assert records[0]["mass_median"] > 1 and records[1]["mass_median"] == pytest.approx(0, abs=1e-9)
    assert all(record["pt_median"] == pytest.approx(0, abs=1e-12) for record in records)


def test_linear_baselines_have_as_many_vectors_as_the_model():
    results = quick(Fake(), train=make_dataset(200, 2, "train"))
    rows = results.tables["compression"].records()
    assert [row["model"] for row in rows] == ["Fake", "LinearAE τ=3", "LinearAE τ=3, P conserved"]
    assert [row["code"] for row in rows] == [24, 24, 24] and rows[0]["told"] == 1
    assert rows[0]["four_vector"] == 75 and rows[0]["massless_with_side"] == pytest.approx(2500 / 24)
    plain, conserving = results.tables["jet_reconstruction"].records()[2::2]
    assert plain["mass_iqr"] > 1e-4
    assert all(abs(conserving[f"{name}_{what}"]) < 1e-9 for name in ("mass", "pt", "eta", "phi")
               for what in ("median", "iqr"))  # fmt: skip


def test_a_failing_model_is_refused_and_the_jets_are_named():
    def fail(p4, batch):
        broken = p4.clone()
        broken[batch.ptr[:-1][batch.jet_id == 117], 1] = math.nan
        return broken

    with pytest.raises(ValueError, match=r"not finite for 1 jets \(class 0, row 117\)"):
        quick(Fake(fail))


def test_a_choice_of_jets_is_the_same_each_time():
    first, second = (quick(Fake(), max_jets=10) for _ in range(2))
    target, again = stored(first)[0], stored(second)[0]
    assert len(target) == 10 and torch.equal(target.p4, again.p4)
    assert "test split, g, 10 jets" in first.caption


def test_the_scan_sees_the_network_and_the_pipeline_apart():
    def per_jet(p4, ptr):
        jet = torch.repeat_interleave(ptr.diff())
        size = p4.new_zeros(len(ptr) - 1).index_add(0, jet, p4.abs().amax(-1))
        return p4 / size[jet, None], size[jet, None]

    fitted = LinearAE(2, PARTICLES).fit([make_store(100, 3).batch(slice(None))])
    shrink = Fake(lambda p4, batch: p4 / (1 + p4.square().sum(-1, keepdim=True)))
    shrunk = Records(per_jet, lambda p4, ptr, size: p4 * size)
    options = {"progress": False, "scan_jets": 5}
    for model, records, network_kept, records_kept in (
        (fitted, None, True, True),
        (fitted, shrunk, True, True),
        (shrink, None, False, False),
    ):
        scan = evaluate_model(model, make_dataset(10, 1), records=records, **options).tables["equivariance"]
        boosts = [row for row in scan.records() if row["kind"] == "boost" and row["parameter"] <= 3]
        assert [row["gamma"] for row in boosts] == pytest.approx([math.cosh(x) for x in range(4)])
        assert (max(row["network_norm"] for row in boosts) < 1e-13) is network_kept
        assert (max(row["records_norm"] for row in boosts) < 1e-13) is records_kept
        assert all(0 < row["rounding"] < 1e-14 for row in scan.records())


class Saturating(nn.Module):
    """Lorentz equivariant, but not linear: the pipeline around it shows."""

    permutation_invariant, latent_size, side_information = True, 8, 0

    def forward(self, batch):
        jet = torch.repeat_interleave(batch.ptr.diff())
        total = batch.pos.new_zeros(len(batch.ptr) - 1, 4).index_add(0, jet, batch.pos)[jet]
        metric = torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=batch.pos.dtype)
        product = (batch.pos * metric * total).sum(-1, keepdim=True)
        return SimpleNamespace(p4=batch.pos / (1 + product), ptr=batch.ptr)


def test_a_frame_dependent_normalisation_breaks_the_pipeline_only():
    def by_energy(p4, ptr):
        size = p4.amax(-1).mean()
        return p4 / size, size

    records = Records(by_energy, lambda p4, ptr, size: p4 * size)
    scan = evaluate_model(
        Saturating(), make_dataset(10, 1), records=records, progress=False, scan_jets=5
    ).tables["equivariance"]
    row = next(row for row in scan.records() if row["kind"] == "boost" and row["parameter"] == 2)
    assert row["network_norm"] < 1e-12 and row["records_norm"] > 0.01


@pytest.fixture
def two_figures(monkeypatch):
    """Drawing is slow: files are written of two figures only."""
    chosen = ("particle_histograms", "equivariance")
    for name in set(FIGURES) - set(chosen):
        monkeypatch.delitem(FIGURES, name)
    return chosen


def full_results():
    train = make_dataset(100, 2, "train")
    model = Fake(lambda p4, batch: 1.1 * p4)
    return evaluate_model(model, make_dataset(30, 1), train, progress=False, scan_jets=3)


def test_all_figures_name_their_data_their_axes_and_their_models():
    results = full_results()
    figures = {name: draw(results) for name, draw in FIGURES.items()}
    assert [name for name, figure in figures.items() if figure is None] == ["equivariance_precision"]
    for name, figure in figures.items():
        if figure is None:
            continue
        words = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
        jets = 3 if name == "equivariance" else 30
        assert f"Toy, test split, g, {jets} jets" in words and "Model: Fake" in words, name
        assert name == "equivariance" or "P conserved" in words, name
        drawn = [axes for axes in figure.axes if axes.axison and axes.get_subplotspec()]
        outer = [axes for axes in drawn if axes.get_subplotspec().is_last_row()]
        assert all(axes.get_xlabel() for axes in outer if axes.get_label() != "<colorbar>"), name
        plt.close(figure)


def test_results_are_read_back_and_figures_redrawn_without_the_model(tmp_path, two_figures):
    results = full_results()
    results.save(tmp_path)
    first = draw_study(results, tmp_path, progress=False)
    assert [path.name for path in first] == [f"{name}.{kind}" for name in two_figures for kind in ("png", "pdf")]
    before = {path: path.read_bytes() for path in first}
    for path in first:
        path.unlink()
    again = Results.load(tmp_path)
    assert torch.equal(stored(again)[0].p4, stored(results)[0].p4)
    assert dict(again.tables) == dict(results.tables)
    assert stored(again)[1][2].label == "LinearAE τ=3, P conserved"
    assert main(["evaluate", str(tmp_path), "--redraw", "--quiet"]) == 0
    assert {path: path.read_bytes() for path in before} == before


def test_damaged_and_missing_results(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="run the study first"):
        Results.load(tmp_path)
    quick(Fake(), jets=3).save(tmp_path)
    (tmp_path / "arrays.npz").write_bytes(b"PK\x03\x04 cut")
    assert main(["evaluate", str(tmp_path), "--redraw", "--quiet"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_the_command_from_checkpoint_to_figures(tmp_path, monkeypatch, capsys, two_figures):
    datasets = {split: make_dataset(60, seed, split) for seed, split in enumerate(("train", "test"))}
    asked = []

    def build(recipe, split, **changes):
        asked.append((split, changes))
        return datasets[split]

    monkeypatch.setattr(subject, "build_dataset", build)
    model = LinearAE(2, PARTICLES).fit([datasets["train"].store.batch(slice(None))])
    file = tmp_path / "run" / "checkpoints" / "best.ckpt"
    save_checkpoint(file, model, data={"name": "Toy"}, unit="TeV")
    other = tmp_path / "other"
    words = ["evaluate", str(tmp_path / "run"), "--studies", "reconstruction", "--jets", "20"]
    words += ["--scan-jets", "2", "--quiet", "--data", str(other), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert f"there is no data folder {other}" in capsys.readouterr().err
    other.mkdir()
    assert main(words) == 0
    assert asked == [("test", {"root": str(other)}), ("train", {})]
    printed = capsys.readouterr().out
    assert "LinearAE τ=2" in printed and "test split, 20 jets" in " ".join(printed.split())
    folder = tmp_path / "out" / "reconstruction"
    rows = Results.load(folder).tables["particle_reconstruction"].records()
    assert rows[0]["mse"] == pytest.approx(rows[1]["mse"], rel=1e-9)
    assert (folder / "figures" / "equivariance.pdf").stat().st_size > 1000

    save_checkpoint(file, model, data={"name": "Toy"}, unit="GeV")
    with pytest.raises(ValueError, match="the model works in GeV, the data set in TeV"):
        evaluate(tmp_path / "run", progress=False)
    save_checkpoint(file, model)
    with pytest.raises(ValueError, match="does not say which data"):
        evaluate(tmp_path / "run", progress=False)
    monkeypatch.undo()
    assert default_folder(tmp_path / "run") == tmp_path / "run" / "evaluation"
    assert default_folder(file, "val", "/some/jets") == tmp_path / "run" / "evaluation_val_jets"
    assert default_folder(file, data_root="/some/jets/raw", jets=5).name == "evaluation_jets_raw_5jets"


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    from lgae_pyg.cli import evaluate, main

    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "run", interrupted)
    assert main(["evaluate", "runs/any"]) == 130
    assert capsys.readouterr().err == "lgae evaluate: stopped\n"
