"""The anomaly study along a training: which rows of the study it keeps, and that nothing is done twice."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from lgae_pyg.evaluation.anomaly.tables import anomaly_tables
from lgae_pyg.evaluation.results import Results
from lgae_pyg.tables import read_csv


@pytest.fixture(scope="module")
def curve() -> ModuleType:
    path = Path(__file__).parents[2] / "train" / "anomaly_curve.py"
    spec = importlib.util.spec_from_file_location("anomaly_curve", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results_of(signals: tuple[str, ...], headline: str = "chamfer_cartesian") -> Results:
    """Toy scores: the headline is the mass, the code knows the signal, heavy jets have many particles."""
    rng = np.random.default_rng(0)

    def sample(shift: float) -> dict[str, np.ndarray]:
        mass = rng.uniform(20, 60, 400)
        number = np.round(mass)
        scores = {headline: mass**2, "latent_mahalanobis": rng.normal(shift, 1, 400), "mass": mass}
        return {**scores, "mse_cartesian": rng.normal(size=400), "multiplicity": number}

    found = {"QCD": sample(0.0), **{name: sample(2.0) for name in signals}}
    about = {"background": "QCD", "signals": list(signals), "headline": headline, "label": "Toy", "caption": ""}
    tables = anomaly_tables(found, about, resamples=4, progress=False)
    arrays = {f"{name}/{score}": values for name, one in found.items() for score, values in one.items()}
    return Results("anomaly", tables, arrays, about)


def background_of(results: Results) -> dict[str, np.ndarray]:
    mass = results.arrays["QCD/mass"]
    return {"mass": mass, "pt": -mass, "multiplicity": np.round(mass)}


@pytest.mark.parametrize("signals", [("t",), ("t", "w")])
def test_the_headline_the_code_and_the_mass_are_found_by_their_keys(curve, signals) -> None:
    results = results_of(signals)
    rows = {row["score"]: row for row in curve.rows_of(results, background_of(results))}
    assert list(rows) == ["chamfer_cartesian", "latent_mahalanobis", "mass"]
    assert rows["chamfer_cartesian"]["name"] == "chamfer cartesian (headline)"
    follows = [rows["chamfer_cartesian"][f"follows_{name}"] for name in curve.FOLLOWED]
    assert follows[:2] == [1, -1] and follows[2] > 0.99
    assert abs(rows["latent_mahalanobis"]["follows_mass"]) < 0.2
    assert rows["latent_mahalanobis"]["auc"] > 0.9 and rows["chamfer_cartesian"]["auc"] == rows["mass"]["auc"]
    table = {row["score"]: row for row in results.tables["anomaly"].records()}["latent mahalanobis"]
    union = "all" if len(signals) > 1 else "t"
    expected = (table[f"auc_{union}"], table["auc_equal_mass_error"])
    assert (rows["latent_mahalanobis"]["auc"], rows["latent_mahalanobis"]["auc_equal_mass_error"]) == expected


def test_a_headline_of_another_name_is_found(curve) -> None:
    results = results_of(("t",), "jet_lorentz")
    assert curve.rows_of(results, background_of(results))[0]["score"] == "jet_lorentz"


@pytest.fixture
def trained(curve, monkeypatch) -> list[int]:
    """Numbers of epochs that trainings were taken to, by a command that only writes ``metrics.csv``."""
    done: list[int] = []

    def train(command, **options):
        words = dict(word.split("=", 1) for word in command[3:])
        folder, epochs = Path(words["runs"], words["name"]), int(words["trainer.max_epochs"])
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{epoch},{10 * epoch},{1 / (epoch + 1)}" for epoch in range(epochs + 1)]
        (folder / "metrics.csv").write_text("\n".join(["epoch,step,val/loss", *lines]))
        done.append(epochs)
        return SimpleNamespace(returncode=0 if epochs < 9 else 3)

    def measure(folder, jets):
        results = results_of(("t",))
        return {"rows": curve.rows_of(results, background_of(results)), "label": "Toy", "origin": f"{jets} jets"}

    monkeypatch.setattr(curve.subprocess, "run", train)
    monkeypatch.setattr(curve, "measure", measure)
    return done


def test_a_curve_is_continued_and_refuses_another_training(curve, trained, tmp_path, capsys) -> None:
    words = ["--out", str(tmp_path), "--jets", "5", "--reference", "auc=0.8", "experiment=toy", "data.root=DIR"]
    assert curve.main([*words, "--epochs", "2,1"]) == 0 and trained == [1, 2]
    assert curve.main([*words, "--epochs", "1,2,4"]) == 0 and trained == [1, 2, 4]
    printed = capsys.readouterr().out
    assert "follows" in printed and "DIR" not in printed
    names, rows = read_csv((tmp_path / "anomaly_curve.csv").read_text())
    first = [dict(zip(names, row)) for row in rows][::3]
    expected = [(1, 10, 0.5), (2, 20, 1 / 3), (4, 40, 0.2)]
    assert [(row["epochs"], row["steps"], row["loss"]) for row in first] == expected
    assert (tmp_path / "anomaly_curve.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match=r"curve of another training \(experiment=toy"):
        curve.main([*words, "model.latent_vectors=3"])
    with pytest.raises(ValueError, match="--reference loss: choose among auc"):
        curve.main([*words, "--reference", "loss=1"])
    assert curve.main([*words, "--epochs", "9"]) == 3  # the training failed: nothing is measured
    assert {row["epochs"] for row in json.loads((tmp_path / "rows.json").read_text())["rows"]} == {1, 2, 4}
