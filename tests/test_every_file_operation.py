"""``kill -9`` before a file operation of a command, each of them: then it makes what it makes undisturbed.

Some operations of the quick commands in all tests; all operations of all commands in the slow half (``pytest -m
slow``), or each so many-th there with ``LGAE_EVERY=N``.
"""

import csv
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from file_operations import jets_and_tagger, killed_everywhere

from lgae_pyg.applications.export import open_export
from lgae_pyg.applications.score_files import score_files
from lgae_pyg.applications.score_job import ScoreJob
from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.checksums import read_signed
from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.datasets import conversion
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.evaluation.results import Results

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")

EVERY = int(os.environ.get("LGAE_EVERY", "1"))
slow = pytest.mark.slow


def some(number: int, *names: str) -> list[Any]:
    """Each so many-th operation for the first of some names in all tests, all for all in the slow half."""
    more = [pytest.param(name, EVERY, id=name, marks=slow) for name in names]
    return [pytest.param(names[0], number, id=f"{names[0]}, some"), *more]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with a hundred jets and a tagger."""
    return jets_and_tagger(tmp_path_factory.mktemp("inputs"), 100)


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder but records of what a process said."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(("suffix", "every"), some(4, "parquet", "h5", "root", "npz"))
def test_score(inputs: Path, tmp_path: Path, suffix: str, every: int) -> None:
    job = ScoreJob(str(inputs / "tagger.ckpt"), (str(inputs / "jets.npz"),), read_card("neutral"), piece_rows=40)

    def work(folder: Path) -> None:
        score_files(job, folder / f"out.{suffix}")

    assert killed_everywhere(work, tmp_path / "work", content, final=f"out.{suffix}", every=every) > 5


@slow
def test_shards_of_scores(inputs: Path, tmp_path: Path) -> None:
    job = ScoreJob(str(inputs / "tagger.ckpt"), (str(inputs / "jets.npz"),), read_card("neutral"), piece_rows=40)

    def work(folder: Path) -> None:
        for shard in ((2, 2), (1, 2), None):
            score_files(job, folder / "out.npz", shard=shard)

    assert killed_everywhere(work, tmp_path / "work", content, final="out.npz", every=EVERY) > 5


def called(*words: Any) -> Callable[[Path], int]:
    """A command, in whose words FOLDER is the folder that it works in."""
    return lambda folder: main([str(word).replace("FOLDER", str(folder)) for word in words])


@pytest.mark.parametrize(("suffix", "every"), some(3, "lgj"))
def test_compress(inputs: Path, tmp_path: Path, suffix: str, every: int) -> None:
    pytest.importorskip("constriction")
    name = f"out.{suffix}"
    work = called("compress", inputs / "jets.npz", f"FOLDER/{name}")
    assert killed_everywhere(work, tmp_path / "work", content, final=name, every=every) > 5


@pytest.mark.parametrize(("name", "every"), some(4, "store", "out.parquet", "out.h5", "out.npz"))
def test_decompress(inputs: Path, tmp_path: Path, name: str, every: int) -> None:
    pytest.importorskip("constriction")
    file = tmp_path / "jets.lgj"
    assert main(["compress", str(inputs / "jets.npz"), str(file)]) == 0
    read = functools.partial(jets_of, name=name) if name in ("out.h5", "store") else content
    work = called("decompress", file, f"FOLDER/{name}")
    assert killed_everywhere(work, tmp_path / "work", read, every=every) > 5


def jets_of(folder: Path, name: str) -> Any:
    """Momenta in a store, or in an HDF5 file, which carries the time of its making."""
    if name == "store":
        return JetStore.load(folder / name).batch(slice(None)).pos.tolist(), sorted(os.listdir(folder / name))
    import h5py

    with h5py.File(folder / name) as file:
        return {key: file[key][()].tolist() for key in file}


@pytest.mark.parametrize(("name", "every"), some(7, "store"))
def test_convert(inputs: Path, tmp_path: Path, monkeypatch, name: str, every: int) -> None:
    monkeypatch.setattr(conversion, "PIECE_ROWS", 40)
    work = called("data", "convert", "neutral", inputs / "jets.npz", "--out", f"FOLDER/{name}")
    assert killed_everywhere(work, tmp_path / "work", content, every=every) > 5




TRAIN = ["train", "model=pfn", "model.particle_widths=[8,8]", "model.jet_widths=[8]", "data=files", "logger=csv"]
TRAIN += ["data.path=FOLDER/jets.npz", "data.card=neutral", "loader.batch_size=20", "trainer.max_epochs=2"]
TRAIN += ["trainer.threads=1", "trainer.progress=false", "runs=FOLDER", "name=run"]


def trained(folder: Path) -> Any:
    """What a training has learnt, and its numbers without what the clock decides."""
    with open(folder / "run" / "metrics.csv") as file:
        rows = [{key: v for key, v in row.items() if key not in CLOCK} for row in csv.DictReader(file)]
    kept = (folder / "run" / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    return rows, [str(read_checkpoint(path)["state_dict"]) for path in kept], sorted(os.listdir(folder / "run"))


CLOCK = ("jets_per_second", "seconds", "crc32")


@slow
def test_train(inputs: Path, tmp_path: Path) -> None:
    """The jets are prepared in the same folder, so that this is killed, too."""
    prepare = functools.partial(shutil.copy, inputs / "jets.npz")
    assert killed_everywhere(called(*TRAIN), tmp_path / "work", trained, prepare, every=EVERY) > 5


@slow
def test_train_in_the_place_of_another(inputs: Path, tmp_path: Path) -> None:
    """Killed before its first checkpoint, it leaves the former training; the same command then begins anew."""
    folder = tmp_path / "work"

    def prepare(place: Path) -> None:
        shutil.copytree(tmp_path / "former", place, dirs_exist_ok=True)

    (tmp_path / "former").mkdir()
    shutil.copy(inputs / "jets.npz", tmp_path / "former")
    shutil.copytree(tmp_path / "former", folder)
    assert called(*TRAIN)(folder) == 0
    shutil.copytree(folder, tmp_path / "former", dirs_exist_ok=True)
    work = called(*TRAIN, "seed=1", "overwrite=true")
    assert killed_everywhere(work, folder, trained, prepare, every=EVERY) > 5


@slow
def test_generate(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", exc_type=ImportError)
    from lgae_pyg.datasets.pythia import generate_files

    def work(folder: Path) -> None:
        generate_files(folder, ["g"], 4, workers=1, chunk_jets=2, progress=False)

    def made(folder: Path) -> Any:
        card = read_signed(folder / "g.json")
        return (folder / "g.hdf5").read_bytes(), card["summary"], card["recipe"], sorted(os.listdir(folder))

    assert killed_everywhere(work, tmp_path / "work", made, final="g.hdf5", every=EVERY) > 1


@slow
@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_export(inputs: Path, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("onnxruntime") if suffix == "onnx" else None

    def scores(folder: Path) -> Any:
        p4 = np.load(inputs / "jets.npz")["p4"][None, :6]
        return open_export(folder / f"out.{suffix}")(p4, np.array([6])).tolist(), sorted(os.listdir(folder))

    work = called("export", inputs / "tagger.ckpt", "--out", f"FOLDER/out.{suffix}")
    assert killed_everywhere(work, tmp_path / "work", scores, every=EVERY) > 1


def documents(folder: Path) -> Any:
    """Text and tables; figures are there, or not."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path.name, path.read_bytes() if path.suffix in (".csv", ".md", ".json") else b"") for path in files]


@slow
def test_judge(inputs: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.npz"
    assert main(["score", str(inputs / "tagger.ckpt"), str(inputs / "jets.npz"), "--out", str(scores)]) == 0
    work = called("judge", scores, "--resamples", 3, "--out", "FOLDER/verdict")
    assert killed_everywhere(work, tmp_path / "work", documents, every=EVERY) > 1


@slow
def test_evaluate_and_report(inputs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copy(inputs / "jets.npz", tmp_path)
    assert called(*TRAIN)(tmp_path) == 0
    work = called("evaluate", run, "--studies", "tagging", "--quiet", "--out", "FOLDER/evaluation")

    def tables(folder: Path) -> Any:
        found = Results.load(folder / "evaluation" / "tagging")
        return str({name: table.rows for name, table in found.tables.items()}), sorted(os.listdir(folder))

    assert killed_everywhere(work, tmp_path / "work", tables, every=EVERY) > 1
    assert main(["evaluate", str(run), "--studies", "tagging", "--quiet"]) == 0
    work = called("report", run, "--out", "FOLDER/page.html")
    assert killed_everywhere(work, tmp_path / "work", content, final="page.html", every=EVERY) > 1
