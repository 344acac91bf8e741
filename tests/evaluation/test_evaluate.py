"""One way to evaluate: which studies are run, what failures and left-overs do, and models of one's own."""

import json
import math
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lgae_pyg import progress
from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.evaluation import STUDIES, Results, Study, StudyOptions, Subject, evaluate_model, run_study
from lgae_pyg.evaluation.reconstruction.rebuilt import stored
from lgae_pyg.evaluation.report import collect_run, joined_tables, write_report
from lgae_pyg.evaluation.results import left_out
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.subject import LeftOut
from lgae_pyg.lorentz import from_pt_eta_phi_m
from lgae_pyg.models import Autoencoder, Latent, LinearAE, Reconstruction
from lgae_pyg.tables import Table

PARTICLES = 6


def make_dataset(jets: int, seed: int, split: str = "test") -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)
    pt, eta, phi = torch.rand(3, PARTICLES * jets, generator=generator, dtype=torch.float64)
    labels = {"y": torch.arange(jets) % 2, "jet_id": torch.arange(100, 100 + jets)}
    p4 = from_pt_eta_phi_m(0.1 * pt + 0.01, 0.05 * eta, 0.05 * phi)
    store = JetStore(PARTICLES * torch.arange(jets + 1), {"pos": p4}, labels)
    recipe = {"name": "Toy", "classes": ["g", "q"], "num_particles": PARTICLES}
    return SimpleNamespace(store=store, unit="TeV", recipe=recipe, split=split, class_names=("gluon", "quark"))


class Bare(nn.Module):
    """A network that declares nothing and shows no code."""

    def forward(self, batch):
        return Reconstruction(1.25 * batch.pos, batch.ptr)


class Own(Autoencoder):
    """A model of one's own that keeps the contract; its code are the first momenta."""

    latent_size, num_particles, permutation_invariant = 8, PARTICLES, False

    def forward(self, batch):
        first = batch.pos[batch.ptr[:-1]][:, None]
        return Reconstruction(1.25 * batch.pos, batch.ptr, Latent(first.new_zeros(len(first), 0), first))


def test_a_network_that_declares_nothing_is_evaluated() -> None:
    results = evaluate_model(
        Bare(), make_dataset(20, 1), make_dataset(40, 2, "train"), progress=False, scan_jets=3, resamples=4
    )
    (row,) = results.tables["particle_reconstruction"].records()
    assert row["model"] == "Bare" and row["order"] == "matched" and math.isnan(row["code_percent"])
    assert row["mse"] == pytest.approx(0.0625 * stored(results)[0].p4.square().mean().item() / 1e6)
    assert "Bare does not say how large its code is" in results.tables["jet_reconstruction"].caption
    assert max(row["network_norm"] for row in results.tables["equivariance"].records()) < 1e-9


def test_a_model_that_keeps_the_contract_is_evaluated() -> None:
    results = evaluate_model(
        Own(), make_dataset(20, 1), make_dataset(40, 2, "train"), progress=False, scan_jets=0, resamples=4
    )
    rows = results.tables["particle_reconstruction"].records()
    assert [row["model"] for row in rows] == ["Own", "LinearAE τ=1", "LinearAE τ=1, P conserved"]
    assert rows[0]["code_percent"] == pytest.approx(100 * 8 / (4 * PARTICLES)) and rows[0]["order"] == "slots"


class At(Subject):
    """A subject with signals at hand."""

    def signals(self, classes=None, jets=100, root=None):
        return [Sample.of("t", make_dataset(30, 5))]


def at_hand(model: nn.Module) -> Subject:
    given = {"test": make_dataset(60, 1), "train": make_dataset(60, 2, "train")}
    return At(model.double(), type(model).__name__, "TeV", given["test"].recipe, {}, given)


@pytest.mark.parametrize("model", [Bare(), Own()], ids=["bare", "own"])
def test_every_study_takes_a_model_of_ones_own_or_says_why_not(model: nn.Module) -> None:
    options = StudyOptions(resamples=3, scan_jets=2, progress=False)
    tables = {}
    for name in ("anomaly", "symmetry", "latent"):
        try:
            tables[name] = run_study(name, at_hand(model), options).tables
        except LeftOut as error:
            assert name == "latent" and "decode_like" in str(error)
    scores = tables["anomaly"]["anomaly"].column("score")
    assert ("latent forest" in scores) is ("LinearAE, chamfer cartesian" in scores) is isinstance(model, Own)
    verdicts = tables["symmetry"]["symmetry_table"].records()
    assert {row["output_verdict"] for row in verdicts} == {"exact"}
    assert (verdicts[0]["code_verdict"] == "undefined") is isinstance(model, Bare)


