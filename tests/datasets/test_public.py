"""Public sets: the published splits from local files, what is missing or changed said, one training on each."""

import hashlib
import sys
from pathlib import Path

import jet_layouts as write
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from jet_layouts import Jets, deviation

from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError
from lgae_pyg.datasets import JetClass, QuarkGluon, TopTagging, build_dataset, public
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.datasets.public_files import JETCLASS_ARCHIVES, JETCLASS_FILES, PUBLISHED_MD5
from lgae_pyg.lorentz.kinematics import massless

JETS = 24


def jetclass_file(path: Path, name: str, jets: Jets) -> None:
    path.parent.mkdir(exist_ok=True)
    number = read_card("jetclass").class_names.index(name)
    jets.y = jets.y * 0 + number
    write.root_tree(path, jets)


def top_tagging(root: Path) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        write.pandas_table(root / f"{split}.h5", Jets(JETS, seed))


def quark_gluon(root: Path) -> None:
    for number in range(20):
        write.energyflow(root / (f"QG_jets_{number}.npz" if number else "QG_jets.npz"), Jets(4, number))


def jetclass(root: Path) -> None:
    for folder, number in (("train_100M", 0), ("val_5M", 120), ("test_20M", 100)):
        for name, kind in (("HToBB", "Hbb"), ("ZJetsToNuNu", "QCD")):
            jetclass_file(root / folder / f"{name}_{number:03d}.root", kind, Jets(JETS, number))


SETS = {"top_tagging": (TopTagging, top_tagging), "quark_gluon": (QuarkGluon, quark_gluon)}
SETS |= {"jetclass": (JetClass, jetclass)}


def test_top_tagging_has_the_files_as_its_splits(tmp_path: Path) -> None:
    top_tagging(tmp_path)
    for seed, split in enumerate(("train", "val", "test")):
        found = TopTagging(tmp_path, split=split)
        assert deviation(found, Jets(JETS, seed).p4) < write.SINGLE  # whatever the column ttv says
        assert found.store.jet_field("y").tolist() == Jets(JETS, seed).y.tolist()
    assert len(TopTagging(tmp_path)) == 3 * JETS and found.class_names == ("QCD", "top")


def test_quark_gluon_is_split_in_the_order_of_its_files(tmp_path: Path) -> None:
    quark_gluon(tmp_path)
    for split, numbers in (("train", range(16)), ("val", (16, 17)), ("test", (18, 19))):
        wanted = torch.cat([massless(torch.from_numpy(Jets(4, number).p4)) for number in numbers])
        found = QuarkGluon(tmp_path, split=split)
        assert deviation(found, wanted.numpy()) < 1e-12
        assert found.store.meta["x_names"] == ["pdgid"]
    (tmp_path / "QG_jets_17.npz").unlink()
    assert len(QuarkGluon(tmp_path, split="val")) == 4


def test_the_published_numbers_of_jets() -> None:
    for kind, numbers in (
        (TopTagging, (1_211_000, 403_000, 404_000)),
        (QuarkGluon, (1_600_000, 200_000, 200_000)),
        (JetClass, (100_000_000, 5_000_000, 20_000_000)),
    ):
        assert tuple(sum(kind.files_of(split).values()) for split in ("train", "val", "test")) == numbers
    assert sorted(JETCLASS_FILES.values()) == sorted(read_card("jetclass").class_names)
    md5 = [one for group in (*PUBLISHED_MD5.values(), *JETCLASS_ARCHIVES.values()) for one in group.values()]
    assert len(set(md5)) == len(md5) == 35 and all(len(bytes.fromhex(one)) == 16 for one in md5)
    assert set(PUBLISHED_MD5[3164691]) == set(QuarkGluon.files_of("all"))


