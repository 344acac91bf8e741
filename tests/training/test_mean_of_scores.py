"""The mean of several detectors: of the same jets, better than each where they err differently."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from lgae_pyg.evaluation.results import Results
from lgae_pyg.metrics.roc import area_under_curve

PATH = Path(__file__).parents[2] / "train" / "mean_of_scores.py"
SPEC = importlib.util.spec_from_file_location("mean_of_scores", PATH)
assert SPEC and SPEC.loader
means = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(means)


def study(seed: int, headline: str = "not_background", number: int = 1000) -> Results:
    """A detector with noise of its own; mass and truth of the jets are the same for all."""
    common, own = np.random.default_rng(0), np.random.default_rng(seed)
    arrays = {}
    for name, shift in (("QCD", 0.0), ("t", 1.0), ("w", 1.0)):
        arrays[f"{name}/mass"] = common.uniform(20, 200, number)
        arrays[f"{name}/multiplicity"] = common.integers(5, 30, number).astype(float)
        odds = arrays[f"{name}/mass"] / 100 + shift + own.normal(0, 1.5, number)
        arrays[f"{name}/{headline}"] = 1 / (1 + np.exp(-odds))
    about = {"background": "QCD", "signals": ["t", "w"], "headline": headline, "label": "Toy", "caption": "Toy."}
    return Results("anomaly", {}, arrays, about)


def area(found, score: str) -> float:
    return area_under_curve(found["QCD"][score], np.concatenate([found[one][score] for one in "tw"]))


def test_independent_errors_average_out():
    one, both = means.mean_scores([study(1)]), means.mean_scores([study(1), study(2)])
    assert area(both, means.NAME) > area(one, means.NAME) + 0.02
    alone = study(1).arrays
    assert area(one, means.NAME) == area_under_curve(
        alone["QCD/not_background"], np.concatenate([alone["t/not_background"], alone["w/not_background"]])
    )


def test_the_rank_at_equal_mass_forgets_the_mass():
    background = means.mean_scores([study(1, number=4000), study(2, number=4000)])["QCD"]
    assert np.corrcoef(background[means.NAME], background["mass"])[0, 1] > 0.3
    assert abs(np.corrcoef(background[means.RANK], background["mass"])[0, 1]) < 0.05
    assert abs((background[means.RANK] > 0.9).mean() - 0.1) < 0.015  # no jet is ranked among jets with itself


def test_certain_scores_stay_finite():
    assert np.array_equal(means.log_odds(np.array([0.0, 0.5, 1.0])), [-means.LARGEST, 0, means.LARGEST])


def test_other_jets_are_refused():
    other = study(2)
    other.arrays["w/mass"][3] += 1
    with pytest.raises(ValueError, match="not scored the same jets of w"):
        means.mean_scores([study(1), other])


def test_the_tables_are_printed_from_stored_results(tmp_path, capsys, monkeypatch):
    for seed in (1, 2):
        study(seed, number=300).save(tmp_path / str(seed))
    words = ["mean_of_scores.py", str(tmp_path / "1"), str(tmp_path / "2"), "--resamples", "2"]
    monkeypatch.setattr("sys.argv", words)
    assert means.main() == 0
    printed = capsys.readouterr().out
    assert "mean log odds (headline)" in printed and "rank at equal mass" in printed and "Toy + Toy" in printed
