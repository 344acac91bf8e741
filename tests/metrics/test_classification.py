"""Confusion matrix, one-vs-rest areas and calibration, by hand and by laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lgae_pyg.metrics.classification import calibration, confusion_matrix, mean_area


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50))
def test_rows_of_the_confusion_matrix_are_true_classes(pairs):
    y, guessed = (np.array(values) for values in zip(*pairs))
    counts = confusion_matrix(np.eye(3)[guessed], y)
    assert counts.tolist() == [[pairs.count((true, made)) for made in range(3)] for true in range(3)]


def test_area_of_several_classes_is_the_mean_of_each_against_all_others():
    scores = np.array([[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7]])
    y = np.array([0, 1, 2, 1, 2])
    assert mean_area(scores, y) == pytest.approx((1 + 4.5 / 6 + 1) / 3)
    assert mean_area(scores[:, :2], np.array([0, 1, 1, 1, 1])) == 1  # of two, only the second's score counts
    assert np.isnan(mean_area(scores, np.zeros(5, int)))


def test_calibrated_scores_lie_on_the_diagonal_and_overconfident_ones_do_not():
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=40_000)
    y = rng.uniform(size=40_000) < truth
    mean, share, error = calibration(truth, y)
    assert np.all(np.abs(share - mean) < 4 * error) and np.all(error > 0) and len(mean) == 15
    sharper = truth**3 / (truth**3 + (1 - truth) ** 3)
    mean, share, error = calibration(sharper, y)
    assert (share - mean)[1] > 10 * error[1] and (share - mean)[-2] < -10 * error[-2]


def test_the_last_bin_holds_certainty_and_empty_bins_are_left_out():
    mean, share, error = calibration(np.array([1.0, 1.0, 0.02]), np.array([1, 1, 0]), bins=10)
    assert mean.tolist() == [0.02, 1.0] and share.tolist() == [0.0, 1.0] and np.all(error > 0)
