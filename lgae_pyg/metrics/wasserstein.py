"""The Wasserstein-1 distance of two samples of numbers."""

from numpy.typing import ArrayLike
from scipy.stats import wasserstein_distance


def wasserstein_1(
    first: ArrayLike,
    second: ArrayLike,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
) -> float:
    r"""The area between the two empirical distribution functions,

    .. math:: W_1 = \int |F(x) - G(x)|\, dx,

    in the unit of the samples. Values may have weights, such as how often each one was drawn.

    Raises:
        ValueError: if a sample is empty or holds a value that is not finite.

    Shapes:
        - **first**, **first_weights**: :math:`(n,)`; **second**, **second_weights**: :math:`(m,)`
    """
    distance = float(wasserstein_distance(first, second, first_weights, second_weights))
    if distance != distance or distance == float("inf"):
        raise ValueError("a sample holds values that are not finite: its distribution has no distance")
    return distance
