"""The data-efficiency study: what is trained, what is not trained again, and the numbers of its table."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lgae_pyg.cli import main
from lgae_pyg.evaluation.efficiency import study as efficiency
from lgae_pyg.evaluation.efficiency.figures import FIGURES, statistical_errors
from lgae_pyg.evaluation.efficiency.plan import Plan
from lgae_pyg.evaluation.efficiency.study import collect, run_jobs
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.study import draw_study


@pytest.fixture
def plan(tmp_path) -> Plan:
    return Plan(["a_fast", "b_fast"], [100, 10], [0, 1, 2], tmp_path, shown=800, epochs=4, processes=2)


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """Trainings that were started; those of b_fast with ten jets and seed 2 fail."""
    names: list[str] = []

    def run(command, **options):
        words = dict(word.split("=", 1) for word in command[3:])
        names.append(words["name"])
        failed = words["name"] == "b_fast_10_seed2"
        Path(words["runs"], words["name"]).mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(returncode=int(failed), stderr="first\nthe reason" if failed else "", stdout="")

    def measure(folder, test_jets):
        model, jets, seed = folder.name.replace("_fast", "").split("_")
        error = (1 + int(seed[4:])) / int(jets)
        mse = None if model == "b" else error**2
        about = {"label": model.upper(), "origin": "toy", "jets": test_jets}
        return {"mass": error, "pt": 2 * error, "mse": mse, **about}

    monkeypatch.setattr(efficiency.subprocess, "run", run)
    monkeypatch.setattr(efficiency, "measure", measure)
    return names


def test_each_training_is_shown_as_many_jets(plan: Plan) -> None:
    jobs = plan.jobs()
    assert [job.jets for job in jobs] == [10] * 6 + [100] * 6
    words = dict(word.split("=", 1) for word in plan.words(jobs[0]))
    assert words["loader.train_jets"] == "10" and words["loader.epoch_jets"] == "200"
    assert words["trainer.max_epochs"] == "4" and words["seed"] == "0" and words["experiment"] == "a_fast"
    large = Plan(["a"], [400], [0], plan.folder, shown=800, epochs=4)
    assert "trainer.max_epochs=2" in large.words(large.jobs()[0])


def test_only_what_is_missing_is_trained(plan: Plan, trained: list[str]) -> None:
    failed = run_jobs(plan)
    assert len(trained) == 12
    assert {job.name: note for job, note in failed.items()} == {"b_fast_10_seed2": "the reason"}
    trained.clear()
    run_jobs(plan)
    assert trained == ["b_fast_10_seed2"]
    trained.clear()
    run_jobs(Plan(["a_fast"], [10], [0], plan.folder, shown=1600, epochs=4))  # other settings
    assert trained == ["a_fast_10_seed0"]


def test_the_table_by_hand(plan: Plan, trained: list[str]) -> None:
    run_jobs(plan)
    results = collect(plan)
    rows = {(row["model"], row["jets"]): row for row in results.tables["efficiency"].records()}
    first = rows["A", 10]
    assert (first["seeds"], first["mass"], first["mass_min"], first["mass_max"]) == (3, 0.2, 0.1, 0.3)
    assert first["mass_ratio"] == pytest.approx(10) and first["mse"] == pytest.approx(0.04)
    assert rows["A", 100]["mass_ratio"] == 1 and rows["B", 10]["seeds"] == 2
    assert rows["B", 10]["mse"] != rows["B", 10]["mse"]  # pixels have no particles
    assert len(results.tables["efficiency_runs"]) == 11
    assert [path.name for path in draw_study(results, plan.folder, False)] == ["efficiency.png", "efficiency.pdf"]


def test_a_table_for_each_number_of_jets(plan: Plan, trained: list[str], capsys) -> None:
    """Medians with the smallest and the largest of the seeds."""
    words = ["--experiments", "a_fast,b_fast", "--sizes", "100,10", "--seeds", "0,1,2", "--shown", "800"]
    words += ["--epochs", "4", "--out", str(plan.folder), "--set", "hydra.searchpath=[x]", "--quiet"]
    assert main(["efficiency", *words]) == 1  # one training fails
    printed = capsys.readouterr().out
    assert printed.index("\n10 training jets.") < printed.index("\n100 training jets.")
    assert "0.20 (0.10–0.30)" in printed and "Medians over 2 to 3 seeds" in " ".join(printed.split())
    table = Results.load(plan.folder).tables["efficiency_10"]
    rows = {row["model"]: row for row in table.records()}
    assert (rows["A"]["seeds"], rows["B"]["seeds"]) == (3, 2) and rows["B"]["mse"] != rows["B"]["mse"]
    assert rows["A"]["mass"] == "0.20 (0.10–0.30)" and rows["B"]["mass"] == "0.15 (0.10–0.20)"


def test_curves_of_rounding_are_named_and_not_drawn(plan: Plan, trained: list[str], monkeypatch) -> None:
    measure = efficiency.measure

    def conserved(folder, test_jets):
        return measure(folder, test_jets) | ({"mass": 1e-14} if folder.name.startswith("a") else {})

    monkeypatch.setattr(efficiency, "measure", conserved)
    run_jobs(plan)
    first, second, _ = FIGURES["efficiency"](collect(plan)).axes
    assert first.get_title() == "0 to rounding: A" and second.get_title() == ""
    assert first.get_ylim()[0] > 1e-4 and first.get_legend_handles_labels()[1] == ["A", "B"]


def test_a_training_that_stopped_early_was_shown_less(plan: Plan, trained: list[str]) -> None:
    only = Plan(["a_fast"], [10, 100], [0], plan.folder, shown=800, epochs=4)
    run_jobs(only)
    (plan.folder / "runs" / "a_fast_10_seed0" / "metrics.csv").write_text("epoch,val/loss\n0,3\n1,1\n2,2\n")
    results = collect(only)
    shown = {row["jets"]: row["shown"] for row in results.tables["efficiency_runs"].records()}
    assert shown == {10: 400, 100: 800} and "shown 400 to 800 jets in all" in results.caption


def test_nothing_to_compare(plan: Plan) -> None:
    with pytest.raises(ValueError, match=r"no training in .* is complete"):
        collect(plan)


def test_results_with_other_settings_are_not_taken(plan: Plan, trained: list[str], tmp_path) -> None:
    run_jobs(plan)
    other = Plan(plan.experiments, plan.sizes, plan.seeds, plan.folder, shown=1600, epochs=4)
    with pytest.raises(ValueError, match="complete with these settings"):
        collect(other)
    run_jobs(Plan(["a_fast"], [10], [0], plan.folder, shown=1600, epochs=4))
    rows = collect(other).tables["efficiency_runs"].records()
    assert [(row["model"], row["jets"], row["seed"], row["shown"]) for row in rows] == [("A", 10, 0, 1600)]
    assert "shown 1600 jets in all" in collect(other).caption


def test_threads_and_place_do_not_matter(plan: Plan, trained: list[str], tmp_path) -> None:
    run_jobs(plan)
    trained.clear()
    moved = plan.folder.rename(tmp_path.parent / f"{tmp_path.name}_moved")
    same = Plan(plan.experiments, plan.sizes, plan.seeds, moved, shown=800, epochs=4, processes=3, threads=2)
    run_jobs(same)
    assert trained == ["b_fast_10_seed2"]  # the one that had failed
    assert len(collect(same).tables["efficiency_runs"]) == 11


def test_experiments_with_one_label_stay_apart(plan: Plan, trained: list[str], monkeypatch) -> None:
    measure = efficiency.measure
    monkeypatch.setattr(efficiency, "measure", lambda *words: {**measure(*words), "label": "X"})
    run_jobs(plan)
    rows = collect(plan).tables["efficiency"].records()
    expected = [("X (a_fast)", 3), ("X (a_fast)", 3), ("X (b_fast)", 2), ("X (b_fast)", 3)]
    assert [(row["model"], row["seeds"]) for row in rows] == expected


def test_rows_of_one_model_are_told_apart_by_what_was_changed(tmp_path, monkeypatch) -> None:
    def run(command, **options):
        words = dict(word.split("=", 1) for word in command[3:])
        Path(words["runs"], words["name"]).mkdir(parents=True)
        return SimpleNamespace(returncode=0, stderr="", stdout="")

    about = {"mass": 1.0, "pt": 1.0, "mse": 1.0, "label": "Net", "origin": "toy", "jets": 10}
    monkeypatch.setattr(efficiency.subprocess, "run", run)
    monkeypatch.setattr(efficiency, "measure", lambda *words: about)
    names = ["a+model.width=8", "a+model.width=8+model.depth=3", "a+model.width=9+optimizer.lr=1"]
    plan = Plan(names, [10], [0], tmp_path, shown=800, epochs=4)
    run_jobs(plan)
    labels = [row["model"] for row in collect(plan).tables["efficiency"].records()]
    assert labels == ["Net (width=8)", "Net (width=8, depth=3)", "Net (width=9, optimizer.lr=1)"]


def test_jets_shown_are_those_of_the_training(tmp_path) -> None:
    plan = Plan(["a"], [10, 3000, 10_000], [0], tmp_path, shown=20_000, epochs=4)
    assert [plan.shown_to(job) for job in plan.jobs()] == [20_000, 24_000, 20_000]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shown": 99}, "training set of 100 jets could not be seen once"),
        ({"epochs": 0}, "epochs=0: must be at least 1"),
        ({"sizes": [0, 10]}, "sizes=0: must be at least 1"),
        ({"seeds": [1, 1]}, "seeds=1,1: give at least one, and each once"),
        ({"experiments": []}, "experiments=: give at least one"),
    ],
)
def test_bad_plans(tmp_path, change: dict, message: str) -> None:
    words = {"experiments": ["a"], "sizes": [100], "seeds": [0], "folder": tmp_path, "shown": 800, "epochs": 4}
    with pytest.raises(ValueError, match=message):
        Plan(**{**words, **change})


def test_models_of_pixels_alone_can_be_drawn(plan: Plan, trained: list[str]) -> None:
    only = Plan(["b_fast"], [10, 100], [0, 1], plan.folder, shown=800, epochs=4)
    run_jobs(only)
    results = collect(only)
    assert "pixels have no particle error" in results.caption
    scales = [axes.get_yscale() for axes in FIGURES["efficiency"](results).axes]
    assert scales == ["log", "log", "linear"]
    assert len(draw_study(results, only.folder, False)) == 2


def test_redraw_draws_the_stored_table(plan: Plan, trained: list[str], capsys) -> None:
    run_jobs(plan)
    collect(plan).save(plan.folder)
    table = (plan.folder / "efficiency.csv").read_bytes()
    trained.clear()
    assert main(["efficiency", "--redraw", "--quiet", "--out", str(plan.folder), "--shown", "77777"]) == 0
    assert trained == [] and (plan.folder / "efficiency.csv").read_bytes() == table
    assert main(["efficiency", "--redraw", "--out", str(plan.folder / "none")]) == 1
    assert "run the study first" in capsys.readouterr().err


def test_sizes_that_are_no_numbers(capsys) -> None:
    assert main(["efficiency", "--sizes", "10,many"]) == 1
    assert "--sizes 10,many: give whole numbers" in capsys.readouterr().err


def test_trainings_that_end_where_they_began_are_named(plan: Plan, trained: list[str]) -> None:
    run_jobs(plan)
    losses = {"a_fast_10_seed0": (1.0, 2.0, 3.0), "a_fast_10_seed1": (3.0, 1.0, 2.0), "b_fast_10_seed0": (1.0,)}
    for name, values in losses.items():
        lines = ["epoch,val/loss", *(f"{epoch},{loss}" for epoch, loss in enumerate(values))]
        (plan.folder / "runs" / name / "metrics.csv").write_text("\n".join(lines))
    results = collect(plan)
    assert results.caption.endswith(
        " A: in 1 of 2 trainings no epoch was better than the initial weights, which count then."
    )  # B is a closed form: it has no epoch to be better
    rows = results.tables["efficiency_runs"].records()
    names = ("best_epoch", "last_epoch", "shown")
    epochs = {(row["model"], row["seed"]): tuple(row[name] for name in names) for row in rows[:4]}
    assert epochs["A", 0] == (0, 2, 400) and epochs["A", 1] == (1, 2, 400) and epochs["B", 0] == (0, 0, 0)


def test_an_unknown_experiment_is_named_before_anything_is_trained(trained: list[str], tmp_path, capsys) -> None:
    assert main(["efficiency", "--experiments", "lgae_mix_fast,linear_fsat", "--out", str(tmp_path / "e")]) == 1
    error = capsys.readouterr().err
    assert "unknown experiment 'linear_fsat'" in error and "did you mean linear_fast?" in error
    assert trained == [] and not (tmp_path / "e").exists()


def test_refused_trainings_leave_no_empty_folders(plan: Plan, trained: list[str]) -> None:
    run_jobs(plan)
    assert not (plan.folder / "runs" / "b_fast_10_seed2").exists()
    assert (plan.folder / "runs" / "a_fast_10_seed2").is_dir()


def test_changed_experiments_are_rows_of_their_own(tmp_path) -> None:
    plan = Plan(["pfn", "pfn+model.friends=mass+model.num_friends=8"], [100], [0], tmp_path, shown=800, epochs=4)
    plain, changed = (plan.words(job) for job in plan.jobs())
    names = [job.name for job in plan.jobs()]
    assert names == ["pfn_100_seed0", "pfn-model-friends-mass-model-num_friends-8_100_seed0"]
    assert changed[0] == plain[0] == "experiment=pfn"
    assert changed[-2:] == ["model.friends=mass", "model.num_friends=8"] and len(changed) == len(plain) + 2


def test_what_a_study_of_taggers_tells(tmp_path, monkeypatch) -> None:
    """Medians of three seeds, costs from the runs, no ratios; one number of jets is drawn side by side."""
    merits = {"accuracy": 0.9, "rejection_0.5": 100.0, "rejection_0.3": float("inf"), "auc_equal_mass": None}

    def run(command, **options):
        words = dict(word.split("=", 1) for word in command[3:])
        folder = Path(words["runs"], words["name"])
        folder.mkdir(parents=True)
        rows = ["epoch,val/loss,jets_per_second,seconds", "0,0.7,,", "1,0.5,100,30", "2,0.3,300,30"]
        rows.append("3,0.4,200,60")
        (folder / "metrics.csv").write_text("\n".join(rows))
        return SimpleNamespace(returncode=0, stderr="", stdout="")

    def measure(folder, test_jets):
        seed = int(folder.name[-1])
        about = {"task": "classification", "label": folder.name[:3].upper(), "origin": "toy", "jets": test_jets}
        return {**merits, "auc": 0.95 + 0.01 * seed**2, "auc_error": 0.002 * seed, "parameters": 42, **about}

    monkeypatch.setattr(efficiency.subprocess, "run", run)
    monkeypatch.setattr(efficiency, "measure", measure)
    plan = Plan(["pfn", "net"], [100], [0, 1, 2], tmp_path, shown=800, epochs=4)
    assert run_jobs(plan) == {}
    results = collect(plan)
    first = results.tables["efficiency"].records()[0]
    assert (first["model"], first["auc"], first["auc_min"], first["auc_max"]) == ("PFN", 0.96, 0.95, 0.99)
    assert (first["parameters"], first["jets_per_second"], first["minutes"]) == (42, 200, 2)
    assert not any(name.endswith("ratio") for name in first)
    assert "Statistical errors of one training, medians: AUC 0.002." in results.caption
    assert {row["best_epoch"] for row in results.tables["efficiency_runs"].records()} == {2}
    figure = FIGURES["efficiency"](results)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["PFN", "NET"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log", "linear"]
    assert statistical_errors(results)["PFN", 100, "auc"] == 0.002  # the median of three seeds
    seeds = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert [list(line.get_xdata()) for line in seeds] == [[0.95, 0.96, 0.99]] * 2
    drawn = " ".join(figure.get_supxlabel().split())
    assert "circles: seeds" in drawn and "Jets/s" not in drawn and "Jets/s" in results.caption


def test_autoencoders_and_taggers_have_no_table_in_common(plan: Plan, trained: list[str], monkeypatch) -> None:
    measure = efficiency.measure

    def mixed(folder, test_jets):
        return measure(folder, test_jets) | ({"task": "classification"} if folder.name.startswith("a") else {})

    monkeypatch.setattr(efficiency, "measure", mixed)
    run_jobs(plan)
    with pytest.raises(ValueError, match="no table in common"):
        collect(plan)
