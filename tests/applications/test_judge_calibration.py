"""Scores that are ranked among background jets of equal mass in another file."""

import numpy as np
import pytest

from lgae_pyg.applications.judge import judge_file
from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError
from lgae_pyg.metrics.mass_rank import rank_at_equal_mass

RNG = np.random.default_rng(0)


def save(path, number: int, signal: int = 0, **changes) -> dict:
    """A score that grows with the mass, of background jets and after them of signal jets; masses in TeV."""
    mass = np.concatenate([RNG.exponential(50, number), RNG.normal(90, 20, signal)]).clip(1)
    y = np.arange(number + signal) >= number
    score = np.log(mass) + RNG.normal(size=len(mass)) + 0.2 * y
    columns = {"score": score, "jet_mass": mass / 1000, "y": y.astype(int)} | changes
    np.savez(path, **columns)
    return columns


def test_a_rank_at_equal_mass_is_judged_beside_the_score(tmp_path, capsys):
    judged, others = save(tmp_path / "s.npz", 2000, 400), save(tmp_path / "b.npz", 6000)
    others["score"][3] = np.nan
    np.savez(tmp_path / "b.npz", score=others["score"], jet_mass=others["jet_mass"])
    verdict = judge_file(tmp_path / "s.npz", calibration=tmp_path / "b.npz", unit="TeV", resamples=5)
    assert list(verdict.jets.scores) == ["score", "score at equal mass"]
    kept = np.arange(6000) != 3
    expected = rank_at_equal_mass(
        judged["score"], judged["jet_mass"] * 1000, others["score"][kept], others["jet_mass"][kept] * 1000
    )
    np.testing.assert_allclose(verdict.jets.scores["score at equal mass"], expected, rtol=1e-12)
    assert any("5,999 background jets of b.npz; 1 rows without score or mass" in one for one in verdict.notes)
    plain, ranked = (one.sculpting["larger"][0.1] for one in verdict.numbers[:2])
    assert plain.chance < 0.01 and abs(ranked.distance - ranked.noise) < 4 * ranked.noise_error
    files = [str(tmp_path / name) for name in ("s.npz", "b.npz")]
    assert main(["judge", files[0], "--calibration", files[1], "--unit", "TeV", "--resamples", "2"]) == 0
    assert "score at equal mass" in capsys.readouterr().out


def test_a_score_that_is_missing_keeps_its_row_out(tmp_path):
    judged = save(tmp_path / "s.npz", 200, 50)
    judged["score"][7] = np.nan
    np.savez(tmp_path / "s.npz", **judged)
    save(tmp_path / "b.npz", 300)
    verdict = judge_file(tmp_path / "s.npz", calibration=tmp_path / "b.npz", unit="TeV", resamples=2)
    assert len(verdict.jets) == 249


def test_what_is_missing_is_named(tmp_path):
    save(tmp_path / "s.npz", 200, 50)
    np.savez(tmp_path / "b.npz", score=np.zeros(300), mass=np.ones(300))
    with pytest.raises(DataFileError, match=r"b.npz has no column 'jet_mass'"):
        judge_file(tmp_path / "s.npz", calibration=tmp_path / "b.npz", resamples=2)
    with pytest.raises(DataFileError, match="take the mass of the judged jets: name it with --mass"):
        judge_file(tmp_path / "s.npz", calibration=tmp_path / "b.npz", mass="none", resamples=2)
    np.savez(tmp_path / "b.npz", score=np.full(9, np.nan), jet_mass=np.ones(9))
    with pytest.raises(DataFileError, match="at least as many, not 0"):
        judge_file(tmp_path / "s.npz", calibration=tmp_path / "b.npz", resamples=2)
