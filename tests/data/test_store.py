"""The flat store gives what PyTorch Geometric's own collation gives, and survives the disk and bad files."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from lgae_pyg.data import DataFileError, JetData, JetStore


def random_jets(sizes: list[int], scalars: int = 0) -> list[JetData]:
    jets = []
    for row, n in enumerate(sizes):
        p = torch.randn(n, 3, dtype=torch.float64)
        jet = JetData(pos=torch.cat([p.norm(dim=-1, keepdim=True), p], dim=-1))
        jet.y, jet.jet_id = torch.tensor([row % 5]), torch.tensor([row])
        jet.jet_ref = torch.rand(1, 4, dtype=torch.float64)
        if scalars:
            jet.x = torch.rand(n, scalars)
        jets.append(jet)
    return jets


def assert_same(left: JetData, right: JetData) -> None:
    assert set(left.keys()) == set(right.keys())
    for name in left.keys():
        assert left[name].dtype == right[name].dtype, name
        assert torch.equal(left[name], right[name]), name


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 2), st.data())
def test_batch_equals_the_collation_of_the_jets(sizes, scalars, data):
    jets = random_jets(sizes, scalars)
    store = JetStore.from_jets(jets)
    ids = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=15))
    ours, theirs = store.batch(ids), Batch.from_data_list([jets[i] for i in ids])

    assert_same(ours, theirs)
    assert ours.num_graphs == theirs.num_graphs == len(ids)
    assert type(ours) is type(theirs)
    assert set(ours._slice_dict) == set(theirs._slice_dict)
    for name in theirs._slice_dict:
        assert torch.equal(ours._slice_dict[name], theirs._slice_dict[name])
        assert torch.equal(ours._inc_dict[name], theirs._inc_dict[name])
    for jet, number in zip(ours.to_data_list(), ids):
        assert_same(jet, jets[number])
    assert_same(ours[len(ids) - 1], jets[ids[-1]])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=10), st.data())
def test_selecting_twice_is_selecting_once(sizes, data):
    store = JetStore.from_jets(random_jets(sizes))
    first = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=8))
    second = data.draw(st.lists(st.integers(0, len(first) - 1), min_size=1, max_size=8))
    selection = store.select(first).select(second)
    ids = [first[i] for i in second]
    assert_same(selection.batch(slice(None)), store.batch(ids))
    assert selection.sizes.tolist() == [sizes[i] for i in ids]
    assert selection.max_particles == max(sizes[i] for i in ids)
    assert selection.num_particles == sum(sizes[i] for i in ids)
    assert selection.jet_field("jet_id").tolist() == ids


def test_ids_may_be_slices_masks_arrays_and_count_from_the_end():
    store = JetStore.from_jets(random_jets([1, 2, 3, 4]))
    mask = torch.tensor([False, True, False, True])
    assert store.batch(mask).jet_id.tolist() == [1, 3]
    assert store.batch(mask.numpy()).jet_id.tolist() == [1, 3]
    assert store.batch(slice(None, None, -1)).jet_id.tolist() == [3, 2, 1, 0]
    assert store.jet(-1).jet_id.item() == 3
    for wrong in (4, -5, [0, 9]):
        with pytest.raises(IndexError, match="4 jets"):
            store.batch(wrong)


def test_batches_are_copies():
    store = JetStore.from_jets(random_jets([2, 3]))
    before = store.particle_fields["pos"].clone()
    store.batch([0, 1]).pos.zero_()
    store.jet(0).pos.zero_()
    assert torch.equal(store.particle_fields["pos"], before)


def test_ordinary_collation_of_single_jets_works():
    store = JetStore.from_jets(random_jets([2, 1, 3]))
    batch = next(iter(DataLoader([store.jet(i) for i in range(3)], batch_size=3)))
    assert_same(batch, store.batch([0, 1, 2]))


def test_precision_can_be_chosen():
    store = JetStore.from_jets(random_jets([2, 3])).to(torch.float32)
    batch = store.batch([1, 0])
    assert batch.pos.dtype == batch.jet_ref.dtype == store.jet(0).pos.dtype == torch.float32
    assert batch.y.dtype == torch.long


def test_disk_round_trip_keeps_every_bit_and_the_meta(tmp_path: Path):
    store = JetStore.from_jets(random_jets([3, 1, 5], scalars=2), {"unit": "TeV", "recipe": {"seed": 1}})
    path = tmp_path / "new" / "jets.safetensors"
    store.save(path)
    loaded = JetStore.load(path)
    assert loaded.meta == store.meta
    assert_same(loaded.batch(slice(None)), store.batch(slice(None)))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded.select([2, 0]).save(path)
    assert_same(JetStore.load(path).batch([0, 1]), store.batch([2, 0]))
    assert JetStore.load(path, torch.float32).jet(0).pos.dtype == torch.float32


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "jets.safetensors"
    store = JetStore.from_jets(random_jets([2]))
    store.save(path)
    store.meta["impossible"] = object()
    with pytest.raises(TypeError):
        store.save(path)
    assert len(JetStore.load(path)) == 1
    assert list(tmp_path.iterdir()) == [path]


def cut(content: bytes) -> bytes:
    return content[: len(content) - 16]


@pytest.mark.parametrize(
    "spoil",
    [cut, lambda content: content[:5], lambda content: b"", lambda content: b"not this format" * 100],
    ids=["cut short", "header cut", "empty", "foreign"],
)
def test_spoilt_files_are_named_with_the_mend(tmp_path: Path, spoil):
    path = tmp_path / "jets.safetensors"
    JetStore.from_jets(random_jets([2, 3])).save(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataFileError, match=r"jets\.safetensors.*[Dd]elete it"):
        JetStore.load(path)


def test_safetensors_of_something_else_is_refused(tmp_path: Path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(DataFileError, match="not a jet store"):
        JetStore.load(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        JetStore.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("ptr", "particles", "jets", "words"),
    [
        ([0, 2], {"x": torch.rand(2, 4)}, {}, "'pos'"),
        ([0, 2], {"pos": torch.rand(2, 3)}, {}, r"\(particles, 4\)"),
        ([0, 3], {"pos": torch.rand(2, 4)}, {}, "3 rows"),
        ([0, 2, 1], {"pos": torch.rand(1, 4)}, {}, "never falls"),
        ([1, 2], {"pos": torch.rand(2, 4)}, {}, "begins with 0"),
        ([0, 2], {"pos": torch.rand(2, 4)}, {"y": torch.zeros(2)}, "1 rows"),
        ([0, 2], {"pos": torch.rand(2, 4)}, {"my_index": torch.zeros(1)}, "my_index"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(ptr, particles, jets, words):
    with pytest.raises(ValueError, match=words):
        JetStore(torch.tensor(ptr), particles, jets)
