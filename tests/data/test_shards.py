"""Stores in shards give the jets of a store in memory, and any damage is an error, never other numbers."""

import json
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from shard_tools import META, assert_same, content, make_store, parts, write

from lgae_pyg.checksums import read_signed, write_signed
from lgae_pyg.data import DataFileError, JetStore, JetStoreWriter
from lgae_pyg.data import shards as shards_module


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(200, 3000), st.data())
def test_shards_give_what_memory_gives(tmp_path_factory, sizes, shard_bytes, data):
    store = make_store(sizes)
    loaded = JetStore.load(write(tmp_path_factory.mktemp("jets") / "store", store, shard_bytes))
    assert loaded.is_sharded and not store.is_sharded
    assert len(loaded) == len(store) and loaded.meta == store.meta
    assert torch.equal(loaded.ptr, store.ptr) and torch.equal(loaded.sizes, store.sizes)
    ids = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=40))
    assert_same(loaded.batch(ids), store.batch(ids))
    assert_same(loaded.gather(ids).batch(slice(None)), store.batch(ids))
    assert_same(loaded.select(ids).batch(slice(None, None, -1)), store.batch(ids[::-1]))
    assert_same(loaded.to(torch.float64).jet(ids[0]), store.to(torch.float64).jet(ids[0]))
    assert_same(loaded.in_unit("TeV").gather(ids).batch([0]), store.in_unit("TeV").batch(ids[:1]))
    for name in store.jet_fields:
        assert torch.equal(loaded.jet_field(name), store.jet_field(name))
        assert torch.equal(loaded.select(ids).jet_field(name), store.select(ids).jet_field(name))
    assert torch.equal(loaded.particle_fields["pos"][1:-1], store.particle_fields["pos"][1:-1])


def test_a_selection_of_shards_is_saved_as_one_file(tmp_path: Path):
    store = make_store([3, 1, 4, 1, 5])
    JetStore.load(write(tmp_path / "jets", store)).select([4, 0]).save(tmp_path / "few.safetensors")
    assert_same(JetStore.load(tmp_path / "few.safetensors").batch([0, 1]), store.batch([4, 0]))


def test_maps_are_let_go_of(tmp_path: Path, monkeypatch):
    store = make_store([3] * 50)
    loaded = JetStore.load(write(tmp_path / "jets", store))
    monkeypatch.setattr(shards_module, "RESIDENT_BYTES", 10 << 16)
    for number in range(50):
        assert_same(loaded.batch([number, 49 - number]), store.batch([number, 49 - number]))
        assert len(loaded._shards._maps) < 10


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=5))
def test_the_bytes_do_not_depend_on_how_jets_are_added(tmp_path_factory, cuts):
    store, folder = make_store([2, 5, 1, 3, 4] * 6), tmp_path_factory.mktemp("jets")
    assert content(write(folder / "a", store)) == content(write(folder / "b", store, cuts=tuple(cuts)))
    assert len(content(folder / "a")) > 10


def test_arrays_may_be_used_again_after_adding(tmp_path: Path):
    store = make_store([2, 3])
    ((sizes, particles, jets),) = parts(store, [])
    with JetStoreWriter(tmp_path, META) as writer:
        writer.add(sizes, {name: value.copy() for name, value in particles.items()}, jets)
        before = particles["pos"].copy()
        particles["pos"][:] = 0
        store.particle_fields["pos"][:] = torch.from_numpy(before)
        again = {name: value.copy() for name, value in particles.items()}
        writer.add(sizes, again, jets)
        again["pos"][:] = 0
    assert torch.equal(JetStore.load(tmp_path).batch([2, 3]).pos, store.batch([0, 1]).pos)


def test_an_unfinished_folder_is_no_store(tmp_path: Path):
    store = make_store([3] * 20)
    with pytest.raises(KeyboardInterrupt), JetStoreWriter(tmp_path / "jets", META, 300) as writer:
        writer.add(*next(parts(store, [15])))
        raise KeyboardInterrupt
    assert list((tmp_path / "jets").iterdir())
    assert not JetStore.is_at(tmp_path / "jets")
    with pytest.raises(FileNotFoundError, match=r"without index\.json.*not finished"):
        JetStore.load(tmp_path / "jets")
    write(tmp_path / "jets", store)
    assert content(tmp_path / "jets") == content(write(tmp_path / "other", store))
    for again in (lambda: JetStoreWriter(tmp_path / "jets"), lambda: JetStoreWriter.resume(tmp_path / "jets")):
        with pytest.raises(FileExistsError, match="finished store"):
            again()


def write_piece(path: Path, number: int, die_after: int | None = None) -> None:
    """Writes a piece of its own jets; as a process that is killed after so many shards, if wanted."""
    store = make_store([2, 5, 1, 3] * (3 + number), seed=number)
    with JetStoreWriter(path, META, 300, piece=number) as writer:
        for part in parts(store, list(range(1, len(store)))):
            if die_after is not None and len(writer._shards) >= die_after:
                (path / f".{number:05d}-00099.safetensors.x.partial").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
            writer.add(*part)
        writer.finish(jets=len(store))


