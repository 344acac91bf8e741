"""What a study finds out, on disk: tables, arrays for the figures, and what they are of."""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lgae_pyg.files import plain, write_atomically
from lgae_pyg.tables import Table, read_csv

FORMAT = 1
ARRAYS, DESCRIPTION = "arrays.npz", "study.json"


@dataclass(frozen=True)
class StudyResults:
    """The results of a study of one model.

    Args:
        study: name of the study, one of :data:`lgae_pyg.evaluation.study.STUDIES`.
        tables: tables by name.
        arrays: whatever the figures are drawn from, by name.
        description: plain values: ``caption`` (sentences that name data and model), ``label`` of the model,
            ``checkpoint``, ``recipe`` of the data, ``config`` of the training, ``versions``.
    """

    study: str
    tables: Mapping[str, Table]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    description: Mapping[str, Any] = field(default_factory=dict)

    @property
    def caption(self) -> str:
        """The sentences that name the data and the model under every table and figure."""
        return self.description["caption"]

    @property
    def label(self) -> str:
        """The printed name of the model."""
        return self.description["label"]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes tables (CSV and Markdown), ``arrays.npz`` and ``study.json`` into a folder.

        The last comes last: where it is, all is there.
        """
        folder = Path(folder)
        (folder / DESCRIPTION).unlink(missing_ok=True)
        for table in self.tables.values():
            table.save(folder)
        write_atomically(folder / ARRAYS, lambda file: np.savez_compressed(file, **self.arrays))
        content = {
            "format": FORMAT,
            "study": self.study,
            "description": plain(self.description, "description"),
            "tables": [
                {"name": table.name, "caption": table.caption, "columns": dict(table.columns)}
                for table in self.tables.values()
            ],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8")
        write_atomically(folder / DESCRIPTION, lambda file: file.write(text))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "StudyResults":
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: if the folder holds no complete results.
            ValueError: if a file is damaged or of a newer format.
        """
        folder = Path(folder)
        if not (folder / DESCRIPTION).exists():
            raise FileNotFoundError(f"{folder} holds no {DESCRIPTION}: run the study first, without --redraw")
        try:
            content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            if content["format"] > FORMAT:
                raise ValueError(f"format {content['format']}; this version of lgae-pyg reads {FORMAT}")
            with np.load(folder / ARRAYS, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            tables = {one["name"]: _read_table(folder, one) for one in content["tables"]}
            return cls(content["study"], tables, arrays, content["description"])
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"the results in {folder} cannot be read ({error}): run the study again") from error


def _read_table(folder: Path, described: Mapping[str, Any]) -> Table:
    _, rows = read_csv((folder / f"{described['name']}.csv").read_text(encoding="utf-8"))
    return Table(described["name"], described["caption"], described["columns"], tuple(rows))
