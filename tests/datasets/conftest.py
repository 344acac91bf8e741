"""Files that tests of data sets share."""

from pathlib import Path

import pytest
from jetnet_files import make_arrays, write_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three files in JetNet's layout."""
    for seed, (letter, jets) in enumerate({"g": 25, "q": 40, "t": 10}.items()):
        write_file(tmp_path / "raw" / f"{letter}.hdf5", *make_arrays(jets, seed=seed))
    return tmp_path