def test_writing_in_pieces_goes_on_after_a_kill_with_the_same_bytes(tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for number in range(4):
        write_piece(whole, number)
    JetStoreWriter.join(whole, {**META, "more": 1}, 4)

    fork = multiprocessing.get_context("fork")
    for number, die_after in ((2, None), (0, 3), (3, 0), (1, None)):
        process = fork.Process(target=write_piece, args=(killed, number, die_after))
        process.start()
        process.join()
        assert process.exitcode == (0 if die_after is None else -signal.SIGKILL)
    with pytest.raises(FileNotFoundError):
        JetStoreWriter.join(killed, META, 4)
    done = JetStoreWriter.resume(killed, META, 300)
    assert done == {1: {"jets": 16}, 2: {"jets": 20}}
    for number in (3, 0):
        write_piece(killed, number)
    JetStoreWriter.join(killed, {**META, "more": 1}, 4)
    assert content(killed) == content(whole)
    store = JetStore.load(killed)
    assert len(store) == 12 + 16 + 20 + 24 and store.meta["more"] == 1
    assert_same(store.select(slice(12, 28)).batch(slice(None)), make_store([2, 5, 1, 3] * 4, 1).batch(slice(None)))


def test_only_intact_pieces_of_the_same_work_are_kept(tmp_path: Path):
    for number in range(3):
        write_piece(tmp_path, number)
    assert set(JetStoreWriter.resume(tmp_path, META, 300)) == {0, 1, 2}
    assert JetStoreWriter.resume(tmp_path, {**META, "unit": "TeV"}, 300) == {}
    assert JetStoreWriter.resume(tmp_path, META, 301) == {}
    flip(tmp_path / "00001-00001.safetensors", -3)
    flip(tmp_path / "00002.json", 40)
    assert set(JetStoreWriter.resume(tmp_path, META, 300)) == {0}
    (tmp_path / "00000-00001.safetensors").unlink()
    assert JetStoreWriter.resume(tmp_path, META, 300) == {}


def test_pieces_without_jets_are_allowed_and_a_store_without_is_not(tmp_path: Path):
    for number in range(3):
        with JetStoreWriter(tmp_path, META, piece=number) as writer:
            if number == 1:
                writer.add(*next(parts(make_store([1, 2]), [])))
            writer.finish()
    with pytest.raises(ValueError, match="no jets"):
        JetStoreWriter.join(tmp_path, META, 1)
    assert len(JetStore.load(JetStoreWriter.join(tmp_path, META, 3))) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda p, j: p.update(pos=p["pos"].double()),
            "particle field 'pos' is .*F64.*, in jets added before .*F32",
        ),
        (lambda p, j: j.pop("y"), "jet field 'y' is missing, in jets added before"),
        (lambda p, j: j.update(tag=j["y"]), "jet field 'tag' is .*, in jets added before missing"),
        (lambda p, j: j.update(jet_ref=j["jet_ref"][:, :3]), "'jet_ref'"),
        (lambda p, j: j.update(y=j["y"][:-1]), "'y' must have 2 rows"),
        (lambda p, j: p.update(pos=p["pos"][:-1]), "'pos' must have 5 rows"),
        (lambda p, j: j.update(y=torch.zeros(2, dtype=torch.complex64)), "'y' is of type torch.complex64"),
    ],
)
def test_fields_that_do_not_fit_are_named(tmp_path: Path, change, words):
    store = make_store([2, 3])
    writer = JetStoreWriter(tmp_path, META)
    writer.add(store.sizes, store.particle_fields, store.jet_fields)
    particles, jets = dict(store.particle_fields), dict(store.jet_fields)
    change(particles, jets)
    with pytest.raises(ValueError, match=words):
        writer.add(store.sizes, particles, jets)


def test_pieces_of_different_fields_are_refused(tmp_path: Path):
    store = make_store([2, 3])
    for number, names in enumerate((["y"], ["y", "weight"])):
        with JetStoreWriter(tmp_path, META, piece=number) as writer:
            writer.add(store.sizes, store.particle_fields, {name: store.jet_fields[name] for name in names})
            writer.finish()
    with pytest.raises(ValueError, match=r"piece 1 .*weight"):
        JetStoreWriter.join(tmp_path, META, 2)


def flip(path: Path, place: int, mask: int = 1) -> bytes:
    """Changes a byte; returns the content before."""
    before = path.read_bytes()
    after = bytearray(before)
    after[place] ^= mask
    path.write_bytes(after)
    return before


