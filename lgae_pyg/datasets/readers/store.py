"""Stores of jets that were written before, read like any other file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lgae_pyg.data.errors import DataFileError
from lgae_pyg.datasets.readers.base import Column, Reader

REFERENCE = ("pt", "eta", "phi", "mass")


class StoreReader(Reader):
    """A folder that ``lgae data convert`` wrote, or a file of :meth:`JetStore.save`.

    Its columns are ``E``, ``px``, ``py``, ``pz``, features as ``x/NAME``, ``observers/NAME``, ``jet_ref/pt`` (eta,
    phi, mass), and the other fields of the jets by their names.

    Attributes:
        meta: what is kept with the jets.
    """

    format = "store"

    def look(self) -> None:
        """Opens the store, and gives its fields the names of columns."""
        from lgae_pyg.data.store import JetStore

        self._store = JetStore.load(self.path)
        self.meta, self.rows = self._store.meta, len(self._store)
        self.unit = self.meta.get("unit", "")
        if not self.unit:
            raise DataFileError(f"{self.path} does not say its unit: set store.meta['unit'] and save it again.")
        self._places: dict[str, tuple[str, int | None]] = {}
        for group, ragged in ((self._store.particle_fields, (None,)), (self._store.jet_fields, ())):
            for field, values in group.items():
                dtype, width = str(values.dtype).removeprefix("torch."), values.shape[1:]
                for name, place in self._names(field, width):
                    self._places[name] = (field, place)
                    self.columns[name] = Column(name, dtype, ragged + tuple(() if place is not None else width))
        self.columns["class_names"] = Column("class_names", "string")

    def _names(self, field: str, width: Sequence[int]) -> list[tuple[str, int | None]]:
        """The columns of a field, and their places on its last axis."""
        if field == "pos":
            return list(zip(("E", "px", "py", "pz"), range(4)))
        known = {"x": self.meta.get("x_names"), "observers": self.meta.get("observer_names"), "jet_ref": REFERENCE}
        if field not in known or len(width) != 1:
            return [(field, None)]
        names = known[field] if known[field] and len(known[field]) == width[0] else range(width[0])
        return [(f"{field}/{name}", place) for place, name in enumerate(names)]

    def group(self, field: str) -> dict[str, str]:
        """Columns of a field by their own names."""
        return {name.partition("/")[2]: name for name, (one, _) in self._places.items() if one == field}

    def checksums(self, names: Sequence[str]) -> str:
        """Stores have them."""
        return "CRC-32"

    def whole(self, name: str) -> Any:
        """All of a column, or the names of the classes."""
        return self.meta.get("class_names", []) if name == "class_names" else super().whole(name)

    def read(self, names: Sequence[str], rows: int, first: int, stop: int) -> Iterator[dict[str, Any]]:
        """Gathers jets in their order."""
        import awkward as ak

        for start in range(first, stop, rows):
            part = self._store.gather(range(start, min(start + rows, stop)))
            offsets, chunk = ak.index.Index64(part.ptr.numpy()), {}
            for name in names:
                field, place = self._places[name]
                values = {**part.particle_fields, **part.jet_fields}[field].numpy()
                values = np.ascontiguousarray(values if place is None else values[..., place])
                if field in part.particle_fields:
                    content = ak.from_numpy(values, highlevel=False)
                    chunk[name] = ak.Array(ak.contents.ListOffsetArray(offsets, content))
                else:
                    chunk[name] = values
            yield chunk
