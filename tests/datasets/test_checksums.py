"""What is said of checksums is true: of files with and without them, and of the store that is made of them."""

from collections.abc import Callable
from pathlib import Path

import h5py
import jet_layouts as write
import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from jet_layouts import Jets

from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError, JetStore
from lgae_pyg.datasets import JetFiles
from lgae_pyg.datasets.readers import open_reader

CARD = {"axes": {"jets": ["E", "px", "py", "pz"]}, "momenta": {name: name for name in ("E", "px", "py", "pz")}}


def hdf5(**options) -> Callable[[Path, Jets], None]:
    def writer(path: Path, jets: Jets) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("jets", data=jets.padded(jets.p4), **options)

    return writer


def parquet_pages(**options) -> Callable[[Path, Jets], None]:
    def writer(path: Path, jets: Jets) -> None:
        write.parquet_lists(path, jets)
        parquet.write_table(parquet.read_table(path), path, **options)

    return writer


def npy(path: Path, jets: Jets) -> None:
    with open(path, "wb") as file:
        np.save(file, jets.padded(jets.p4))


GUARDED = {
    "hdf5 with fletcher32": (hdf5(chunks=(2, 12, 4), fletcher32=True), CARD, "fletcher32"),
    "hdf5 with gzip": (hdf5(chunks=(2, 12, 4), compression="gzip"), CARD, "Adler-32 of gzip"),
    "parquet with checksums": (parquet_pages(write_page_checksum=True), "weaver", "CRC-32 of each page"),
    "parquet without dictionaries": (
        parquet_pages(write_page_checksum=True, use_dictionary=False, data_page_version="2.0"),
        "weaver",
        "CRC-32 of each page",
    ),
    "npz": (write.neutral, "neutral", "CRC-32 of each array"),
    "root": (write.root_tree, "jetclass", "of ZLIB"),
}
BARE = {
    "hdf5": (hdf5(), CARD),
    "hdf5 with lzf": (hdf5(chunks=(2, 12, 4), compression="lzf"), CARD),
    "parquet": (parquet_pages(), "weaver"),
    "parquet of one codec": (parquet_pages(compression="none", use_dictionary=False), "weaver"),
    "npy": (npy, {**CARD, "axes": {"array": ["E", "px", "py", "pz"]}}),
}


@pytest.mark.parametrize("what", GUARDED)
def test_checksums_are_said(tmp_path: Path, what: str, capsys) -> None:
    writer, card, name = GUARDED[what]
    path = tmp_path / "jets.npz"  # formats are told by what is in them
    writer(path, Jets(400))  # so many that ROOT compresses all baskets
    found = JetFiles(path, card, tmp_path / "store")
    assert any(f"checksums ({name})" in line for line in found.summary), found.summary
    assert not any("no checksums" in line for line in found.summary)
    assert main(["data", "inspect", str(path)]) == 0
    assert f"checksums ({name})" in capsys.readouterr().out


@pytest.mark.parametrize("what", BARE)
def test_missing_checksums_are_said(tmp_path: Path, what: str, capsys) -> None:
    writer, card = BARE[what]
    path = tmp_path / "jets.npz"  # formats are told by what is in them
    writer(path, Jets(40))
    found = JetFiles(path, card, tmp_path / "store")
    assert any("no checksums" in line and "CRC-32" in line for line in found.summary), found.summary
    main(["data", "inspect", str(path)])
    assert "no checksums: flipped bytes" in capsys.readouterr().out


@pytest.mark.parametrize("what", [name for name in GUARDED if name not in ("npz", "root")])
def test_flipped_bytes_of_guarded_columns_never_give_other_numbers(tmp_path: Path, what: str) -> None:
    writer, card, _ = GUARDED[what]
    path = tmp_path / "jets.npz"  # formats are told by what is in them
    writer(path, Jets(40))
    sound, content = JetFiles(path, card, tmp_path / "store").store, path.read_bytes()
    data = _data_bytes(path, content)
    rng, errors = np.random.default_rng(0), 0
    for place in rng.choice(data, 40, replace=False):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            found = JetFiles(path, card, tmp_path / "store", force_reload=True).store
        except DataFileError:
            errors += 1
            continue
        assert torch.equal(found.particle_fields["pos"], sound.particle_fields["pos"])
    assert errors > 20


def _data_bytes(path: Path, content: bytes) -> np.ndarray:
    """Places of the bytes of the columns; what tells where they are has no checksums in these formats."""
    path.write_bytes(content)
    if open_reader(path).format == "parquet":
        return np.arange(4 + 32, len(content) // 3)
    with h5py.File(path) as file:
        jets = file["jets"].id
        chunks = [jets.get_chunk_info(i) for i in range(jets.get_num_chunks())]
    return np.concatenate([np.arange(one.byte_offset, one.byte_offset + one.size) for one in chunks])


def test_a_store_made_of_a_bare_file_notices_what_the_file_does_not(tmp_path: Path, capsys) -> None:
    path, out = tmp_path / "jets.parquet", tmp_path / "out"
    write.parquet_lists(path, Jets(40))
    assert main(["data", "convert", "weaver", str(path), "--out", str(out)]) == 0
    shard = next(out.glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-5] ^= 4
    shard.write_bytes(content)
    with pytest.raises(DataFileError, match="damaged"):
        JetStore.load(out).batch(slice(None))
    assert any("no checksums" in note for note in JetStore.read_meta(out)["notes"])
