"""Many jets in a few flat tensors, on disk and in memory."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data.collation import check_name, collate
from lgae_pyg.data.errors import DataFileError
from lgae_pyg.data.jet import JetData, reference_factors, set_mark
from lgae_pyg.data.rounding import coarser
from lgae_pyg.data.shards import Shards, is_finished, read_index
from lgae_pyg.data.tensor_file import MEND, metadata_of, read_tensors, write_tensors
from lgae_pyg.data.units import unit_factor
from lgae_pyg.registry import choose

Ids = int | slice | Sequence[int] | np.ndarray | Tensor

_FORMAT = "lgae_pyg.JetStore"
_VERSION = 1
_METADATA = {"format", "version", "meta"}
#: Precisions of momenta by their names in the meta.
_PRECISIONS = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


def raw_files(meta: Mapping[str, Any]) -> dict[str, str]:
    """The files that the jets of a store were read from, by its ``meta``: SHA-256 and name without folders."""
    return {digest: os.path.basename(name) for name, digest in meta.get("raw", {}).items()}


class JetStore:
    r"""Jets of different sizes as flat tensors.

    The particles of all jets lie one after another; jet :math:`b` owns the rows ``ptr[b]`` to ``ptr[b + 1]``
    of every particle field and row ``b`` of every jet field. A batch is gathered with a handful of indexing
    operations, without making a graph object per jet, and equals field by field what PyTorch Geometric's
    own collation of the same jets gives.

    A store read with :meth:`load` is mapped from the file: memory holds only what has been used. A selection
    (:meth:`select`) shares the tensors of its origin: :attr:`ptr` and the fields stay those of all jets, while
    :attr:`sizes`, :meth:`jet_field`, :meth:`jet` and :meth:`batch` are those of the selection. Where more jets
    than memory holds were written by a :class:`~lgae_pyg.data.JetStoreWriter`, the fields are read from its
    shards (:attr:`is_sharded`), and what has been read is let go of again; only ``ptr`` (8 bytes a jet) stays
    in memory.

    Args:
        ptr: First particle of each jet, and at the end the number of all particles.
        particle_fields: Fields with a row per particle; ``pos`` (four-momenta) is required.
        jet_fields: Fields with a row per jet (``y``, ``jet_id``, ``jet_ref``).
        meta: Plain JSON values that travel with the file: recipe, ``unit`` (which jets and batches carry on),
            ``class_names`` (a list, whose place is the class number), ``origin`` (where the jets come from, for
            captions).
        dtype: Floating-point type that jets and batches are converted to; by default that of the tensors.

    Shapes:
        - **ptr**: :math:`(J + 1,)`
        - **particle_fields**: :math:`(\sum_b n_b, \ldots)`
        - **jet_fields**: :math:`(J, \ldots)`

    Raises:
        ValueError: if the shapes do not agree, or a name would be changed by PyTorch Geometric's collation.
    """

    def __init__(
        self,
        ptr: Tensor,
        particle_fields: Mapping[str, Tensor],
        jet_fields: Mapping[str, Tensor] | None = None,
        meta: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if "pos" not in particle_fields:
            raise ValueError("A JetStore needs the particle field 'pos' with the four-momenta.")
        self.ptr = ptr
        self.particle_fields = dict(particle_fields)
        self.jet_fields = dict(jet_fields or {})
        self.meta = dict(meta or {})
        self.dtype = dtype
        self._rows: Tensor | None = None
        self._factor = 1.0
        self._shards: Shards | None = None
        _check_ptr(ptr)
        _check_fields(self.particle_fields, int(ptr[-1]), "particle")
        _check_fields(self.jet_fields, len(ptr) - 1, "jet")
        if self.particle_fields["pos"].shape[1:] != (4,):
            raise ValueError("The particle field 'pos' must have the shape (particles, 4).")

    @classmethod
    def from_jets(cls, jets: Iterable[JetData], meta: Mapping[str, Any] | None = None) -> JetStore:
        """Lays separate jets, all with the same fields, one after another, as PyTorch Geometric collates them.

        A field with one row per particle in every jet becomes a particle field; a number, a 0-dimensional tensor
        or one row per jet becomes a jet field.

        Raises:
            ValueError: names the field, and the jet in which it is missing or of another kind.
        """
        return cls(*collate(jets, meta))

    def __len__(self) -> int:
        return len(self.ptr) - 1 if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        fields = ", ".join((*self.particle_fields, *self.jet_fields))
        return f"JetStore({len(self)} jets: {fields})"

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: of shards the path alone."""
        return self.__dict__ if self._shards is None else {**self.__dict__, "ptr": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._shards is not None:
            self.ptr = self._shards.ptr()

    @property
    def is_sharded(self) -> bool:
        """Whether the jets lie in a folder of shards, and are read from there when they are taken."""
        return self._shards is not None

    @property
    def sizes(self) -> Tensor:
        """Number of particles of each jet, shape (J,)."""
        sizes = self.ptr.diff()
        return sizes if self._rows is None else sizes[self._rows]

    @property
    def num_particles(self) -> int:
        """Number of particles of all jets together."""
        return int(self.sizes.sum())

    @property
    def max_particles(self) -> int:
        """Number of particles of the largest jet."""
        return int(self.sizes.max()) if len(self) else 0

    def jet_field(self, name: str) -> Tensor:
        """The jet field of that name for the jets of this store or selection, shape (J, ...).

        Raises:
            ValueError: there is none; the message lists the names.
        """
        value = choose("jet field", name, self.jet_fields)
        return self._cast(name, value[:] if self._rows is None else value[self._rows])

    def select(self, ids: Ids) -> JetStore:
        """The jets with these numbers, as a store that shares the tensors of this one."""
        selection = copy.copy(self)
        selection._rows = self._resolve(ids)
        return selection

    def to(self, dtype: torch.dtype) -> JetStore:
        """The same jets, their floating-point numbers converted when a jet or batch is taken."""
        converted = copy.copy(self)
        converted.dtype = dtype
        return converted

    @property
    def unit(self) -> str | None:
        """Unit of the momenta; ``None`` if unknown."""
        return self.meta.get("unit")

    @property
    def given(self) -> torch.dtype:
        """The coarsest precision that the momenta ever had (:attr:`JetData.given`)."""
        own = self.particle_fields["pos"].dtype
        return coarser(own, _PRECISIONS.get(self.meta.get("given", ""), own), self.dtype or own)

    def in_unit(self, unit: str) -> JetStore:
        """The same jets in another unit, converted when a jet or batch is taken.

        Raises:
            ValueError: if the unit of this store is not known (``meta["unit"]``), or for an unknown one.
        """
        if self.unit is None:
            raise ValueError("the unit of the jets is not known: state it first, store.meta['unit'] = 'GeV'")
        converted = copy.copy(self)
        converted.meta = {**self.meta, "unit": unit}
        converted._factor = self._factor * unit_factor(self.unit, unit)
        return converted

    def with_classes(self, names: Sequence[str], known: Sequence[str] | None = None) -> JetStore:
        """The same jets, their classes ``y`` numbered by the place of their names among these.

        Args:
            names: the names, in the order of the new numbers.
            known: names of the classes as they are numbered now; ``meta["class_names"]`` when omitted.

        Raises:
            ValueError: a jet is of another class, which is named.
        """
        known = list(self.meta.get("class_names", ())) if known is None else list(known)
        order = torch.tensor([*(names.index(name) if name in names else -1 for name in known), -1])
        places = order[self.jet_fields["y"][:].long().clamp(-1, len(known))]
        if (missing := (places if self._rows is None else places[self._rows]) < 0).any():
            found = self.jet_field("y")[missing].unique().tolist()
            others = ", ".join(known[one] if 0 <= one < len(known) else f"number {one}" for one in found)
            raise ValueError(f"there are jets of the classes {others}, which are none of {', '.join(names)}")
        renumbered = copy.copy(self)
        renumbered.jet_fields = {**self.jet_fields, "y": places}
        renumbered.meta = {**self.meta, "class_names": list(names)}
        return renumbered

    def jet(self, number: int) -> JetData:
        """The jet of that number, as a graph of its own (its tensors are copies)."""
        row = int(self._resolve(number)[0])
        rows, particles = torch.tensor([row]), torch.arange(int(self.ptr[row]), int(self.ptr[row + 1]))
        groups = ((self.particle_fields, particles), (self.jet_fields, rows))
        fields = {
            name: self._cast(name, value.index_select(0, chosen))
            for group, chosen in groups
            for name, value in group.items()
        }
        return JetData(**fields, given=self.given, **({"unit": self.unit} if self.unit else {}))

    def batch(self, ids: Ids) -> Batch:
        """Gathers jets into one batch, as ``Batch.from_data_list([store.jet(i) for i in ids])`` would.

        Args:
            ids: Numbers of the jets, in the order wanted.

        Returns:
            The batch, with ``batch``, ``ptr`` and all that ``to_data_list`` needs; its tensors are copies.
        """
        rows = self._resolve(ids)
        particles, ptr, owner = self._particles_of(rows)
        batch = Batch(_base_cls=JetData)
        jet_slices, no_shift = torch.arange(len(rows) + 1), torch.zeros(len(rows), dtype=torch.long)
        batch._slice_dict, batch._inc_dict, batch._num_graphs = {}, {}, len(rows)
        groups = ((self.particle_fields, particles, ptr), (self.jet_fields, rows, jet_slices))
        for fields, chosen, slices in groups:
            for name, value in fields.items():
                batch[name] = self._cast(name, value.index_select(0, chosen))
                batch._slice_dict[name], batch._inc_dict[name] = slices, no_shift
        batch.batch, batch.ptr, batch.given = owner, ptr.clone(), self.given
        if self.unit:
            batch.unit = self.unit
        for name in ("rounding", *(["unit_in_gev"] if self.unit else [])):
            batch._slice_dict[name], batch._inc_dict[name] = jet_slices, no_shift
        if "admission" in self.meta:  # its jets went through the gate
            set_mark(batch)
        return batch

    def gather(self, ids: Ids) -> JetStore:
        """The jets with these numbers as a store in memory, read in the order in which they lie on disk."""
        rows, places = torch.unique(self._resolve(ids), return_inverse=True)
        chosen = copy.copy(self)
        chosen._rows = rows
        tensors = chosen._tensors()
        ptr = tensors.pop("ptr")
        return JetStore(ptr, _under("particle.", tensors), _under("jet.", tensors), chosen._facts()).select(places)

    def _particles_of(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Particle rows of these jets, the ``ptr`` of their concatenation, and each particle's jet."""
        first = self.ptr[rows]
        counts = self.ptr[rows + 1] - first
        ptr = torch.zeros(len(rows) + 1, dtype=torch.long)
        torch.cumsum(counts, 0, out=ptr[1:])
        owner = torch.repeat_interleave(counts)
        particles = torch.arange(int(ptr[-1])) + (first - ptr[:-1])[owner]
        return particles, ptr, owner

    def _cast(self, name: str, value: Tensor) -> Tensor:
        """A field in the precision and the unit that are wanted."""
        if self._factor != 1.0 and name in ("pos", "jet_ref"):
            value = value * (self._factor if name == "pos" else reference_factors(value, self._factor))
        return value.to(self.dtype) if self.dtype is not None and value.is_floating_point() else value

    def _resolve(self, ids: Ids) -> Tensor:
        """Row numbers in the flat tensors of the jets ``ids`` of this store or selection."""
        if isinstance(ids, slice):
            rows = torch.from_numpy(np.arange(len(self))[ids].copy())
        else:
            rows = torch.atleast_1d(torch.as_tensor(ids))
            if rows.dtype == torch.bool:
                rows = rows.nonzero().flatten()
            rows = rows.long()
        if len(rows) and (int(rows.min()) < -len(self) or int(rows.max()) >= len(self)):
            raise IndexError(f"There are {len(self)} jets, not as many as {rows.tolist()[:10]} asks for.")
        rows = torch.where(rows < 0, rows + len(self), rows)
        return rows if self._rows is None else self._rows[rows]

    def save(self, path: str | os.PathLike[str]) -> tuple[int, dict[str, int]]:
        """Writes the jets to a safetensors file with a checksum: all of it under its name, or nothing.

        Args:
            path: File to write; its folder is made if need be.

        Returns:
            The size of the file, and the CRC-32 of each tensor in it.
        """
        metadata = {"format": _FORMAT, "version": str(_VERSION), "meta": json.dumps(self._facts())}
        return write_tensors(path, self._tensors(), metadata)

    def _facts(self) -> dict[str, Any]:
        """The meta of the tensors as they are wanted, with the precision of what was converted to a higher one."""
        known = self.given == (self.dtype or self.particle_fields["pos"].dtype)
        return self.meta if known else {**self.meta, "given": str(self.given).removeprefix("torch.")}

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors as the file holds them, those of a selection gathered."""
        if self._rows is None:
            ptr, particles, jets = self.ptr, self.particle_fields, self.jet_fields
        else:
            rows, ptr, _ = self._particles_of(self._rows)
            particles = {name: value[rows] for name, value in self.particle_fields.items()}
            jets = {name: value[self._rows] for name, value in self.jet_fields.items()}
        tensors = {"ptr": ptr}
        tensors |= {f"particle.{name}": self._cast(name, value[:]) for name, value in particles.items()}
        tensors |= {f"jet.{name}": self._cast(name, value[:]) for name, value in jets.items()}
        return {name: value.contiguous() for name, value in tensors.items()}

    @staticmethod
    def is_at(path: str | os.PathLike[str]) -> bool:
        """Whether a file, or a folder of shards whose writing was finished, is there."""
        return Path(path).is_file() or is_finished(path)

    @staticmethod
    def read_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
        """The ``meta`` of a file or folder, without the jets; of a file, not compared with the checksum."""
        return read_index(Path(path))["meta"] if Path(path).is_dir() else _meta(path, metadata_of(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> JetStore:
        """Opens a file written by :meth:`save`, or a folder written by :class:`~lgae_pyg.data.JetStoreWriter`.

        Their tensors are mapped, and read when they are used. A file is read once to compare it with its checksum,
        which takes about half a second per gigabyte; of a folder, each tensor of a shard when it is first used.

        Args:
            path: The file or folder.
            dtype: See the class.

        Raises:
            FileNotFoundError: if there is no such file, or the folder was not finished.
            DataFileError: if it is cut short, damaged or of another format (of a shard: when its jets are taken).
        """
        if Path(path).is_dir():
            shards = Shards(path)
            particles: Any = shards.fields("particle")  # they are read when they are needed
            jets: Any = shards.fields("jet")
            store = cls(shards.ptr(), particles, jets, shards.meta, dtype)
            store._shards = shards
            return store
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        tensors, metadata = read_tensors(path)
        meta = _meta(path, metadata)
        try:
            ptr = tensors.pop("ptr")
            return cls(ptr, _under("particle.", tensors), _under("jet.", tensors), meta, dtype)
        except (ValueError, KeyError) as error:
            raise DataFileError(f"{path} is no jet store, or cut short or damaged ({error}). {MEND}") from error


def _meta(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    """The store's ``meta`` out of the metadata of its file, or a ``DataFileError``."""
    if metadata.get("format") != _FORMAT:
        raise DataFileError(f"{path} holds tensors, but is not a jet store.")
    if metadata.get("version") != str(_VERSION):
        raise DataFileError(
            f"{path} is a jet store of format {metadata.get('version')}, this version of lgae_pyg "
            f"reads format {_VERSION}: update it, or make the file again."
        )
    try:
        if set(metadata) - {"crc32"} != _METADATA:
            raise ValueError(f"its header has the entries {sorted(metadata)}")
        return json.loads(metadata["meta"])
    except ValueError as error:
        raise DataFileError(f"{path} is no jet store, or cut short or damaged ({error}). {MEND}") from error


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _check_ptr(ptr: Tensor) -> None:
    """A vector of long integers that begins with 0 and never falls, or a ``ValueError``."""
    is_vector = ptr.dim() == 1 and ptr.dtype == torch.long and len(ptr) > 0
    if not is_vector or ptr[0] != 0 or (ptr.diff() < 0).any():
        raise ValueError("'ptr' must be a vector of long integers that begins with 0 and never falls.")


def _check_fields(fields: Mapping[str, Tensor], rows: int, owner: str) -> None:
    """All fields have that many rows and a name that collation leaves alone, or a ``ValueError``."""
    for name, value in fields.items():
        check_name(name)
        if value.dim() == 0 or len(value) != rows:
            shape = tuple(value.shape)
            raise ValueError(f"The {owner} field '{name}' must have {rows} rows; its shape is {shape}.")
