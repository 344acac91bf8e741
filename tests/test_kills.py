"""``kill -9`` at random moments: the same command goes on, and what it makes is what was made undisturbed.

Takes some minutes: ``pytest -m slow tests/test_kills.py``; ``LGAE_KILLS`` sets how often each command is killed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.results import Results

KILLS = int(os.environ.get("LGAE_KILLS", "10"))
pytestmark = pytest.mark.slow


def command(*words: object) -> subprocess.Popen:
    program = [sys.executable, "-c", "import sys; from lgae_pyg.cli import main; sys.exit(main())"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([*program, *map(str, words)], text=True, **pipes)


def finish(*words: object) -> float:
    begin = time.monotonic()
    process = command(*words)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return time.monotonic() - begin


def survive(words: Callable[[Path], list[object]], content: Callable[[Path], object], folder: Path) -> None:
    """Kills a command again and again at random moments, and lets it finish at last."""
    seconds = finish(*words(folder / "whole"))
    rng = np.random.default_rng(0)
    for _ in range(KILLS):
        process = command(*words(folder / "killed"))
        try:
            process.wait(rng.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
    finish(*words(folder / "killed"))
    assert content(folder / "killed") == content(folder / "whole")
    assert not [path for path in (folder / "killed").rglob(".*") if path.suffix in (".partial", ".new", ".old")]


#: Of sixty gluon jets that are there.
DATA = ["data.classes=[g]", "data.jets=60", "data.generate=false", "logger.wandb=false", "name=run"]


def generate(out: Path) -> list[object]:
    return ["generate", "--classes", "g", "--jets", 60, "--workers", 2, "--out", out, "--quiet"]


@pytest.fixture
def jets(tmp_path: Path) -> Path:
    pytest.importorskip("pythia8mc", exc_type=ImportError)
    finish(*generate(tmp_path / "jets"))
    return tmp_path / "jets"


def test_generate(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", exc_type=ImportError)
    survive(generate, lambda out: (out / "raw" / "g.hdf5").read_bytes(), tmp_path)


def test_convert(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        rng = np.random.default_rng(0)
        momenta = rng.normal(size=(50_000, 20, 3))
        file["jets"] = np.concatenate([np.linalg.norm(momenta, axis=-1, keepdims=True), momenta], -1)
    card = tmp_path / "card.yaml"
    names = "E, px, py, pz"
    card.write_text(f"axes: {{jets: [{names}]}}\nmomenta: {{E: E, px: px, py: py, pz: pz}}\n")

    def words(out: Path) -> list[object]:
        return ["data", "convert", card, tmp_path / "jets.h5", "--out", out, "--workers", 2]

    survive(words, lambda out: JetStore.load(out).batch(slice(None)).pos.tolist(), tmp_path)


def test_train(tmp_path: Path, jets: Path) -> None:
    def words(out: Path) -> list[object]:
        limits = ["trainer.max_minutes=null", "trainer.max_epochs=6", "trainer.deterministic=true"]
        return ["train", "experiment=quickstart", f"data.root={jets}", *DATA, *limits, f"runs={out}"]

    def weights(out: Path) -> str:
        return str(read_checkpoint(out / "run" / "checkpoints" / "last.ckpt")["state_dict"])

    survive(words, weights, tmp_path)


def test_evaluate(tmp_path: Path, jets: Path) -> None:
    finish("train", "experiment=linear_fast", f"data.root={jets}", *DATA, f"runs={tmp_path}")

    def words(out: Path) -> list[object]:
        few = ["--studies", "reconstruction", "--scan-jets", 2, "--quiet"]
        return ["evaluate", tmp_path / "run", *few, "--out", out]

    def tables(out: Path) -> object:
        return {name: table.rows for name, table in Results.load(out / "reconstruction").tables.items()}

    survive(words, tables, tmp_path)
