"""The rank at equal mass: uniform for background of any mass, whatever the score knows of the mass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from lgae_pyg.metrics.mass_rank import NEAREST, rank_at_equal_mass
from lgae_pyg.metrics.sculpting import mass_sculpting


def jets(number: int, seed: int, slope: float = 2.0, spread: float = 1.0):
    """Scores and masses of background jets: middle and width of the score grow with the mass."""
    rng = np.random.default_rng(seed)
    mass = rng.exponential(40, number) + 10
    return slope * np.log(mass) + (1 + spread * mass / 100) * rng.gumbel(size=number), mass


def test_by_hand() -> None:
    """Weights 1, 3/4, 3/4 and about 0 of the jets 0, 1, 1 and 2 GeV away; one of them scores the same."""
    score, mass = np.array([5.0, 1.0, 4.0, 0.0, 9.0]), np.array([50.0, 49.0, 51.0, 52.0, 90.0])
    found = rank_at_equal_mass([4.0], [50.0], score, mass, nearest=4)
    assert found == pytest.approx([(4 * (0.75 + 0.75 / 2) / 2.5 + 0.5) / 5], rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_it_knows_the_order_of_the_scores_alone(seed: int, nearest: int) -> None:
    rng = np.random.default_rng(seed)
    scores, masses = rng.integers(-5, 6, 50), rng.integers(0, 30, 50).astype(float)
    grown = np.cumsum(rng.exponential(size=11) + 1e-3)  # of each of the eleven scores
    grown[0], grown[-1] = -np.inf, np.inf
    pairs = [(one[:20], masses[:20], one[20:], masses[20:]) for one in (scores, grown[scores + 5])]
    plain, changed = (rank_at_equal_mass(*one, nearest) for one in pairs)
    assert np.array_equal(plain, changed)
    half = 0.5 / (nearest + 1)
    assert plain.min() >= half * (1 - 1e-9) and plain.max() <= 1 - half * (1 - 1e-9)
    reversed_ = rank_at_equal_mass(-scores[:20], masses[:20], -scores[20:], masses[20:], nearest)
    np.testing.assert_allclose(plain + reversed_, 1, rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1.0, 1000.0]))
@settings(max_examples=50, deadline=None)
def test_the_jets_nearest_in_mass_count(seed: int, nearest: int, unit: float) -> None:
    """Against a sum over all jets, in any unit of the mass and for jets in any order."""
    rng = np.random.default_rng(seed)
    score, mass = rng.normal(size=40), rng.permutation(80)[:40] + rng.uniform(0, 0.4, 40)
    asked = rng.normal(size=7), rng.uniform(-20, 110, 7)
    found = rank_at_equal_mass(asked[0], unit * asked[1], score, unit * mass, nearest)
    for value, s, m in zip(found, *asked):
        distance = np.abs(mass - m)
        reach = np.sort(distance)[nearest - 1]
        weights = (1 - (distance / reach) ** 2).clip(0)
        if weights.sum() > 1e-6:
            share = weights @ (score < s) / weights.sum()
            assert value == pytest.approx((nearest * share + 0.5) / (nearest + 1), abs=1e-6)


def test_equally_far_jets_count_equally() -> None:
    found = rank_at_equal_mass([2.5, 2.5], [7.0, 5.0], [1.0, 2, 3, 4], [5.0] * 4, nearest=4)
    assert found == pytest.approx([(4 * 0.5 + 0.5) / 5] * 2)


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(0, 2))
@settings(max_examples=8, deadline=None)
def test_background_is_uniform_whatever_its_mass(seed: int, slope: float, spread: float) -> None:
    """At any mass, and 1 % of it behind the cut of 1 % within the errors of the two samples."""
    score, mass = jets(12_000, seed, slope, spread)
    rank = rank_at_equal_mass(score[:4000], mass[:4000], score[4000:], mass[4000:])
    for low, high in ((10, 20), (20, 35), (35, 60), (60, 1000)):
        inside = rank[(mass[:4000] >= low) & (mass[:4000] < high)]
        both = np.sqrt(1 / len(inside) + 1 / 667)  # 800 jets of a window, weighted, count as 667
        assert kstest(inside, "uniform").statistic < 2.5 * both + 0.02
        assert abs((inside > 0.99).mean() - 0.01) < 5 * np.sqrt(0.01 / len(inside) + 0.01 / 800)


def test_a_cut_leaves_the_mass_as_it_is() -> None:
    """A cut on the score shapes the mass, one on the rank no more than one at random."""
    score, mass = jets(24_000, 0)
    rank = rank_at_equal_mass(score[:4000], mass[:4000], score[4000:], mass[4000:])
    for cut in (0.1, 0.01):
        shaped, left = (mass_sculpting(one, mass[:4000], cut, 300) for one in (score[:4000], rank))
        assert shaped.chance < 0.01 and shaped.distance > shaped.noise + 3 * shaped.noise_error
        assert abs(left.distance - left.noise) < 3 * left.noise_error


def test_its_error_is_the_one_that_is_said() -> None:
    rng = np.random.default_rng(0)
    found = [
        rank_at_equal_mass([0.99], [50.0], rng.uniform(size=1000), rng.uniform(0, 100, 1000), 200)[0]
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx((200 * 0.99 + 0.5) / 201, abs=0.002)
    assert np.std(found) == pytest.approx(np.sqrt(0.99 * 0.01 / (0.83 * 200)), rel=0.15)


def test_few_jets_have_a_narrower_window() -> None:
    score, mass = jets(1100, 1)
    given_ = score[:100], mass[:100], score[100:], mass[100:]
    assert np.array_equal(rank_at_equal_mass(*given_), rank_at_equal_mass(*given_, nearest=100))
    with pytest.raises(ValueError, match=f"among {NEAREST} background jets needs at least as many, not 1000"):
        rank_at_equal_mass(*given_, nearest=NEAREST)
    with pytest.raises(ValueError, match="not 0"):
        rank_at_equal_mass([1.0], [2.0], [], [])


def test_missing_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="background jet 1 has no score or no finite mass"):
        rank_at_equal_mass([1.0], [2.0], [1.0, 2.0], [1.0, np.inf], 1)
    with pytest.raises(ValueError, match="jet 0 has no score"):
        rank_at_equal_mass([np.nan], [2.0], [1.0], [1.0], 1)
    with pytest.raises(ValueError, match=r"shapes \(1,\) and \(2,\)"):
        rank_at_equal_mass([1.0], [2.0, 1.0], [1.0], [1.0], 1)
