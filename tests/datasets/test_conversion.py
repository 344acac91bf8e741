"""Files converted to a store: the jets that are read from them, the same bytes after a kill and by any workers."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError, JetStore
from lgae_pyg.data.gate import Rules
from lgae_pyg.datasets import JetFiles, conversion
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.datasets.conversion import Conversion, convert

JETS = 57


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Jets in lists, in row groups that do not fit to any piece."""
    random = np.random.default_rng(3)
    sizes = random.integers(1, 9, JETS)
    lists = {}
    for name in ("px", "py", "pz"):
        lists[name] = [random.normal(size=size).astype(np.float32) for size in sizes]
    lists["energy"] = [np.sqrt(x * x + y * y + z * z) for x, y, z in zip(*lists.values())]
    columns = {f"part_{name}": pa.array([list(one) for one in values]) for name, values in lists.items()}
    columns |= {"label": pa.array(random.integers(0, 2, JETS)), "w": pa.array(random.random(JETS))}
    table = pa.table(columns)
    with pq.ParquetWriter(tmp_path / "jets.parquet", table.schema) as writer:
        for first in range(0, JETS, 11):
            writer.write_table(table.slice(first, 11))
    return str(tmp_path / "jets.parquet")


@pytest.fixture
def work(file: str, monkeypatch) -> Conversion:
    monkeypatch.setattr(conversion, "PIECE_ROWS", 9)
    return Conversion((file,), read_card("weaver"), Rules(num_particles=5), "TeV")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_store_holds_the_jets_of_the_files(work: Conversion, file: str, tmp_path: Path) -> None:
    pieces = work.pieces()
    assert [pieces[0].first, *(piece.stop for piece in pieces)] == [0, 11, 22, 33, 44, 55, 57]
    admission = convert(work, tmp_path / "out", progress=False)
    store = JetStore.load(tmp_path / "out")
    read = JetFiles(file, card="weaver", root=tmp_path / "cache", num_particles=5, unit="TeV").store
    assert admission.read == len(store) == len(read) == JETS
    assert torch.equal(store.sizes, read.sizes)
    mine, theirs = store.batch(slice(None)), read.batch(slice(None))
    for name in ("pos", "y", "jet_id"):
        assert torch.equal(mine[name], theirs[name])
    assert store.meta["class_names"] == read.meta["class_names"]
    assert store.meta["admission"]["cut"] == read.meta["admission"]["cut"] > 0


def test_what_was_killed_goes_on_to_the_same_bytes(work: Conversion, tmp_path: Path, monkeypatch) -> None:
    convert(work, tmp_path / "whole", progress=False)
    written, write = [], conversion._write_piece

    def dies(*arguments: object) -> dict:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(arguments[-1])
        return write(*arguments)

    monkeypatch.setattr(conversion, "_write_piece", dies)
    with pytest.raises(KeyboardInterrupt):
        convert(work, tmp_path / "killed", progress=False)
    with pytest.raises((FileNotFoundError, DataFileError)):
        JetStore.load(tmp_path / "killed")
    written.clear()
    monkeypatch.setattr(conversion, "_write_piece", lambda *a: written.append(a[-1]) or write(*a))
    convert(work, tmp_path / "killed", progress=False)
    assert written == [3, 4, 5]
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_two_processes_write_the_same_bytes(work: Conversion, tmp_path: Path) -> None:
    convert(work, tmp_path / "one", progress=False)
    convert(work, tmp_path / "two", workers=2, progress=False)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_finished_store_is_not_overwritten(work: Conversion, tmp_path: Path) -> None:
    convert(work, tmp_path / "out", progress=False)
    before = content(tmp_path / "out")
    assert convert(work, tmp_path / "out", progress=False).read == JETS
    other = Conversion(work.files, work.card, Rules(num_particles=4), "TeV")
    with pytest.raises(FileExistsError, match="choose another folder"):
        convert(other, tmp_path / "out", progress=False)
    assert content(tmp_path / "out") == before


def test_the_command(file: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["data", "convert", "auto", file, "--out", str(out), "--unit", "TeV"]) == 0
    assert f"{JETS} jets read, {JETS} kept" in capsys.readouterr().out
    assert JetStore.load(out).unit == "TeV"


def test_a_card_of_weaver_reads_the_same_jets(file: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("""
new_variables:
  mask: ak.ones_like(part_energy)
  pt: np.hypot(part_px, part_py)
  logpt: np.log(pt)
  is_b: label == 0
  is_s: label == 1
inputs:
  pf_features: {length: 4, vars: [[logpt, 1, 2, -3, 3]]}
  pf_vectors: {length: 4, vars: [[part_px, null], [part_py, null], [part_pz, null], [part_energy, null]]}
  pf_mask: {length: 4, vars: [[mask, null]]}
labels: {type: simple, value: [is_b, is_s]}
weights: {use_precomputed_weights: true, weight_branches: [w, w]}
""")
    with pytest.warns(UserWarning, match="num_particles=4"):
        mine = JetFiles(file, card=str(tmp_path / "mine.yaml"), root=tmp_path / "a")
    plain = JetFiles(file, card="weaver", root=tmp_path / "b")
    ours, theirs = mine.store.batch(slice(None)), plain.store.batch(slice(None))
    assert torch.equal(ours.pos, theirs.pos) and torch.equal(ours.y, theirs.y)
    assert mine.class_names == ("is_b", "is_s")
    pt = theirs.pos[:, 1:3].double().norm(dim=1)
    torch.testing.assert_close(ours.x[:, 0].double(), ((pt.log() - 1) * 2).clamp(-3, 3), rtol=1e-5, atol=1e-5)
    weights = torch.tensor(pq.read_table(file)["w"].to_numpy())
    torch.testing.assert_close(ours.weight.double(), weights**2, rtol=1e-6, atol=0)
