"""The data-efficiency study: what is trained, what is not trained again, and the numbers of its table."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lgae_pyg.evaluation import efficiency
from lgae_pyg.evaluation.efficiency import Plan, collect, run_jobs
from lgae_pyg.evaluation.studies import draw_study


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
    run_jobs(Plan(["a_fast"], [10], [0], plan.folder, shown=1600, epochs=4))  # other settings: trained anew
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


def test_nothing_to_compare(plan: Plan) -> None:
    with pytest.raises(ValueError, match=r"no training in .* is complete"):
        collect(plan)
