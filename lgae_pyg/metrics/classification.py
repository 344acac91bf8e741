"""How well scores of several classes tell jets apart: one-vs-rest areas, confusion matrix, calibration."""

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.metrics.roc import area_under_curve

Array = NDArray[np.float64]


def classes_of(y: NDArray, classes: int) -> list[int]:
    """The classes whose jets can be told from others: of two only the second, since the first has the same curve,
    reversed; of more, each of which there are jets, and others."""
    there = [number for number in range(classes) if 0 < (y == number).sum() < len(y)]
    return [number for number in there if number == 1] if classes == 2 else there


def mean_area(scores: Array, y: NDArray) -> float:
    """The area under the ROC curve of the second of two classes; of more, the mean over the classes, each against
    all others by its own score. NaN if all jets are of one class.

    Args:
        scores: of each class.
        y: the true classes.

    Raises:
        ValueError: if a score is NaN.

    Shapes:
        - **scores**: :math:`(n, C)`, **y**: :math:`(n,)`
    """
    shown = classes_of(y, scores.shape[1])
    areas = [area_under_curve(scores[y != number, number], scores[y == number, number]) for number in shown]
    return float(np.mean(areas)) if areas else float("nan")


def confusion_matrix(scores: Array, y: NDArray) -> NDArray[np.int64]:
    """How many jets of each true class (rows) have their largest score in each class (columns).

    Shapes:
        - **scores**: :math:`(n, C)`, **y**: :math:`(n,)`
        - **output**: :math:`(C, C)`
    """
    classes = scores.shape[1]
    return np.bincount(y * classes + scores.argmax(1), minlength=classes**2).reshape(classes, classes)


def calibration(probability: Array, truth: NDArray, bins: int = 15) -> tuple[Array, Array, Array]:
    r"""How often jets to which a tagger gives a probability are what it says.

    Args:
        probability: that each jet is of a class.
        truth: whether it is.
        bins: of equal width between 0 and 1; those without jets are left out.

    Shapes:
        - **probability**, **truth**: :math:`(n,)`
        - **output**: in each bin the mean probability, the share :math:`s` of jets of the class, and its error
          :math:`\sqrt{s' (1 - s') / n}` with :math:`s' = (n s + 1/2) / (n + 1)`, which is not zero for none or all
    """
    places = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    there = counts > 0
    sums = (np.bincount(places, values, bins)[there] / counts[there] for values in (probability, truth))
    mean, share = sums
    jets = counts[there]
    middle = (jets * share + 0.5) / (jets + 1)
    return mean, share, np.sqrt(middle * (1 - middle) / jets)