def everything(path: Path) -> tuple:
    store = JetStore.load(path)
    batch = store.batch(slice(None))
    return store.meta, {name: value.tolist() for name, value in batch.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("sharded", [True, False])
def test_flipped_bytes_all_over_are_an_error_or_changes_nothing(tmp_path: Path, sharded: bool):
    path, store = tmp_path / "jets", make_store([2, 1, 3])
    if sharded:
        write(path, store, shard_bytes=150)
    else:
        store.save(path)
    whole, errors = everything(path), 0
    files = sorted(path.iterdir()) if sharded else [path]
    assert len(files) == (3 if sharded else 1)
    for file in files:
        for place in range(0, file.stat().st_size, 3):  # the others below, by chance
            before = flip(file, place, 1 << (place * 7 % 8))
            try:
                assert everything(path) == whole, f"byte {place} of {file.name}"
            except DataFileError as error:
                assert str(path) in str(error)
                errors += 1
            file.write_bytes(before)
    assert everything(path) == whole
    assert errors > 300


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_other_byte_is_an_error_or_changes_nothing(tmp_path_factory, data):
    path, store = tmp_path_factory.mktemp("one") / "jets", make_store([2, 1, 3])
    sharded = data.draw(st.booleans())
    file = path
    if sharded:
        write(path, store, shard_bytes=200)
        file = data.draw(st.sampled_from(sorted(path.iterdir())))
    else:
        store.save(path)
    whole = everything(path)
    flip(file, data.draw(st.integers(0, file.stat().st_size - 1)), data.draw(st.integers(1, 255)))
    try:
        assert everything(path) == whole
    except DataFileError:
        pass


@pytest.mark.parametrize(
    "spoil", [lambda c: c[:-1], lambda c: c + b"\0", lambda c: b"", lambda c: c[: len(c) // 2]]
)
@pytest.mark.parametrize("name", ["index.json", "00000-00001.safetensors"])
def test_cut_and_lengthened_files_are_errors(tmp_path: Path, spoil, name):
    file = write(tmp_path, make_store([2, 1, 3, 4]), 200) / name
    whole, before = everything(tmp_path), file.read_bytes()
    file.write_bytes(spoil(before))
    if name == "index.json" and spoil(before).strip() == before.strip():  # the last line end
        assert everything(tmp_path) == whole
        return
    with pytest.raises(DataFileError, match=name):
        everything(tmp_path)


def test_missing_and_exchanged_shards_are_errors(tmp_path: Path):
    write(tmp_path, make_store([3] * 6), 200)
    one, other = tmp_path / "00000-00000.safetensors", tmp_path / "00000-00001.safetensors"
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(DataFileError, match=one.name):
        everything(tmp_path)
    one.write_bytes(first)
    other.unlink()
    with pytest.raises(DataFileError, match="missing"):
        everything(tmp_path)


def test_damage_is_found_when_jets_are_taken(tmp_path: Path):
    store = make_store([3] * 20)
    write(tmp_path, store)
    last = max(tmp_path.glob("*.safetensors"))
    place = last.read_bytes().index(store.particle_fields["pos"][-1].numpy().tobytes())
    flip(last, place)
    loaded = JetStore.load(tmp_path)
    assert_same(loaded.batch([0, 1]), store.batch([0, 1]))
    assert torch.equal(loaded.jet_field("y"), store.jet_field("y"))
    with pytest.raises(DataFileError, match=f"{last.name} is damaged: the checksum of 'particle.pos'"):
        loaded.batch([19])


def test_the_index_names_nothing_outside_its_folder(tmp_path: Path):
    write(tmp_path / "jets", make_store([3, 4]))
    index = read_signed(tmp_path / "jets" / "index.json")
    for name in ("../jets/00000-00000.safetensors", "/etc/passwd", "00000.json"):
        index["shards"][0]["file"] = name
        write_signed(tmp_path / "jets" / "index.json", index)
        with pytest.raises(DataFileError, match="no shard"):
            JetStore.load(tmp_path / "jets")
    index["version"] = 2
    write_signed(tmp_path / "jets" / "index.json", index)
    with pytest.raises(DataFileError, match="update"):
        JetStore.load(tmp_path / "jets")


def test_files_of_versions_without_checksums_are_read(tmp_path: Path):
    store, path = make_store([2, 3]), tmp_path / "jets.safetensors"
    store.save(path)
    metadata = {"format": "lgae_pyg.JetStore", "version": "1", "meta": json.dumps(store.meta)}
    save_file(load_file(path), path, metadata)
    assert_same(JetStore.load(path).batch([0, 1]), store.batch([0, 1]))
    assert JetStore.read_meta(path) == store.meta


def test_pickles_hold_no_jets(tmp_path: Path):
    store = make_store([3] * 5000)
    write(tmp_path, store, 1 << 16)
    loaded = JetStore.load(tmp_path)
    loaded.batch([0, 4999])
    text = pickle.dumps(loaded)
    assert len(text) < 5000
    assert_same(pickle.loads(text).batch([3, 4999]), store.batch([3, 4999]))
