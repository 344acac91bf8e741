"""Decompressed jets into files: Parquet, HDF5, npz, or a store of this package."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lgae_pyg.applications.compression.block import Jets
from lgae_pyg.applications.compression.reading import CompressedJets
from lgae_pyg.checksums import fingerprint
from lgae_pyg.data import JetStoreWriter
from lgae_pyg.files import new_file
from lgae_pyg.lock import writing
from lgae_pyg.registry import choose

_P4 = ("energy", "px", "py", "pz")


def write_jets(jets: CompressedJets, path: str | os.PathLike[str]) -> str:
    """Decompresses a file into another one, a block at a time; an older one is replaced when all is written.

    The suffix says the format: ``.parquet`` (lists ``part_px``, ..., ``label``, as the preset ``weaver`` reads
    them), ``.h5``, ``.hdf5`` and ``.npz`` (``p4``, ``ptr``, ``label``, ``class_names``, as the preset ``neutral``
    reads them); a name without one is a folder, a store with all that is known of the jets.

    Returns:
        How the file is read, for a sentence.

    Raises:
        ValueError: for another suffix.
        FileExistsError: the folder holds a finished store of something else, or somebody else writes there.
        DataFileError: a block is damaged.
    """
    path = Path(path)
    write, read = choose("suffix of the file to be written", path.suffix.lower(), _FORMATS)
    with writing(path, "decompression", folder=not path.suffix):
        if not path.suffix:
            write(jets, path)
            return read
        with new_file(path) as partial:
            write(jets, partial)
    return read


def _store(jets: CompressedJets, path: Path) -> None:
    meta = {**jets.header.meta, "compressed": fingerprint(jets.path)}
    if JetStoreWriter.is_finished(path, compressed=meta["compressed"]):
        return
    with JetStoreWriter(path, meta) as writer:
        for block in jets.blocks():
            particles = {"pos": block.p4, **block.particles}
            writer.add(
                np.diff(block.ptr), *({k: v.copy() for k, v in one.items()} for one in (particles, block.jets))
            )


def _parquet(jets: CompressedJets, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer, names = None, jets.header.meta.get("class_names", [])
    try:
        for block in jets.blocks():
            offsets = pa.array(block.ptr.astype(np.int32))
            columns = {f"part_{name}": block.p4[:, k] for k, name in enumerate(_P4)} | _features(jets, block)
            lists = {name: pa.ListArray.from_arrays(offsets, pa.array(values)) for name, values in columns.items()}
            others = {name: pa.array(values) for name, values in _flat(block).items()}
            table = pa.table({**lists, **others}).replace_schema_metadata({"class_names": "\n".join(names)})
            writer = writer or parquet.ParquetWriter(path, table.schema, write_page_checksum=True)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ValueError("there is no jet to be written")


def _hdf5(jets: CompressedJets, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        begin = 0
        for block in jets.blocks():
            columns = {"p4": block.p4, **_features(jets, block), **_flat(block)}
            columns["ptr"] = block.ptr[1:] + begin if begin else block.ptr
            begin += int(block.ptr[-1])
            for name, values in columns.items():
                if name not in file:
                    shape = (None, *values.shape[1:])
                    file.create_dataset(name, data=values, maxshape=shape, chunks=True, fletcher32=True)
                    continue
                file[name].resize(len(file[name]) + len(values), axis=0)
                file[name][-len(values) :] = values
        file["class_names"] = [name.encode() for name in jets.header.meta.get("class_names", [])]


def _npz(jets: CompressedJets, path: Path) -> None:
    block = jets.read(0, len(jets))
    names = np.array(jets.header.meta.get("class_names", []), dtype=str)
    with open(path, "wb") as file:
        columns = {"p4": block.p4, "ptr": block.ptr, **_features(jets, block), **_flat(block)}
        np.savez_compressed(file, class_names=names, **columns)


_READ = "JetFiles({path!r}, card={card!r})"
#: For each suffix who writes it, and how it is read.
_FORMATS: dict[str, tuple[Callable[[CompressedJets, Path], None], str]] = {
    "": (_store, "lgae train data=files data.path={path} data.num_particles=30"),
    ".parquet": (_parquet, _READ.replace("{card!r}", "'weaver'")),
    ".h5": (_hdf5, _READ.replace("{card!r}", "'neutral'")),
    ".hdf5": (_hdf5, _READ.replace("{card!r}", "'neutral'")),
    ".npz": (_npz, _READ.replace("{card!r}", "'neutral'")),
}


def _features(jets: CompressedJets, block: Jets) -> dict[str, Any]:
    """Fields of the particles, a column for each of their numbers."""
    names = jets.header.meta.get("x_names", [])
    return _split(block.particles, {"x": [f"part_{name}" for name in names]})


def _flat(block: Jets) -> dict[str, Any]:
    """Fields of the jets, a column for each of their numbers; ``y`` is called ``label``."""
    reference = ["jet_pt", "jet_eta", "jet_phi", "jet_mass"]
    total = [f"jet_total_{name}" for name in _P4]
    fields = {"label" if name == "y" else name: values for name, values in block.jets.items()}
    return _split(fields, {"jet_ref": reference, "jet_p4": total})


def _split(fields: Any, names: dict[str, list[str]]) -> dict[str, Any]:
    columns = {}
    for name, values in fields.items():
        if values.ndim == 1:
            columns[name] = values
            continue
        flat = values.reshape(len(values), -1)
        given = names.get(name, [])
        for k in range(flat.shape[1]):
            column = given[k] if len(given) == flat.shape[1] else f"{name}_{k}"
            columns[column] = np.ascontiguousarray(flat[:, k])
    return columns
