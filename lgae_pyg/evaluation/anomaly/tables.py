"""Tables of the anomaly study, from the scores alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.metrics.equal_mass import EFFICIENCIES, FEWEST, efficiencies_at_equal_mass, equal_mass_with_error
from lgae_pyg.metrics.rank import rank_correlation
from lgae_pyg.metrics.roc import figures_of_merit
from lgae_pyg.metrics.sculpting import mass_sculpting
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table, with_errors

Scores = dict[str, NDArray[np.float64]]

#: All signals together.
UNION = "all"
MERITS = {
    "auc": "AUC",
    "efficiency_0.1": "ε_S(0.1)",
    "efficiency_0.01": "ε_S(0.01)",
    "efficiency_0.001": "ε_S(0.001)",
    "rejection_0.3": "1/ε_B(0.3)",
    "rejection_0.5": "1/ε_B(0.5)",
    "improvement": "max SIC",
}
HEADLINE_MERITS = ("efficiency_0.1", "efficiency_0.01", "efficiency_0.001", "improvement")
#: The rank of the headline score among background jets of equal mass.
RANK = "rank_at_equal_mass"
#: What is compared with the headline score: its rank, the same in a measure that no observer disputes, codes, and
#: what needs no model at all.
COMPANIONS = (RANK, "chamfer_lorentz", "latent_mahalanobis", "latent_forest")
COMPANIONS += ("linear_chamfer_cartesian", "mass", "multiplicity")
#: Scores that need no model.
MODEL_FREE = ("mass", "multiplicity")
#: Windows of the jet mass in GeV.
WINDOWS = ((0.0, 40.0), (40.0, 65.0), (65.0, 105.0), (105.0, 150.0), (150.0, 200.0), (200.0, np.inf))
FEWEST_IN_WINDOW = 100
#: Background efficiencies of the cuts whose effect on the background's mass is measured.
CUTS = (0.1, 0.01)
#: Bootstrap samples of the area at equal mass, which takes long.
FEW_RESAMPLES = 40

EXPLANATION = (
    "Larger scores mean more anomalous, a sign fixed beforehand: below an AUC of 0.5 a score finds the anomalies "
    "more ordinary. ε_S(b): signal efficiency at background efficiency b, nan where that is less than one "
    "background jet; 1/ε_B(s): background rejection at signal efficiency s; SIC: significance improvement "
    "ε_S/√ε_B with at least 10 background jets left; ±: bootstrap standard errors"
)


def union(found: Mapping[str, Scores], signals: Sequence[str]) -> Scores:
    """The scores of all signals together, one after another."""
    return {name: np.concatenate([found[one][name] for one in signals]) for name in found[signals[0]]}


def signal_samples(found: Mapping[str, Scores], signals: Sequence[str]) -> Iterator[tuple[str, Scores]]:
    """Each signal, and all together where there are several."""
    yield from ((name, found[name]) for name in signals)
    if len(signals) > 1:
        yield UNION, union(found, signals)


def compared_scores(about: Mapping[str, Any], found: Iterable[str]) -> list[str]:
    """The headline score, those of its companions that there are, and supervised taggers."""
    scores = (about["headline"], *COMPANIONS, *about.get("supervised", ()))
    return [score for score in scores if score in found]


def printed_name(score: str, about: Mapping[str, Any]) -> str:
    """How a score is called in tables and figures."""
    names = {
        "mass": "jet mass alone",
        "multiplicity": "number of particles alone",
        "linear_chamfer_cartesian": "LinearAE, chamfer cartesian",
    }
    if score in about.get("supervised", ()):
        return f"{about['supervised'][score]['label']}, supervised"
    mark = " (headline)" if score == about["headline"] else ""
    return names.get(score, score.replace("_", " ")) + mark


def _owner(score: str, about: Mapping[str, Any]) -> str:
    """Whose score it is."""
    if score in about.get("supervised", ()):
        return about["supervised"][score]["label"]
    return "no model" if score in MODEL_FREE else about["label"]


def anomaly_tables(
    found: Mapping[str, Scores], about: Mapping[str, Any], resamples: int, progress: bool = True
) -> dict[str, Table]:
    """All tables of the study by name.

    Args:
        found: the scores of each sample, by name of the sample and of the score; among them the jet's ``mass``.
        about: ``background`` and ``signals`` (names of samples), ``label`` of the model, ``headline``,
            ``caption``.
        resamples: bootstrap samples behind each error.
        progress: show a progress bar.

    Raises:
        ValueError: if a score is NaN.
    """
    background, signals = found[about["background"]], list(signal_samples(found, about["signals"]))
    merits: dict[tuple[str, str], dict[str, float]] = {}
    with steps(len(background) * len(signals), progress, "rank") as tick:
        for score in background:
            for name, signal in signals:
                merits[score, name] = _merits(score, background, signal, resamples)
                tick()
    tables = [
        _headline_table(merits, background, signals, about, resamples),
        _scores_table(merits, about),
        _windows_table(background, signals[-1], about, resamples),
        _sculpting_table(background, about, resamples),
    ]
    return {table.name: table for table in tables}


def _merits(score: str, background: Scores, signal: Scores, resamples: int) -> dict[str, float]:
    try:
        return figures_of_merit(background[score], signal[score], resamples)
    except ValueError as error:
        raise ValueError(f"score {score}: {error}") from error


def _headline_table(
    merits: Mapping[tuple[str, str], dict[str, float]],
    background: Scores,
    signals: Sequence[tuple[str, Scores]],
    about: Mapping[str, Any],
    resamples: int,
) -> Table:
    last, together = signals[-1]
    rows = []
    for score in compared_scores(about, background):
        numbers = merits[score, last]
        values = [_owner(score, about), printed_name(score, about)]
        values += [merits[score, name]["auc"] for name, _ in signals] + [numbers["auc_error"]]
        for merit in HEADLINE_MERITS:
            values += [numbers[merit], numbers[f"{merit}_error"]]
        rows.append((*values, *_equal_mass(score, background, together, min(resamples, FEW_RESAMPLES))))
    columns = {"model": "model", "score": "score", **{f"auc_{name}": f"AUC {name}" for name, _ in signals}}
    columns["auc_error"] = f"± AUC {last}"
    columns |= with_errors({merit: MERITS[merit] for merit in HEADLINE_MERITS})
    columns |= with_errors({"auc_equal_mass": "AUC, equal mass"})
    columns |= with_errors({f"efficiency_{one:g}_equal_mass": f"ε_S({one:g}), equal mass" for one in EFFICIENCIES})
    caption = (
        f"Anomaly detection against {about['background']}; all but the AUC of single classes: '{last}'. "
        f"{EXPLANATION}. Equal mass: AUC among jets of one mass, in bins of 10 GeV with at least {FEWEST} jets of "
        "either kind (nan: there is none), averaged with the signal's numbers; a function of the mass has 0.5; "
        "and ε_S(b) against background weighted to the signal's mass in these bins, with one cut for all: a "
        "function of the mass has b. "
        f"{about['caption']}"
    )
    return Table("anomaly", caption, columns, tuple(rows))


def _equal_mass(score: str, background: Scores, signal: Scores, resamples: int) -> tuple[float, ...]:
    """Area and signal efficiencies at equal mass, with their errors."""
    pairs = [np.stack([one[score], one["mass"]], -1) for one in (background, signal)]
    return (*equal_mass_with_error(*pairs, resamples), *efficiencies_at_equal_mass(*pairs, resamples).values())


def _scores_table(merits: Mapping[tuple[str, str], dict[str, float]], about: Mapping[str, Any]) -> Table:
    rows = [
        (
            _owner(score, about),
            printed_name(score, about),
            signal,
            *(numbers[f"{merit}{suffix}"] for merit in MERITS for suffix in ("", "_error")),
        )
        for (score, signal), numbers in merits.items()
    ]
    columns = {"model": "model", "score": "score", "signal": "signal", **with_errors(MERITS)}
    caption = f"All scores against {about['background']}. {EXPLANATION}. {about['caption']}"
    return Table("anomaly_scores", caption, columns, tuple(rows))


def _windows_table(
    background: Scores, signal: tuple[str, Scores], about: Mapping[str, Any], resamples: int
) -> Table:
    name, together = signal
    rows = []
    for score in compared_scores(about, background):
        correlation, _ = rank_correlation(background[score], background["mass"])
        for low, high in WINDOWS:
            inside = [one[score][(one["mass"] >= low) & (one["mass"] < high)] for one in (background, together)]
            if min(map(len, inside)) < FEWEST_IN_WINDOW:
                continue
            numbers = figures_of_merit(*inside, resamples)
            window = f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}"
            counts = map(len, inside)
            lead = (_owner(score, about), printed_name(score, about), correlation, window, *counts)
            rows.append((*lead, numbers["auc"], numbers["auc_error"]))
    columns = {
        "model": "model", "score": "score", "spearman": "rank correlation with mass", "window": "mass [GeV]",
        "background": "background jets", "signal": "signal jets", **with_errors({"auc": "AUC"}),
    }  # fmt: skip
    caption = (
        f"AUC of '{name}' against {about['background']} in windows of the jet mass with at least "
        f"{FEWEST_IN_WINDOW} jets of either kind, and Spearman's rank correlation of score and jet mass in the "
        f"background. {about['caption']}"
    )
    return Table("anomaly_mass", caption, columns, tuple(rows))


def _sculpting_table(background: Scores, about: Mapping[str, Any], resamples: int) -> Table:
    rows = []
    for score in compared_scores(about, background):
        for cut in CUTS:
            found = mass_sculpting(background[score], background["mass"], cut, max(resamples, 2))
            if found is not None:
                lead = (_owner(score, about), printed_name(score, about), cut, found.passing)
                lead = (*lead, found.before, found.after)
                rows.append((*lead, found.distance, found.error, found.noise, found.noise_error,
                             found.chance))  # fmt: skip
    columns = {
        "model": "model", "score": "score", "cut": "ε_B", "passing": "jets that pass",
        "before": "median mass [GeV]", "after": "after the cut",
        **with_errors({"distance": "JS distance", "noise": "random cut"}),
        "chance": "share of random cuts as far",
    }  # fmt: skip
    caption = (
        f"What a cut on a score does to the mass of {about['background']} that passes it: Jensen-Shannon distance "
        "of the mass distributions of all jets and of those that pass (0: the same), with its bootstrap error, "
        f"and that after random cuts that as many jets pass. {about['caption']}"
    )
    return Table("anomaly_sculpting", caption, columns, tuple(rows))
