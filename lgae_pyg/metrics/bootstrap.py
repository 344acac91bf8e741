"""Statistical errors by the bootstrap (Efron, Ann. Statist. 7 (1979) 1)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bootstrap(
    samples: Sequence[ArrayLike], statistic: Callable[..., ArrayLike], resamples: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """The standard error of a statistic of one or several samples.

    Each sample is drawn anew, with replacement and as large as it is, independently of the others; the error is
    the standard deviation (denominator :math:`R - 1`) of the statistic over the :math:`R` draws.

    Args:
        samples: arrays whose rows are independent of each other.
        statistic: of the samples, a number or an array of numbers.
        resamples: the number of draws, at least two.
        seed: of the draws.

    Raises:
        ValueError: if a sample is empty, or there are fewer than two draws.

    Shapes:
        - **output**: the shape of the statistic
    """
    arrays = [np.asarray(sample) for sample in samples]
    counts = [draws(len(array), resamples, (seed, place)) for place, array in enumerate(arrays)]
    drawn = [
        np.asarray(statistic(*(array[np.repeat(np.arange(len(array)), n)] for array, n in zip(arrays, number))))
        for number in zip(*counts)
    ]
    return np.std(np.array(drawn, dtype=np.float64), axis=0, ddof=1)


def bootstrap_weighted(
    sizes: Sequence[int], statistic: Callable[..., float], resamples: int = 200, seed: int = 0
) -> float:
    """The standard error of a statistic that takes weights, for values that belong together.

    Two samples that are pairs (true and rebuilt jets) are drawn together, and so are values that come in groups
    (the particles of a jet): what is drawn are the groups, and the statistic is told how often each one was.

    Args:
        sizes: numbers of groups, one for each set of groups that is drawn independently of the others.
        statistic: of one array for each set, how often each of its groups was drawn.
        resamples: the number of draws, at least two.
        seed: of the draws.

    Raises:
        ValueError: if a set is empty, or there are fewer than two draws.
    """
    counts = [draws(size, resamples, (seed, place)) for place, size in enumerate(sizes)]
    return float(np.std([statistic(*drawn) for drawn in zip(*counts)], ddof=1))


def bootstrap_quantiles(
    values: ArrayLike, groups: ArrayLike, quantiles: Sequence[float], resamples: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    r"""Quantiles of a sample whose values come in groups (the particles of jets), in each of many draws.

    Whole groups are drawn with replacement, since values of one group are not independent. The quantile
    :math:`q` of a draw is the smallest value at which the cumulative weight reaches :math:`q` times the whole.

    Args:
        values: the sample; NaN are left out.
        groups: for each value the number of its group, from 0 on.
        quantiles: numbers between 0 and 1.
        resamples: the number of draws.
        seed: of the draws.

    Raises:
        ValueError: if there is no value, or fewer than two draws.

    Shapes:
        - **values**, **groups**: :math:`(n,)`
        - **output**: :math:`(R, Q)`
    """
    numbers, owners = np.asarray(values, dtype=np.float64), np.asarray(groups)
    total = int(owners.max()) + 1 if owners.size else 0
    defined = ~np.isnan(numbers)
    numbers, owners = numbers[defined], owners[defined]
    if not numbers.size:
        raise ValueError("there is no value to take quantiles of")
    order = np.argsort(numbers, kind="stable")
    numbers, owners = numbers[order], owners[order]
    found = []
    for counts in draws(total, resamples, (seed,)):
        weights = np.cumsum(counts[owners])
        places = np.searchsorted(weights, np.asarray(quantiles) * weights[-1], side="left")
        found.append(numbers[places])
    return np.array(found)


def draws(size: int, resamples: int, seed: tuple[int, ...]) -> Iterator[NDArray[np.int64]]:
    """How often each row is drawn, draw after draw."""
    if size < 1:
        raise ValueError("an empty sample cannot be drawn from")
    if resamples < 2:
        raise ValueError(f"an error needs at least 2 bootstrap samples, not {resamples}")
    rng = np.random.default_rng(seed)
    return (np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(resamples))
