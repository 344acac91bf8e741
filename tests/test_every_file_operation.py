"""``kill -9`` before every single file operation of a command: the same command then makes what it makes undisturbed.

The quick commands here; those that train, generate, draw or export are in the slow half (``pytest -m slow``).
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from file_operations import killed_everywhere

from lgae_pyg.applications.score_files import score_files
from lgae_pyg.applications.score_job import ScoreJob
from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.datasets import conversion
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.models import PFN

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with a hundred jets in the neutral layout and a tagger."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 100)
    momenta = rng.normal(size=(sizes.sum(), 3)).astype("float32") + [100, 0, 0]
    p4 = np.concatenate([np.linalg.norm(momenta, axis=1, keepdims=True) * 1.001, momenta], 1).astype("float32")
    ptr, label = np.concatenate([[0], np.cumsum(sizes)]), np.arange(100) % 2
    np.savez(folder / "jets.npz", p4=p4, ptr=ptr, label=label, class_names=np.array(["QCD", "top"]))
    torch.manual_seed(3)
    model = PFN(2, particle_widths=[8, 8], jet_widths=[8])
    save_checkpoint(folder / "tagger.ckpt", model, unit="TeV", class_names=["QCD", "top"])
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder but records of what a process said."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("suffix", ["parquet", "h5", "root", "npz"])
def test_score(inputs: Path, tmp_path: Path, suffix: str) -> None:
    job = ScoreJob(str(inputs / "tagger.ckpt"), (str(inputs / "jets.npz"),), read_card("neutral"), piece_rows=40)

    def work(folder: Path) -> None:
        score_files(job, folder / f"out.{suffix}")

    assert killed_everywhere(work, tmp_path / "work", content, final=f"out.{suffix}") > 10


def test_shards_of_scores(inputs: Path, tmp_path: Path) -> None:
    job = ScoreJob(str(inputs / "tagger.ckpt"), (str(inputs / "jets.npz"),), read_card("neutral"), piece_rows=40)

    def work(folder: Path) -> None:
        for shard in ((2, 2), (1, 2), None):
            score_files(job, folder / "out.npz", shard=shard)

    assert killed_everywhere(work, tmp_path / "work", content, final="out.npz") > 10


def called(*words: Any) -> Callable[[Path], int]:
    """A command, in whose words FOLDER is the folder that it works in."""
    return lambda folder: main([str(word).replace("FOLDER", str(folder)) for word in words])


def test_compress(inputs: Path, tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    work = called("compress", inputs / "jets.npz", "FOLDER/out.lgaz")
    assert killed_everywhere(work, tmp_path / "work", content, final="out.lgaz") >= 3


@pytest.mark.parametrize("name", ["out.parquet", "out.h5", "out.npz", "store"])
def test_decompress(inputs: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("constriction")
    file = tmp_path / "jets.lgaz"
    assert main(["compress", str(inputs / "jets.npz"), str(file)]) == 0
    read = functools.partial(jets_of, name=name) if name in ("out.h5", "store") else content
    assert killed_everywhere(called("decompress", file, f"FOLDER/{name}"), tmp_path / "work", read) >= 2


def jets_of(folder: Path, name: str) -> Any:
    """Momenta in a store, or in an HDF5 file, which carries the time of its making."""
    if name == "store":
        return JetStore.load(folder / name).batch(slice(None)).pos.tolist(), sorted(os.listdir(folder / name))
    import h5py

    with h5py.File(folder / name) as file:
        return {key: file[key][()].tolist() for key in file}


def test_convert(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "PIECE_ROWS", 40)
    work = called("data", "convert", "neutral", inputs / "jets.npz", "--out", "FOLDER/store")
    assert killed_everywhere(work, tmp_path / "work", content) > 10


