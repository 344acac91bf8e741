"""Everything an evaluation finds out, on disk: tables, arrays, and what they are of."""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lgae_pyg.evaluation.reconstruction.pixels import Pixels
from lgae_pyg.evaluation.reconstruction.rebuilt import Jets, Reconstruction
from lgae_pyg.files import write_atomically
from lgae_pyg.tables import Table, read_csv

FORMAT = 1
ARRAYS, DESCRIPTION = "results.npz", "results.json"
_PLAIN_FIELDS = ("key", "label", "matched", "latent_size", "side_information", "num_particles")


@dataclass(frozen=True)
class EvaluationResults:
    """The results of an evaluation.

    Args:
        target: the true jets, in GeV.
        reconstructions: the jets as the model and the baselines give them back.
        tables: tables by name.
        description: plain values: ``data`` (a sentence that names the jets), ``unit`` of the model,
            ``checkpoint``, ``versions`` and the like.
    """

    target: Jets
    reconstructions: Sequence[Reconstruction]
    tables: Mapping[str, Table]
    description: Mapping[str, Any]

    @property
    def caption(self) -> str:
        """The sentence that names the data and the model under every table and figure."""
        return self.description["caption"]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the tables (CSV and Markdown), the momenta (``results.npz``) and the description
        (``results.json``) into a folder, each file completely or not at all."""
        folder = Path(folder)
        for table in self.tables.values():
            table.save(folder)
        arrays = {"target_p4": self.target.p4.numpy(), "target_ptr": self.target.ptr.numpy()}
        for one in self.reconstructions:
            arrays |= {f"{one.key}_p4": one.jets.p4.numpy(), f"{one.key}_ptr": one.jets.ptr.numpy()}
            if one.pixels is not None:
                arrays |= {f"{one.key}_pixels_{name}": array for name, array in one.pixels.to_arrays().items()}
        write_atomically(folder / ARRAYS, lambda file: np.savez(file, **arrays))
        content = {
            "format": FORMAT,
            "description": dict(self.description),
            "reconstructions": [
                {name: getattr(one, name) for name in _PLAIN_FIELDS} for one in self.reconstructions
            ],
            "tables": [
                {"name": table.name, "caption": table.caption, "columns": dict(table.columns)}
                for table in self.tables.values()
            ],
        }
        text = json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8")
        write_atomically(folder / DESCRIPTION, lambda file: file.write(text))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "EvaluationResults":
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: if the folder holds no results.
            ValueError: if a file is damaged or of a newer format.
        """
        folder = Path(folder)
        if not (folder / DESCRIPTION).exists():
            raise FileNotFoundError(f"{folder} holds no {DESCRIPTION}: evaluate first, without --redraw")
        try:
            content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            if content["format"] > FORMAT:
                raise ValueError(f"format {content['format']}; this version of lgae-pyg reads {FORMAT}")
            with np.load(folder / ARRAYS, allow_pickle=False) as file:
                arrays = {name: torch.from_numpy(file[name]) for name in file.files}
            return cls(
                Jets(arrays["target_p4"], arrays["target_ptr"]),
                [
                    Reconstruction(
                        jets=Jets(arrays[f"{one['key']}_p4"], arrays[f"{one['key']}_ptr"]),
                        pixels=_read_pixels(arrays, f"{one['key']}_pixels_"),
                        **one,
                    )
                    for one in content["reconstructions"]
                ],
                {one["name"]: _read_table(folder, one) for one in content["tables"]},
                content["description"],
            )
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"the results in {folder} cannot be read ({error}): evaluate again") from error


def _read_pixels(arrays: Mapping[str, torch.Tensor], prefix: str) -> Pixels | None:
    found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return Pixels.from_arrays(found) if found else None


def _read_table(folder: Path, described: Mapping[str, Any]) -> Table:
    _, rows = read_csv((folder / f"{described['name']}.csv").read_text(encoding="utf-8"))
    return Table(described["name"], described["caption"], described["columns"], tuple(rows))
