"""Scores of jets as a table: a row per jet, in the order of the input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lgae_pyg.data.admission import Admission
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.units import UNITS_IN_GEV
from lgae_pyg.evaluation.anomaly.study import CONSERVED
from lgae_pyg.lorentz.kinematics import azimuth, mass, pseudorapidity, transverse_momentum
from lgae_pyg.metrics.anomaly_scores import JET_SCORES
from lgae_pyg.registry import choose

#: Number of the format of score files.
FORMAT = 1

#: Columns of every table, before the scores. ``file`` and ``status`` are numbers into lists of words.
JET_COLUMNS = ("file", "jet", "y", "jet_pt", "jet_eta", "jet_phi", "jet_mass", "num_particles", "status")

#: Columns of jets that are linked to candidates in events, after ``jet``.
EVENT_COLUMNS = ("event", "jet_in_event")

#: What a model that gives NaN or infinity for a sound jet has as its status.
NO_NUMBER = "no finite score"

#: Scores of the anomaly study that go by another name here: ``jet_mass`` is the mass itself.
RENAMED = {"jet_mass": "jet_mass_error"}


@dataclass(frozen=True)
class ScoreTable:
    """Scores of jets: ``table["score"]`` is a column, aligned with the jets that were given.

    Args:
        columns: arrays by name, a value per jet: ``file`` (words), ``jet`` (place in the file, from 0), ``y``
            (class number, -1 where unknown), of jets in events ``event`` and ``jet_in_event`` (-1 where there is
            none), ``jet_pt``, ``jet_eta``, ``jet_phi``, ``jet_mass`` (of all particles,
            GeV), ``num_particles``, ``status`` (why there is no score; empty where there is one), and the scores.
        meta: what a score file says of itself: model, classes, card, files, what the gate did.

    Shapes:
        - **columns**: :math:`(J,)` each
    """

    columns: Mapping[str, np.ndarray]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["jet"])

    def __getitem__(self, name: str) -> np.ndarray:
        """The column of that name.

        Raises:
            ValueError: there is none; the message lists the names.
        """
        return choose("column", name, self.columns)

    def __repr__(self) -> str:
        return f"ScoreTable({len(self)} jets: {', '.join(self.columns)})"

    @property
    def scores(self) -> list[str]:
        """Names of the columns that are scores."""
        known = (*JET_COLUMNS, *EVENT_COLUMNS)
        return [name for name in self.columns if name not in known and not re.fullmatch(r"latent_\d+", name)]

    @property
    def latents(self) -> np.ndarray:
        """The codes, shape :math:`(J, F)`; :math:`F = 0` where they were not asked for."""
        names = [f"latent_{place}" for place in range(len(self.meta.get("latents", ())))]
        return np.stack([self.columns[name] for name in names], 1) if names else np.empty((len(self), 0))


@dataclass(frozen=True)
class Scored:
    """Scores of some jets on their way to the table.

    Args:
        columns: arrays by name; ``file`` and ``status`` are numbers, the latter into ``statuses``.
        statuses: words of the numbers; the first is empty.
        momentum_error: largest relative error of the momenta of rebuilt jets; 0 where there are none.
        admission: what the gate did.
        class_names: names of the classes of the jets.
        latents: what the columns ``latent_0``, ... are; see ``latent_names``.
        notes: what else was done, in sentences.
    """

    columns: Mapping[str, np.ndarray]
    statuses: Sequence[str] = ("",)
    momentum_error: float = 0.0
    admission: Admission = Admission()  # noqa: RUF009
    class_names: Sequence[str] = ()
    latents: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.columns["jet"]) if self.columns else 0

    def about(self) -> dict[str, Any]:
        """All but the columns, as plain values; see :class:`Summary`."""
        named = {"columns": list(self.columns), "statuses": list(self.statuses), "jets": len(self)}
        named |= {"class_names": list(self.class_names), "latents": list(self.latents), "notes": list(self.notes)}
        return named | {"momentum_error": self.momentum_error, "admission": self.admission.to_dict()}


class Summary:
    """What is known of a table before its columns are put together.

    Args:
        parts: what :meth:`Scored.about` says of each part, in the order of the jets.

    Attributes:
        rows: number of jets.
        columns: names of the columns.
        statuses: words of the numbers in ``status``.
        admission: what the gate did with all of the jets.
    """

    def __init__(self, parts: Iterable[Mapping[str, Any]]) -> None:
        parts = [part for part in parts if part["jets"]]
        everything = [name for part in parts for name in part["columns"] if name not in JET_COLUMNS]
        events = [name for name in EVENT_COLUMNS if name in everything]
        self.rows = sum(part["jets"] for part in parts)
        self.statuses = list(dict.fromkeys(["", *(word for part in parts for word in part["statuses"])]))
        self.admission = sum((Admission.from_dict(part["admission"]) for part in parts), Admission())
        self.class_names: Sequence[str] = max((part["class_names"] for part in parts), key=len, default=[])
        self.latents: Sequence[str] = max((part["latents"] for part in parts), key=len, default=[])
        self.notes = list(dict.fromkeys(note for part in parts for note in part["notes"]))
        error = max((part["momentum_error"] for part in parts), default=0.0)
        conserved = [column_name(name) for name in JET_SCORES] if error <= CONSERVED else []
        if set(conserved) & set(everything):
            self.notes.append(f"Scores of the whole jet are left out: its momentum comes back to {error:.0e}.")
        scores = [name for name in everything if name not in conserved]
        self.columns = list(dict.fromkeys([*JET_COLUMNS[:2], *events, *JET_COLUMNS[2:], *scores]))

    def rows_of(
        self, names: Sequence[str], columns: Mapping[str, np.ndarray], statuses: Sequence[str], jets: int
    ) -> dict[str, np.ndarray]:
        """Columns of a part as they are in the table: NaN for scores that none of its jets has.

        Args:
            names: which columns.
            columns: those of them that the part has.
            statuses: its words.
            jets: its number of jets.
        """
        found = {name: columns[name] if name in columns else _missing(name, jets) for name in names}
        if "status" in found:
            places = np.array([self.statuses.index(word) for word in statuses], dtype=np.int64)
            found["status"] = places[found["status"]]
        return found


def jet_columns(jets: FlatJets, file: int) -> dict[str, np.ndarray]:
    r"""What is known of jets without a model, before they are sorted or cut.

    Rows without energy are padding and no particles. Momenta are summed in float64; :math:`p_T`, :math:`\eta`,
    :math:`\phi` and mass are those of the sum, in GeV.

    Args:
        jets: the jets as they were read.
        file: number of their file.
    """
    owner, sizes = jets.owner, len(jets)
    totals = np.stack([np.bincount(owner, one, sizes) for one in jets.columns], 1) * UNITS_IN_GEV[jets.unit]
    p4 = torch.from_numpy(totals)
    y = jets.jets.get("y")
    events = {name: np.asarray(jets.jets[name], np.int64) for name in EVENT_COLUMNS if name in jets.jets}
    return {
        "file": np.full(sizes, file),
        "jet": np.asarray(jets.rows, dtype=np.int64),
        **{name: values.reshape(sizes) for name, values in events.items()},
        "y": np.full(sizes, -1) if y is None else np.asarray(y, dtype=np.int64).reshape(sizes),
        "jet_pt": transverse_momentum(p4).numpy(),
        "jet_eta": pseudorapidity(p4).numpy(),
        "jet_phi": azimuth(p4).numpy(),
        "jet_mass": mass(p4).numpy(),
        "num_particles": np.bincount(owner[jets.columns[0] != 0], minlength=sizes),
    }


def _missing(name: str, jets: int) -> np.ndarray:
    """What stands in a column for jets that have no value."""
    return np.full(jets, -1) if name in EVENT_COLUMNS else np.full(jets, np.nan)


def column_name(name: str) -> str:
    """A score's name as it can stand in every format: letters, digits and ``_ . + -``."""
    return re.sub(r"[^\w.+-]", "_", RENAMED.get(name, name))


