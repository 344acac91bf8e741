"""Scores of a file ranked among background jets of equal mass in another file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from lgae_pyg.applications.judge.jets import Array, Columns, as_numbers
from lgae_pyg.applications.judge.tabular import ScoreFile
from lgae_pyg.applications.judge.verdict import named_scores
from lgae_pyg.data import DataFileError
from lgae_pyg.metrics.mass_rank import rank_at_equal_mass


def with_ranks(
    columns: Columns, names: Sequence[str], path: str | os.PathLike[str], mass: str, factor: float, table: str = ""
) -> tuple[Columns, str]:
    """The columns with ``NAME at equal mass`` beside each score, its rank among background jets of the same mass
    (:func:`~lgae_pyg.metrics.mass_rank.rank_at_equal_mass`), and a sentence on these.

    Args:
        columns: what is judged, with the mass.
        names: the columns of the scores.
        path: file of the same scores of background jets, none of which is judged.
        mass: column of the mass in it.
        factor: what makes GeV of its mass.
        table: tree or group of the file.

    Raises:
        OSError: if the file cannot be opened.
        DataFileError: if it is damaged, the mass is not known, or a score or the mass is not in it.
    """
    if "mass" not in columns.quantities:
        raise DataFileError(f"{path}: ranks at equal mass take the mass of the judged jets: name it with --mass")
    file = ScoreFile.open(path, table)
    found = file.read([*names, mass])
    try:
        given = named_scores({name: found[name] for name in names}, columns.class_names)
        scores = {name: as_numbers(values, name) for name, values in given.items()}
        masses = factor * as_numbers(found[mass], mass)
        known = np.isfinite(masses) & ~np.isnan(np.stack(list(scores.values()))).any(0)
        others = {name: (values[known], masses[known]) for name, values in scores.items()}
        asked = as_numbers(columns.quantities["mass"], columns.name("mass"))
        ranks = {f"{name} at equal mass": _ranks(columns.scores[name], asked, *others[name]) for name in scores}
    except ValueError as error:
        raise DataFileError(f"{file.path}: {error}") from error
    lost = "" if known.all() else f"; {int((~known).sum()):,} rows without score or mass are left out"
    name = os.path.basename(file.path)
    note = f"At equal mass: ranks among {int(known.sum()):,} background jets of {name}{lost}."
    return replace(columns, scores={**columns.scores, **ranks}), note


def _ranks(score: ArrayLike, mass: Array, background_score: Array, background_mass: Array) -> Array:
    """Ranks of jets, NaN where score or mass is missing."""
    values, found = as_numbers(score, "score"), np.full(len(mass), np.nan)
    if len(values) != len(mass):
        raise ValueError(f"there are {len(values)} scores and {len(mass)} masses")
    rows = np.isfinite(mass) & ~np.isnan(values)
    found[rows] = rank_at_equal_mass(values[rows], mass[rows], background_score, background_mass)
    return found
