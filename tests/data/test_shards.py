"""Stores in shards give the jets of a store in memory, and any damage is an error, never other numbers."""

import json
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch_geometric.loader import DataLoader

from lgae_pyg.data import DataFileError, JetLoader, JetStore, JetStoreWriter
from lgae_pyg.data import loader as loader_module
from lgae_pyg.data import shards as shards_module
from lgae_pyg.data.shards import read_signed, write_signed
from lgae_pyg.datasets import JetDataset, JetFiles, jet_files

META = {"unit": "GeV", "class_names": ["QCD", "top"]}


def make_store(sizes: list[int], seed: int = 0) -> JetStore:
    rng = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, *np.cumsum(sizes)])
    particles, jets = int(ptr[-1]), len(sizes)
    fields = {
        "pos": torch.rand(particles, 4, generator=rng),
        "x": torch.rand(particles, 2, generator=rng).double(),
    }
    more = {"y": torch.randint(2, (jets,), generator=rng), "jet_id": torch.arange(jets)}
    more |= {"jet_ref": torch.rand(jets, 4, generator=rng), "weight": torch.rand(jets, generator=rng)}
    return JetStore(ptr, fields, more, META)


def parts(store: JetStore, cuts: list[int]):
    for first, last in zip([0, *cuts], [*cuts, len(store)]):
        particles = slice(int(store.ptr[first]), int(store.ptr[last]))
        fields = {name: value[particles].numpy() for name, value in store.particle_fields.items()}
        yield (
            store.sizes[first:last],
            fields,
            {name: value[first:last] for name, value in store.jet_fields.items()},
        )


def write(path: Path, store: JetStore, shard_bytes: int = 300, cuts: tuple[int, ...] = ()) -> Path:
    with JetStoreWriter(path, store.meta, shard_bytes) as writer:
        for part in parts(store, sorted(cuts)):
            writer.add(*part)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def assert_same(left, right) -> None:
    assert set(left.keys()) == set(right.keys())
    for name in left.keys():
        if isinstance(left[name], torch.Tensor):
            assert left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]), name
        else:
            assert left[name] == right[name]


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


class Streamed(JetDataset):
    """Jets that are written as they come."""

    def __init__(self, root, jets: int = 60, split: str = "all") -> None:
        super().__init__(root, {"unit": "GeV", "jets": jets}, split)

    raw_file_names = ()

    def download(self) -> None: ...

    def write_store(self, path: Path) -> None:
        store = make_store([1 + number % 4 for number in range(self.recipe["jets"])])
        with JetStoreWriter(path, self.described({"class_names": ["QCD", "top"]}), 300) as writer:
            for part in parts(store, [20, 41]):
                writer.add(*part)


def test_a_data_set_may_write_its_jets_in_shards(tmp_path: Path):
    data = Streamed(tmp_path)
    assert data.store.is_sharded and data.class_names == ("QCD", "top") and len(data) == 60
    ids = [Streamed(tmp_path, split=split).store.jet_field("jet_id") for split in ("train", "val", "test")]
    assert sorted(torch.cat(ids).tolist()) == list(range(60))
    path = Path(data.processed_paths[0])
    (path / "index.json").unlink()
    assert_same(Streamed(tmp_path).store.batch(slice(None)), data.store.batch(slice(None)))
    made = (path / "index.json").stat().st_mtime_ns
    Streamed(tmp_path)
    assert (path / "index.json").stat().st_mtime_ns == made


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_pyg_read_shards(tmp_path: Path, start: str):
    data = Streamed(tmp_path)
    expected = [data.store.batch(list(range(first, first + 20))) for first in (0, 20, 40)]
    found = DataLoader(data, 20, num_workers=2, multiprocessing_context=start)
    for mine, other in zip(found, expected, strict=True):
        assert_same(mine, other)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(loader_module, "BLOCK", 4)
    monkeypatch.setattr(loader_module, "WINDOW", 16)


