"""Linear relations: Pearson's correlation, ridge regression and the coefficient of determination."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Spread relative to the largest size below which a column counts as a constant: differences are rounding errors.
CONSTANT = 1e-9


def varies(values: ArrayLike) -> NDArray[np.bool_]:
    """Which columns are not constant up to rounding.

    Raises:
        ValueError: if a value is not finite.

    Shapes:
        - **values**: :math:`(n, F)`
        - **output**: :math:`(F,)`
    """
    values = np.asarray(values, dtype=np.float64)
    broken = np.flatnonzero(~np.isfinite(values).all(1))
    if broken.size:
        raise ValueError(f"{broken.size} rows are not finite, the first is row {broken[0]}")
    return np.ptp(values, axis=0) > CONSTANT * np.maximum(np.abs(values).max(0), 1e-300)


def pearson(first: ArrayLike, second: ArrayLike) -> Array:
    r"""Pearson's correlation coefficients of each column of one array with the same column of another,

    .. math:: r = \frac{\overline{(x - \bar x)(y - \bar y)}}{\sigma_x \sigma_y} .

    Raises:
        ValueError: if a column is constant (it has no correlation), or a value not finite.

    Shapes:
        - **first**, **second**: :math:`(n, F)`
        - **output**: :math:`(F,)`
    """
    sides = []
    for values in (first, second):
        moving = varies(values)
        if not moving.all():
            raise ValueError(f"column {int(np.flatnonzero(~moving)[0])} is constant and has no correlation")
        numbers = np.asarray(values, dtype=np.float64)
        centred = numbers - numbers.mean(axis=0)
        sides.append(centred / np.linalg.norm(centred, axis=0))
    return (sides[0] * sides[1]).sum(0)


def r_squared(target: ArrayLike, predicted: ArrayLike) -> float:
    r"""The coefficient of determination :math:`R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2`.

    One for a perfect prediction, zero for the mean of the targets, below for worse.

    Raises:
        ValueError: if the targets are all alike, or a value is not finite.
    """
    target, predicted = np.asarray(target, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if not varies(np.stack([target, predicted], -1))[0]:
        raise ValueError("R^2 is not defined: the targets are all alike")
    return float(1 - np.square(target - predicted).sum() / np.square(target - target.mean()).sum())


@dataclass(frozen=True)
class Ridge:
    r"""Ridge regression on standardised features,

    .. math:: \min_w \tfrac{1}{n} \lVert y - \bar y - X w \rVert^2 + \lambda \lVert w \rVert^2 ,

    with columns of :math:`X` shifted to mean 0 and scaled to variance 1; constant columns are left out.
    :math:`\lambda = 0` is least squares (the solution of smallest norm).

    Args:
        used: columns that are used.
        mean: their means.
        spread: their standard deviations.
        weights: weights of the standardised columns.
        offset: mean of the targets.
        strength: :math:`\lambda`.
    """

    used: NDArray[np.bool_]
    mean: Array
    spread: Array
    weights: Array
    offset: float
    strength: float

    def predict(self, features: ArrayLike) -> Array:
        """Predictions :math:`(n,)` from features :math:`(n, F)`."""
        columns = np.asarray(features, dtype=np.float64)[:, self.used]
        return (columns - self.mean) / self.spread @ self.weights + self.offset


def fit_ridge(features: ArrayLike, target: ArrayLike, strengths: Sequence[float]) -> list[Ridge]:
    r"""Ridge regressions of one target, one for each strength :math:`\lambda`, from one decomposition.

    Raises:
        ValueError: if a value is not finite, a strength negative, or there are less than two rows.

    Shapes:
        - **features**: :math:`(n, F)`, **target**: :math:`(n,)`
    """
    features, target = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if len(features) < 2 or min(strengths) < 0:
        raise ValueError(f"ridge needs 2 rows, not {len(features)}, and strengths from 0 on, not {min(strengths)}")
    used, _ = varies(features), varies(target[:, None])
    mean, spread, offset = features[:, used].mean(0), features[:, used].std(0), float(target.mean())
    plain = (features[:, used] - mean) / spread
    left, sizes, right = np.linalg.svd(plain, full_matrices=False)
    kept = sizes > max(plain.shape) * np.finfo(np.float64).eps * sizes.max(initial=0.0)
    along = left.T @ (target - offset)
    found = []
    for strength in strengths:
        shrunk = np.zeros_like(sizes)
        shrunk[kept] = sizes[kept] / (sizes[kept] ** 2 + len(plain) * strength)
        found.append(Ridge(used, mean, spread, right.T @ (shrunk * along), offset, float(strength)))
    return found


def choose_ridge(features: ArrayLike, target: ArrayLike, strengths: Sequence[float]) -> Ridge:
    """The ridge regression of the strength that predicts best what it was not fitted on.

    It is fitted on the first half for each strength, the second half chooses (largest :math:`R^2`), and the whole
    is fitted again.

    Raises:
        ValueError: as :func:`fit_ridge`, and if there are less than four rows.

    Shapes:
        - **features**: :math:`(n, F)`, **target**: :math:`(n,)`
    """
    features, target = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if len(features) < 4:
        raise ValueError(f"two halves of at least 2 rows are needed, but there are {len(features)} rows")
    half = len(features) // 2
    tried = fit_ridge(features[:half], target[:half], strengths)
    scores = [r_squared(target[half:], one.predict(features[half:])) for one in tried]
    return fit_ridge(features, target, [strengths[int(np.argmax(scores))]])[0]
