"""The report: complete, by itself, and safe."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lgae_pyg.checksums import read_signed, write_signed
from lgae_pyg.cli import main
from lgae_pyg.evaluation.report import collect_run, collect_runs, joined_tables, pieces, write_report
from lgae_pyg.evaluation.report.published import PUBLISHED
from lgae_pyg.evaluation.results import FORMAT, Results
from lgae_pyg.tables import Table

BASE = ("LinearAE", 0.5)


def make_run(folder: Path, label: str, auc: float, columns=("model", "auc")) -> Path:
    """A run with the anomaly study only, and a figure."""
    from PIL import Image

    table = Table("anomaly", "Caption & more. Model: x.", {name: name for name in columns}, ((label, auc), BASE))
    other = Table("anomaly_scores", "All.", {"a": "a"}, ((1,),))
    about = {"caption": "c", "label": label, "recipe": {"seed": 7}, "versions": {"torch": "2"}}
    place = folder / "evaluation" / "anomaly"
    Results("anomaly", {"anomaly": table, "anomaly_scores": other}, {}, about).save(place)
    (place / "figures").mkdir()
    Image.new("RGB", (3000, 30), "red").save(place / "figures" / "roc.png")
    (folder / "config.yaml").write_text("name: <b>bold</b>\n")
    (folder / "metrics.csv").write_text("epoch,train/loss,val/loss,seconds\n0,,2.0,\n1,1.5,1.0,3.2\n")
    return folder


class Checker(HTMLParser):
    """Collects tags and what is fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.links += [values[key] for key in ("src", "href") if key in values]
        self.ids += [values["id"]] if "id" in values else []


def test_a_page_holds_all_that_it_shows(tmp_path) -> None:
    runs = [collect_run(make_run(tmp_path / name, f"model {name}", 0.7)) for name in "ab"]
    text = write_report(runs, tmp_path / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in checker.links)
    assert {link[1:] for link in checker.links if link.startswith("#")} <= set(checker.ids)
    assert len(checker.ids) == len(set(checker.ids))
    assert "script" not in checker.tags and checker.tags.count("img") == 4  # a figure and a curve of each run
    assert f"No reconstruction here: lgae evaluate {tmp_path}/a --studies reconstruction" in text
    for table in PUBLISHED:
        assert table.rows[0][0] in text
    assert "Caption &amp; more." in text and "&lt;b&gt;bold&lt;/b&gt;" in text


def test_an_evaluation_that_was_not_finished_is_not_shown(tmp_path) -> None:
    """A study is written into a hidden folder, which stays behind where the process was killed."""
    run = make_run(tmp_path / "run", "one", 0.7)
    (run / "evaluation" / "anomaly").rename(run / "evaluation" / ".anomaly.new")
    (found,) = collect_runs([run])
    assert not found.tables


def test_rows_of_all_models_stand_one_under_another(tmp_path) -> None:
    runs = [collect_run(make_run(tmp_path / name, name, value)) for name, value in (("a", 0.7), ("b", 0.8))]
    (table,) = joined_tables(runs)
    assert table.rows == (("a", 0.7), BASE, ("b", 0.8))
    other = collect_run(make_run(tmp_path / "c", "c", 0.9, ("model", "other")))
    assert joined_tables([*runs, other])[0].rows == table.rows


