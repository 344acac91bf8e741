"""The flat store gives what PyTorch Geometric's own collation gives, and survives the disk and bad files."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from lgae_pyg.data import DataFileError, JetData, JetStore, jet_name


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
    """But for ``rounding``, which jets of a store have and those made by hand need not."""
    names = set(left.keys()) - {"rounding"}
    assert names == set(right.keys()) - {"rounding"}
    for name in names:
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
    assert set(ours._slice_dict) == {"rounding", *theirs._slice_dict}
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


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_file_that_the_system_does_not_let_read_is_not_called_damaged(tmp_path: Path, monkeypatch, error):
    path = tmp_path / "jets.safetensors"
    JetStore.from_jets(random_jets([2, 3])).save(path)

    def forbid(*_, **__):
        raise error

    for place in ("builtins.open", "lgae_pyg.data.tensor_file.safe_open"):
        with monkeypatch.context() as patch, pytest.raises(type(error)) as caught:
            patch.setattr(place, forbid)
            JetStore.load(path)
        assert caught.value is error
    with pytest.raises(MemoryError), monkeypatch.context() as patch:
        patch.setattr("lgae_pyg.data.tensor_file.safe_open", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
        JetStore.load(path)
    with pytest.raises(FileNotFoundError):
        JetStore.load(tmp_path)


def test_safetensors_of_something_else_is_refused(tmp_path: Path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(DataFileError, match="not a jet store") as caught:
        JetStore.load(path)
    assert "elete" not in str(caught.value)  # sound, and somebody's
    save_file({"ptr": torch.zeros(1)}, path, {"format": "lgae_pyg.JetStore", "version": "2"})
    with pytest.raises(DataFileError, match=r"format 2.*update"):
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


PER_PARTICLE = {
    "vectors": lambda n, rng: torch.rand(n, 3, generator=rng),
    "numbers": lambda n, rng: torch.randint(-5, 5, (n,), generator=rng),
    "flags": lambda n, rng: torch.rand(n, 1, 2, generator=rng) > 0.5,
}
PER_JET = {
    "row": lambda n, rng: torch.rand(1, 4, generator=rng),
    "one": lambda n, rng: torch.randint(5, (1,), generator=rng),
    "scalar": lambda n, rng: torch.rand((), generator=rng),
    "integer scalar": lambda n, rng: torch.randint(5, (), generator=rng),
    "int": lambda n, rng: n % 3,
    "float": lambda n, rng: 0.5 * n,
    "bool": lambda n, rng: n > 2,
}
NAMES = ("y", "x", "charge", "weight", "is_signal", "jet_ref", "pid")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([*PER_PARTICLE, *PER_JET])),
    st.data(),
)
def test_fields_of_every_kind_are_collated_as_pyg_does(sizes, kinds, data):
    rng = torch.Generator().manual_seed(0)
    makers = PER_PARTICLE | PER_JET
    if kinds.get("x") in PER_JET:
        del kinds["x"]  # a field of the particles by definition
    fields = [{name: makers[kind](n, rng) for name, kind in kinds.items()} for n in sizes]
    jets = [JetData(pos=torch.rand(n, 4, generator=rng), **more) for n, more in zip(sizes, fields)]
    store = JetStore.from_jets(jets)
    assert_same(store.batch(slice(None)), Batch.from_data_list(jets))
    ids = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=6))
    assert_same(store.batch(ids), Batch.from_data_list([jets[i] for i in ids]))
    assert_same(store.batch(ids), Batch.from_data_list([store.jet(i) for i in ids]))


def jets_with(**fields) -> list[JetData]:
    count = len(next(iter(fields.values())))
    rows = [{name: values[k] for name, values in fields.items() if values[k] is not None} for k in range(count)]
    return [JetData(pos=torch.rand(2 + k, 4), **row) for k, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("jets", "words"),
    [
        (jets_with(y=[None, torch.tensor([1])]), "Jet 0 has no field 'y'"),
        (jets_with(y=[1, None, 2]), "Jet 1 has no field 'y'"),
        (jets_with(weight=[torch.rand(1, 2), torch.rand(1, 3)]), r"'weight' is .*\(n, 3\) in jet 1"),
        (jets_with(y=[torch.tensor(1), torch.tensor([1])]), r"'y' is .*\(n\) in jet 1, but .*\(\) in jet 0"),
        (jets_with(y=[torch.tensor(1), 1]), "'y' is a int in jet 1"),
        (jets_with(y=["g", "q"]), "'y' is a str"),
        (jets_with(tags=[torch.rand(3), torch.rand(3)]), r"'tags' of jet 0 has 3 rows, .*particle \(2\) nor one"),
        (jets_with(x=[torch.rand(1, 2), torch.rand(1, 2)]), "'x' of jet 0 has 1 rows"),
        (jets_with(my_index=[torch.rand(1), torch.rand(1)]), "'my_index' means something else"),
        (jets_with(num_nodes=[2, 3]), "'num_nodes' means something else"),
        ([JetData(y=1)], "Jet 0 has no field 'pos'"),
        ([], "no jets"),
    ],
)
def test_jets_that_do_not_go_together_are_refused_by_name(jets, words):
    with pytest.raises(ValueError, match=words):
        JetStore.from_jets(jets)


def test_jets_are_named_by_class_and_row():
    jet = JetData(pos=torch.rand(2, 4), y=torch.tensor([1]), jet_id=torch.tensor([1234]))
    assert jet_name(jet, ("g", "q")) == "q 1234"
    assert jet_name(jet, ("g",)) == jet_name(jet) == "class 1 1234"
    assert jet_name(JetData(pos=jet.pos, y=0), ["top", "QCD"]) == "top"
    assert jet_name(JetData(pos=jet.pos)) == "jet"
    assert jet_name(JetData(pos=jet.pos, jet_id=7), ("g",)) == "jet 7"


def test_a_missing_field_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'label': choose one of .*jet_id"):
        JetStore.from_jets(random_jets([2])).jet_field("label")
