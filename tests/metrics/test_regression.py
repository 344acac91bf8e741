"""Correlations, ridge regression and R^2 on numbers worked out by hand, and laws of them."""

import numpy as np
import pytest

from lgae_pyg.metrics.regression import choose_ridge, fit_ridge, pearson, r_squared, varies


def test_pearson_by_hand_and_its_invariance() -> None:
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    first, second = np.stack([x, x, x], -1), np.stack([y, -2 * x + 7, 1e6 * y + 5], -1)
    np.testing.assert_allclose(pearson(first, second), [0.8, -1.0, 0.8])


def test_constants_have_no_correlation() -> None:
    almost = 1e6 + 1e-7 * np.arange(5.0)
    assert varies(np.stack([almost, np.arange(5.0), np.zeros(5)], -1)).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="column 0 is constant"):
        pearson(almost[:, None], np.arange(5.0)[:, None])
    with pytest.raises(ValueError, match="the first is row 1"):
        varies(np.array([[1.0], [np.nan]]))


def test_r_squared_by_hand() -> None:
    target = np.array([1.0, 2, 3])
    assert r_squared(target, target) == 1
    assert r_squared(target, np.full(3, 2.0)) == 0
    assert r_squared(target, target[::-1]) == pytest.approx(1 - 8 / 2)
    with pytest.raises(ValueError, match="all alike"):
        r_squared(np.ones(3), target)


def test_ridge_of_one_feature_by_hand() -> None:
    """Standardised x = (-1, 1), y - mean = (-3, 3): w = n·3 / (n + n·λ) = 3 / (1 + λ)."""
    features, target = np.array([[10.0, 4], [14.0, 4]]), np.array([2.0, 8.0])
    exact, shrunk = fit_ridge(features, target, [0.0, 0.5])
    np.testing.assert_allclose(exact.predict(features), target)
    np.testing.assert_allclose(shrunk.weights, [2.0])
    np.testing.assert_allclose(shrunk.predict([[14.0, -1]]), [7.0])


def test_least_squares_of_dependent_columns() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 3))
    features = np.concatenate([x, x[:, :1] + x[:, 1:2], np.full((50, 1), 3.0)], 1)
    target = x @ [1.0, -2.0, 0.5] + 4
    np.testing.assert_allclose(fit_ridge(features, target, [0.0])[0].predict(features), target, atol=1e-9)


def test_the_strength_is_chosen_on_the_second_half() -> None:
    rng = np.random.default_rng(2)
    noise, x = rng.normal(size=(60, 29)), rng.normal(size=(60, 1))
    features, target = np.concatenate([x, noise], 1), 0.3 * x[:, 0] + rng.normal(size=60)
    assert choose_ridge(features, target, [0.0, 1.0]).strength == 1.0
    assert choose_ridge(x, x[:, 0], [0.0, 1.0]).strength == 0.0
    with pytest.raises(ValueError, match="there are 3 rows"):
        choose_ridge(features[:3], target[:3], [0.0])
