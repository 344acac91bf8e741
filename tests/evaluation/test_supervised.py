"""Taggers as the upper reference of the anomaly study: scores by hand, classes by name, no jet that they saw."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.datasets import JetFiles
from lgae_pyg.evaluation.anomaly.figures import SUPERVISED_STYLE, roc_figure
from lgae_pyg.evaluation.anomaly.supervised import SUPERVISED, Reference, without_seen
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.metrics.roc import area_under_curve
from lgae_pyg.models import PFN, LinearAE, Tagger
from lgae_pyg.ops.jets import jet_sum

NAMES = ("g", "q", "t")


class ByEnergy(Tagger):
    """Logits are 1, 2 and 3 times the energy of the jet in units of 500 GeV."""

    num_classes = 3

    def forward(self, batch):
        assert batch.unit == self.unit  # as a checkpoint's unit demands
        return jet_sum(batch.pos, batch.ptr)[:, :1] / (500 if self.unit == "GeV" else 0.5) * torch.arange(1.0, 4.0)


def jets(numbers, rows, names=NAMES, unit="TeV", files=(), file_id=None, **recipe) -> SimpleNamespace:
    """Jets of two massless particles back to back; the energy of the jet in row r is 0.1 (r + 1) TeV."""
    rows = torch.tensor(rows)
    half = 0.05 * (rows + 1).double() * {"TeV": 1, "GeV": 1000}[unit]
    pos = torch.stack([torch.stack([half, sign * half, 0 * half, 0 * half], -1) for sign in (1, -1)], 1)
    fields = {"y": torch.tensor(numbers), "jet_id": rows}
    fields |= {} if file_id is None else {"file_id": torch.tensor(file_id)}
    meta = {"unit": unit} | ({"files": list(files)} if files else {})
    store = JetStore(2 * torch.arange(len(rows) + 1), {"pos": pos.flatten(0, 1)}, fields, meta)
    return SimpleNamespace(store=store, unit=unit, class_names=names, recipe={"name": "Toy", **recipe})


def reference(train, val, model=None, unit="TeV") -> Reference:
    model = model or ByEnergy()
    model.unit = unit
    return Reference.of(Subject(model.double(), model.label, unit, train.recipe, {}, {"train": train, "val": val}))


def sample(name, dataset) -> Sample:
    return replace(Sample.of(name, dataset), origin="toy")


@pytest.mark.parametrize("unit", ["TeV", "GeV"])
@pytest.mark.parametrize("names", [("g", "q", "t"), ("t", "g", "q"), ("q", "top", "g")])
def test_the_score_is_what_is_left_of_the_background_by_name_and_unit(names, unit) -> None:
    """The background of g and q; the tagger numbers its classes otherwise, and may work in another unit."""
    known = jets([0, 1, 2], [0, 1, 2], names, unit)
    background = sample("QCD", jets([0, 1], [4, 9]))
    found = reference(known, known, unit=unit).score(background, "TeV", background, 1, lambda: None)
    energies = np.array([0.5, 1.0]) / 0.5
    weights = np.exp(np.outer(energies, [1, 2, 3]))
    shares = dict(zip(names, (weights / weights.sum(1, keepdims=True)).T))
    np.testing.assert_allclose(found, 1 - shares["g"] - shares["q"], rtol=1e-12)
    assert background.store.unit == "TeV" and len(set(found)) == 2


def test_a_score_near_zero_keeps_its_digits() -> None:
    """At logits 20, 40 and 60 the background has the probability 1 - 2e-9: the difference has eight digits."""
    known = jets([0, 1, 2], [0, 1, 2], ("t", "w", "g"))
    background = sample("g", jets([0], [99], ("g",)))
    (found,) = reference(known, known).score(background, "TeV", background, 1, lambda: None)
    others = np.exp(-20) + np.exp(-40)
    assert found == pytest.approx(others / (1 + others), rel=1e-12, abs=0)


def test_backgrounds_without_a_class_are_refused_by_both_lists() -> None:
    known = jets([0, 1, 2], [0, 1, 2], ("QCD", "top", "W"))
    with pytest.raises(ValueError, match=r"of the classes QCD light, g, q.*trained on QCD, W, top"):
        reference(known, known).ordinary(sample("QCD light", jets([0, 1], [0, 0])))
    assert reference(known, known).ordinary(sample("QCD", jets([0, 1], [0, 0]))) == ["QCD"]
    with pytest.raises(ValueError, match="and others"):
        reference(jets([0, 1], [0, 0]), known).ordinary(sample("QCD", jets([0, 1], [0, 0])))


def test_classes_with_a_logit_but_without_training_are_unknown() -> None:
    tagger = reference(jets([0, 2], [0, 0], num_particles=30), jets([0], [0]))
    background = sample("QCD", jets([0, 1], [0, 0], num_particles=30))
    signals = [sample("t", jets([2], [0])), sample("z", jets([0], [0], ("z",)))]
    assert tagger.ordinary(background) == ["g"]
    (note,) = tagger.notes(background, signals)
    assert "the tagger ByEnergy, trained on g, t, not on q, z; its score" in note
    assert "1 minus the probability of g, one for all signals" in note
    assert "on all particles" in reference(jets([0, 2], [0, 0]), jets([0], [0])).notes(background, signals)[0]


def test_models_that_cannot_be_a_reference() -> None:
    known = jets([0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="LinearAE τ=2 is no tagger"):
        reference(known, known, LinearAE(2))
    known.class_names = ()
    with pytest.raises(ValueError, match="have no classes"):
        reference(known, known)


def test_jets_that_the_training_or_validation_saw_are_left_out(tmp_path: Path) -> None:
    """Rows are those of the file of a class: row 1 of g was seen, row 1 of q was not."""
    here = {"root": str(tmp_path)}
    tagger = reference(jets([0, 2, 2], [1, 0, 3], **here), jets([0], [4], **here))
    samples = [
        sample("QCD", jets([0, 1, 0, 1, 0], [1, 1, 2, 4, 4], **here)),
        sample("t", jets([2, 2, 2], [0, 2, 3], **here)),
        sample("w", jets([0, 0], [0, 3], ("w",), **here)),  # of a class that it does not know: all are new
    ]
    left, notes = without_seen(samples, {SUPERVISED: tagger})
    rows = [list(zip(one.identities()["class"].tolist(), one.identities()["jet_id"].tolist())) for one in left]
    assert rows == [[("q", 1), ("g", 2), ("q", 4)], [("t", 2)], [("w", 0), ("w", 3)]]
    assert notes == [
        "Left out of all scores, since the training or validation of the upper reference had them: "
        "2 of 5 QCD, 2 of 3 t."
    ]
    with pytest.raises(ValueError, match="all 1 jets of t were in the training"):
        without_seen([sample("t", jets([2], [0], **here))], {SUPERVISED: tagger})
    others = reference(jets([0, 1, 2], [7, 4, 7], **here), jets([2], [2], **here))
    left, _ = without_seen(samples[:1], {SUPERVISED: tagger, "supervised_2": others})
    assert left[0].identities()["jet_id"].tolist() == [1, 2]  # of either tagger


def test_nothing_is_known_of_jets_of_other_files(tmp_path: Path) -> None:
    tagger = reference(jets([0, 2], [0, 0], root=str(tmp_path / "a")), jets([0], [1], root=str(tmp_path / "a")))
    elsewhere = sample("t", jets([2, 2], [0, 1], root=str(tmp_path / "b")))
    left, (note,) = without_seen([elsewhere], {SUPERVISED: tagger})
    assert len(left[0]) == 2 and "jets of t cannot be told" in note
    assert without_seen([elsewhere], {}) == ([elsewhere], [])


def test_generated_jets_are_the_same_in_any_folder(tmp_path: Path) -> None:
    made = {"settings": {"tune": 14}, "seed": 0}
    tagger = reference(jets([0, 2], [0, 5], root="a", **made), jets([0], [1], root="a", **made))
    again = sample("t", jets([2, 2], [5, 6], root="b", **made))
    other = sample("t", jets([2, 2], [5, 6], root="b", **{**made, "seed": 1}))
    left, _ = without_seen([again, other], {SUPERVISED: tagger})
    assert [len(one) for one in left] == [1, 2]


def test_rows_count_in_their_file(tmp_path: Path) -> None:
    """The same row of another of several files is another jet, whatever its number in the list of files."""
    a, b = str(tmp_path / "a.h5"), str(tmp_path / "b.h5")
    train = jets([0, 2], [5, 6], files=[a])
    tagger = reference(train, jets([0], [7], files=[a]))
    shown = sample("t", jets([2, 2, 2, 0], [6, 6, 8, 7], files=[b, a], file_id=[0, 1, 1, 0]))
    left, _ = without_seen([shown], {SUPERVISED: tagger})
    assert left[0].store.jet_field("file_id").tolist() == [0, 1, 0]


@pytest.fixture
def trained(tmp_path: Path, massless_jet, generator, monkeypatch) -> Path:
    """A file of 300 jets of two classes; checkpoints of an autoencoder of QCD in TeV, and a tagger in GeV."""
    monkeypatch.chdir(tmp_path)
    sizes = [4 + number % 5 + 3 * (number % 2) for number in range(300)]
    p4 = torch.cat([massless_jet(size, generator) for size in sizes]) * 1000
    labels = {"label": np.arange(300) % 2, "class_names": np.array(["QCD", "top"])}
    np.savez(tmp_path / "jets.npz", p4=p4.numpy(), ptr=np.cumsum([0, *sizes]), **labels)
    recipe = {"name": "JetFiles", "path": str(tmp_path / "jets.npz"), "num_particles": 8}
    ordinary = {**recipe, "unit": "TeV", "classes": ["QCD"]}
    train = JetFiles(**{key: value for key, value in ordinary.items() if key != "name"}, split="train")
    model = LinearAE(2, 8).fit(JetLoader(train.store, 50))
    save_checkpoint(tmp_path / "linear.ckpt", model, unit="TeV", data=ordinary)
    save_checkpoint(tmp_path / "tagger.ckpt", PFN(), unit="GeV", data={**recipe, "unit": "GeV"})
    return tmp_path


def evaluate(*more: str) -> Results:
    words = ["linear.ckpt", "--studies", "anomaly", "--quiet", "--resamples", "5", "--out", "out", *more]
    assert main(["evaluate", *words]) == 0
    return Results.load("out/anomaly")


def test_the_command_adds_the_reference_to_tables_and_figures(trained: Path, capsys) -> None:
    plain, found = evaluate(), evaluate("--supervised", "tagger.ckpt")
    assert plain.tables["anomaly"].column("score") == found.tables["anomaly"].column("score")[:-1]
    assert plain.description["jets"] == {"QCD": 30, "top": 150} and "supervised" not in plain.description
    assert not any("supervised" in name for name in plain.arrays)
    # The splits are those of the classes: the autoencoder's test jets are the tagger's, four of five tops are not.
    assert found.description["jets"] == {"QCD": 30, "top": 30}
    assert "had them: 120 of 150 top" in found.caption and "PFN of tagger.ckpt" in found.caption
    unseen = {row for row in JetFiles("jets.npz", split="test").store.jet_field("jet_id").tolist() if row % 2}
    assert set(found.arrays["top/jet_id"].tolist()) == unseen
    assert {len(found.arrays[f"top/{score}"]) for score in (SUPERVISED, "mass", "chamfer_cartesian")} == {30}
    row = found.tables["anomaly"].records()[-1]
    assert (row["model"], row["score"]) == ("PFN", "PFN, supervised")
    scores = [found.arrays[f"{name}/{SUPERVISED}"] for name in ("QCD", "top")]
    assert row["auc_top"] == pytest.approx(area_under_curve(*scores), rel=1e-12)
    assert "PFN, supervised" in found.tables["anomaly_scores"].column("score")
    names = {path.name for path in Path("out/anomaly/figures").glob("*.png")}
    assert {"anomaly_roc.png", "anomaly_significance.png", "anomaly_mass.png"} <= names


def test_the_roc_figure_shows_the_reference_beside_all_others(trained: Path) -> None:
    panel = roc_figure(evaluate("--supervised", "tagger.ckpt,tagger.ckpt")).axes[0]
    lines = {line.get_label(): line for line in panel.lines}
    assert {"jet mass alone", "chamfer cartesian (headline)"} <= set(lines)
    first, second = (lines[f"PFN {number}, supervised"] for number in (1, 2))
    assert first.get_color() == second.get_color() == SUPERVISED_STYLE["color"]
    assert first.get_linestyle() == "-" != second.get_linestyle()
    assert all(line.get_color() != "black" for name, line in lines.items() if "supervised" not in name)


def test_what_is_missing_is_an_error(trained: Path, capsys) -> None:
    words = ["evaluate", "linear.ckpt", "--studies", "anomaly", "--quiet", "--out", "out", "--supervised"]
    save_checkpoint(trained / "bare.ckpt", PFN(), unit="GeV")
    assert main([*words, "bare.ckpt"]) == 1 and main([*words, "no.ckpt"]) == 1
    said = capsys.readouterr().err
    assert "bare.ckpt does not say which jets the tagger was trained on" in said and "no.ckpt" in said
