"""Cases by name, medians, straight lines, random jets and memory."""

import numpy as np
import pytest
import torch

from lgae_pyg.benchmark import machine, memory
from lgae_pyg.benchmark.cases import BACKENDS, Case, Sizes, speed_cases
from lgae_pyg.benchmark.jets import random_batch
from lgae_pyg.benchmark.statistics import fit_line, rate
from lgae_pyg.lorentz.kinematics import mass, transverse_momentum


def test_sizes_are_read_and_written():
    assert Sizes.parse("30") == Sizes(30, 30) and str(Sizes.parse("30")) == "30"
    assert Sizes.parse("mixed") == Sizes.parse("1-60") == Sizes(1, 60) and str(Sizes(1, 60)) == "1-60"
    for wrong in ("0", "7-3", "many", "", "-5"):
        with pytest.raises(ValueError, match="no number of particles"):
            Sizes.parse(wrong)


def test_cases_have_the_usual_backends_and_jets():
    cases = speed_cases(["mix9"], [], ["float64"], [Sizes(30, 30), Sizes(60, 60), Sizes(150, 150), Sizes(1, 60)])
    found = [(case.backend, str(case.sizes), case.jets) for case in cases]
    assert found == [
        ("fused", "30", 256), ("dense", "30", 256), ("edge_list", "30", 256), ("fused", "60", 256),
        ("dense", "60", 256), ("fused", "150", 64), ("dense", "150", 64), ("fused", "1-60", 256),
        ("dense", "1-60", 256),
    ]  # fmt: skip
    asked = speed_cases(["mix9"], ["edge_list"], ["float32"], [Sizes(60, 60)], jets=3)
    assert asked == [Case("mix9", "edge_list", "float32", Sizes(60, 60), 3)]


@pytest.mark.parametrize("place, name", enumerate(["model", "back-end", "precision"]))
def test_unknown_names_are_refused(place, name):
    words = [["mix9"], list(BACKENDS), ["float64"]]
    words[place] = ["nonsense"]
    with pytest.raises(ValueError, match=f"unknown {name} nonsense: choose some of"):
        speed_cases(*words, [Sizes(5, 5)])


def test_rate_is_median_and_percentiles_of_rates():
    seconds = [0.5, 1.0, 2.0, 4.0, 0.25]
    found = rate(8, seconds)
    low, high = np.percentile([16, 8, 4, 2, 32], [16, 84])
    assert (found.median, found.low, found.high) == (8, pytest.approx(low), pytest.approx(high))
    with pytest.raises(ValueError, match="at least one"):
        rate(8, [])


def test_line_is_the_least_squares_one():
    x, noise = np.array([30.0, 60, 100, 150, 300]), np.array([0.3, -0.5, 0.4, 0.1, -0.3])
    exact = fit_line(x, 0.25 * x + 7)
    assert (exact.slope, exact.intercept) == (pytest.approx(0.25), pytest.approx(7))
    assert exact.deviation < 1e-12
    y = 0.25 * x + 7 + noise
    found, (slope, intercept) = fit_line(x, y), np.polyfit(x, y, 1)
    assert (found.slope, found.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    assert found.deviation == pytest.approx(np.max(np.abs(y / np.polyval([slope, intercept], x) - 1)))
    with pytest.raises(ValueError, match="two different points"):
        fit_line([3, 3], [1, 2])


def test_jets_are_massless_ordered_and_the_same_each_time():
    one, other = (random_batch(40, Sizes(2, 5)) for _ in range(2))
    assert torch.equal(one.pos, other.pos) and torch.equal(one.ptr, other.ptr)
    sizes = one.ptr.diff().tolist()
    assert min(sizes) == 2 and max(sizes) == 5
    assert float(mass(one.pos).abs().max()) < 1e-6
    for pt in transverse_momentum(one.pos).split(sizes):
        assert torch.equal(pt, pt.sort(descending=True).values)


def test_peaks_count_products_and_both_ways_of_a_copy(monkeypatch):
    calls = []
    monkeypatch.setattr(machine, "_best", lambda call, device: calls.append(call()) or 0.5)
    monkeypatch.setitem(machine.MATRIX, "cpu", 50)
    monkeypatch.setitem(machine.COPIED, "cpu", 8000)
    peaks = machine.measure_peaks(torch.device("cpu"))
    assert peaks == {"float64": 500_000, "float32": 500_000, "bandwidth": 32_000}
    assert [out.shape for out in calls] == [(50, 50), (50, 50), (1000,)]
    assert [out.dtype for out in calls] == [torch.float64, torch.float32, torch.float64]


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="needs Linux")
def test_peak_memory_is_that_of_the_call():
    size, device = 1 << 26, torch.device("cpu")

    def step():
        first = torch.ones(size // 8, dtype=torch.float64)
        first = first + 1  # both exist for a moment
        del first
        torch.ones(size // 16, dtype=torch.float64)

    for _ in range(2):  # the second time, the first peak must be forgotten
        assert memory.peak_of(step, device) == pytest.approx(2 * size, rel=0.05)
    assert memory.peak_of(lambda: None, device) < size / 50
