"""What a score can gain by the mass: fitted on other jets than it is judged on, and never more than the bound."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from lgae_pyg.evaluation.results import Results
from lgae_pyg.metrics.roc import area_under_curve

SPEC = importlib.util.spec_from_file_location("mass_bound", Path(__file__).parents[2] / "train" / "mass_bound.py")
assert SPEC and SPEC.loader
bound = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bound)


def kinds(seed: int = 0, number: int = 2000):
    """Mass and log-odds of a score that knows more than the mass."""
    rng = np.random.default_rng(seed)
    background = np.stack([rng.lognormal(4, 0.5, number), rng.normal(0, 1, number)], -1)
    signal = np.stack([rng.lognormal(4.4, 0.2, number), rng.normal(1, 1, number)], -1)
    return background, signal


def test_a_density_of_the_logarithm_is_normalised():
    mass = kinds()[0][:, 0]
    places = np.linspace(0, 8, 2000)
    density = np.exp(bound.log_density(mass)(np.exp(places)))
    assert density.sum() * (places[1] - places[0]) == pytest.approx(1, abs=0.01)


def test_jets_are_judged_by_what_others_were_fitted_on():
    """Background of one half changes the values of signal of the other half alone."""
    background, signal = kinds()
    changed = background.copy()
    changed[::2, 0] *= 3
    first, second = (bound.crossed(bound.flat, one, signal)[1] for one in (background, changed))
    assert np.array_equal(first[::2], second[::2])
    assert np.abs(first[1::2] - second[1::2]).min() > 0


def test_mass_and_score_together_are_best():
    background, signal = kinds()
    flat, ratio, trees = (bound.crossed(fit, background, signal) for fit in (bound.flat, bound.ratio, bound.trees))
    areas = [area_under_curve(*one) for one in (flat, ratio, trees)]
    assert areas[0] < areas[1] < areas[2]
    optimum = [one[:, 1] for one in (background, signal)]  # odds of normal densities one apart, up to a constant
    summed = [a + b for a, b in zip(ratio, optimum)]
    assert area_under_curve(*summed) == pytest.approx(areas[2], abs=0.02)


def test_the_table_is_printed_from_stored_results(tmp_path, capsys, monkeypatch):
    background, signal = kinds(number=300)
    arrays = {}
    for name, one in (("QCD", background), ("t", signal)):
        arrays |= {f"{name}/mass": one[:, 0], f"{name}/not_background": 1 / (1 + np.exp(-one[:, 1]))}
    about = {"background": "QCD", "signals": ["t"], "headline": "not_background", "caption": "Toy."}
    Results("anomaly", {}, arrays, about).save(tmp_path)
    monkeypatch.setattr("sys.argv", ["mass_bound.py", str(tmp_path), "--resamples", "2"])
    assert bound.main() == 0
    assert "labels: trees on mass and score" in capsys.readouterr().out
