"""A disk that is full, a signal, a second writer half-way: one clear line, nothing damaged, and on again.

Files that may not grow beyond a size (``RLIMIT_FSIZE``) stand for the full disk; work runs in forked processes.
"""

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from file_operations import forked, jets_and_tagger, left_over, started

from lgae_pyg.applications import score_job
from lgae_pyg.applications.compression import writing as compression
from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.datasets import conversion

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with some hundred jets, a tagger, and the jets compressed."""
    folder = jets_and_tagger(tmp_path_factory.mktemp("inputs"), 400)
    main(["compress", str(folder / "jets.npz"), str(folder / "jets.lgj")])
    return folder


#: Words of a command: INPUTS and OUT are put in.
COMMANDS = {
    f"score {suffix}": ("score INPUTS/tagger.ckpt INPUTS/jets.npz --quiet --out OUT", f"out.{suffix}")
    for suffix in ("parquet", "h5", "root", "npz")
}
COMMANDS |= {
    f"decompress {name}": ("decompress INPUTS/jets.lgj OUT", name)
    for name in ("out.parquet", "out.h5", "out.npz", "store")
}
COMMANDS["compress"] = ("compress INPUTS/jets.npz OUT", "out.lgj")
COMMANDS["convert"] = ("data convert neutral INPUTS/jets.npz --out OUT", "store")
EXPORTS = {
    f"export {suffix}": ("export INPUTS/tagger.ckpt --out OUT", f"out.{suffix}") for suffix in ("pt2", "onnx")
}


def words_of(name: str, inputs: Path, folder: Path) -> tuple[list[str], Path]:
    """The words of a command, and what it writes."""
    text, out = {**COMMANDS, **EXPORTS}[name]
    words = [word.replace("INPUTS", str(inputs)).replace("OUT", str(folder / out)) for word in text.split()]
    return words, folder / out


def content(out: Path) -> Any:
    """What was written, where it is the same each time; the jets of HDF5 files, which carry times."""
    if out.is_dir():
        return JetStore.load(out).batch(slice(None)).pos.tolist()
    if out.suffix in (".h5", ".pt2"):
        return out.stat().st_size
    return out.read_bytes()


def limited(words: list[str], size: int) -> Callable[[], int]:
    """A command in whose process no file can grow beyond a size."""

    def work() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return main(words)

    return work


def size_of(out: Path) -> int:
    """Bytes of a file, or of the largest in a folder."""
    return max(path.stat().st_size for path in (out.rglob("*") if out.is_dir() else [out]))


@pytest.mark.parametrize("name", [*COMMANDS, *(pytest.param(one, marks=pytest.mark.slow) for one in EXPORTS)])
def test_a_full_disk(inputs: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("constriction")
    words, whole = words_of(name, inputs, tmp_path / "whole")
    log = tmp_path / "log"
    assert main(words) == 0
    for share in (0.3, 0.9):
        folder = tmp_path / f"full {share}"
        words, out = words_of(name, inputs, folder)
        folder.mkdir()
        if not out.suffix == "" and name.split()[0] != "score":  # which does not replace files of others
            out.write_text("former")
        assert forked(limited(words, int(share * size_of(whole))), log) == 1, log.read_text()
        said = log.read_text()
        assert "Traceback" not in said and "File too large" in said.splitlines()[-1], said
        assert str(folder) in said.splitlines()[-1]
        assert not out.is_file() or out.read_text() == "former"
        assert [one for one in left_over(folder) if one.endswith(".partial")] == []
        assert forked(lambda words=words: main(words), log) == 0, log.read_text()
        assert content(out) == content(whole) and not left_over(folder)


#: After what piece or block each of them is stopped.
STOPPED = ("score npz", "compress", "convert")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("name", STOPPED)
def test_a_signal_stops_at_the_next_piece_and_the_same_command_goes_on(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    pytest.importorskip("constriction")
    monkeypatch.setattr(conversion, "PIECE_ROWS", 40)
    monkeypatch.setattr(compression, "BLOCK_JETS", 40)
    with_default = [one for one in fields(score_job.ScoreJob) if one.default is not MISSING]
    defaults = tuple(40 if one.name == "piece_rows" else one.default for one in with_default)
    monkeypatch.setattr(score_job.ScoreJob.__init__, "__defaults__", defaults)
    words, whole = words_of(name, inputs, tmp_path / "whole")
    assert main(words) == 0
    words, out = words_of(name, inputs, tmp_path / "stopped")
    log = tmp_path / "log"

    def stopped() -> int:
        signal.signal(number, signal.SIG_DFL)
        raise_at(number, 3)
        return main(words)

    assert forked(stopped, log) == 75, log.read_text()
    said = log.read_text()
    assert f"stopped by {signal.Signals(number).name}" in said and "Traceback" not in said
    assert not out.is_file() and (name != "score npz" or len(list(out.parent.glob("*.parts/*.safetensors"))) == 3)
    assert forked(lambda: main(words), log) == 0, log.read_text()
    assert content(out) == content(whole) and not left_over(tmp_path / "stopped")


def raise_at(number: int, pieces: int) -> None:
    """Sends this process a signal after so many pieces or blocks."""
    from lgae_pyg.processes import GracefulStop

    check, done = GracefulStop.check, 0

    def checked(self: GracefulStop) -> None:
        nonlocal done
        done += 1
        if done == pieces:
            os.kill(os.getpid(), number)
        check(self)

    GracefulStop.check = checked


WRITERS = ("score npz", "compress", "decompress out.npz", "decompress store", "convert")


@pytest.mark.parametrize("name", WRITERS)
def test_a_second_writer_is_refused_and_does_not_disturb_the_first(inputs: Path, tmp_path: Path, name) -> None:
    """The second comes while the first is between two operations."""
    pytest.importorskip("constriction")
    words, whole = words_of(name, inputs, tmp_path / "whole")
    assert main(words) == 0
    words, out = words_of(name, inputs, tmp_path / "both")
    reached, go_on = tmp_path / "reached", tmp_path / "go on"
    log = tmp_path / "first.log"

    def first() -> int:
        replace = os.replace

        def waiting(source: Any, target: Any) -> None:
            if str(out) in str(target) and not str(target).endswith(".lock.json") and not reached.exists():
                reached.touch()
                while not go_on.exists():
                    time.sleep(0.01)
            replace(source, target)

        os.replace = waiting
        return main(words)

    child = started(first, log)
    try:
        while not reached.exists():
            assert os.waitpid(child, os.WNOHANG)[0] == 0, log.read_text()
            time.sleep(0.01)
        assert forked(lambda: main(words), tmp_path / "second.log") == 1
    finally:
        go_on.touch()
    assert os.waitpid(child, 0)[1] == 0, log.read_text()
    said = (tmp_path / "second.log").read_text()
    assert "another" in said.splitlines()[-1] and "Traceback" not in said, said
    assert content(out) == content(whole) and not left_over(tmp_path / "both")