def test_jetclass_opens_the_files_of_its_classes_alone(tmp_path: Path) -> None:
    jetclass(tmp_path)
    (tmp_path / "val_5M" / "HToBB_120.root").rename(tmp_path / "val_5M" / "HToBB_120.ROOT")
    (tmp_path / "val_5M" / "ZJetsToNuNu_120.root").write_bytes(b"root and nothing else")
    found = JetClass(tmp_path, split="val", classes=["Hbb"])
    assert found.class_names == ("Hbb",) and len(found) == JETS
    assert deviation(found, Jets(JETS, 120).p4) < write.SINGLE
    with pytest.raises(DataFileError, match=r"ZJetsToNuNu_120\.root"):
        JetClass(tmp_path, split="val")
    test = JetClass(tmp_path, split="test", max_jets=5)
    assert test.class_names[0] == "QCD" and test.store.jet_field("y").bincount().tolist() == [5, 5]
    assert list(JetClass.files_of("test"))[:2] == ["test_20M/ZJetsToNuNu_100.root", "test_20M/HToBB_100.root"]
    with pytest.raises(ValueError, match="did you mean Hbb"):
        JetClass(tmp_path, classes=["Hb"])


@pytest.mark.parametrize("name", SETS)
def test_missing_files_are_named_with_the_way_to_get_them(tmp_path: Path, name: str) -> None:
    kind, _ = SETS[name]
    said = rf"{next(iter(kind.files_of('val')))}.*zenodo\.org/records/{kind.record}.*wget"
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=said) as caught:
            kind(root, split="val")
        assert "fractions" not in str(caught.value)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", SETS)
def test_a_subset_is_said(tmp_path: Path, name: str) -> None:
    kind, writer = SETS[name]
    writer(tmp_path)
    found = kind(tmp_path, split="train")
    said = " ".join(found.summary)
    assert f"published: {next(iter(kind.published['train'].values())):,}" in said
    assert "no checksums were compared" in said and found.origin.startswith("a part of")
    if name == "jetclass":
        assert "2 of the 1000 published files of the split train" in said and "HToCC_000.root" in said
    for path in tmp_path.rglob("*5*"):
        path.unlink() if path.is_file() else None
    fewer = kind(tmp_path, split="train")
    if name == "quark_gluon":
        assert "14 of the 16 published files" in " ".join(fewer.summary) and len(fewer) == 56


def publish(monkeypatch, kind: type, path: Path, jets: int) -> None:
    """Lets a file that a test wrote be the published one."""
    monkeypatch.setattr(kind, "published", {**kind.published, "val": {path.name: jets}})
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest()}
    monkeypatch.setitem(public.PUBLISHED_MD5, kind.record, md5)


