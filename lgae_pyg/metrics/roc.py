"""How well a score tells signal from background: ROC curve and the numbers read off it, with bootstrap errors.

A higher score always means more signal-like. The sign is never chosen by looking at the labels: an area below one
half is reported as such, and one minus it is what the score with the other sign has.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lgae_pyg.metrics.bootstrap import draws

Array = NDArray[np.float64]

#: Background efficiencies at which signal efficiencies are given (arXiv:2212.07347, Table 4).
BACKGROUND_EFFICIENCIES = (1e-1, 1e-2, 1e-3)
#: Signal efficiencies at which background rejections are given.
SIGNAL_EFFICIENCIES = (0.3, 0.5)
#: Fewest background jets that must pass where a significance improvement is read off.
FEWEST_PASSING = 10


def roc_curve(background: ArrayLike, signal: ArrayLike) -> tuple[Array, Array]:
    r"""Background and signal efficiency of the cuts *score at least c*, for falling :math:`c`.

    Jets of equal score pass together. Between the points, a cut that lets a random part of such jets through moves
    on the straight line.

    Args:
        background: scores of background jets.
        signal: scores of signal jets.

    Shapes:
        - **background**: :math:`(n,)`, **signal**: :math:`(m,)`
        - **output**: :math:`\epsilon_B` and :math:`\epsilon_S`, rising from 0 to 1

    Raises:
        ValueError: if a score is NaN, or there is no jet of one kind.
    """
    levels, places = _levels(background, signal)
    return _efficiencies(*(np.bincount(one, minlength=levels) for one in places))


def area_under_curve(background: ArrayLike, signal: ArrayLike) -> float:
    r"""The area under the ROC curve, :math:`P(s_S > s_B) + \tfrac12 P(s_S = s_B)`.

    Args and errors are those of :func:`roc_curve`.
    """
    return _area(*roc_curve(background, signal))


def figures_of_merit(
    background: ArrayLike, signal: ArrayLike, resamples: int = 0, seed: int = 0
) -> dict[str, float]:
    r"""The numbers that are read off a ROC curve.

    ``auc``; ``efficiency_0.1``, ... the signal efficiency at a background efficiency of
    :data:`BACKGROUND_EFFICIENCIES` (NaN where that is less than one background jet); ``rejection_0.3``, ... the
    background rejection :math:`1 / \epsilon_B` at a signal efficiency of :data:`SIGNAL_EFFICIENCIES` (infinite if
    no background passes); ``improvement`` the largest significance improvement
    :math:`\epsilon_S / \sqrt{\epsilon_B}` where at least :data:`FEWEST_PASSING` background jets pass. With
    bootstrap samples, ``..._error`` beside each: background and signal are drawn anew independently.

    Args:
        background: scores of background jets.
        signal: scores of signal jets.
        resamples: the number of bootstrap samples; no errors for 0.
        seed: of the bootstrap.

    Raises:
        ValueError: if a score is NaN, there is no jet of one kind, or just one bootstrap sample.
    """
    return _with_errors(background, signal, resamples, seed, ways=1)[0]


def figures_both_ways(
    background: ArrayLike, signal: ArrayLike, resamples: int = 0, seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """:func:`figures_of_merit` of a score, and of the score with the other sign: the same ranking read from its
    other end, and the same bootstrap samples."""
    first, second = _with_errors(background, signal, resamples, seed, ways=2)
    return first, second


def significance_improvement(background: ArrayLike, signal: ArrayLike) -> tuple[Array, Array, Array]:
    r"""Significance improvement :math:`\epsilon_S / \sqrt{\epsilon_B}` along the ROC curve as it is drawn, from
    the cut on that :data:`FEWEST_PASSING` background jets pass.

    Args and errors are those of :func:`roc_curve`.

    Shapes:
        - **output**: :math:`\epsilon_S`, the improvement and its error (:func:`improvement_error`), :math:`(k,)`
          each; empty for fewer background jets
    """
    background, signal = np.ravel(background), np.ravel(signal)
    passing, efficiency = drawn_curve(background, signal)
    enough = passing * background.size >= FEWEST_PASSING - 1e-9
    passing, efficiency = passing[enough], efficiency[enough]
    error = improvement_error(passing, efficiency, background.size, signal.size)
    return efficiency, efficiency / np.sqrt(passing), error


def drawn_curve(background: ArrayLike, signal: ArrayLike, points: int = 400) -> tuple[Array, Array]:
    r"""Points of the ROC curve that show all of it on linear and on logarithmic axes.

    They are equally far from each other in :math:`\epsilon_S`, and in :math:`\ln \epsilon_B` from one background
    jet on, and lie on the straight lines between the corners of the curve: there a cut lets a random part of jets
    of equal score through. The cut on that :data:`FEWEST_PASSING` background jets pass, and that of the largest
    significance improvement, are among them.

    Args:
        background: scores of background jets.
        signal: scores of signal jets.
        points: in either direction.

    Shapes:
        - **background**: :math:`(n,)`, **signal**: :math:`(m,)`
        - **output**: :math:`\epsilon_B` and :math:`\epsilon_S`, rising from 0 to 1

    Raises:
        ValueError: if a score is NaN, or there is no jet of one kind.
    """
    x, y = roc_curve(background, signal)
    jets = np.size(background)
    places = [_places(y, np.linspace(0, 1, points)), _places(x, np.geomspace(1 / jets, 1, points)),
              np.array([0.0, len(x) - 1])]  # fmt: skip
    enough = np.searchsorted(x, FEWEST_PASSING / jets - 1e-9)
    if enough < len(x):
        best = enough + np.argmax(y[enough:] ** 2 / x[enough:])
        places += [_places(x, np.array([FEWEST_PASSING / jets])), np.array([best])]
    place = np.unique(np.concatenate(places))
    corner = np.arange(len(x))
    return np.interp(place, corner, x), np.interp(place, corner, y)


def binomial_interval(share: ArrayLike, jets: int) -> tuple[Array, Array]:
    r"""The ends of the 68 % interval of a share of so many jets (Wilson, J. Am. Stat. Assoc. 22 (1927) 209),

    .. math:: \frac{p + \frac{1}{2n} \mp \sqrt{\frac{p (1 - p)}{n} + \frac{1}{4 n^2}}}{1 + \frac1n} ,

    of many jets :math:`p \mp \sqrt{p (1 - p) / n}`; the lower end of a share that is not zero is not zero.

    Args:
        share: :math:`p`, from 0 to 1.
        jets: :math:`n`.

    Shapes:
        - **share**, **output**: :math:`(*)`
    """
    p, step = np.asarray(share, dtype=np.float64), 1 / jets
    middle, width = p + step / 2, np.sqrt(p * (1 - p) * step + step * step / 4)
    return np.maximum(middle - width, 0) / (1 + step), (middle + width) / (1 + step)


def improvement_error(passing: ArrayLike, efficiency: ArrayLike, background: int, signal: int) -> Array:
    r"""The error of the significance improvement :math:`\epsilon_S / \sqrt{\epsilon_B}` of one cut, from the
    binomial errors of both efficiencies,

    .. math:: \sqrt{\frac{\epsilon_S (1 - \epsilon_S)}{m\, \epsilon_B}
              + \frac{\epsilon_S^2}{4 \epsilon_B^2} \frac{1 - \epsilon_B}{n}} .

    Args:
        passing: :math:`\epsilon_B > 0`.
        efficiency: :math:`\epsilon_S`.
        background: number of background jets, :math:`n`.
        signal: number of signal jets, :math:`m`.

    Shapes:
        - **passing**, **efficiency**, **output**: :math:`(k,)`
    """
    x, y = np.asarray(passing, dtype=np.float64), np.asarray(efficiency, dtype=np.float64)
    return np.sqrt(y * (1 - y) / (signal * x) + y * y * (1 - x) / (4 * x * x * background))


def _places(values: Array, wanted: Array) -> Array:
    """Where a rising array that ends above has values, as numbers of its corners with fractions between them; of
    equal corners the last."""
    here = np.clip(np.searchsorted(values, wanted, side="right") - 1, 0, len(values) - 2)
    step = values[here + 1] - values[here]
    return here + np.where(step > 0, np.clip((wanted - values[here]) / np.where(step > 0, step, 1), 0, 1), 1.0)


def _levels(background: ArrayLike, signal: ArrayLike) -> tuple[int, list[NDArray[np.int64]]]:
    """The number of different scores, and for each jet the place of its score from the highest on."""
    samples = [np.asarray(one, dtype=np.float64).ravel() for one in (background, signal)]
    for kind, sample in zip(("background", "signal"), samples):
        if not sample.size:
            raise ValueError(f"there is no {kind} jet to compare")
        broken = int(np.isnan(sample).sum())
        if broken:
            first = int(np.isnan(sample).argmax())
            raise ValueError(
                f"{broken} of {sample.size} {kind} scores are NaN (the first of jet {first}): "
                "a jet without a score has no rank"
            )
    values, inverse = np.unique(-np.concatenate(samples), return_inverse=True)
    return values.size, np.split(inverse.ravel(), [samples[0].size])


def _efficiencies(background: NDArray, signal: NDArray) -> tuple[Array, Array]:
    """Efficiencies from the numbers of jets at each score, from the highest on."""
    passing = (np.concatenate([[0], np.cumsum(counts)]) for counts in (background, signal))
    first, second = (counts / counts[-1] for counts in passing)
    return first, second


def _area(background: Array, signal: Array) -> float:
    return float(np.sum(np.diff(background) * (signal[1:] + signal[:-1])) / 2)


def _with_errors(
    background: ArrayLike, signal: ArrayLike, resamples: int, seed: int, ways: int
) -> list[dict[str, float]]:
    """The figures of merit, and with two ways those of the score with the other sign after them."""
    levels, places = _levels(background, signal)
    steps = (1, -1)[:ways]
    counts = [np.bincount(one, minlength=levels) for one in places]
    plain = [_merits(*(one[::step] for one in counts)) for step in steps]
    if not resamples:
        return plain
    drawn: list[list[dict[str, float]]] = [[] for _ in steps]
    for times in zip(*(draws(one.size, resamples, (seed, number)) for number, one in enumerate(places))):
        counts = [np.bincount(one, n, levels) for one, n in zip(places, times)]
        for step, found in zip(steps, drawn):
            found.append(_merits(*(one[::step] for one in counts)))
    with np.errstate(invalid="ignore"):
        errors = [
            {f"{name}_error": float(np.std([one[name] for one in found], ddof=1)) for name in found[0]}
            for found in drawn
        ]
    return [{**one, **error} for one, error in zip(plain, errors)]


def _merits(background: NDArray, signal: NDArray) -> dict[str, float]:
    """What is read off the curve, from the numbers of jets at each score, from the highest on."""
    x, y = (np.concatenate([[0.0], np.cumsum(counts)]) for counts in (background, signal))
    jets, wanted = x[-1], y[-1]
    merits = {"auc": float(np.dot(background, y[1:] + y[:-1]) / (2 * jets * wanted))}
    for place in BACKGROUND_EFFICIENCIES:
        resolved = place * jets >= 1 - 1e-9
        merits[f"efficiency_{place:g}"] = loosest_cut(x, y, place * jets) / wanted if resolved else float("nan")
    for place in SIGNAL_EFFICIENCIES:
        passing = _tightest(x, y, place * wanted) / jets
        merits[f"rejection_{place:g}"] = 1 / passing if passing > 0 else float("inf")
    if jets >= FEWEST_PASSING:  # on a straight line it is largest at an end
        enough = np.searchsorted(x, FEWEST_PASSING - 1e-9)
        edge = loosest_cut(x, y, FEWEST_PASSING) ** 2 / FEWEST_PASSING
        best = max(edge, (y[enough:] ** 2 / x[enough:]).max())
        merits["improvement"] = float(np.sqrt(best * jets) / wanted)
    else:
        merits["improvement"] = float("nan")
    return merits


def loosest_cut(x: Array, y: Array, passing: float) -> float:
    """Signal that passes where so much of the background does; the loosest of such cuts, between cuts a straight
    line.

    Args:
        x: background that passes, jets or sums of weights, from the tightest cut on; begins with 0.
        y: the same of the signal.
        passing: what of the background is to pass, in the unit of ``x``.

    Shapes:
        - **x**, **y**: :math:`(k,)`
    """
    here = int(np.searchsorted(x, passing, side="right")) - 1
    if here == len(x) - 1:
        return float(y[here])
    there = int(np.searchsorted(x, x[here + 1], side="right")) - 1
    return float(y[here] + (passing - x[here]) / (x[there] - x[here]) * (y[there] - y[here]))


def _tightest(x: Array, y: Array, passing: float) -> float:
    """Background jets where so many signal jets pass; the tightest of such cuts, between cuts a straight line."""
    there = int(np.searchsorted(y, passing, side="right"))
    here = int(np.searchsorted(y, y[there - 1]))
    return float(x[here] + (passing - y[here]) / (y[there] - y[here]) * (x[there] - x[here]))
