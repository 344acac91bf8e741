"""Chosen classes of a tagger: numbered in the order given, known by name in checkpoints and evaluations."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.core.global_hydra import GlobalHydra

from lgae_pyg import load_model
from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.datasets import asked_classes
from lgae_pyg.evaluation import Results
from lgae_pyg.training.classes import with_classes

SMALL = ["model=pfn", "model.particle_widths=[4]", "model.jet_widths=[4]", "logger=csv", "trainer.progress=false"]
SMALL += ["trainer.max_epochs=1", "trainer.threads=1", "loader.batch_size=20"]


@pytest.fixture
def root(jet_files, tmp_path) -> Path:
    """Jets of g, q and t: those of t are those of g."""
    for letter, source in zip("gqt", "gqg"):
        (tmp_path / "jets" / "raw").mkdir(parents=True, exist_ok=True)
        shutil.copy(jet_files / "raw" / f"{source}.hdf5", tmp_path / "jets" / "raw" / f"{letter}.hdf5")
    return tmp_path / "jets"


def train(folder: Path, *words: str) -> int:
    GlobalHydra.instance().clear()
    return main(["train", *SMALL, f"runs={folder}", "name=run", *words])


@pytest.fixture
def run(root, tmp_path) -> Path:
    """A tagger of t (logit 0) and q (logit 1)."""
    words = ["data=jetnet", f"data.root={root}", "data.classes=[t,q]", "data.num_particles=6"]
    assert train(tmp_path, *words) == 0
    return tmp_path / "run"


def tagging(run: Path, *more: str) -> Results:
    out = run.parent / "out"
    words = ["evaluate", str(run), "--studies", "tagging", "--quiet", "--resamples", "5", "--out", str(out)]
    assert main([*words, *more]) == 0
    return Results.load(out / "tagging")


def test_chosen_classes_are_numbered_in_the_order_given(run, capsys):
    header = read_checkpoint(run / "checkpoints" / "last.ckpt")["lgae_pyg"]
    assert header["class_names"] == ["t", "q"] and header["model"]["num_classes"] == 2
    assert load_model(run).class_names == ("t", "q")
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["num_classes"] == 2
    results = tagging(run)
    assert results.tables["tagging"].column("signal") == ["q"]
    assert results.arrays["class"].tolist() == ["tq"[number] for number in results.arrays["y"]]
    assert train(run.parent, "data=jetnet", f"data.root={run.parent / 'jets'}", "data.classes=[q,t]",
                 "data.num_particles=6") == 1  # fmt: skip
    assert "data.classes: ['t', 'q'] -> ['q', 't']" in capsys.readouterr().err


def to_file(run: Path, path: Path, names: list[str]) -> Path:
    """The jets that the run is tested on, in a file whose classes have other numbers or names."""
    from lgae_pyg.datasets import build_dataset

    store = build_dataset(read_checkpoint(run / "checkpoints" / "best.ckpt")["lgae_pyg"]["data"], "test").store
    batch = store.batch(slice(None))
    label = (batch.y == 2).long() if names[1] == "t" else (batch.y == 1).long()
    np.savez(path, p4=1000 * batch.pos.numpy(), ptr=batch.ptr.numpy(), label=label.numpy(), class_names=names)
    return path


def test_classes_of_other_files_are_matched_by_name(run, tmp_path, capsys):
    plain = tagging(run)
    reversed_ = tagging(run, "--data", str(to_file(run, tmp_path / "qt.npz", ["q", "t"])))
    assert reversed_.arrays["y"].tolist() == plain.arrays["y"].tolist()
    assert reversed_.tables["tagging"].column("auc") == pytest.approx(plain.tables["tagging"].column("auc"))
    other = str(to_file(run, tmp_path / "other.npz", ["top", "quark"]))
    assert main(["evaluate", str(run), "--studies", "tagging", "--quiet", "--data", other]) == 1
    error = capsys.readouterr().err
    assert "jets of the classes top, quark, which are none of t, q" in error and "--classes" in error
    named = tagging(run, "--data", other, "--classes", "top,quark")
    assert named.tables["tagging"].column("auc") == pytest.approx(plain.tables["tagging"].column("auc"))
    swapped = tagging(run, "--data", other, "--classes", "quark,top").tables["tagging"]
    assert swapped.column("auc")[0] == pytest.approx(1 - plain.tables["tagging"].column("auc")[0])
    assert main(["evaluate", str(run), "--studies", "tagging", "--data", other, "--classes", "top"]) == 1
    assert "PFN has 2 logits" in capsys.readouterr().err


def test_jets_of_other_classes_are_left_out_only_where_classes_are_named(run, root, tmp_path, capsys):
    with np.load(to_file(run, tmp_path / "tq.npz", ["t", "q"])) as file:
        fields = dict(file)
    label = fields.pop("label").copy()
    label[:3] = 2
    np.savez(tmp_path / "three.npz", **{**fields, "label": label, "class_names": ["t", "q", "z"]})
    words = ["evaluate", str(run), "--studies", "tagging", "--quiet", "--data", str(tmp_path / "three.npz")]
    assert main(words) == 1 and "classes z, which are none of t, q" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="3 jets of other classes than t, q are left out"):
        results = tagging(run, "--data", str(tmp_path / "three.npz"), "--classes", "t,q")
    assert len(results.arrays["y"]) == len(label) - 3


def test_what_does_not_fit_is_told_before_jets_are_made(tmp_path, capsys):
    words = ["data=pythia", f"data.root={tmp_path / 'new'}", "data.generate=true"]
    assert train(tmp_path, *words, "data.classes=[q,t]", "model.num_classes=3") == 1
    assert "model.num_classes=3, but there are 2 classes of jets, q, t" in capsys.readouterr().err
    assert train(tmp_path, *words, "loss.class_weights=[1,2,3]") == 1
    assert "there are 2 classes of jets, g, q: give one for each" in capsys.readouterr().err
    assert train(tmp_path, *words, "data.classes=[q]") == 1
    assert "not q alone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_only_the_file_knows_how_many_classes_there_are(tmp_path, massless_jet, generator):
    sizes = torch.arange(90) % 4 + 2
    p4 = torch.cat([massless_jet(int(size), generator) for size in sizes]).numpy()
    ptr, label = np.cumsum([0, *sizes]), np.arange(90) % 3
    np.savez(tmp_path / "jets.npz", p4=p4, ptr=ptr, label=label, class_names=["a", "b", "c"], unit="TeV")
    words = ["data=files", f"data.path={tmp_path / 'jets.npz'}"]
    assert train(tmp_path, *words) == 0
    model = load_model(tmp_path / "run")
    assert model.class_names == ("a", "b", "c") and model.num_classes == 3
    assert train(tmp_path, *words, "trainer.max_epochs=2") == 0  # goes on, without a word on the classes
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]["num_classes"] == 3


def test_checkpoints_without_names_keep_their_numbers(run, tmp_path, capsys):
    file = run / "checkpoints" / "best.ckpt"
    named = tagging(run).tables["tagging"]
    content = read_checkpoint(file)
    del content["lgae_pyg"]["class_names"]
    content["lgae_pyg"]["data"]["classes"] = ["g", "q"]  # 0 and 1 in JetNet; g is t here
    torch.save(content, file)
    assert load_model(run).class_names == ()
    assert tagging(run).tables["tagging"].column("auc") == pytest.approx(named.column("auc"), abs=0.2)
    with pytest.warns(UserWarning, match="does not name its classes: its logits are taken for t, q"):
        tagging(run, "--data", str(to_file(run, tmp_path / "tq.npz", ["t", "q"])))


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        ({"name": "PythiaJets", "classes": ["t", "q", "t"]}, ("t", "q")),
        ({"name": "PythiaJets", "settings": {"preset": "top_tagging"}}, ("QCD", "top")),
        ({"name": "JetNet"}, ("g", "q")),
        ({"name": "TopTagging", "classes": None}, ("QCD", "top")),
        ({"name": "JetFiles", "path": "x.h5", "card": "lgn"}, ("background", "signal")),
        ({"name": "JetFiles", "path": "x.h5"}, ()),
    ],
)
def test_classes_are_known_without_files_where_they_can_be(recipe, names):
    assert asked_classes(recipe) == names


def test_autoencoders_are_left_alone():
    config = {"model": {"name": "LGAE"}, "data": {"name": "JetNet", "classes": ["t"]}}
    assert with_classes(config) == config


def test_numbers_of_jets_that_are_not_chosen_do_not_matter():
    fields = {"y": torch.tensor([2, 0, 1])}
    store = JetStore(torch.arange(4), {"pos": torch.ones(3, 4)}, fields, {"class_names": ["a", "b", "c"]})
    assert store.select([0, 2]).with_classes(["c", "b"]).jet_field("y").tolist() == [0, 1]
    with pytest.raises(ValueError, match="classes a, which are none of c, b"):
        store.with_classes(["c", "b"])
    assert store.jet_field("y").tolist() == [2, 0, 1] and store.meta["class_names"] == ["a", "b", "c"]
