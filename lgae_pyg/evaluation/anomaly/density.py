"""Anomaly scores of the codes alone: how far a jet's code is from those of ordinary jets."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Eigenvalues of the correlation matrix are raised to this: directions without spread are no directions.
SMALLEST_EIGENVALUE = 1e-4
TREES = 200


class LatentDensity:
    """Two scores of codes, fitted on the codes of ordinary jets; larger means more unusual.

    ``mahalanobis``: the distance from the mean in units of the covariance, ``forest``: the isolation forest of
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

        _check_finite(codes)
        self.mean, spread = codes.mean(0), codes.std(0)
        self.used = spread > 1e-9 * max(float(np.abs(codes).max()), 1e-300)
        if not self.used.any():
            raise ValueError("all codes are alike: the model has collapsed, and its codes tell nothing")
        self.spread = spread[self.used]
        plain = self._standardise(codes)
        values, self.axes = np.linalg.eigh(plain.T @ plain / len(plain))
        self.lengths = np.sqrt(np.maximum(values, SMALLEST_EIGENVALUE))
        self.forest = IsolationForest(n_estimators=TREES, random_state=seed).fit(plain)

    def scores(self, codes: Array) -> dict[str, Array]:
        """Both scores of each code, by name.

        Raises:
            ValueError: if a code is not finite.

        Shapes:
            - **codes**: :math:`(B, F)`
            - **output**: each :math:`(B,)`
        """
        _check_finite(codes)
        plain = self._standardise(codes)
        distance = np.linalg.norm(plain @ self.axes / self.lengths, axis=1)
        return {"latent_mahalanobis": distance, "latent_forest": -self.forest.score_samples(plain)}

    def _standardise(self, codes: Array) -> Array:
        return ((codes - self.mean)[:, self.used]) / self.spread


def _check_finite(codes: Array) -> None:
    broken = np.flatnonzero(~np.isfinite(codes).all(1))
    if broken.size:
        raise ValueError(f"the codes of {broken.size} jets are not finite, the first is that of jet {broken[0]}")
