"""What a study finds out, on disk: tables, arrays for the figures, and what they are of."""

import contextlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lgae_pyg.checksums import crc32_of_file, read_signed, write_signed
from lgae_pyg.files import inside, plain, write_atomically, write_text
from lgae_pyg.tables import Table, read_csv

FORMAT = 1
ARRAYS, DESCRIPTION, LEFT_OUT = "arrays.npz", "study.json", "left_out.json"
#: The same of a reconstruction as earlier versions stored it, directly in ``evaluation``.
OLD_ARRAYS, OLD_DESCRIPTION = "results.npz", "results.json"
_UNREADABLE = (EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Results:
    """The results of a study.

    Args:
        study: name of the study, one of :data:`lgae_pyg.evaluation.study.STUDIES`.
        tables: tables by name; the first is the one that the command prints.
        arrays: whatever the figures are drawn from, by name.
        description: plain values: ``caption`` (sentences that name data and model), ``label`` of the model,
            ``checkpoint`` and its ``identity``, ``recipe`` of the data, ``config`` of the training, ``versions``.
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

        The last comes last, with checksums of the others and of itself: where it is, all is there. Tables that an
        earlier run left there are removed, so that nothing of two models stands side by side.
        """
        folder = Path(folder)
        for name in written_in(folder) - {ARRAYS, "figures"}:
            (folder / name).unlink(missing_ok=True)
        for table in self.tables.values():
            table.save(folder)
        write_atomically(folder / ARRAYS, lambda file: np.savez(file, **self.arrays))
        read = [ARRAYS, *(f"{table.name}.csv" for table in self.tables.values())]
        content = {
            "format": FORMAT,
            "study": self.study,
            "description": plain(self.description, "description"),
            "tables": [
                {"name": table.name, "caption": table.caption, "columns": dict(table.columns)}
                for table in self.tables.values()
            ],
            "files": {name: crc32_of_file(folder / name) for name in read},
        }
        write_signed(folder / DESCRIPTION, content)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], arrays: bool = True) -> "Results":
        """Reads what :meth:`save` wrote.

        Args:
            folder: of the study.
            arrays: read the arrays, too.

        Raises:
            FileNotFoundError: if the folder holds no complete results.
            ValueError: if a file is damaged or of a newer format.
        """
        folder = Path(folder)
        old = not (folder / DESCRIPTION).exists() and (folder / OLD_DESCRIPTION).exists()
        file = folder / (OLD_DESCRIPTION if old else DESCRIPTION)
        if not file.exists():
            raise FileNotFoundError(f"{folder} holds no {DESCRIPTION}: run the study first, without --redraw")
        try:
            content = read_signed(file, needed=False)
            if content["format"] > FORMAT:
                raise ValueError(f"format {content['format']}; this version of lgae-pyg reads {FORMAT}")
            check_files(folder, content.get("files", {}), arrays)
            found = _read_arrays(folder / (OLD_ARRAYS if old else ARRAYS)) if arrays else {}
            if old:
                content, found = _from_old(content), {_new_name(name): found[name] for name in found}
            tables = {one["name"]: _read_table(folder, one) for one in content["tables"]}
            about = {str(key): value for key, value in content["description"].items()}
            return cls(str(content["study"]), tables, found, {**about, "caption": str(about["caption"])})
        except (ValueError, LookupError, TypeError, AttributeError, OSError, *_UNREADABLE) as error:
            raise ValueError(f"the results in {folder} cannot be read ({error}): run the study again") from error


def left_out(evaluation: Path) -> dict[str, str]:
    """Studies that could not be made in an evaluation, and why."""
    try:
        found = json.loads((evaluation / LEFT_OUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # nothing was noted, or it cannot be read
        return {}
    return {str(name): str(reason) for name, reason in found.items()} if isinstance(found, dict) else {}


def note_left_out(evaluation: Path, study: str, reason: str | None) -> None:
    """Notes why a study cannot be made, for reports; ``None`` if it could."""
    noted = left_out(evaluation)
    if noted.get(study) == reason:
        return
    noted = {name: text for name, text in {**noted, study: reason}.items() if text}
    write_text(evaluation / LEFT_OUT, json.dumps(noted, indent=1, ensure_ascii=False))


def stored_in(evaluation: Path, study: str) -> Path | None:
    """The folder of an evaluation that holds the results of a study; ``None`` if there are none."""
    if (evaluation / study / DESCRIPTION).exists():
        return evaluation / study
    return evaluation if study == "reconstruction" and (evaluation / OLD_DESCRIPTION).exists() else None


def _read_arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def written_in(folder: Path) -> set[str]:
    """Names of what :meth:`Results.save` and the figures' drawing have left in a folder; nothing else."""
    names = {DESCRIPTION, ARRAYS, "figures"}
    with contextlib.suppress(ValueError, LookupError, TypeError, OSError):  # nothing there, or damaged
        tables = [str(one["name"]) for one in read_signed(folder / DESCRIPTION, needed=False)["tables"]]
        names |= {f"{name}.{kind}" for name in tables if Path(name).name == name for kind in ("csv", "md")}
    return names


def check_files(folder: Path, crcs: Mapping[str, str], arrays: bool = True) -> None:
    """Compares files with their checksums, arrays only if they are read, too.

    Raises:
        OSError: one is not there.
        ValueError: one has changed.
    """
    for name, crc in crcs.items():
        if (arrays or name != ARRAYS) and crc32_of_file(inside(folder, name)) != crc:
            raise ValueError(f"{name} is damaged, its checksum does not match")


def sign_figures(folder: Path, paths: Sequence[Path]) -> None:
    """Notes in ``study.json`` which figures were drawn from these results, with their checksums."""
    if (folder / DESCRIPTION).exists():
        content = read_signed(folder / DESCRIPTION, needed=False)
        figures = {path.relative_to(folder).as_posix(): crc32_of_file(path) for path in paths}
        write_signed(folder / DESCRIPTION, {**content, "figures": figures})


def figures_of(folder: Path) -> tuple[list[Path], int | None]:
    """The figures of a study that are as they were drawn, and how many are missing, damaged, or of other results.

    Earlier versions did not note which figures there are: all that lie there are taken, and ``None`` is known.
    """
    there, file = sorted((folder / "figures").glob("*.*")), folder / DESCRIPTION
    noted = read_signed(file, needed=False).get("figures") if file.exists() else None
    if not isinstance(noted, dict):
        return there, None
    sound = [path for path in there if noted.get(f"figures/{path.name}") == crc32_of_file(path)]
    return sound, len(noted) - len(sound)


def _read_table(folder: Path, described: Mapping[str, Any]) -> Table:
    _, rows = read_csv(inside(folder, f"{described['name']}.csv").read_text(encoding="utf-8"))
    columns = {str(name): str(heading) for name, heading in described["columns"].items()}
    return Table(str(described["name"]), str(described["caption"]), columns, tuple(rows))


def _from_old(content: Mapping[str, Any]) -> dict[str, Any]:
    rebuilt = content["reconstructions"]
    about = {**content["description"], "rebuilt": rebuilt, "label": rebuilt[0]["label"] if rebuilt else ""}
    return {"study": "reconstruction", "tables": content["tables"], "description": about}


def _new_name(name: str) -> str:
    """``linear/p4`` for ``linear_p4``, ``model/pixels/mean`` for ``model_pixels_mean``."""
    return name.replace("_pixels_", "/pixels/") if "_pixels_" in name else re.sub("_(p4|ptr)$", r"/\1", name)
