"""Results are those of one evaluation, whole, unchanged and in their folder, whatever interrupts their writing."""

import json
from pathlib import Path

import numpy as np
import pytest

from lgae_pyg.evaluation import study
from lgae_pyg.evaluation.report import collect_run
from lgae_pyg.evaluation.results import Results, figures_of
from lgae_pyg.files import inside, new_folder, write_text
from lgae_pyg.tables import Table


def results(value: float, *names: str) -> Results:
    about = {"caption": f"Data: {value}.", "label": "toy"}
    tables = {name: Table(name, about["caption"], {"model": "m", "x": "x"}, (("toy", value),)) for name in names}
    return Results("toy", tables, {"x": np.full(5, value)}, about)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(monkeypatch: pytest.MonkeyPatch, out: Path, found: Results) -> None:
    toy = study.Study("toy", lambda *_: found, fits=lambda _: None)
    monkeypatch.setattr(study, "find_study", lambda name: toy)

    class Model:
        facts = None

    study.run_study("toy", Model(), study.StudyOptions(progress=False), out)


class Killed(BaseException):
    """As if the process ended here."""


def test_an_evaluation_that_dies_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "toy"
    run(monkeypatch, out, results(1.0, "first", "old"))
    (out / "notes.txt").write_text("mine")
    before = content(out)

    def die(*_) -> None:
        raise Killed

    for where in ("lgae_pyg.evaluation.results.write_atomically", "lgae_pyg.evaluation.study.draw_study"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(where, die)
            run(patch, out, results(2.0, "first", "new"))
        assert content(out) == before
    run(monkeypatch, out, results(2.0, "first", "new"))
    assert set(content(out)) == {*before, "new.csv", "new.md"} - {"old.csv", "old.md"}
    assert content(out)["notes.txt"] == b"mine" and Results.load(out).tables["new"].rows == (("toy", 2.0),)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_kill_between_two_renames_is_mended(tmp_path: Path) -> None:
    (tmp_path / ".toy.old").mkdir()
    (tmp_path / ".toy.old" / "mine").write_text("kept")
    (tmp_path / ".toy.new").mkdir()
    (tmp_path / ".toy.new" / "half").write_text("written")
    with new_folder(tmp_path / "toy", lambda folder: {"table"}) as place:
        (place / "table").write_text("new")
    assert content(tmp_path) == {"toy/mine": b"kept", "toy/table": b"new"}


def test_every_flipped_byte_of_results_is_noticed(tmp_path: Path) -> None:
    results(0.125, "first").save(tmp_path)
    Results.load(tmp_path)
    for name in ("study.json", "first.csv", "arrays.npz"):
        file = tmp_path / name
        whole = file.read_bytes()
        for place in range(0, len(whole), 1 if len(whole) < 200 else 7):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            with pytest.raises(ValueError, match="run the study again"):
                Results.load(tmp_path)
        file.write_bytes(whole)


def test_names_in_results_do_not_lead_out_of_their_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "secret.csv", "model,x\na,1\n")
    folder = tmp_path / "toy"
    results(1.0, "first").save(folder)
    described = json.loads((folder / "study.json").read_text())
    for name in ("../secret", str(tmp_path / "secret")):
        described["tables"][0]["name"] = name
        unsigned = {key: value for key, value in described.items() if key not in ("crc32", "signed")}
        (folder / "study.json").write_text(json.dumps(unsigned))
        with pytest.raises(ValueError, match="leads out of"):
            Results.load(folder)
    results(2.0, "second").save(folder)
    assert (tmp_path / "secret.csv").exists()
    with pytest.raises(ValueError, match="leads out of"):
        inside(folder, "a/../../b")


STRANGE = ("[]", "[1, 2]", "{}", '{"format": 1}', "null", '"x"', "[" * 100_000, "\xff\xfe")


@pytest.mark.parametrize("strange", STRANGE)
def test_strange_files_are_one_clear_error(tmp_path: Path, strange: str) -> None:
    (tmp_path / "study.json").write_text(strange)
    with pytest.raises(ValueError, match="run the study again"):
        Results.load(tmp_path)


def test_missing_and_changed_figures_are_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "evaluation" / "toy"
    one = results(1.0, "first")
    one.save(folder)
    assert figures_of(folder) == ([], None)
    paths = [write_text(folder / "figures" / f"{name}.png", name) for name in "abc"]
    study.sign_figures(folder, paths)
    assert figures_of(folder) == (paths, 0)
    paths[0].unlink()
    paths[1].write_text("of another evaluation")
    write_text(folder / "figures" / "d.png", "of an earlier one")
    assert figures_of(folder) == (paths[2:], 2)
    run = collect_run(tmp_path)
    assert run.figures["toy"] == paths[2:] and "--redraw" in run.stale["toy"]
