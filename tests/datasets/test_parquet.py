"""What Parquet files may be, and others are not."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets import JetFiles


def test_a_parquet_file_with_two_columns_of_a_name_is_not_called_damaged(tmp_path: Path) -> None:
    """But refused, with what to do; only where that column is asked for."""
    rows = {name: pyarrow.array([[1.0, 2.0], [3.0]]) for name in ("px", "py", "pz")}
    table = pyarrow.table([*rows.values(), rows["px"], rows["py"]], names=[*rows, "px", "other"])
    pyarrow.parquet.write_table(table, tmp_path / "jets.parquet")
    card = {"name": "mine", "unit": "GeV", "momenta": {"px": "px", "py": "py", "pz": "pz", "m": "0 * pz"}}
    with pytest.raises(DataFileError, match=r"jets\.parquet has 2 columns of the name 'px'") as found:
        JetFiles(tmp_path / "jets.parquet", card, root=tmp_path)
    assert "damaged" not in str(found.value) and "different names" in str(found.value)
    card["momenta"]["px"] = "other"
    assert len(JetFiles(tmp_path / "jets.parquet", card, root=tmp_path)) == 2
