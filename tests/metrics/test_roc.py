"""ROC curves and what is read off them: exact answers and laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.metrics.roc import (
    FEWEST_PASSING,
    area_under_curve,
    binomial_interval,
    drawn_curve,
    figures_both_ways,
    figures_of_merit,
    improvement_error,
    roc_curve,
    significance_improvement,
)

scores = st.lists(st.integers(-5, 5), min_size=1, max_size=40)


@given(scores, scores)
@settings(max_examples=200, deadline=None)
def test_the_area_is_the_share_of_ordered_pairs(background: list, signal: list) -> None:
    pairs = [(s > b) + 0.5 * (s == b) for s in signal for b in background]
    assert area_under_curve(background, signal) == pytest.approx(np.mean(pairs))


@given(scores, scores)
@settings(max_examples=100, deadline=None)
def test_only_the_order_of_the_scores_counts(background: list, signal: list) -> None:
    raised = figures_of_merit(np.exp(background), np.exp(signal))
    assert raised == pytest.approx(figures_of_merit(background, signal), nan_ok=True)
    flipped = area_under_curve(np.negative(background), np.negative(signal))
    assert flipped == pytest.approx(1 - area_under_curve(background, signal))


def test_a_constant_score_knows_nothing() -> None:
    merits = figures_of_merit(np.zeros(1000), np.zeros(500))
    assert merits["auc"] == 0.5
    assert merits["efficiency_0.01"] == pytest.approx(0.01)
    assert merits["rejection_0.5"] == pytest.approx(2.0)
    assert merits["improvement"] == pytest.approx(1.0)


def test_a_score_that_is_the_label_knows_all() -> None:
    merits = figures_of_merit(np.zeros(1000), np.ones(500), resamples=20)
    assert merits["auc"] == 1 and merits["auc_error"] == 0
    assert merits["efficiency_0.001"] == pytest.approx(1, abs=1e-9)
    assert math.isinf(merits["rejection_0.3"])


def test_numbers_read_off_by_hand() -> None:
    """One hundred background jets 0..99 and signal jets half at 100 and half at 89.5."""
    background, signal = np.arange(100.0), np.array([100.0] * 10 + [89.5] * 10)
    merits = figures_of_merit(background, signal)
    assert merits["auc"] == pytest.approx(0.5 * 1 + 0.5 * 0.9)
    assert merits["efficiency_0.1"] == 1.0
    assert merits["efficiency_0.01"] == 0.5
    assert math.isinf(merits["rejection_0.5"])
    assert merits["improvement"] == pytest.approx(1 / math.sqrt(FEWEST_PASSING / 100))


def test_the_curve_has_corners_where_the_scores_say() -> None:
    passing, efficiency = roc_curve([0, 1, 1], [1, 2])
    np.testing.assert_allclose(passing, [0, 0, 2 / 3, 1])
    np.testing.assert_allclose(efficiency, [0, 0.5, 1, 1])


def test_errors_are_those_of_a_binomial() -> None:
    rng = np.random.default_rng(0)
    background, signal = rng.random(200_000), rng.random(2000)
    merits = figures_of_merit(background, signal, resamples=300)
    assert merits["efficiency_0.1_error"] == pytest.approx(math.sqrt(0.1 * 0.9 / 2000), rel=0.15)
    assert merits["auc_error"] == pytest.approx(math.sqrt(1 / 12 / 2000), rel=0.15)


def test_the_improvement_curve_is_the_ratio() -> None:
    background = np.arange(100.0)
    efficiency, improvement, _ = significance_improvement(background, background)
    assert efficiency[0] == pytest.approx(FEWEST_PASSING / 100)
    np.testing.assert_allclose(improvement, np.sqrt(efficiency))


@given(scores, scores)
@settings(max_examples=100, deadline=None)
def test_what_is_drawn_is_the_curve_and_what_the_table_says(background: list, signal: list) -> None:
    """Points on the straight lines between the corners, none of them far from the next; the best improvement among
    them is that of the table."""
    x, y = roc_curve(background, signal)
    passing, efficiency = drawn_curve(background, signal)
    assert (np.diff(passing) >= 0).all() and (np.diff(efficiency) >= 0).all()
    assert (passing[0], efficiency[0], passing[-1], efficiency[-1]) == (0, 0, 1, 1)
    steps = np.hypot(np.diff(x), np.diff(y))
    place = np.interp(passing + efficiency, x + y, np.append(0, np.cumsum(steps)))  # along the curve
    along = np.append(0, np.cumsum(steps))
    np.testing.assert_allclose(np.interp(place, along, y), efficiency, atol=1e-9)
    assert np.diff(efficiency).max() < 1 / 300
    _, improvement, _ = significance_improvement(background, signal)
    best = figures_of_merit(background, signal)["improvement"]
    if len(background) >= FEWEST_PASSING:
        assert improvement.max() == pytest.approx(best)
    else:
        assert not improvement.size and math.isnan(best)


def test_a_score_of_two_values_is_drawn_on_a_logarithmic_axis_too() -> None:
    """Nine tenths have the largest score: below their efficiency a random part of them passes."""
    background, signal = np.repeat([0.0, 1.0], [100, 900]), np.repeat([0.0, 1.0], [200, 800])
    passing, efficiency = drawn_curve(background, signal)
    low = passing[(passing > 0) & (passing < 0.9)]
    assert low.min() == pytest.approx(1e-3) and np.diff(np.log(low)).max() < 0.02
    np.testing.assert_allclose(efficiency[passing <= 0.9], passing[passing <= 0.9] * 8 / 9)


def test_bands_are_as_wide_as_cuts_scatter() -> None:
    """Many samples, one cut: the improvement scatters as its band says, the efficiency as its interval."""
    rng = np.random.default_rng(0)
    n, m, x, y = 2000, 300, 0.05, 0.4
    passing, efficiency = rng.binomial(n, x, 20_000) / n, rng.binomial(m, y, 20_000) / m
    assert improvement_error(x, y, n, m) == pytest.approx((efficiency / np.sqrt(passing)).std(), rel=0.05)
    low, high = binomial_interval(x, n)
    assert (high - low) / 2 == pytest.approx(math.sqrt(x * (1 - x) / n), rel=0.01)
    assert ((binomial_interval(passing, n)[0] <= x) & (x <= binomial_interval(passing, n)[1])).mean() > 0.66
    low, high = binomial_interval([0.0, 1 / n, 1.0], n)
    assert low[0] == 0 < low[1] and high[0] == pytest.approx(1 / (n + 1)) and high[2] == pytest.approx(1)
    assert (low <= [0, 1 / n, 1]).all() and ([0, 1 / n, 1] <= high + 1e-12).all()


def test_the_largest_improvement_is_looked_for_from_ten_jets_on() -> None:
    """Half of the signal and 5 background jets share the largest score, all others the next: at 10 jets a straight
    line has been left half-way, and there the improvement is largest."""
    background, signal = np.repeat([2.0, 1.0], [5, 95]), np.repeat([2.0, 1.0], [50, 50])
    expected = (0.5 + 0.5 * 5 / 95) / math.sqrt(0.1)
    assert figures_of_merit(background, signal)["improvement"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "background, signal", [([0.0, math.nan], [1.0]), ([0.0], [math.nan]), ([], [1.0]), ([1.0], [])]
)
def test_a_jet_without_a_score_is_an_error(background: list, signal: list) -> None:
    with pytest.raises(ValueError, match=r"NaN|no .* jet"):
        figures_of_merit(background, signal)


def test_infinite_scores_are_ranks() -> None:
    assert area_under_curve([0.0, -math.inf], [math.inf]) == 1


def test_less_than_one_background_jet_is_no_efficiency() -> None:
    """With 99 background jets a background efficiency of 0.01 stands for less than one of them."""
    for jets, known in ((99, False), (100, True), (1000, True)):
        merits = figures_of_merit(np.arange(float(jets)), np.arange(float(jets)), resamples=5)
        assert math.isfinite(merits["efficiency_0.01"]) is math.isfinite(merits["efficiency_0.01_error"]) is known
        assert math.isfinite(merits["efficiency_0.001"]) is (jets == 1000) and math.isfinite(merits["auc"])


@given(scores, scores)
@settings(max_examples=50, deadline=None)
def test_the_other_way_is_the_other_sign(background: list, signal: list) -> None:
    ways = figures_both_ways(background, signal, resamples=3)
    assert ways[0] == pytest.approx(figures_of_merit(background, signal, resamples=3), nan_ok=True)
    other = figures_of_merit(np.negative(background), np.negative(signal), resamples=3)
    assert ways[1] == pytest.approx(other, nan_ok=True)


@given(scores, scores)
@settings(max_examples=100, deadline=None)
def test_numbers_are_read_off_the_curve(background: list, signal: list) -> None:
    """Between the corners the curve is straight, at a vertical or level part the better end counts."""
    x, y = roc_curve(background, signal)
    merits = figures_of_merit(background, signal)
    loosest, tightest = np.append(np.diff(x) > 0, True), np.insert(np.diff(y) > 0, 0, True)
    if 0.1 * len(background) >= 1:
        assert merits["efficiency_0.1"] == pytest.approx(np.interp(0.1, x[loosest], y[loosest]))
    passing = np.interp(0.5, y[tightest], x[tightest])
    assert merits["rejection_0.5"] == pytest.approx(1 / passing if passing > 0 else math.inf)