def test_stores_that_fit_a_window_keep_the_order_of_a_file(tmp_path: Path):
    store = make_store([1] * 90)
    loaded = JetStore.load(write(tmp_path, store))
    ours, theirs = (JetLoader(jets, 7, shuffle=True, seed=3) for jets in (loaded, store))
    for mine, other in zip(ours, theirs, strict=True):
        assert_same(mine, other)


def test_blocks_are_shuffled_within_windows(tmp_path: Path, small_windows):
    loaded = JetStore.load(write(tmp_path, make_store([1] * 90)))
    loader = JetLoader(loaded, 7, shuffle=True, seed=3)
    order = loader.order(0)
    assert sorted(order.tolist()) == list(range(90))
    assert not torch.equal(order, loader.order(1)) and torch.equal(order, JetLoader(loaded, 9, True, 3).order(0))
    for window in order.split(16):
        assert len((window // 4).unique()) <= 5  # blocks, of which one may be cut
        assert len(window) < 12 or (window.diff() == 1).double().mean() < 0.5  # neighbours are torn apart
    assert [ids for batch in loader for ids in batch.jet_id.tolist()] == order.tolist()


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shards_are_read_as_memory_in_the_same_order(tmp_path: Path, small_windows, replicas, drop_last):
    store = make_store([1 + number % 3 for number in range(101)])
    loaded = JetStore.load(write(tmp_path, store))
    seen = []
    for rank in range(replicas):
        loader = JetLoader(loaded, 5, True, 1, drop_last, rank=rank, num_replicas=replicas)
        order = loader.order(0)
        for number, batch in enumerate(loader):
            last = number + 1 == len(loader) and not drop_last
            stop = len(order) if last else (number + 1) * 5 * replicas
            assert_same(batch, store.batch(order[number * 5 * replicas + rank : stop : replicas]))
            seen += batch.jet_id.tolist()
        assert number + 1 == len(loader)
    assert len(set(seen)) == len(seen) and (drop_last or len(seen) == 101)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 45), st.integers(1, 20))
def test_resuming_inside_an_epoch_of_shards(tmp_path_factory, stop, batch_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader_module, "BLOCK", 4)
        patch.setattr(loader_module, "WINDOW", 16)
        loaded = JetStore.load(write(tmp_path_factory.mktemp("jets") / "store", make_store([1] * 70)))

        def loader() -> JetLoader:
            return JetLoader(loaded, batch_size, shuffle=True, seed=5)

        whole = loader()
        uninterrupted = [batch.jet_id.tolist() for _ in range(2) for batch in whole]
        stopped, seen = loader(), []
        state = stopped.state_dict()
        for batch in stopped:
            if len(seen) == stop:
                break
            seen.append(batch.jet_id.tolist())
            state = stopped.state_dict()
        resumed = loader()
        resumed.load_state_dict(state)
        while len(seen) < len(uninterrupted):
            seen += [batch.jet_id.tolist() for batch in resumed]
        assert seen[: len(uninterrupted)] == uninterrupted


def test_many_jets_from_files_are_written_in_shards(tmp_path: Path, monkeypatch):
    store = make_store([1 + number % 4 for number in range(60)])
    momenta = store.particle_fields["pos"].numpy()
    momenta[:, 0] = 2 * np.linalg.norm(momenta[:, 1:], axis=1)
    for name, chosen in (("a", slice(0, 30)), ("b", slice(30, 60))):
        few = store.gather(chosen).select(slice(None))
        np.savez(
            tmp_path / name,
            p4=few.batch(slice(None)).pos,
            ptr=few.batch(slice(None)).ptr,
            label=few.jet_field("y"),
        )
    one = JetFiles(tmp_path, root=tmp_path / "one")
    monkeypatch.setattr(jet_files, "IN_MEMORY_BYTES", 100)
    many = JetFiles(tmp_path, root=tmp_path / "many")
    assert many.store.is_sharded and not one.store.is_sharded and len(many) == 60
    found, expected = many.store.batch(slice(None)), one.store.batch(slice(None))
    assert_same(found, expected)
    assert many.store.meta == one.store.meta
    assert many.class_names == one.class_names and many.summary == one.summary
