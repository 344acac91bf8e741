"""Files that are not ours are one clear error of every command, never a traceback."""

import os
from pathlib import Path

import numpy as np
import pytest

from lgae_pyg.cli import main
from lgae_pyg.evaluation.report import collect_run, write_report
from lgae_pyg.evaluation.results import Results
from lgae_pyg.tables import Table

NOISE = np.random.default_rng(0).bytes(400)
CONTENT = {
    "text": b"hello\n",
    "empty": b"",
    "noise": NOISE,
    "list.json": b"[1, 2]",
    "null.yaml": b"null\n",
    "bad.yaml": b"a: [\n",
    "zip": b"PK\x03\x04" + NOISE,
    "folder/config.yaml": b"\xff\xfe\x00",
    "results/evaluation/toy/study.json": b'{"format": 1, "study": 3, "description": [], "tables": [1]}',
    "run/checkpoints/best.ckpt": NOISE,
}


@pytest.mark.parametrize("name", CONTENT)
def test_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(CONTENT[name])
    one = name.split("/")[0]
    for words in (
        ["evaluate", one],
        ["evaluate", one, "--redraw"],
        ["report", one, "--out", "page.html"],
        ["data", "inspect", one],
        ["data", "convert", "auto", one, "--out", "store"],
        ["data", "convert", os.path.join(".", one), one, "--out", "store"],
        ["import", "lgae", "--encoder", one, "--decoder", one, "--config", one, "--out", "a.ckpt"],
    ):
        try:
            status = main(words)
        except SystemExit as end:  # a wrong call
            status = end.code
        err = capsys.readouterr().err
        assert status in (1, 2) and "Traceback" not in err and err, words


@pytest.mark.parametrize("cut", ["2,0.5,", "2,0.5,0.", "2"])
def test_a_cut_row_of_metrics_does_not_end_the_report(tmp_path: Path, cut: str) -> None:
    table = Table("first", "Data.", {"model": "m"}, (("toy",),))
    about = {"caption": "Data.", "label": "toy"}
    Results("toy", {"first": table}, {}, about).save(tmp_path / "run" / "evaluation" / "toy")
    rows = "epoch,train/loss,val/loss,seconds\n0,,2.0,\n1,1.5,1.0,3.2\n"
    (tmp_path / "run" / "metrics.csv").write_text(rows + cut)
    run = collect_run(tmp_path / "run")
    page = write_report([run], tmp_path / "page.html").read_text(encoding="utf-8")
    assert [row["epoch"] for row in run.curve] == [0, 1] and "its last row is cut short" in page