def test_scores_carry_the_jets_they_are_of() -> None:
    results = run_study("anomaly", at_hand(Own()), StudyOptions(resamples=3, progress=False))
    assert results.arrays["QCD/jet_id"].tolist() == list(range(100, 160))
    assert results.arrays["QCD/class"].tolist() == ["gluon", "quark"] * 30
    assert len(results.arrays["t/jet_id"]) == len(results.arrays["t/mass"]) == 30
    chosen = Sample.of("QCD", make_dataset(60, 1)).choose(7)
    batch = chosen.store.batch(slice(None))
    assert chosen.identities()["jet_id"].tolist() == batch.jet_id.tolist()


def sizes(name: str = "sizes", error: Exception | None = None, fits=lambda facts: None) -> Study:
    """The smallest study."""

    def run(one: Subject, options: StudyOptions) -> Results:
        if error:
            raise error
        table = Table(name, "Data: toy jets.", {"model": "model", "number": "number"}, ((one.label, 3),))
        return Results(name, {name: table}, {}, one.description([], "Data: toy jets."))

    return Study(name, run, {name: f"Table of {name}"}, fits=fits)


@pytest.fixture
def register(monkeypatch):
    """Makes studies the only ones: a module each, and a line in the registry."""

    def add(*studies: Study) -> None:
        for name in list(STUDIES):
            monkeypatch.delitem(STUDIES, name)
        for study in studies:
            module = ModuleType(f"toy_{study.name}")
            module.STUDY = study
            monkeypatch.setitem(sys.modules, module.__name__, module)
            monkeypatch.setitem(STUDIES, study.name, module.__name__)

    return add


@pytest.fixture
def trained(tmp_path):
    """A run with a checkpoint."""
    save(tmp_path / "run")
    return tmp_path / "run"


def save(run, vectors: int = 2) -> None:
    model = LinearAE(vectors, PARTICLES).fit([make_dataset(50, 3).store.batch(slice(None))])
    save_checkpoint(run / "checkpoints" / "best.ckpt", model, data=make_dataset(1, 0).recipe, epoch=3)


