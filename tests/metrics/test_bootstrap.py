"""Bootstrap errors are those that statistics knows in closed form."""

import numpy as np
import pytest

from lgae_pyg.metrics import bootstrap, bootstrap_quantiles


def test_the_error_of_a_mean_is_the_known_one() -> None:
    sample = np.random.default_rng(0).normal(3.0, 2.0, 4000)
    error = bootstrap([sample], np.mean, resamples=2000)
    assert error == pytest.approx(sample.std() / np.sqrt(len(sample)), rel=0.06)


def test_the_error_of_a_difference_adds_in_quadrature() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, 500), rng.normal(0, 3, 2000)
    error = bootstrap([first, second], lambda a, b: a.mean() - b.mean(), resamples=2000)
    assert error == pytest.approx(np.sqrt(first.var() / 500 + second.var() / 2000), rel=0.08)


def test_a_constant_has_no_error() -> None:
    assert bootstrap([np.full(10, 2.5)], np.median) == 0
    assert bootstrap_quantiles(np.full(10, 2.5), np.arange(10), [0.5]).std() == 0


def test_groups_are_drawn_whole() -> None:
    """Values repeated m times within their group carry no more information than one each."""
    sample = np.random.default_rng(2).normal(size=900)
    alone = bootstrap_quantiles(sample, np.arange(900), [0.25, 0.5, 0.75], 300)
    repeated = bootstrap_quantiles(np.repeat(sample, 7), np.repeat(np.arange(900), 7), [0.25, 0.5, 0.75], 300)
    np.testing.assert_array_equal(alone, repeated)
    density = np.exp(-0.5 * np.median(sample) ** 2) / np.sqrt(2 * np.pi)
    assert alone[:, 1].std() == pytest.approx(0.5 / density / 30, rel=0.35)


def test_undefined_values_are_left_out() -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert set(bootstrap_quantiles(values, [0, 1, 2], [0.5], 50).ravel()) <= {1.0, 3.0}


@pytest.mark.parametrize("sample, resamples", [([], 10), ([1.0], 1)])
def test_nothing_to_draw_from(sample: list, resamples: int) -> None:
    with pytest.raises(ValueError):
        bootstrap([sample], np.mean, resamples)
    with pytest.raises(ValueError):
        bootstrap_quantiles(sample, range(len(sample)), [0.5], resamples)
