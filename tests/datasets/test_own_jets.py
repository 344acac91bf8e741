"""A data set of one's own: made again when its code changes, rebuilt by its name, its mistakes named."""

import inspect
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from lgae_pyg.data import JetData, JetStore
from lgae_pyg.datasets import JetDataset, build_dataset
from lgae_pyg.datasets.code import code_fingerprint

SOURCE = '''
import torch
from lgae_pyg.data import JetData, JetStore
from lgae_pyg.datasets import JetDataset

SCALE = 1.0

def momenta(row):
    return SCALE * torch.tensor([[5.0, 3.0, 0.0, 4.0]]).double() * (1 + row)

class MyJets(JetDataset):
    """Jets of one particle."""

    energy = 0.0
    raw_file_names = ["rows.txt"]

    def __init__(self, root, split="all", rows=10, unit="GeV", force_reload=False):
        super().__init__(root, {"rows": rows, "unit": unit}, split, force_reload=force_reload)

    def download(self):
        raise FileNotFoundError("no rows.txt")

    def build_store(self):
        jets = [JetData(pos=momenta(row), y=row % 2, jet_id=row) for row in range(self.recipe["rows"])]
        for jet in jets:
            jet.pos[:, 0] += self.energy
        return JetStore.from_jets(jets, {"class_names": ["even", "odd"], "origin": "counted"})
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch):
    """Writes the module anew, with changes, and gives its class; each call is a fresh start of Python to it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "jets" / "raw").mkdir(parents=True)
    (tmp_path / "jets" / "raw" / "rows.txt").write_text("10")

    def write(*changes: tuple[str, str]) -> type[JetDataset]:
        source = SOURCE
        for before, after in changes:
            assert before in source
            source = source.replace(before, after)
        (tmp_path / "own_jets.py").write_text(source)
        sys.modules.pop("own_jets", None)
        import own_jets

        return own_jets.MyJets

    yield write
    sys.modules.pop("own_jets", None)


@pytest.mark.parametrize(
    "change",
    [
        ("jet.pos[:, 0] += self.energy", "jet.pos[:, 0] += 1 + self.energy"),
        ("+ row", "+ 1 + row"),
        ("SCALE = 1.0", "SCALE = 2.0"),
        ("energy = 0.0", "energy = 3.0"),
        ("[[5.0, 3.0,", "[[6.0, 3.0,"),
    ],
    ids=["method", "function", "constant", "attribute", "number"],
)
def test_jets_follow_a_change_of_the_code(own, tmp_path: Path, change):
    before = own()(tmp_path / "jets")[3].pos
    changed = own(change)(tmp_path / "jets")
    assert not torch.equal(changed[3].pos, before)
    assert torch.equal(changed[3].pos, own(change)(tmp_path / "jets", force_reload=True)[3].pos)
    assert torch.equal(own()(tmp_path / "jets")[3].pos, before)


def test_what_changes_no_jet_makes_no_new_file(own, tmp_path: Path):
    path = Path(own()(tmp_path / "jets").processed_paths[0])
    made = path.stat().st_mtime_ns
    own(("    def download", "    # a comment\n\n    def download"))(tmp_path / "jets", split="train")
    assert path.stat().st_mtime_ns == made
    assert own(("energy = 0.0", "version = 2; energy = 0.0"))(tmp_path / "jets").processed_paths[0] != str(path)


def test_a_file_of_other_code_is_not_used_silently_where_it_cannot_be_made_again(own, tmp_path: Path):
    before = own()(tmp_path / "jets")[3].pos
    (tmp_path / "jets" / "raw" / "rows.txt").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(own()(tmp_path / "jets")[3].pos, before)
    with pytest.warns(UserWarning, match=r"MyJets_.*other code .*raw files are not in .*raw"):
        assert torch.equal(own(("+ row", "+ 1 + row"))(tmp_path / "jets")[3].pos, before)


def test_the_code_is_read_from_what_is_run(tmp_path: Path):
    def made(shift: int, doubled: bool = False) -> type[JetDataset]:
        class Enclosing(JetDataset):
            def build_store(self):
                return 2 * shift if doubled else shift

        return Enclosing

    prints = [code_fingerprint(made(*values), JetDataset) for values in ((1,), (2,), (1, True))]
    assert len(set(prints)) == 3
    assert code_fingerprint(made(1), JetDataset) == prints[0]
    patched = made(1)
    patched.build_store = lambda self: None
    assert code_fingerprint(patched, JetDataset) not in prints
    assert code_fingerprint(JetDataset, JetDataset) == ""
    program = (  # the module alone, since the package takes long to open
        f"import runpy\ncode = runpy.run_path({inspect.getfile(code_fingerprint)!r})\n"
        "class Set:\n    def build_store(self):\n        return 1 in {'a', 'b', 'c', 'd'}\n"
        "print(code['code_fingerprint'](Set, object))"
    )
    again = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True) for _ in range(2)]
    assert again[0].stdout == again[1].stdout != ""


def test_names_and_origin_come_from_the_file(own, tmp_path: Path):
    dataset = own()(tmp_path / "jets", split="train")
    assert dataset.class_names == ("even", "odd") and dataset.origin == "counted"
    meta = JetStore.load(dataset.processed_paths[0]).meta
    assert meta["class_names"] == ["even", "odd"] and meta["origin"] == "counted" and meta["unit"] == "GeV"
    silent = own(('{"class_names": ["even", "odd"], "origin": "counted"}', "{}"))(tmp_path / "jets")
    assert silent.class_names == () and silent.origin == "MyJets"


def test_it_is_rebuilt_by_its_recipe(own, tmp_path: Path):
    dataset = own()(tmp_path / "jets", rows=7)
    recipe = json.loads(json.dumps(dataset.recipe))
    assert recipe["_target_"] == "own_jets.MyJets" and recipe["name"] == "MyJets"
    again = build_dataset(recipe, "test")
    assert type(again) is type(dataset) and again.recipe == dataset.recipe
    assert build_dataset(recipe, generate=True).recipe == recipe  # nothing to permit
    assert len(build_dataset({"_target_": "own_jets.MyJets", "root": str(tmp_path / "jets"), "rows": 5})) == 5


def test_splits_work_without_seed_fractions_and_labels(own, tmp_path: Path):
    kind = own((", y=row % 2", ""))
    parts = {split: kind(tmp_path / "jets", split) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [6, 2, 2]
    rows = torch.cat([part.store.jet_field("jet_id") for part in parts.values()])
    assert sorted(rows.tolist()) == list(range(10)) and parts["train"].num_classes == 0


def test_what_the_class_fixes_cannot_be_changed_silently(own, tmp_path: Path):
    kind = own((', unit="GeV"', ""), ('"unit": unit', '"unit": "GeV", "seed": 3, "fractions": (0.5, 0.25, 0.25)'))
    recipe = kind(tmp_path / "jets").recipe
    assert build_dataset(recipe, "val").recipe == recipe
    with pytest.raises(ValueError, match="MyJets has unit = GeV and no argument that makes it TeV"):
        build_dataset({**recipe, "unit": "TeV"})


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"name": "JetNets", "root": "x"}, "no data set named 'JetNets'.*did you mean JetNet"),
        ({"root": "x"}, "no data set named 'None', only JetClass, JetFiles, JetNet, PythiaJets"),
        ({"name": "JetNet"}, "the data set JetNet needs root"),
        ({"name": "PythiaJets", "root": "x", "jts": 5}, r"PythiaJets does not know jts.*did you mean jets"),
        ({"name": "JetNet", "root": "x", "split": "val"}, "does not know split"),
        ({"_target_": "os.path"}, "module of Python itself"),
        ({"_target_": "own_jets.MyJets; import os"}, "my_package.my_module.MyClass"),
        ({"_target_": "own_jets.momenta"}, "does not derive from .*JetDataset"),
        ({"_target_": "lgae_pyg.data.JetStore"}, "does not derive from .*JetDataset"),
        ({"_target_": "own_jets.Missing"}, "cannot be imported"),
        ({"_target_": "not_there.Missing"}, "cannot be imported.*Python's path"),
        ({"_target_": "own_jets.MyJets"}, "MyJets needs root"),
        ({"_target_": "own_jets.MyJets", "root": "x", "row": 5}, "MyJets does not know row.*did you mean rows"),
        ({"_target_": "own_jets.MyJets", "root": "x", "unit": "eV"}, "unknown unit 'eV'"),
    ],
)
def test_wrong_recipes_are_named(own, tmp_path: Path, monkeypatch, recipe, words):
    own()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        build_dataset(recipe)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        ({}, ValueError, "recipe of Own lacks 'unit'"),
        ({"unit": "GeV", "seed": -1}, ValueError, "seed must not be negative"),
        ({"unit": "GeV", "fractions": [1.0]}, ValueError, "three shares"),
        ({"unit": "GeV", "model": torch.nn.Identity()}, TypeError, "recipe of Own.model is a Identity"),
    ],
)
def test_recipes_that_no_data_set_has_are_refused(tmp_path: Path, recipe, error, words):
    class Own(JetDataset):
        raw_file_names = ()
        download = None

        def build_store(self):
            return JetStore.from_jets([JetData(pos=torch.ones(1, 4))])

    with pytest.raises(error, match=words):
        Own(tmp_path, recipe, "all")
    assert len(Own(tmp_path, {"unit": "GeV", "rows": torch.tensor(3)}, "all")) == 1
