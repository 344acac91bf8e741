"""A generation that is killed, damaged or started twice goes on to the same files; no Pythia is needed here."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.pythia import files
from lgae_pyg.datasets.pythia.events import Jets
from lgae_pyg.datasets.pythia.files import generate_files
from lgae_pyg.datasets.readers import open_reader
from lgae_pyg.lock import locked

PARTICLES = 5


@pytest.fixture(autouse=True)
def generator(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of Pythia; gives the numbers of the chunks that are made."""
    made: list[int] = []

    def chunk(name: str, number: int, jets: int, particles: int, seed: int, settings: object) -> Jets:
        made.append(number)
        rng = np.random.default_rng([seed, number])
        features = rng.uniform(size=(jets, particles, 4)).astype(np.float32)
        return Jets(features, rng.uniform(size=(jets, 4)) + 1)

    monkeypatch.setattr(files, "generate_chunk", chunk)
    monkeypatch.setattr(files, "require_generator", lambda: {"pythia": "none"})
    return made


def generate(folder: Path, jets: int = 40) -> Path:
    return generate_files(folder, ["g"], jets, PARTICLES, workers=1, progress=False, chunk_jets=10)[0]


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Begins a generation whose process ends before the file is written; the chunks that are there."""

    def end(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "_write", end)
        generate(folder)
    return sorted(folder.glob(".g_*.chunks/*.npz"))


def test_any_damage_to_a_chunk_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator) -> None:
    whole = generate(tmp_path / "whole").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "other"
        chunks = interrupted(folder, monkeypatch)
        content = bytearray(chunks[1].read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        chunks[1].write_bytes(content[: len(content) if number % 3 else rng.integers(len(content))])
        assert generate(folder).read_bytes() == whole
        (folder / "g.hdf5").unlink()


@pytest.mark.parametrize("shape", [(10, PARTICLES + 1, 4), (10, PARTICLES), (3, PARTICLES, 4), ()])
def test_a_chunk_of_another_shape_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: list[int], shape: tuple[int, ...]
) -> None:
    whole = generate(tmp_path / "whole").read_bytes()
    chunks = interrupted(tmp_path / "other", monkeypatch)
    np.savez(chunks[1], particle_features=np.ones(shape, np.float32), jet_features=np.ones((10, 4)))
    generator.clear()
    assert generate(tmp_path / "other").read_bytes() == whole and generator == [1]


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = interrupted(tmp_path, monkeypatch)
    for left in (tmp_path / ".g.hdf5.0123.partial", chunks[0].with_name(".000001.npz.0123.partial")):
        left.write_bytes(b"half")
    (tmp_path / ".q.hdf5.0123.partial").write_bytes(b"of another generation, which may be going on")
    generate(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".q.hdf5.0123.partial", "g.hdf5", "g.json"]


def test_a_missing_card_is_written_later(tmp_path: Path, generator: list[int]) -> None:
    path = generate(tmp_path)
    before = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").unlink()
    generator.clear()
    generate(tmp_path)
    after = json.loads(path.with_suffix(".json").read_text())
    assert generator == [] and all(after[key] == before[key] for key in ("recipe", "versions", "summary"))


def test_of_two_generations_of_one_file_the_second_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path, "generation of these jets", "g"):
        with pytest.raises(FileExistsError, match=r"another generation .* is going on.*choose another"):
            generate(tmp_path)
        generate_files(tmp_path, ["q"], 10, PARTICLES, workers=1, progress=False)  # of another file
    generate(tmp_path)


def test_flipped_bytes_never_give_other_jets(tmp_path: Path) -> None:
    path = generate(tmp_path)
    with h5py.File(path) as file:
        sound = {name: file[name][:] for name in Jets._fields} | {"recipe": file.attrs["recipe"]}
    assert "fletcher32" in open_reader(path).protection(list(Jets._fields))
    content, rng, errors = path.read_bytes(), np.random.default_rng(0), 0
    for place in rng.choice(len(content), 300, replace=False):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            with files.open_hdf5(path) as file:
                found = {name: file[name][:] for name in Jets._fields} | {"recipe": file.attrs["recipe"]}
        except (DataFileError, OSError, ValueError, KeyError):
            errors += 1
            continue
        assert found["recipe"] == sound["recipe"]
        assert all(np.array_equal(found[name], sound[name]) for name in Jets._fields), place
    assert errors > 200


PARENT = """
import sys, time, multiprocessing
from lgae_pyg.datasets.pythia.files import _map

if __name__ == "__main__":
    with _map(2) as run:
        import threading
        def tell():
            while len(multiprocessing.active_children()) < 2:
                time.sleep(0.05)
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        threading.Thread(target=tell, daemon=True).start()
        list(run(time.sleep, [600, 600]))
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) == 2
        os.kill(parent.pid, signal.SIGKILL)
        deadline = time.monotonic() + 300
        while any(map(alive, children)) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = [pid for pid in children if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left
