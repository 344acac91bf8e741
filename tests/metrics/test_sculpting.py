"""Distances of histograms, mass sculpting and rank correlation: exact answers and laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from lgae_pyg.metrics.rank import rank_correlation
from lgae_pyg.metrics.sculpting import cut_shares, jensen_shannon, mass_sculpting, weighted_median

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any)


@given(counts, counts)
@settings(max_examples=100, deadline=None)
def test_the_distance_is_scipys_and_symmetric(first: list, second: list) -> None:
    assert jensen_shannon(first, second) == pytest.approx(jensenshannon(first, second, base=2), abs=1e-7)
    assert jensen_shannon(first, second) == jensen_shannon(second, first)
    assert jensen_shannon(first, np.multiply(first, 7)) == 0


def test_histograms_that_do_not_overlap_are_one_apart() -> None:
    assert jensen_shannon([3, 0], [0, 5]) == 1
    by_hand = math.sqrt((math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5) / 2)  # of (1, 0) and (1/2, 1/2)
    assert jensen_shannon([4, 0], [2, 2]) == pytest.approx(by_hand)
    np.testing.assert_allclose(jensen_shannon([[3, 0], [1, 1]], [[0, 5], [2, 2]]), [1, 0])


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_wanted_share_passes_and_the_best_first(scores: list, efficiency: float) -> None:
    weights = cut_shares(scores, efficiency)
    assert weights.sum() == pytest.approx(efficiency * len(scores))
    assert ((weights >= 0) & (weights <= 1)).all()
    order = np.argsort(scores)
    assert (np.diff(weights[order]) >= -1e-12).all()


RNG = np.random.default_rng(5)
MASS = RNG.exponential(60, 4000)


def test_a_cut_on_the_mass_leaves_its_highest_tenth() -> None:
    found = mass_sculpting(MASS, MASS, 0.1)
    whole = np.full(20, 200)
    assert found.passing == 400 and found.bins == 20
    assert found.distance == pytest.approx(jensenshannon(whole, [0] * 18 + [200, 200], base=2))
    assert found.chance < 0.003 and found.distance > found.noise + 10 * found.noise_error
    assert found.before == np.median(MASS) and found.after == pytest.approx(np.sort(MASS)[-201])
    low = mass_sculpting(-MASS, MASS, 0.1)
    assert low.distance == pytest.approx(found.distance) and low.after < found.before


def test_a_cut_at_random_is_as_far_as_noise() -> None:
    """The noise is the distance of random cuts: its mean and spread are those of actual ones."""
    found = [mass_sculpting(RNG.random(4000), MASS, 0.1) for _ in range(60)]
    distances = [one.distance for one in found]
    assert np.mean(distances) == pytest.approx(found[0].noise, abs=4 * found[0].noise_error / math.sqrt(60))
    assert 0.02 < np.mean([one.chance < 0.2 for one in found]) < 0.45


def test_a_constant_score_changes_nothing_and_the_unit_does_not_matter() -> None:
    assert mass_sculpting(np.zeros(4000), MASS, 0.1).distance == 0
    assert mass_sculpting(MASS**2, 1e-3 * MASS, 0.1).distance == mass_sculpting(MASS, MASS, 0.1).distance


def test_too_few_jets_have_no_answer_and_few_have_wide_bins() -> None:
    assert mass_sculpting(MASS[:99], MASS[:99], 0.1) is None
    found = mass_sculpting(MASS[:100], MASS[:100], 0.1)
    assert found.passing == 10 and found.bins == 4 and found.chance < 0.003


def test_the_error_is_that_of_other_samples() -> None:
    """The bootstrap error at the cut is the spread over samples."""
    draws = []
    for _ in range(60):
        mass = RNG.exponential(60, 2000)
        draws.append(mass_sculpting(mass + RNG.normal(0, 40, 2000), mass, 0.1))
    spread = np.std([one.distance for one in draws], ddof=1)
    assert np.mean([one.error for one in draws]) == pytest.approx(spread, rel=0.35)


def test_medians_by_hand() -> None:
    assert weighted_median(np.array([5.0, 1.0, 3.0]), np.array([1.0, 1.0, 1.0])) == 3
    assert weighted_median(np.array([5.0, 1.0, 3.0]), np.array([3.0, 1.0, 0.0])) == 5


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=4, max_size=50))
@settings(max_examples=100, deadline=None)
def test_rank_correlation_is_spearmans(pairs: list) -> None:
    first, second = np.array(pairs, dtype=float).T
    value, error = rank_correlation(first, second)
    if np.ptp(first) and np.ptp(second):
        assert value == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
        assert rank_correlation(np.exp(first), second) == pytest.approx((value, error))
    else:
        assert value == 0 and math.isnan(error)


def test_the_error_of_the_rank_correlation_is_its_spread() -> None:
    found = []
    for _ in range(200):
        first = RNG.normal(size=300)
        found.append(rank_correlation(first, first + RNG.normal(size=300)))
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.2)
