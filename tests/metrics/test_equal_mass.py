"""The area at equal mass sees what the mass does not know."""

import numpy as np
import pytest

from lgae_pyg.metrics.equal_mass import area_at_equal_mass
from lgae_pyg.metrics.roc import area_under_curve

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
