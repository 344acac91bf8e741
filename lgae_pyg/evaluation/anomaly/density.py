"""Anomaly scores of the codes alone: how far a jet's code is from those of ordinary jets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Eigenvalues of the correlation matrix are raised to this: directions without spread are no directions.
SMALLEST_EIGENVALUE = 1e-4
TREES = 200


@dataclass(frozen=True)
class Mahalanobis:
    r"""The distance of codes :math:`z` from the mean of ordinary ones in units of their covariance :math:`C`,

    .. math:: d(z) = \lVert (z - \bar z) \, M \rVert, \qquad M M^T = C^{-1},

    where eigenvalues of the correlation matrix below :data:`SMALLEST_EIGENVALUE` are raised to it, and numbers
    that are the same in all codes are left out. It travels with a published model.

    Args:
        mean: :math:`\bar z`.
        matrix: :math:`M`.

    Shapes:
        - **mean**: :math:`(F,)`, **matrix**: :math:`(F, k)`
    """

    mean: Array
    matrix: Array

    @classmethod
    def fit(cls, codes: Array) -> "Mahalanobis":
        """Of the codes of ordinary jets, shape :math:`(B, F)`.

        Raises:
            ValueError: if a code is not finite, or all are alike.
        """
        _check_finite(codes)
        mean, spread = codes.mean(0), codes.std(0)
        used = spread > 1e-9 * max(float(np.abs(codes).max()), 1e-300)
        if not used.any():
            raise ValueError("all codes are alike: the model has collapsed, and its codes tell nothing")
        plain = (codes - mean)[:, used] / spread[used]
        values, axes = np.linalg.eigh(plain.T @ plain / len(plain))
        matrix = np.zeros((len(mean), int(used.sum())))
        matrix[used] = axes / np.sqrt(np.maximum(values, SMALLEST_EIGENVALUE)) / spread[used, None]
        return cls(mean, matrix)

    def scores(self, codes: Array) -> dict[str, Array]:
        """The distance of each code as ``latent_mahalanobis``.

        Raises:
            ValueError: if a code is not finite.
        """
        _check_finite(codes)
        return {"latent_mahalanobis": np.linalg.norm((codes - self.mean) @ self.matrix, axis=1)}


class LatentDensity:
    """Two scores of codes, fitted on the codes of ordinary jets; larger means more unusual.

    ``mahalanobis``: :class:`Mahalanobis`, ``forest``: the isolation forest of
    scikit-learn (Liu, Ting and Zhou, ICDM 2008), whose score is minus the mean depth at which a code is isolated,
    normalised. Numbers that are the same in all codes are left out.

    Args:
        codes: codes of ordinary jets, which the model may have been trained on but which are not scored later.
        seed: of the forest.

    Raises:
        ValueError: if a code is not finite, or all are alike.

    Shapes:
        - **codes**: :math:`(B, F)`
    """

    def __init__(self, codes: Array, seed: int = 0) -> None:
        from sklearn.ensemble import IsolationForest

        self.distance = Mahalanobis.fit(codes)
        self.used = self.distance.matrix.any(1)
        self.spread = codes.std(0)[self.used]
        self.forest = IsolationForest(n_estimators=TREES, random_state=seed).fit(self._standardise(codes))

    def scores(self, codes: Array) -> dict[str, Array]:
        """Both scores of each code, by name.

        Raises:
            ValueError: if a code is not finite.

        Shapes:
            - **codes**: :math:`(B, F)`
            - **output**: each :math:`(B,)`
        """
        found = self.distance.scores(codes)
        return {**found, "latent_forest": -self.forest.score_samples(self._standardise(codes))}

    def _standardise(self, codes: Array) -> Array:
        return ((codes - self.distance.mean)[:, self.used]) / self.spread


def _check_finite(codes: Array) -> None:
    broken = np.flatnonzero(~np.isfinite(codes).all(1))
    if broken.size:
        raise ValueError(f"the codes of {broken.size} jets are not finite, the first is that of jet {broken[0]}")