def test_the_published_file_is_told_by_its_checksum(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "val.h5"
    write.pandas_table(path, Jets(JETS))
    publish(monkeypatch, TopTagging, path, JETS)
    found = TopTagging(tmp_path, split="val")
    assert "published checksums (md5) hold: val.h5" in found.summary
    assert found.origin.startswith("Top tagging reference set")
    write.pandas_table(path, Jets(JETS, 1))  # as many, others
    with pytest.raises(DataFileError, match=r"val\.h5 is not the published file: its md5 is .*JetFiles"):
        TopTagging(tmp_path, split="val")


def test_what_has_no_known_checksum_says_so(tmp_path: Path, monkeypatch) -> None:
    jetclass(tmp_path)
    files = {"val_5M/HToBB_120.root": JETS, "val_5M/ZJetsToNuNu_120.root": JETS}
    monkeypatch.setattr(JetClass, "published", {**JetClass.published, "val": files})
    found = JetClass(tmp_path, split="val")
    assert any("no published checksums are known of val_5M/HToBB_120.root" in line for line in found.summary)
    assert found.origin.startswith("JetClass")


def test_own_shares_of_the_files_that_are_there(tmp_path: Path) -> None:
    write.energyflow(tmp_path / "QG_jets.npz", Jets(40))
    with pytest.raises(FileNotFoundError, match="give fractions"):
        QuarkGluon(tmp_path, split="test")
    parts = [QuarkGluon(tmp_path, split=split, fractions=(0.5, 0.25, 0.25)) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [20, 10, 10]
    ids = torch.cat([part.store.jet_field("jet_id") for part in parts])
    assert sorted(ids.tolist()) == list(range(40))


def test_the_recipe_rebuilds_without_the_files_and_files_that_come_are_noticed(tmp_path: Path) -> None:
    quark_gluon(tmp_path)
    (tmp_path / "QG_jets_3.npz").rename(tmp_path / "later")
    first = QuarkGluon(tmp_path, split="train", num_particles=5, unit="TeV", seed=3)
    assert len(first) == 60 and "download" not in first.recipe and first.unit == "TeV"
    assert len(build_dataset(first.recipe, "test")) == 8
    (tmp_path / "later").rename(tmp_path / "QG_jets_3.npz")
    assert len(build_dataset(first.recipe, "train")) == 64
    for path in tmp_path.glob("*.npz"):
        path.unlink()
    again = build_dataset(first.recipe, "train")
    assert len(again) == 64 and again.store.max_particles == 5  # the store will do
    with pytest.raises(FileNotFoundError, match=r"QG_jets_16\.npz"):
        build_dataset(first.recipe, "val")


def test_download_fetches_what_is_missing(tmp_path: Path, monkeypatch) -> None:
    utils = pytest.importorskip("jetnet.datasets.utils")
    asked = []

    def fetch(folder, name, record, key, download):
        asked.append((key, record, download))
        write.pandas_table(Path(folder) / key, Jets(4))
        return Path(folder) / key

    monkeypatch.setattr(utils, "checkDownloadZenodoDataset", fetch)
    assert len(TopTagging(tmp_path / "new", split="val", download=True)) == 4
    assert len(TopTagging(tmp_path / "new", download=True)) == 12
    assert asked == [(f"{name}.h5", 2603256, True) for name in ("val", "train", "test")]
    with pytest.raises(ValueError, match=r"JetClass_Pythia_train_100M_part0\.tar.*md5sum.*train_100M.*9 more"):
        JetClass(tmp_path, split="train", download=True)
    monkeypatch.setitem(sys.modules, "jetnet.datasets.utils", None)
    with pytest.raises(ImportError, match=r"lgae-pyg\[jetnet\].*QG_jets_16\.npz by hand from"):
        QuarkGluon(tmp_path, split="val", download=True)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch) -> None:
    top_tagging(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / ".lgae_pyg").write_text("in the way, as a folder without rights would be")
    assert len(TopTagging(tmp_path, split="val")) == JETS
    assert list((tmp_path / "cache").rglob("TopTagging_*.safetensors"))


@pytest.mark.parametrize("name", SETS)
def test_a_tagger_is_trained_and_evaluated_from_the_command_line(tmp_path: Path, name: str, capsys) -> None:
    GlobalHydra.instance().clear()
    root = tmp_path / "data"
    root.mkdir()
    SETS[name][1](root)
    words = [f"data={name}", f"data.root={root}", "data.num_particles=8", f"runs={tmp_path}", "name=here"]
    words += ["model=pfn", "model.friends=mass", "logger.wandb=false", "trainer.progress=false"]
    words += ["trainer.max_epochs=1", "trainer.threads=1", "loader.batch_size=16"]
    classes = {"jetclass": "data.classes=[QCD,Hbb]"}
    assert main(["train", *words, *([classes[name]] if name in classes else [])]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "here"), "--studies", "tagging", "--quiet"]) == 0
    assert "a part of, or other files" in capsys.readouterr().out
    assert (tmp_path / "here" / "evaluation" / "tagging").is_dir()


def test_a_tagger_is_trained_on_a_converted_folder(tmp_path: Path) -> None:
    GlobalHydra.instance().clear()
    write.pandas_table(tmp_path / "top.h5", Jets(60))
    assert main(["data", "convert", "top_tagging", str(tmp_path / "top.h5"), "--out", str(tmp_path / "out")]) == 0
    words = ["data=files", f"data.path={tmp_path / 'out'}", f"runs={tmp_path}", "name=here", "model=pfn"]
    words += ["model.friends=mass", "logger.wandb=false", "trainer.progress=false", "trainer.max_epochs=1"]
    assert main(["train", *words, "trainer.threads=1", "loader.batch_size=8"]) == 0
    assert main(["evaluate", str(tmp_path / "here"), "--studies", "tagging", "--quiet"]) == 0
