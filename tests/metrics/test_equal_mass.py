"""The area at equal mass sees what the mass does not know."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.metrics.bootstrap import bootstrap
from lgae_pyg.metrics.equal_mass import (
    FEWEST,
    area_at_equal_mass,
    efficiencies_at_equal_mass,
    equal_mass_with_error,
    share_at_equal_mass,
)
from lgae_pyg.metrics.roc import area_under_curve, figures_of_merit

RNG = np.random.default_rng(0)
BACKGROUND, SIGNAL = RNG.exponential(60, 20_000), RNG.normal(120, 30, 20_000).clip(1)


def test_the_mass_itself_knows_little_among_jets_of_one_mass() -> None:
    """What is left in bins of 10 GeV comes from falling and rising densities within a bin."""
    assert area_under_curve(BACKGROUND, SIGNAL) > 0.8
    area = area_at_equal_mass(*(np.stack([mass, mass], -1) for mass in (BACKGROUND, SIGNAL)))
    assert area == pytest.approx(0.5, abs=0.05)


def test_a_function_of_the_bin_has_exactly_one_half() -> None:
    pairs = [np.stack([np.floor(mass / 10), mass], -1) for mass in (BACKGROUND, SIGNAL)]
    assert area_at_equal_mass(*pairs) == 0.5


def test_a_score_that_is_the_label_keeps_all() -> None:
    pairs = [np.stack([np.full(20_000, label), mass], -1) for label, mass in ((0.0, BACKGROUND), (1.0, SIGNAL))]
    assert area_at_equal_mass(*pairs) == 1


def test_without_a_common_mass_there_is_no_answer() -> None:
    pairs = [np.stack([np.zeros(50), np.full(50, mass)], -1) for mass in (15.0, 105.0)]
    with pytest.raises(ValueError, match="score more jets"):
        area_at_equal_mass(*pairs)


def test_bins_go_on_without_end_and_begin_at_zero() -> None:
    """Jets of 500 GeV are compared like others; those below zero or without a mass are not."""
    heavy = [np.stack([np.full(20, float(kind)), np.full(20, 505.0)], -1) for kind in (0, 1)]
    assert area_at_equal_mass(*heavy) == 1
    odd = [np.concatenate([one, [[5.0 - 9 * kind, -1.0]] * 20]) for kind, one in enumerate(heavy)]
    assert area_at_equal_mass(*odd) == 1
    odd[0][:20, 1] = np.nan
    with pytest.raises(ValueError, match="score more jets"):
        area_at_equal_mass(*odd)


def test_by_hand_in_two_bins_of_another_width() -> None:
    """Bin 3 has twice the signal of bin 4: AUC 1 and 1/4."""
    background = np.array([[0.0, 3]] * 10 + [[1.0, 4]] * 5 + [[3.0, 4]] * 5)
    signal = np.array([[1.0, 3]] * 20 + [[1.0, 4]] * 10)
    assert area_at_equal_mass(background, signal, 1.0) == pytest.approx((20 * 1 + 10 * 0.25) / 30)
    assert share_at_equal_mass(background[:, 1], signal[:, 1], 1.0) == 1
    assert share_at_equal_mass(background[:, 1], signal[:25, 1], 1.0) == pytest.approx(20 / 25)


@given(st.integers(0, 2**32 - 1), st.sampled_from([5.0, 10.0, 40.0]))
@settings(max_examples=30, deadline=None)
def test_it_is_the_mean_of_the_areas_in_the_bins(seed: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    kinds = [np.stack([rng.integers(0, 5, n), rng.uniform(0, 100, n)], -1) for n in (150, 120)]
    areas, weights = [], []
    for low in np.arange(0, 100, width):
        inside = [one[(one[:, 1] >= low) & (one[:, 1] < low + width), 0] for one in kinds]
        if min(map(len, inside)) >= FEWEST:
            areas.append(area_under_curve(*inside))
            weights.append(len(inside[1]))
    if areas:
        assert area_at_equal_mass(*kinds, width) == pytest.approx(np.average(areas, weights=weights))


def test_the_error_is_that_of_drawing_jets_anew() -> None:
    pairs = [np.stack([mass + RNG.normal(0, 50, 20_000), mass], -1)[:3000] for mass in (BACKGROUND, SIGNAL)]
    value, error = equal_mass_with_error(*pairs, 20)
    assert value == area_at_equal_mass(*pairs)
    assert error == pytest.approx(bootstrap(pairs, area_at_equal_mass, 20), rel=1e-9)


def test_efficiencies_of_a_function_of_the_bin_are_those_of_the_background() -> None:
    """The background that passes is as much as the signal, at every cut, whatever the masses are."""
    pairs = [np.stack([np.sin(np.floor(mass / 10)), mass], -1) for mass in (BACKGROUND, SIGNAL)]
    found = efficiencies_at_equal_mass(*pairs)
    assert found == {"efficiency_0.1": pytest.approx(0.1), "efficiency_0.01": pytest.approx(0.01)}
    heavy = efficiencies_at_equal_mass(*(np.stack([mass, mass], -1) for mass in (BACKGROUND, SIGNAL)))
    assert heavy["efficiency_0.1"] == pytest.approx(0.1, abs=0.03)
    assert figures_of_merit(BACKGROUND, SIGNAL)["efficiency_0.1"] > 0.25


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=30, deadline=None)
def test_efficiencies_among_jets_of_one_mass_are_the_plain_ones(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.normal(shift, 1, 300).round(1 if ties else 9) for shift in (0, 1)]
    plain = figures_of_merit(*scores)
    found = efficiencies_at_equal_mass(*(np.stack([one, np.full(300, 42.0)], -1) for one in scores))
    assert found == {name: pytest.approx(plain[name]) for name in found}


def test_efficiencies_by_hand_in_two_bins() -> None:
    """20 background jets in either bin, of the signal 10 and 30: weights 0.5 and 1.5; bin 8 is left out."""
    background = np.array([[5.0, 3]] * 2 + [[0.0, 3]] * 18 + [[6.0, 4]] + [[0.0, 4]] * 19 + [[9.0, 8]] * 5)
    signal = np.array([[7.0, 3]] * 5 + [[5.5, 3]] * 5 + [[0.0, 4]] * 30)
    found = efficiencies_at_equal_mass(background, signal, width=1.0)
    # 2.5 of the 40 of the background, and 10 of the signal, are above the zeros; 4 are to pass
    assert found["efficiency_0.1"] == pytest.approx((10 + 30 * 1.5 / 37.5) / 40)
    assert np.isnan(found["efficiency_0.01"])  # of less than one background jet


def test_efficiencies_have_bootstrap_errors_and_none_without_common_masses() -> None:
    pairs = [np.stack([mass + RNG.normal(0, 50, 20_000), mass], -1)[:3000] for mass in (BACKGROUND, SIGNAL)]
    found = efficiencies_at_equal_mass(*pairs, 20)
    plain = efficiencies_at_equal_mass(*pairs)
    assert {name: found[name] for name in plain} == plain
    errors = bootstrap(pairs, lambda *two: list(efficiencies_at_equal_mass(*two).values()), 20)
    assert [found[f"{name}_error"] for name in plain] == pytest.approx(errors)
    apart = [np.stack([np.zeros(50), np.full(50, mass)], -1) for mass in (15.0, 105.0)]
    assert all(map(np.isnan, efficiencies_at_equal_mass(*apart, 5).values()))
