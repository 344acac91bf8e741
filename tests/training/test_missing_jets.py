"""Jets are generated only where that was asked for."""

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from lgae_pyg.cli import main
from lgae_pyg.datasets import pythia_jets
from lgae_pyg.registry import near

QUICK = ["train", "logger=csv", "trainer.max_epochs=1", "data.jets=20"]


@pytest.fixture
def generated(monkeypatch, tmp_path) -> list[Path]:
    """The folders in which jets would have been generated."""
    folders: list[Path] = []

    def generate(folder, *arguments, **options):
        folders.append(Path(folder))
        raise ValueError("the generator was called")

    monkeypatch.setattr(pythia_jets, "generate_files", generate)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "quickstart").mkdir(parents=True)
    GlobalHydra.instance().clear()
    return folders


def test_a_mistyped_folder_is_named_and_nothing_is_made(generated, tmp_path, capsys):
    assert main([*QUICK, "data.root=data/quikstart"]) == 1
    error = capsys.readouterr().err
    assert f"there is no {tmp_path}/data/quikstart (did you mean {tmp_path}/data/quickstart?)" in error
    assert "data.generate=true" in error
    assert generated == [] and [path.name for path in tmp_path.rglob("*")] == ["data", "quickstart"]


@pytest.mark.parametrize(
    ("words", "root"), [([], "data/pythia"), (["data.root=data/new", "data.generate=true"], "data/new")]
)
def test_jets_are_made_where_that_was_asked_for(generated, tmp_path, capsys, words, root):
    assert main([*QUICK, *words]) == 1 and "the generator was called" in capsys.readouterr().err
    assert generated == [tmp_path / root / "raw"]


def test_what_was_probably_meant(tmp_path):
    (tmp_path / "data" / "quickstart" / "raw").mkdir(parents=True)
    wrong = tmp_path / "data" / "quikstart"
    assert near(wrong / "raw") == f"there is no {wrong}/raw (did you mean {tmp_path}/data/quickstart/raw?)"
    assert near(tmp_path / "x" / "y") == f"there is no {tmp_path}/x/y, the nearest folder is {tmp_path}"
    assert near(tmp_path) == ""


def test_a_run_that_is_not_there_is_looked_for(tmp_path, capsys):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert main(["evaluate", str(tmp_path / "runs" / "mein")]) == 1
    assert f"did you mean {tmp_path}/runs/mine?" in capsys.readouterr().err


def test_losses_are_checked_before_jets_are_looked_for(generated, tmp_path, capsys):
    assert main(["train", "logger=csv", "data=jetnet", "data.root=nowhere", "loss.names=[foo]"]) == 1
    assert "unknown loss 'foo'" in capsys.readouterr().err