def joined(parts: Sequence[Scored]) -> Scored:
    """Scores of several parts, one after another; ``status`` gets the words of all."""
    if len(parts) == 1:
        return parts[0]
    parts = [part for part in parts if len(part)]
    if not parts:
        return Scored({})
    statuses = list(dict.fromkeys(word for part in parts for word in ("", *part.statuses)))
    names = dict.fromkeys(name for part in parts for name in part.columns)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for part in parts:
        places = np.array([statuses.index(word) for word in part.statuses], dtype=np.int64)
        for name in names:
            values = part.columns[name] if name in part.columns else _missing(name, len(part))
            columns[name].append(places[values] if name == "status" else values)
    return Scored(
        {name: np.concatenate(values) for name, values in columns.items()},
        statuses,
        max(part.momentum_error for part in parts),
        sum((part.admission for part in parts), Admission()),
        max((part.class_names for part in parts), key=len),
        max((part.latents for part in parts), key=len),
        list(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def table_of(part: Scored, meta: Mapping[str, Any], files: Sequence[str]) -> ScoreTable:
    """The table of jets that were scored together."""
    summary = Summary([part.about()])
    if len(part):
        columns = summary.rows_of(summary.columns, part.columns, part.statuses, len(part))
    else:
        columns = {name: np.empty(0) for name in summary.columns}
    meta = {**meta, **described(summary, files, meta.get("notes", ()))}
    return ScoreTable(in_words(columns, meta), meta)


def described(summary: Summary, files: Sequence[str], notes: Sequence[str] = ()) -> dict[str, Any]:
    """What a table's meta says of its jets; ``notes`` are sentences before those of the summary."""
    return {
        "format": FORMAT,
        "columns": summary.columns,
        "files": list(files),
        "class_names": list(summary.class_names),
        "statuses": summary.statuses,
        "latents": summary.latents,
        "admission": summary.admission.to_dict(),
        "notes": [*notes, *summary.notes],
    }


def in_words(columns: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The columns with the words of ``file`` and ``status`` in place of their numbers."""
    words = {"file": meta["files"], "status": meta["statuses"]}
    return {
        name: np.array(words[name])[values.astype(np.int64)] if words.get(name) else values
        for name, values in columns.items()
    }
