"""What a report is called, where it looks, and what it does not ask for."""

import json
from pathlib import Path

from lgae_pyg.cli import main
from lgae_pyg.evaluation.report import collect_run, collect_runs, write_report
from lgae_pyg.evaluation.results import Results, note_left_out
from lgae_pyg.tables import Table


def make_run(folder: Path, study: str, task: str, evaluation: str = "evaluation") -> Path:
    """A run in which one study was made."""
    table = Table(study, "Data: jets.", {"model": "model"}, (("A",),))
    about = {"caption": "c", "label": "A", "task": task}
    Results(study, {study: table}, {}, about).save(folder / evaluation / study)
    (folder / "config.yaml").write_text("seed: 1\n")
    return folder


def test_the_title_is_of_the_models(tmp_path: Path) -> None:
    tagger = collect_run(make_run(tmp_path / "a", "tagging", "classification"))
    coder = collect_run(make_run(tmp_path / "b", "reconstruction", "reconstruction"))
    pages = [
        write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")
        for runs in ([tagger], [coder], [tagger, coder])
    ]
    titles = [page.partition("<title>")[2].partition("<")[0] for page in pages]
    assert titles == ["Jet taggers", "Jet autoencoders", "Jet taggers and autoencoders"]
    assert ["Published numbers" in page for page in pages] == [False, True, True]  # they are of autoencoders
    assert "<title>Mine<" in write_report([tagger], tmp_path / "r.html", "Mine").read_text()


def test_runs_one_level_down_are_found(tmp_path: Path, capsys) -> None:
    make_run(tmp_path / "runs" / "a", "tagging", "classification")
    make_run(tmp_path / "runs" / "b", "tagging", "classification", "evaluation_50jets")
    (tmp_path / "runs" / "empty").mkdir()
    assert [run.name for run in collect_runs([tmp_path / "runs"])] == ["a", "b"]
    assert [run.name for run in collect_runs([tmp_path / "runs" / "a" / "evaluation"])] == ["a"]
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "r.html")]) == 0
    assert main(["report", str(tmp_path / "run")]) == 1
    assert f"did you mean {tmp_path}/runs?" in capsys.readouterr().err


def test_what_could_not_be_made_is_not_asked_for(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "reconstruction", "reconstruction")
    note_left_out(run / "evaluation", "anomaly", "its data have <no> classes")
    note_left_out(run / "evaluation", "tagging", "A is no tagger")
    content = collect_run(run)
    assert content.left_out == {"anomaly": "its data have <no> classes"} and "anomaly" not in content.missing
    page = write_report([content], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "No anomaly: its data have &lt;no&gt; classes" in page and "--studies anomaly" not in page
    note_left_out(run / "evaluation", "anomaly", None)
    assert "anomaly" in collect_run(run).missing
    (run / "evaluation" / "left_out.json").write_text(json.dumps([1]))
    assert collect_run(run).left_out == {}
