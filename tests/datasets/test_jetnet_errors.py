"""Bad files in JetNet's layout, and bad arguments: one clear error, and nothing is left behind."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from jetnet_files import make_arrays, processed, write_file

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets import JetNet


def change(table: str, row: int, column: int, value: float):
    def apply(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            place = (row, 0, column) if table == "particle_features" else (row, column)
            file[table][place] = value

    return apply


def replace(table: str, array: np.ndarray | None):
    def apply(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[table]
            if array is not None:
                file[table] = array

    return apply


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def overwrite(path: Path) -> None:
    path.write_bytes(b"<html>504 Gateway Timeout</html>")


def absent(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["particle_features"][4] = 0


def without_jets(path: Path) -> None:
    write_file(path, np.zeros((0, 30, 4)), np.zeros((0, 4)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut_short, "cut short or damaged"),
        (overwrite, "cut short or damaged"),
        (replace("particle_features", None), "no table of numbers 'particle_features'"),
        (replace("jet_features", np.array([b"text"])), "no table of numbers 'jet_features'"),
        (replace("particle_features", np.zeros((25, 30, 3))), r"\(25, 30, 3\)"),
        (replace("jet_features", np.ones((24, 4))), r"\(24, 4\)"),
        (without_jets, "holds no jets"),
        (change("particle_features", 3, 0, np.nan), "jet 3 .*'etarel' is not finite"),
        (change("particle_features", 5, 1, np.inf), "jet 5 .*'phirel' is not finite"),
        (change("jet_features", 24, 2, np.nan), "jet 24 .*'mass' is not finite"),
        (change("particle_features", 7, 2, -0.1), "jet 7 .*'ptrel' is negative"),
        (change("jet_features", 9, 0, -900.0), "jet 9 .*'pt' is not positive"),
        (change("jet_features", 9, 1, 300.0), "jet 9 .*'etarel' gives a pseudorapidity"),
        (change("particle_features", 2, 3, 0.5), "jet 2 .*'mask' is neither"),
        (absent, "jet 4 .*'mask' leaves no particle"),
    ],
)
@pytest.mark.parametrize("chunk", [4, 1000])
def test_bad_files_give_one_clear_error_and_leave_nothing(root: Path, monkeypatch, spoil, words, chunk):
    monkeypatch.setattr("lgae_pyg.datasets.jetnet_format._CHUNK", chunk)
    spoil(root / "raw" / "g.hdf5")
    with pytest.raises(DataFileError, match=rf"g\.hdf5.*{words}") as caught:
        JetNet(root, ("q", "g"))
    assert "again" in str(caught.value)
    assert processed(root) == []


def test_more_particles_than_the_file_has(tmp_path: Path):
    write_file(tmp_path / "raw" / "g.hdf5", *make_arrays(3, particles=10))
    with pytest.raises(DataFileError, match=r"g\.hdf5 holds 10 particles.*num_particles = 20"):
        JetNet(tmp_path, ("g",), num_particles=20)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": ("g", "h")}, r"\['h'\]"),
        ({"classes": ()}, "none"),
        ({"split": "valid"}, "'valid'"),
        ({"unit": "eV"}, "'eV'"),
        ({"fractions": (0.5, 0.1, 0.1)}, "sum 1"),
        ({"fractions": (0.5, 0.5)}, "three shares"),
        ({"num_particles": 0}, "at least 1"),
        ({"max_jets": 0}, "at least 1"),
        ({"seed": -1}, "negative"),
    ],
)
def test_bad_arguments_are_refused(root: Path, arguments, words):
    with pytest.raises(ValueError, match=words):
        JetNet(root, **arguments)