def test_text_is_never_markup(tmp_path) -> None:
    label = "<script>alert('x')</script><img src=http://evil>"
    page = write_report([collect_run(make_run(tmp_path / "a", label, 0.7))], tmp_path / "r.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert "script" not in checker.tags and not any("evil" in link for link in checker.links)


def test_without_any_results_there_is_no_page(tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty"), "--out", str(tmp_path / "r.html")]) == 1
    assert "no results in empty" in capsys.readouterr().err and not (tmp_path / "r.html").exists()
    assert main(["report", str(tmp_path / "nowhere")]) == 1
    make_run(tmp_path / "a", "a", 0.7)
    (tmp_path / "a" / "evaluation" / "anomaly" / "study.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be read"):
        collect_run(tmp_path / "a")


def test_the_command_writes_tables_beside_the_page(tmp_path, capsys) -> None:
    make_run(tmp_path / "a", "a", 0.7)
    assert main(["report", str(tmp_path / "a"), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page_tables" / "anomaly.md").exists()
    printed = capsys.readouterr().out
    assert re.search(r"^a +0\.700$", printed, re.MULTILINE) and "without reconstruction" in printed


def test_published_numbers_are_those_of_the_paper() -> None:
    values = {table.name: {row[0]: row[1:] for row in table.rows} for table in PUBLISHED}
    assert values["published_anomalies"]["GNNAE-PL 2×30"] == (66.67, 0.8195, 0.4435, 0.0564, 0.0042)
    assert values["published_particles"]["LGAE Mix τ=9"][2] == 0.011
    assert values["published_jets"]["CNNAE 55"][1] == -0.030
    assert json.dumps([table.rows for table in PUBLISHED])


def with_table(folder: Path, label: str, rows: tuple, caption: str, study: str = "anomaly") -> Path:
    """A run with one table of the anomaly study."""
    table = Table("anomaly", caption, {"model": "model", "auc": "AUC"}, rows)
    about = {"caption": caption, "label": label, "notes": [f"Note on {label}."]}
    Results(study, {"anomaly": table}, {}, about).save(folder / study)
    return folder


def test_tables_of_other_data_or_columns_stand_apart_and_none_is_lost(tmp_path) -> None:
    sources = [
        with_table(tmp_path / "a" / "evaluation", "A", (("A", 0.7),), "AUC. Data: 10 QCD jets. Model: A.").parent,
        with_table(tmp_path / "b" / "evaluation", "B", (("B", 0.8),), "AUC. Data: 20 top jets. Model: B.").parent,
        make_run(tmp_path / "c", "C", 0.9123, ("model", "other")),
    ]
    runs = [collect_run(source) for source in sources]
    tables = joined_tables(runs)
    assert [(table.name, table.rows) for table in tables] == [
        ("anomaly", (("A", 0.7),)),
        ("anomaly_2", (("B", 0.8),)),
        ("anomaly_3", (("C", 0.9123), BASE)),
    ]
    assert tables[0].caption == "AUC. Data: 10 QCD jets." and "Data: 20 top jets." in tables[1].caption
    reasons = [table.caption.partition(". ")[0] for table in tables[1:]]
    assert reasons[0] == "Apart from the first table, because of other jets"
    assert reasons[1] == "Apart from the first table, because of other jets and columns"
    page = write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")
    assert ">0.912<" in page and "id='table-anomaly_3'" in page and "Note on B." in page


def test_sentences_on_one_model_are_not_said_of_all(tmp_path) -> None:
    captions = {
        "A": "AUC; per jet. Jet scores are left out. Data: 9 jets. Model: A.",
        "B": "AUC; per jet; pixels: sums. B comes back. Data: 9 jets. Model: B.",
    }
    runs = [
        collect_run(with_table(tmp_path / k / "evaluation", k, ((k, 0.7),), text).parent)
        for k, text in captions.items()
    ]
    (table,) = joined_tables(runs)
    assert table.caption == ("Data: 9 jets. AUC; per jet; pixels: sums. A: Jet scores are left out. B comes back.")


def test_two_trainings_of_a_model_are_told_apart(tmp_path) -> None:
    runs = [collect_run(make_run(tmp_path / name, "LGAE", value)) for name, value in (("s0", 0.7), ("s1", 0.8))]
    (table,) = joined_tables(runs)
    assert table.rows == (("LGAE (s0)", 0.7), BASE, ("LGAE (s1)", 0.8))


def test_other_evaluation_folders_are_read(tmp_path) -> None:
    run = with_table(tmp_path / "a" / "evaluation", "A", (("A", 0.7),), "AUC. Model: A.").parent
    with_table(run / "evaluation_val", "A", (("A", 0.6),), "AUC. Model: A.")
    content = collect_run(run)
    assert set(content.tables) == {"anomaly", "anomaly (evaluation_val)"}
    (table,) = joined_tables([content])
    assert table.rows == (("A (a)", 0.7), ("A (a/evaluation_val)", 0.6))


def test_newer_formats_are_errors(tmp_path) -> None:
    file = make_run(tmp_path / "b", "b", 0.7) / "evaluation" / "anomaly" / "study.json"
    write_signed(file, read_signed(file) | {"format": 99})
    with pytest.raises(ValueError, match="format 99"):
        collect_run(tmp_path / "b")


def test_a_run_without_any_evaluation_is_named(tmp_path, capsys) -> None:
    make_run(tmp_path / "a", "a", 0.7)
    (tmp_path / "bare").mkdir()
    out = tmp_path / "r.html"
    assert main(["report", str(tmp_path / "a"), str(tmp_path / "bare"), "--out", str(out)]) == 0
    sentence = f"no evaluation in bare: run lgae evaluate {tmp_path}/bare"
    assert sentence in capsys.readouterr().out and sentence in out.read_text(encoding="utf-8")


def test_provenance_keeps_what_differs_between_studies(tmp_path) -> None:
    run = make_run(tmp_path / "a", "a", 0.7)
    table = Table("latent_probes", "P.", {"model": "model"}, (("a",),))
    about = {"caption": "c", "label": "a", "recipe": {"seed": 8}, "versions": {"torch": "2"}}
    Results("latent", {"latent_probes": table}, {}, about).save(run / "evaluation" / "latent")
    (run / "config.yaml").write_text("seed: 41\n")
    content = collect_run(run)
    assert content.about["recipe"] == {"seed": 7} and content.about["recipe (latent)"] == {"seed": 8}
    assert "versions (latent)" not in content.about
    page = write_report([content], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<th scope='row'>seed of the training</th><td>41</td>" in page
    assert "<th scope='row'>time of the training</th><td>0.1 min, 1 epochs</td>" in page


def test_published_bounds_are_not_numbers() -> None:
    values = {table.name: {row[0]: row[2:] for row in table.rows} for table in PUBLISHED}
    assert values["published_jets"]["LGAE Mix τ=9"] == ("<0.001", 0.003, *["<0.001"] * 6)
    assert values["published_jets"]["GNNAE-JL 45"][6] == 0.001  # printed as 0.001
    assert values["published_particles"]["LGAE Mix τ=13"][:2] == ("<0.001", 0.001)


def test_what_does_not_apply_stays_visible_and_is_no_difference(tmp_path) -> None:
    rows = (("A", float("nan")), BASE)
    runs = [
        collect_run(with_table(tmp_path / name / "evaluation", "A", rows, "AUC. Model: A.").parent)
        for name in "ab"
    ]
    (table,) = joined_tables(runs)
    assert [row[0] for row in table.rows] == ["A", "LinearAE"]
    assert "<td class='number'>nan</td>" in write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")


def ids_of(page: str) -> list[str]:
    checker = Checker()
    checker.feed(page)
    return checker.ids


def test_runs_in_folders_of_the_same_name_are_told_apart(tmp_path) -> None:
    sources = [make_run(tmp_path / seed / "run", "LGAE", value) for seed, value in (("s0", 0.7), ("s1", 0.8))]
    sources.append(make_run(tmp_path / "other", "GNNAE", 0.6))
    runs = collect_runs(sources)
    assert [run.name for run in runs] == ["s0/run", "s1/run", "other"]
    (table,) = joined_tables(runs)
    assert table.rows == (("LGAE (s0/run)", 0.7), BASE, ("LGAE (s1/run)", 0.8), ("GNNAE", 0.6))
    ids = ids_of(write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(ids) == len(set(ids)) and {"table-training-0", "table-training-1"} <= set(ids)


def test_a_run_given_twice_is_an_error(tmp_path) -> None:
    run = make_run(tmp_path / "a", "A", 0.7)
    with pytest.raises(ValueError, match="a is given twice"):
        collect_runs([run, tmp_path / "b" / ".." / "a"])


def test_tables_of_two_evaluations_of_a_run_have_different_ids(tmp_path) -> None:
    run = make_run(tmp_path / "a", "A", 0.7)
    make_run(run / "evaluation_val", "A", 0.6)
    (run / "evaluation_val" / "evaluation" / "anomaly").rename(run / "evaluation_val" / "anomaly")
    page = write_report([collect_run(run)], tmp_path / "r.html").read_text(encoding="utf-8")
    ids = ids_of(page)
    assert len(ids) == len(set(ids)) and sum("anomaly_scores" in one for one in ids) == 2


def test_the_current_folder_has_a_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(make_run(tmp_path / "a", "A", 0.7))
    assert collect_run(".").name == "a" and collect_runs(["."])[0].missing == collect_run(tmp_path / "a").missing


@pytest.mark.parametrize(
    ("task", "missing"),
    [
        ("classification", {"tagging", "robustness"}),
        ("reconstruction", {"reconstruction", "latent", "symmetry", "generation"}),
        (None, {"reconstruction", "latent", "symmetry", "generation"}),  # of a version that did not store it
    ],
)
def test_only_studies_of_the_task_are_missing(tmp_path, task, missing) -> None:
    run = make_run(tmp_path / "a", "A", 0.7)
    file = run / "evaluation" / "anomaly" / "study.json"
    content = read_signed(file)
    content["description"] |= {} if task is None else {"task": task}
    write_signed(file, content)
    assert set(collect_run(run).missing) == missing


def test_the_evaluation_of_a_run_stands_for_the_run(tmp_path) -> None:
    run = make_run(tmp_path / "a", "A", 0.7)
    table = Table("jet_reconstruction", "J.", {"model": "model"}, (("A",),))
    about = {"format": FORMAT, "description": {"caption": "c"}, "reconstructions": []}
    table.save(run / "evaluation")
    described = {"name": table.name, "caption": table.caption, "columns": table.columns}
    (run / "evaluation" / "results.json").write_text(json.dumps(about | {"tables": [described]}))
    content = collect_run(run / "evaluation")
    assert (content.name, content.folder) == ("a", run) and content == collect_run(run)
    assert len(content.curve) == 2 and content.config == "name: <b>bold</b>\n"


def test_figures_of_lines_are_small_and_keep_their_white(tmp_path) -> None:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (2600, 1300), "white")
    ImageDraw.Draw(picture).rectangle((1300, 0, 2600, 1300), "black")
    picture.save(tmp_path / "edge.png")
    data = re.search("base64,([^']*)", pieces.figure_html(tmp_path / "edge.png", "edge"))[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        pixels = small.convert("L")
        row = [pixels.getpixel((x, 300)) for x in range(pixels.width)]
    assert small.size == (1200, 600)
    assert set(row[:598]) == {255} and set(row[602:]) == {0}  # no ringing beside the edge


def test_thin_lines_keep_their_colours_beside_large_areas(tmp_path) -> None:
    from PIL import Image, ImageDraw

    colours = {"#0072b2": 10, "#009e73": 20, "#d55e00": 30, "#cc79a7": 40, "#e69f00": 50, "#b2182b": 60}
    picture = Image.merge("RGB", [Image.linear_gradient("L").resize((400, 400)) for _ in range(3)])
    for colour, y in colours.items():
        ImageDraw.Draw(picture).line((0, y, 40, y), colour)  # 41 of 160,000 pixels
    picture.save(tmp_path / "lines.png")
    data = re.search("base64,([^']*)", pieces.figure_html(tmp_path / "lines.png", "lines"))[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        shown = small.convert("RGB")
    for colour, y in colours.items():
        wanted = bytes.fromhex(colour[1:])
        assert max(abs(a - b) for a, b in zip(shown.getpixel((20, y)), wanted)) <= 8, colour


def test_colour_maps_have_no_false_steps(tmp_path) -> None:
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    values = np.linspace(0, 1, 400)[:, None] * np.ones((1, 200))
    both = np.hstack([colormaps[name](values)[..., :3] for name in ("viridis", "RdBu_r")])
    drawn = (both * 255).astype(np.uint8)
    Image.fromarray(drawn).save(tmp_path / "maps.png")
    data = re.search("base64,([^']*)", pieces.figure_html(tmp_path / "maps.png", "maps"))[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        shown = np.asarray(small.convert("RGB")).astype(int)
    assert np.abs(shown - drawn).max() <= 16
    assert len(np.unique(shown[:, 0], axis=0)) > 60 and len(np.unique(shown[:, -1], axis=0)) > 60


def test_wandb_passes_over_runs_without_checkpoint(tmp_path, monkeypatch, capsys) -> None:
    from lgae_pyg.training import result_panels

    make_run(tmp_path / "bare", "A", 0.7)
    make_run(tmp_path / "trained", "B", 0.8)
    logged = []
    monkeypatch.setattr(result_panels, "log_results", lambda folder, *_: logged.append(folder) or "offline-run")
    out = ["--wandb", "--out", str(tmp_path / "r.html")]
    assert main(["report", str(tmp_path / "bare"), *out]) == 1
    assert "no checkpoint in bare says" in capsys.readouterr().err and not logged
    (tmp_path / "trained" / "checkpoints").mkdir()
    (tmp_path / "trained" / "checkpoints" / "last.ckpt").touch()
    assert main(["report", str(tmp_path / "bare"), str(tmp_path / "trained"), *out]) == 0
    assert logged == [tmp_path / "trained"]
    assert "nothing of bare: no checkpoint there" in capsys.readouterr().out
