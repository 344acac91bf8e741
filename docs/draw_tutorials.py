"""Runs the notebooks of the tutorials and keeps their figures, which the documentation shows below the cells.

``python docs/draw_tutorials.py [NUMBER ...]`` draws those of all, or of some, into ``docs/tutorials/figures``.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

TUTORIALS = Path(__file__).resolve().parent / "tutorials"


def draw(notebook: Path) -> list[Path]:
    """Runs a notebook in a folder of its own; a cell's figures are called ``NOTEBOOK_CELL_FIGURE.png``."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    names: dict = {"__name__": "__main__"}
    drawn = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shutil.copy(TUTORIALS / "jets.npz", folder)
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), names)
            for figure in plt.get_fignums():
                path = TUTORIALS / "figures" / f"{notebook.stem}_{number}_{figure}.png"
                plt.figure(figure).savefig(path, dpi=160, bbox_inches="tight", metadata={"Software": None})
                plt.close(figure)
                drawn.append(path)
    return drawn


if __name__ == "__main__":
    plt.switch_backend("Agg")
    plt.rcParams["figure.figsize"] = 5.5, 3.6
    os.makedirs(TUTORIALS / "figures", exist_ok=True)
    for notebook in sorted(TUTORIALS.glob("*.ipynb")):
        if not sys.argv[1:] or notebook.name[0] in sys.argv[1:]:
            print(*draw(notebook), sep="\n")
