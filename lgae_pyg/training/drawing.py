"""What figures draw alike: lines with bands, histograms with their errors, arrows for points beyond the axis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

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
