"""``judge_file``: which columns of a file are scores, labels, mass, number and pT; guesses are said."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lgae_pyg.applications.judge.calibration import with_ranks
from lgae_pyg.applications.judge.jets import Columns
from lgae_pyg.applications.judge.tabular import ScoreFile
from lgae_pyg.applications.judge.verdict import Verdict, judge_columns, named_scores
from lgae_pyg.data import DataFileError
from lgae_pyg.registry import choose
from lgae_pyg.vocabulary import FILE_UNITS

#: Names by which columns are recognised, without case and punctuation, the likelier first.
NAMES = {
    "labels": "y label labels target truth issignal issignalnew signal class classes trueclass truelabel jetlabel "
    "jettype classid category sample kind process",
    "mass": "jetmass mass mjet jetm massjet fatjetmass fjmass ak8mass jetsdmass sdmass msd msoftdrop jetmsoftdrop "
    "fatjetmsoftdrop fjsdmass fjmsd m",
    "num_particles": "numparticles nparticles jetnparticles jetnumparticles multiplicity jetmultiplicity "
    "nconstituents numconstituents jetnconstituents nconst jetnconst nconstit numconst nparts npart fjnparticles",
    "pt": "jetpt pt ptjet fatjetpt fjpt ak8pt",
}
#: Names of scores; all that begin or end with "score" are, too.
SCORES = "output outputs prediction predictions pred preds prob probs probability anomaly discriminant loss logit "
SCORES += "logits yhat ypred yprob proba tagger nn dnn bdt mva"
#: Beginning of columns that hold 1 for jets of one class and 0 for others.
ONE_HOT = "label_"
#: Columns of our own files that are no scores.
OURS = ("file", "jet", "event", "jet_in_event", "y", "jet_pt", "jet_eta", "jet_phi", "jet_mass", "num_particles",
        "status")  # fmt: skip
#: Median masses in GeV outside of which the unit is doubted.
LIKELY = (1.0, 3000.0)
OPTIONS = {"labels": "--label", "mass": "--mass", "num_particles": "--num-particles", "pt": "--pt"}
WORDS = {"labels": "labels", "mass": "mass", "num_particles": "number of particles", "pt": "pT"}


@dataclass(frozen=True)
class Chosen:
    """Which columns play which role.

    Args:
        scores: names of the scores.
        roles: name of the column by role; those not known are missing.
        one_hot: columns of which each belongs to a class, in place of labels.
        guessed: the roles that nobody chose.
    """

    scores: Sequence[str]
    roles: Mapping[str, str]
    one_hot: Sequence[str] = ()
    guessed: Sequence[str] = ()

    def note(self) -> str:
        """A sentence on what is read from which column."""
        parts = [f"scores {', '.join(self.scores)}{self._mark('scores')}"]
        for role, word in WORDS.items():
            if role in self.roles:
                parts.append(f"{word} {self.roles[role]}{self._mark(role)}")
            elif role == "labels":
                parts.append(f"labels {', '.join(self.one_hot)}{self._mark(role)}")
        return f"Columns: {'; '.join(parts)}."

    def _mark(self, role: str) -> str:
        return " (guessed)" if role in self.guessed else ""


def judge_file(
    path: str | os.PathLike[str],
    *,
    scores: Sequence[str] = (),
    labels: str = "",
    mass: str = "",
    num_particles: str = "",
    pt: str = "",
    background: Any = (),
    signals: Any = (),
    calibration: str | os.PathLike[str] = "",
    table: str = "",
    unit: str = "GeV",
    resamples: int = 200,
    progress: bool = False,
) -> Verdict:
    """The verdict on a file of scores: Parquet, HDF5, ROOT, NumPy or CSV, of ours or of anybody.

    Args:
        path: the file.
        scores: columns that are scores; all that look like one when empty.
        labels: column of the classes; guessed when empty, as are the following. ``none`` leaves one out.
        mass: column of the jet mass.
        num_particles: column of the number of particles.
        pt: column of the transverse momentum.
        background: see :func:`~lgae_pyg.applications.judge.judge`.
        signals: see there.
        calibration: file with the same columns of further background jets; each score is judged a second time by
            its rank among those of equal mass.
        table: tree or group of the file.
        unit: of mass and pT in the file: GeV, TeV, PeV or MeV.
        resamples: bootstrap samples behind each error.
        progress: show it.

    Raises:
        OSError: if the file cannot be opened.
        DataFileError: if it is damaged, a column is not there or not found, or the columns cannot be judged; the
            message names file, column and row.
    """
    factor = choose("unit", unit, FILE_UNITS)
    file = ScoreFile.open(path, table)
    given = {"labels": labels, "mass": mass, "num_particles": num_particles, "pt": pt}
    chosen = choose_columns(file, scores, given)
    columns, notes = _columns(file, chosen, factor, unit)
    if calibration:
        mass_column = chosen.roles.get("mass", "")
        columns, note = with_ranks(columns, chosen.scores, calibration, mass_column, factor, table)
        notes.append(note)
    about = {"file": os.path.basename(file.path), "columns": {"scores": list(chosen.scores), **chosen.roles}}
    model = {key: file.meta[key] for key in ("model", "model_sha256") if isinstance(file.meta.get(key), str)}
    whose = [f"The scores are those of {model['model']}, as their file says."] if "model" in model else []
    notes = [*whose, *file.notes, chosen.note(), *notes]
    try:
        return judge_columns(columns, background, signals, resamples, progress, about | model, notes)
    except DataFileError:
        raise
    except ValueError as error:
        raise DataFileError(f"{file.path}: {error}") from error


def choose_columns(file: ScoreFile, scores: Sequence[str], given: Mapping[str, str]) -> Chosen:
    """The columns that were asked for, and guesses for the others.

    Args:
        file: the file.
        scores: the scores; guessed when empty.
        given: names by role; guessed when empty, left out when ``none``.

    Raises:
        DataFileError: if a column is not there, or no scores or labels are found.
    """
    asked = {role: name for role, name in given.items() if name and name.lower() != "none"}
    file.require([*scores, *asked.values()])
    roles, one_hot, guessed = dict(asked), [], []
    for role in NAMES:
        if given.get(role):
            continue
        candidates = {_plain(name): name for name in reversed(file.columns) if name not in scores}
        found = next((candidates[word] for word in NAMES[role].split() if word in candidates), None)
        if found is not None:
            roles[role] = found
            guessed.append(role)
    if "labels" not in roles:
        one_hot = [name for name in file.columns if name.rpartition("/")[2].startswith(ONE_HOT)]
        guessed.append("labels")
        if len(one_hot) < 2:
            raise DataFileError(
                f"{file.path} has no column that looks like labels (y, label, is_signal, target, ...): name the "
                f"one that holds the class of each jet with --label. It has: {file.inside}."
            )
    taken = [*roles.values(), *one_hot]
    if not scores:
        guessed.append("scores")
        scores = _ours(file, taken) if file.meta else [name for name in file.columns if _is_score(name, taken)]
    if not scores:
        raise DataFileError(
            f"{file.path} has no column that looks like a score (score, ..._score, output, prob, ...): name those "
            f"to be judged with --score A,B. It has: {file.inside}."
        )
    return Chosen(list(scores), roles, one_hot, guessed)


def _ours(file: ScoreFile, taken: Iterable[str]) -> list[str]:
    """The scores of a file of ours; of two classes with a score of each, only that of the signal."""
    known = {*OURS, *taken}
    names = [name for name in file.columns if name not in known and not re.fullmatch(r"latent_\d+", name)]
    classes = [name for name in names if name.startswith("score_")]
    return [name for name in names if name not in classes] if "score" in names and len(classes) == 2 else names


def _is_score(name: str, taken: Iterable[str]) -> bool:
    word = _plain(name)
    like = word.startswith("score") or word.endswith(("score", "scores")) or word in SCORES.split()
    return like and name not in taken


def _plain(name: str) -> str:
    return "".join(one for one in name.rpartition("/")[2].lower() if one.isalnum())


def _columns(file: ScoreFile, chosen: Chosen, factor: float, unit: str) -> tuple[Columns, list[str]]:
    """The columns, mass and pT in GeV, and sentences on what is doubtful."""
    status = ["status"] if "status" in file.columns and file.meta else []
    names = dict.fromkeys([*chosen.scores, *chosen.roles.values(), *chosen.one_hot, *status])
    found = file.read(list(names))
    class_names = file.meta.get("class_names") or ()
    if not all(isinstance(one, str) for one in class_names):
        raise DataFileError(f"{file.path}: its class_names are no names: it is damaged.")
    notes, quantities = [], {}
    for role in ("mass", "num_particles", "pt"):
        if role in chosen.roles:
            values = found[chosen.roles[role]]
            numeric = values.dtype.kind in "biuf" and role != "num_particles"
            quantities[role] = values * factor if numeric else values
    if "mass" in quantities and quantities["mass"].dtype.kind == "f":
        middle = float(np.nanmedian(quantities["mass"])) if np.isfinite(quantities["mass"]).any() else LIKELY[0]
        if not LIKELY[0] <= middle <= LIKELY[1]:
            notes.append(
                f"Doubtful: the median jet mass is {middle:.3g} GeV if '{chosen.roles['mass']}' is in {unit}; "
                f"choose another with --unit ({', '.join(FILE_UNITS)})."
            )
    if chosen.one_hot:
        labels, class_names = _from_one_hot(found, chosen.one_hot, file.path)
    else:
        labels = found[chosen.roles["labels"]]
    statuses = _statuses(found["status"], file) if status else None
    scores: dict[str, Any] = {}
    for name in chosen.scores:
        scores |= named_scores(found[name], tuple(class_names), name)
    printed = {**chosen.roles, **({"labels": ONE_HOT + "..."} if chosen.one_hot else {})}
    given = Columns(scores, labels, quantities, tuple(class_names), statuses, printed, unknown=bool(file.meta))
    return given, notes


def _statuses(values: np.ndarray, file: ScoreFile) -> np.ndarray:
    """Why jets have no score; in ROOT files these are numbers into a list of words."""
    words = file.meta.get("statuses")
    if values.dtype.kind not in "iuf" or not isinstance(words, list):
        return values
    return np.array([str(words[int(one)]) if 0 <= one < len(words) else "unknown" for one in values], dtype=object)


def _from_one_hot(
    found: Mapping[str, np.ndarray], names: Sequence[str], path: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers from columns of zeros and ones, and the names of the classes.

    Raises:
        DataFileError: if a row is of no class or of several.
    """
    together = np.stack([np.asarray(found[name], dtype=np.float64) for name in names], 1)
    odd = np.flatnonzero((together.sum(1) != 1) | ((together != 0) & (together != 1)).any(1))
    if odd.size:
        raise DataFileError(
            f"{path}, row {odd[0]} (from 0): the columns {', '.join(names)} are not one 1 and zeros; name the "
            "column that holds the classes with --label."
        )
    return together.argmax(1), tuple(name.rpartition("/")[2].removeprefix(ONE_HOT) for name in names)
