"""HDF5 files: only what was shown to be damaged is called so, and nothing sound is advised to be deleted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets import JetNet
from lgae_pyg.datasets.hdf5 import open_hdf5
from lgae_pyg.datasets.pythia import read_recipe

ADVICE = re.compile(r"delete|remove|damaged|cut short|truncated", re.IGNORECASE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound class file of 20 jets."""
    path = tmp_path / "raw" / "g.hdf5"
    path.parent.mkdir()
    particles = np.zeros((20, 30, 4))
    particles[:, :5, 2:] = (0.2, 1.0)
    with h5py.File(path, "w") as file:
        file["particle_features"] = particles
        file["jet_features"] = np.tile([1000.0, 0.1, 90.0, 5.0], (20, 1))
    return path


def uses(path: Path):
    """Everything that reads such a file."""
    yield lambda: JetNet(path.parents[1], ("g",), force_reload=True)
    yield lambda: read_recipe(path)


def test_a_file_that_another_program_writes_is_locked_not_damaged(path: Path):
    program = f"import h5py, sys; f = h5py.File({str(path)!r}, 'a'); print('open', flush=True); sys.stdin.read()"
    writer = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"open\n"
        for use in uses(path):
            with pytest.raises(BlockingIOError, match=r"g\.hdf5 is open for writing in another program") as caught:
                use()
            assert not ADVICE.search(str(caught.value))
    finally:
        writer.communicate()
    assert len(JetNet(path.parents[1], ("g",))) == 20


@pytest.mark.parametrize("number", [1, 5, 12, 13, 24, 37, 116])
@pytest.mark.parametrize("when", ["opening", "reading"])
def test_what_the_system_refuses_keeps_its_kind_and_names_the_file(path: Path, monkeypatch, number, when):
    text = f"Can't synchronously read data (file read failed: errno = {number}, error message = '...')"
    error = OSError(number, f"Unable to {text}") if when == "opening" else OSError(text)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(h5py, "File", fail) if when == "opening" else monkeypatch.setattr(
        h5py.AttributeManager, "get", fail
    )
    with pytest.raises(type(OSError(number, "")), match=r"g\.hdf5") as caught:
        read_recipe(path)
    assert caught.value.errno == number and not isinstance(caught.value, DataFileError)
    assert not ADVICE.search(str(caught.value))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may read everything")
def test_a_file_without_permission_is_forbidden_not_damaged(path: Path):
    path.chmod(0)
    for use in uses(path):
        with pytest.raises(PermissionError, match=r"g\.hdf5") as caught:
            use()
        assert not ADVICE.search(str(caught.value))


def test_missing_files_and_folders_are_said_to_be_such(path: Path):
    with pytest.raises(FileNotFoundError, match=r"h\.hdf5"):
        read_recipe(path.with_name("h.hdf5"))
    with pytest.raises(IsADirectoryError, match="raw"):
        read_recipe(path.parent)


@pytest.mark.parametrize("reason", ["memory allocation failed for raw data", "can't open directory: plugins"])
def test_an_unknown_reason_is_passed_on_without_advice(path: Path, reason):
    with pytest.raises(DataFileError, match=rf"g\.hdf5 cannot be read as HDF5 .*{reason}") as caught:
        with open_hdf5(path):
            raise OSError(f"Can't synchronously read data ({reason})")
    assert not ADVICE.search(str(caught.value))


@pytest.mark.parametrize("error", [MemoryError("full"), RuntimeError("of torch"), KeyError("mine"), OSError("x")])
def test_errors_of_the_reader_are_not_those_of_the_file(path: Path, error):
    with pytest.raises(type(error)) as caught, open_hdf5(path):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("keep", [0, 4, 2000, 0.5, 0.99])
def test_shown_damage_is_called_so(path: Path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    for use in uses(path):
        with pytest.raises(DataFileError, match=r"g\.hdf5 .*cut short or damaged.*again"):
            use()


def test_another_kind_of_file_is_not_to_be_deleted(path: Path):
    path.write_bytes(b"root\x00\x00" * 100)
    for use in uses(path):
        with pytest.raises(DataFileError, match=r"g\.hdf5 cannot be read.*another kind of file") as caught:
            use()
        assert not re.search("delete|remove", str(caught.value), re.IGNORECASE)


def test_flipped_bytes_give_an_error_of_the_file_or_jets(path: Path):
    """Anywhere in the part of a file that describes it."""
    content, rng = path.read_bytes(), np.random.default_rng(0)
    messages = []
    for place in rng.integers(0, 2500, 150):
        spoilt = bytearray(content)
        spoilt[place] ^= int(rng.integers(1, 256))
        path.write_bytes(spoilt)
        try:
            JetNet(path.parents[1], ("g",), force_reload=True)
        except (DataFileError, MemoryError) as error:
            messages.append(str(error))
    assert messages and all("g.hdf5" in message for message in messages)
