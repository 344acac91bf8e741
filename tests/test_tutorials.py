"""The tutorials: their cells run in order, offline, and what they assert of physics holds."""

import json
import shutil
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not TUTORIALS.is_dir(), reason="only in a clone")


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_all_five_are_there() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == list("12345")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_plain_and_claims_something(path: Path) -> None:
    """Without outputs and magics; every one asserts what its words say."""
    code = cells(path, "code")
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    lines = [line for cell in code for line in "".join(cell["source"]).splitlines()]
    assert not [line for line in lines if line.lstrip().startswith(("%", "!"))]
    assert sum(line.lstrip().startswith("assert ") for line in lines) >= 3
    assert len(cells(path, "markdown")) >= len(code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_site_shows_what_the_cells_draw(path: Path) -> None:
    """Each cell that labels an axis has its figure (``make tutorials``), and no other has."""
    every = json.loads(path.read_text(encoding="utf-8"))["cells"]
    drawing = {number for number, cell in enumerate(every) if "plt.xlabel" in "".join(cell["source"])}
    figures = TUTORIALS.glob(f"figures/{path.stem}_*.png")
    assert {int(one.stem.split("_")[-2]) for one in figures} == drawing


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path, monkeypatch) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    if path.stem == "5_compress":
        pytest.importorskip("constriction")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda *_, **__: None)
    plt.switch_backend("Agg")
    shutil.copy(TUTORIALS / "jets.npz", tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    try:
        for number, cell in enumerate(cells(path, "code")):
            exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)
        assert plt.get_fignums()
    finally:
        plt.close("all")