def test_a_failing_study_is_reported_and_the_others_run(trained, register, capsys) -> None:
    register(
        sizes("first"),
        sizes("broken", RuntimeError("out of luck")),
        sizes("tagging", fits=lambda facts: "no tagger"),
        sizes("lonely", FileNotFoundError("no jets of t")),
        sizes("last"),
    )
    assert main(["evaluate", str(trained), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert [name for name in ("first", "broken", "tagging", "lonely", "last") if f"evaluation/{name}" in out] == [
        "first", "last"
    ]  # fmt: skip
    assert (trained / "evaluation" / "last" / "last.csv").exists()
    assert "broken failed: out of luck" in err and "failed: broken (see above)" in err
    assert "tagging is left out: no tagger" in err and "lonely is left out: no jets of t" in err


def test_studies_left_out_for_one_reason_are_one_line(trained, register, capsys) -> None:
    register(sizes("first"), *(sizes(name, fits=lambda facts: "no tagger") for name in ("tagging", "robustness")))
    assert main(["evaluate", str(trained), "--quiet"]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert line == "lgae evaluate: tagging, robustness are left out: no tagger"
    assert left_out(trained / "evaluation") == {"tagging": "no tagger", "robustness": "no tagger"}
    assert not collect_run(trained).missing


def test_few_jets_do_not_replace_the_results_of_all(trained, register, tmp_path, capsys) -> None:
    register(sizes())
    assert main(["evaluate", str(trained), "--quiet"]) == 0
    file = trained / "evaluation" / "sizes" / "study.json"
    written = file.stat().st_mtime_ns
    assert main(["evaluate", str(trained), "--quiet", "--jets", "5"]) == 0
    assert file.stat().st_mtime_ns == written
    assert (trained / "evaluation_5jets" / "sizes" / "study.json").exists()
    assert main(["evaluate", str(trained), "--quiet", "--jets", "5", "--redraw"]) == 0
    assert str(trained / "evaluation_5jets" / "sizes") in capsys.readouterr().out
    assert set(collect_run(trained).tables) == {"sizes", "sizes (evaluation_5jets)"}


def test_what_fits_is_run_and_what_was_asked_for_must(trained, register, capsys) -> None:
    register(sizes("first"), sizes("tagging", fits=lambda facts: "no tagger"))
    assert main(["evaluate", str(trained), "--quiet"]) == 0
    assert main(["evaluate", str(trained), "--quiet", "--studies", "tagging"]) == 1
    assert "tagging failed: no tagger" in capsys.readouterr().err
    assert main(["evaluate", str(trained), "--studies", "firts"]) == 2
    error = capsys.readouterr().err
    assert "unknown study 'firts': choose one of first, tagging, all (did you mean first?)" in error
    assert main(["evaluate", str(trained), "--studies", " , "]) == 2
    register(sizes("tagging", fits=lambda facts: "no tagger"))
    assert main(["evaluate", str(trained), "--quiet"]) == 1
    assert "there is nothing to evaluate" in capsys.readouterr().err


def test_a_study_of_ones_own_is_compared_in_the_report(trained, register, tmp_path) -> None:
    register(sizes())
    assert main(["evaluate", str(trained), "--quiet"]) == 0
    content = collect_run(trained)
    assert [table.name for table in joined_tables([content])] == ["sizes"] and not content.missing
    page = write_report([content], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Table of sizes" in page and "Stale" not in page


def test_results_of_another_checkpoint_are_stale_and_not_kept(trained, register, tmp_path, capsys) -> None:
    register(sizes())
    words = ["evaluate", str(trained), "--quiet", "--keep"]
    assert main(words) == 0
    file = trained / "evaluation" / "sizes" / "study.json"
    written = file.stat().st_mtime_ns
    assert main(words) == 0 and file.stat().st_mtime_ns == written
    save(trained, vectors=1)  # the same epoch, other weights
    assert main(["report", str(trained), "--out", str(tmp_path / "r.html")]) == 0
    assert "run: stale: sizes is of another checkpoint" in capsys.readouterr().out
    assert "Stale: sizes is of another" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "sizes is of another checkpoint" in joined_tables([collect_run(trained)])[0].caption
    assert main(words) == 0 and file.stat().st_mtime_ns != written
    assert not collect_run(trained).stale


def test_nothing_of_an_earlier_run_stays(trained, register) -> None:
    register(sizes())
    folder = trained / "evaluation" / "sizes"
    assert main(["evaluate", str(trained), "--quiet"]) == 0
    other = Table("other", "Data.", {"model": "model"}, ())
    (folder / "mine.csv").write_text("kept")
    Results("sizes", {"other": other}, {}, {"caption": "Data."}).save(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "arrays.npz", "mine.csv", "other.csv", "other.md", "study.json"
    ]  # fmt: skip


def test_nothing_is_generated_unasked(tmp_path, monkeypatch) -> None:
    from lgae_pyg.datasets import pythia_jets

    made = []
    monkeypatch.setattr(pythia_jets, "generate_files", lambda folder, classes, *_, **__: made.append(classes))
    recipe = {"name": "PythiaJets", "root": str(tmp_path), "classes": ["g", "q"], "jets": 50, "num_particles": 30}
    one = Subject(Bare(), "Bare", "TeV", recipe)
    with pytest.raises(FileNotFoundError, match="lgae generate --classes t --jets 9"):
        one.signals(["t"], jets=9)
    with pytest.raises(FileNotFoundError, match="lgae generate --classes g,q --jets 50"):
        one.dataset("test")
    assert not made
    with pytest.raises(Exception, match=r"t\.hdf5"):  # allowed, but nothing was made here
        replace(one, generate=True).signals(["t"], jets=9)
    assert made == [["t"]]


def test_the_layout_of_earlier_versions_is_read(tmp_path, capsys, monkeypatch) -> None:
    from lgae_pyg.evaluation.reconstruction.figures import FIGURES

    for name in set(FIGURES) - {"jet_images"}:
        monkeypatch.delitem(FIGURES, name)
    train = make_dataset(40, 2, "train")
    results = evaluate_model(Own(), make_dataset(9, 1), train, progress=False, scan_jets=0, resamples=4)
    old = tmp_path / "run" / "evaluation"
    results.save(old)
    content = json.loads((old / "study.json").read_text())
    about = {key: value for key, value in content["description"].items() if key not in ("rebuilt", "label")}
    rebuilt, tables = content["description"]["rebuilt"], content["tables"]
    content = {"format": 1, "description": about, "reconstructions": rebuilt, "tables": tables}
    (old / "results.json").write_text(json.dumps(content))
    np.savez(old / "results.npz", **{name.replace("/", "_"): array for name, array in results.arrays.items()})
    (old / "study.json").unlink()
    (old / "arrays.npz").unlink()
    assert main(["evaluate", str(tmp_path / "run"), "--redraw", "--quiet"]) == 0
    assert "Own" in capsys.readouterr().out and (old / "figures" / "jet_images.png").exists()
    again = stored(Results.load(old))[1]
    assert [one.label for one in again] == ["Own", "LinearAE τ=1", "LinearAE τ=1, P conserved"]
    names = [table.name for table in joined_tables([collect_run(tmp_path / "run")])]
    assert names == ["particle_reconstruction", "jet_reconstruction", "compression"]


def test_progress_in_a_file_is_a_line_now_and_then(monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.steps(4, True, "anomaly") as tick:
        tick()
        tick()
    assert capsys.readouterr().err.splitlines()[1].startswith("anomaly: 2 of 4 steps, ")
    with progress.steps(4, False, "anomaly") as tick:
        tick()
    assert capsys.readouterr().err == ""


def test_threads_are_limited_and_given_back(trained, register) -> None:
    seen = []
    register(sizes(fits=lambda facts: seen.append(torch.get_num_threads())))
    before = torch.get_num_threads()
    assert main(["evaluate", str(trained), "--quiet", "--threads", "3"]) == 0
    assert seen == [3] and torch.get_num_threads() == before
