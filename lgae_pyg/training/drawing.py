"""What figures draw alike: lines with bands, histograms with errors, bins of scores, arrows at the edge."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Bins of a score, and the share of the jets that an axis shows.
BINS, SHOWN = 50, (0.002, 0.998)
#: Ratio of largest and smallest score from which their axis is logarithmic; of their distances from 1, from which
#: that of probabilities is one of log odds.
WIDE = 30
#: How strongly bands of errors are filled.
BAND = {"alpha": 0.2, "linewidth": 0}


def draw_band(axes: Any, x: Array, y: Array, low: Array, high: Array, **style: Any) -> None:
    """A line, and a band from ``low`` to ``high`` in its colour; ``style`` is that of the line, with ``color``."""
    axes.plot(x, y, **style)
    axes.fill_between(x, low, high, color=style["color"], **BAND)


def draw_steps(axes: Any, heights: Array, errors: Array, edges: Array, **style: Any) -> None:
    """A histogram as steps, with a band of its errors where there are entries; ``style`` is that of the steps.

    Bands end above zero, so that they can be drawn on logarithmic axes.
    """
    axes.stairs(heights, edges, **style)
    low = np.where(heights > 0, np.maximum(heights - errors, 0.01 * heights), np.nan)
    ends = [np.append(values, values[-1]) for values in (low, heights + errors)]
    axes.fill_between(edges, *ends, step="post", color=style["color"], **BAND)


def mark_outside(axes: Any, x: Array, y: Array, color: str) -> None:
    """Arrows at the lower and upper edge where points lie beyond the limits of the axis, which must be set."""
    low, high = sorted(axes.get_ylim())
    for marker, place, beyond in (("^", 0.965, y > high), ("v", 0.035, y < low)):
        if beyond.any():
            axes.plot(np.asarray(x)[beyond], np.full(beyond.sum(), place), marker, markersize=4.5, color=color,
                      transform=axes.get_xaxis_transform(), zorder=3)  # fmt: skip


def score_edges(values: Array) -> tuple[Array, str]:
    """Edges of the bins of a score, and the scale of its axis: ``linear``, ``log`` or, for probabilities near 1,
    ``logit``; infinite scores fall into the last bins."""
    low, high = np.quantile(values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1), SHOWN)
    if low == high:
        width = max(abs(low), 1.0) / 2
        low, high = low - width, high + width
    if (values == np.round(values)).all() and high - low < 1e6:  # whole numbers share bins evenly
        step = max(1, int(np.ceil((high - low + 1) / BINS)))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + step, step), "linear"
    below = values[values < 1]
    if low > 0 and below.size and (values <= 1).all():
        top = min(high, below.max())  # where rounded to 1, the odds would be infinite
        if top > low and 1 - low > WIDE * (1 - top):
            odds = np.linspace(np.log(low / (1 - low)), np.log(top / (1 - top)), BINS + 1)
            return 1 / (1 + np.exp(-odds)), "logit"
    logarithmic = bool(low > 0 and high > WIDE * low)
    return (np.geomspace if logarithmic else np.linspace)(low, high, BINS + 1), "log" if logarithmic else "linear"
