"""The mean of several anomaly detectors on the same jets: what one finds that another does not.

From the stored results of anomaly studies (``lgae evaluate RUN --studies anomaly``) of taggers, with the same
``--data``, ``--jets`` and ``--signals``::

    python train/mean_of_scores.py FIRST/evaluation/anomaly SECOND/evaluation/anomaly

prints the tables of the study for the mean of the log-odds of their scores. Its rank at equal mass is among the
other half of the judged background, of every second jet; signals are ranked among the first half.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lgae_pyg.evaluation.anomaly.figures import scores_of
from lgae_pyg.evaluation.anomaly.tables import RANK, Scores, anomaly_tables
from lgae_pyg.evaluation.results import Results
from lgae_pyg.metrics.mass_rank import rank_at_equal_mass
from lgae_pyg.tables import Table

#: Log-odds beyond which they are cut, which is what float64 leaves of a probability near 1.
LARGEST = 35.0
NAME = "mean_log_odds"


def log_odds(score: np.ndarray) -> np.ndarray:
    """Of a probability; finite."""
    with np.errstate(divide="ignore"):
        return (np.log(score) - np.log1p(-score)).clip(-LARGEST, LARGEST)


def mean_scores(studies: Sequence[Results]) -> dict[str, Scores]:
    """Mass, number and mean of the log-odds of each sample, and its rank at equal mass.

    Raises:
        ValueError: the studies have not scored the same jets.
    """
    found, first = [scores_of(one) for one in studies], studies[0].description
    names = [first["background"], *first["signals"]]
    means: dict[str, Scores] = {}
    for name in names:
        if any(name not in one or not np.array_equal(one[name]["mass"], found[0][name]["mass"]) for one in found):
            raise ValueError(f"the studies have not scored the same jets of {name}: give both the same files")
        odds = [log_odds(one[name][study.description["headline"]]) for one, study in zip(found, studies)]
        means[name] = {NAME: np.mean(odds, 0), **{one: found[0][name][one] for one in ("mass", "multiplicity")}}
    halves = [(means[names[0]][NAME][half::2], means[names[0]]["mass"][half::2]) for half in (0, 1)]
    for name, one in means.items():
        one[RANK] = rank_at_equal_mass(one[NAME], one["mass"], *halves[0])
        if name == names[0]:
            one[RANK][::2] = rank_at_equal_mass(*halves[0], *halves[1])
    return means


def tables_of(studies: Sequence[Results], resamples: int) -> dict[str, Table]:
    """The tables of the study, of the mean."""
    label = " + ".join(one.label for one in studies)
    about = {**studies[0].description, "headline": NAME, "label": label, "supervised": {}}
    about["caption"] = f"{NAME} is the mean of the log-odds of {len(studies)} detectors on the same jets."
    return anomaly_tables(mean_scores(studies), about, resamples, progress=False)


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("results", type=Path, nargs="+", help="folders of stored anomaly studies")
    parser.add_argument("--resamples", type=int, default=50, help="bootstrap samples (default: %(default)s)")
    given = parser.parse_args()
    tables = tables_of([Results.load(one) for one in given.results], given.resamples)
    print(tables["anomaly"].to_text(), tables["anomaly_sculpting"].to_text(), sep="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
