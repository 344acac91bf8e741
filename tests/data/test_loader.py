"""The fast loader gives the batches of the ordinary one, and resumes exactly where it was stopped."""

from itertools import chain, islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from lgae_pyg.data import JetData, JetLoader, JetStore


def make_store(jets: int) -> JetStore:
    sizes = [1 + row % 4 for row in range(jets)]
    return JetStore.from_jets(
        [
            JetData(pos=torch.rand(n, 4), y=torch.tensor([row % 2]), jet_id=torch.tensor([row]))
            for row, n in enumerate(sizes)
        ]
    )


def ids_of(batches) -> list[list[int]]:
    return [batch.jet_id.tolist() for batch in batches]


@pytest.mark.parametrize("drop_last", [False, True])
def test_unshuffled_batches_are_those_of_the_ordinary_loader(drop_last):
    store = make_store(11)
    jets = [store.jet(i) for i in range(11)]
    ours = JetLoader(store, batch_size=4, drop_last=drop_last)
    theirs = list(DataLoader(jets, batch_size=4, drop_last=drop_last))
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert set(mine.keys()) == set(other.keys())
        assert all(torch.equal(mine[name], other[name]) for name in other.keys())


def test_a_shuffled_epoch_has_every_jet_once():
    loader = JetLoader(make_store(23), batch_size=5, shuffle=True, seed=3)
    epoch = [number for ids in ids_of(loader) for number in ids]
    assert sorted(epoch) == list(range(23))
    assert epoch != list(range(23))


def test_the_order_depends_on_seed_and_epoch_alone():
    store = make_store(20)
    loader, other = JetLoader(store, 3, shuffle=True, seed=1), JetLoader(store, 3, shuffle=True, seed=1)
    epochs = [ids_of(loader) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    torch.manual_seed(99)
    other.set_epoch(2)
    assert ids_of(other) == epochs[2]
    other.set_epoch(0)
    assert ids_of(other) == epochs[0]
    assert ids_of(JetLoader(store, 3, shuffle=True, seed=2)) != epochs[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 60), st.booleans(), st.booleans())
def test_resuming_gives_the_batches_of_the_uninterrupted_run(jets, batch_size, stop, shuffle, drop_last):
    store = make_store(jets)

    def loader() -> JetLoader:
        return JetLoader(store, batch_size, shuffle=shuffle, seed=5, drop_last=drop_last)

    whole = loader()
    uninterrupted = [ids for _ in range(4) for ids in ids_of(whole)]

    stopped, seen = loader(), []
    state = stopped.state_dict()
    for _ in range(2):
        for batch in stopped:
            if len(seen) == stop:
                break
            seen.append(batch.jet_id.tolist())
            state = stopped.state_dict()
    assert all(type(value) is int for value in state.values())

    resumed = loader()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    rest = []
    while len(seen) + len(rest) < len(uninterrupted):
        rest += ids_of(resumed)
    assert seen + rest == uninterrupted


def test_setting_the_same_epoch_again_keeps_the_position():
    store = make_store(12)
    loader = JetLoader(store, 3, shuffle=True, seed=0)
    expected = ids_of(loader)
    loader.load_state_dict({**JetLoader(store, 3, shuffle=True, seed=0).state_dict(), "next_batch": 2})
    loader.set_epoch(0)
    assert ids_of(loader) == expected[2:]


@pytest.mark.parametrize("taken", [1, 2, 4])
def test_an_epoch_that_is_given_up_counts(taken):
    store = make_store(12)
    whole = JetLoader(store, 3, shuffle=True, seed=1)
    expected = [ids_of(whole) for _ in range(4)]
    loader = JetLoader(store, 3, shuffle=True, seed=1)
    for epoch in range(3):
        assert ids_of(islice(loader, taken)) == expected[epoch][:taken]
    state = loader.state_dict()
    assert (state["epoch"], state["next_batch"]) == ((2, taken) if taken < 4 else (3, 0))
    assert ids_of(loader) == expected[3]
    resumed = JetLoader(store, 3, shuffle=True, seed=1)
    resumed.load_state_dict(state)
    assert ids_of(resumed) == (expected[2][taken:] or expected[3])
    loader.set_epoch(1)
    next(iter(loader))
    loader.set_epoch(1)
    assert ids_of(loader) == expected[1]


def test_without_a_seed_every_loader_has_an_order_of_its_own_that_torch_repeats():
    store = make_store(30)

    def epochs(seed: int) -> list[list[list[int]]]:
        torch.manual_seed(seed)
        return [ids_of(JetLoader(store, 7, shuffle=True)) for _ in range(3)]

    first = epochs(5)
    assert first[0] != first[1] != first[2] != first[0]
    assert epochs(5) == first and epochs(6) != first
    early = JetLoader(store, 7, shuffle=True)
    torch.manual_seed(5)
    assert ids_of(early) == first[0]  # drawn when it is first needed, like the ordinary loader's


def test_a_loader_that_needs_no_order_draws_no_random_number():
    for loader in (JetLoader(make_store(4), 2), JetLoader(make_store(4), 2, shuffle=True, seed=3)):
        before = torch.random.get_rng_state()
        assert len(ids_of(loader)) == 2 and loader.state_dict()
        assert torch.equal(torch.random.get_rng_state(), before)


def test_a_drawn_seed_is_taken_up_again_by_the_state():
    store = make_store(20)
    loader = JetLoader(store, 3, shuffle=True)
    seen = ids_of(islice(loader, 2))
    resumed = JetLoader(store, 3, shuffle=True)
    resumed.load_state_dict(loader.state_dict())
    rest = ids_of(resumed)
    loader.set_epoch(0)
    assert seen + rest == ids_of(loader)
    assert ids_of(resumed) == ids_of(loader)  # and so are the next epochs
    with pytest.raises(ValueError, match="seed = 1"):
        one = JetLoader(store, 3, shuffle=True, seed=1)
        next(iter(one))
        JetLoader(store, 3, shuffle=True, seed=2).load_state_dict(one.state_dict())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 5), st.booleans(), st.booleans())
def test_processes_share_every_epoch(jets, batch_size, replicas, shuffle, drop_last):
    store = make_store(max(jets, replicas))
    shares = [
        JetLoader(store, batch_size, shuffle, 3, drop_last, rank=rank, num_replicas=replicas)
        for rank in range(replicas)
    ]
    alone = JetLoader(store, batch_size * replicas, shuffle, 3, drop_last)
    for _ in range(2):
        epoch = [ids_of(loader) for loader in shares]
        steps = [sorted(chain(*step)) for step in zip(*epoch, strict=True)]  # all take as many steps
        assert {len(loader) for loader in shares} == {len(steps)}
        assert all(ids for share in epoch for ids in share)
        expected = [sorted(ids) for ids in ids_of(alone)]
        if len(steps) < len(expected):  # too few are left over for a step of all processes
            assert len(expected[-1]) < replicas
            expected[-2:] = [sorted(expected[-2] + expected[-1])]
        assert steps == expected
        sizes = [len(ids) for share in epoch for ids in share]
        assert max(sizes, default=1) <= batch_size + 1
        assert all(loader.state_dict() == alone.state_dict() for loader in shares)


def test_impossible_shares_are_refused():
    store = make_store(3)
    for arguments, words in (
        ({"rank": 2, "num_replicas": 2}, "rank"),
        ({"num_replicas": 4}, "3 jets cannot be shared by 4"),
        ({"num_replicas": 2, "shuffle": True}, "give a seed"),
    ):
        with pytest.raises(ValueError, match=words):
            JetLoader(store, 1, **arguments)


def test_a_position_of_another_order_is_refused():
    store = make_store(12)
    loader = JetLoader(store, 3, shuffle=True)
    next(iter(loader))
    with pytest.raises(ValueError, match=r"batch_size = 3.*has 4"):
        JetLoader(store, 4, shuffle=True).load_state_dict(loader.state_dict())
    between = JetLoader(store, 3, shuffle=True)
    between.set_epoch(3)
    larger = JetLoader(store, 4, shuffle=True)
    larger.load_state_dict(between.state_dict())
    assert larger.epoch == 3


def test_a_transform_is_applied_to_each_jet():
    def double(jet: JetData) -> JetData:
        jet.p4 = 2 * jet.p4
        return jet

    store = make_store(5)
    changed = next(iter(JetLoader(store, 5, transform=double)))
    assert torch.equal(changed.pos, 2 * store.batch(slice(None)).pos)
    assert changed.ptr.tolist() == store.ptr.tolist()


@pytest.mark.parametrize(("batch_size", "seed"), [(0, 0), (1, -1)])
def test_impossible_settings_are_refused(batch_size, seed):
    with pytest.raises(ValueError, match="must"):
        JetLoader(make_store(2), batch_size, seed=seed)


def test_lightning_resumes_in_the_middle_of_an_epoch(tmp_path):
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    store = make_store(20)

    class Recorder(LightningModule):
        def __init__(self):
            super().__init__()
            self.weight, self.seen = torch.nn.Parameter(torch.zeros(())), []

        def training_step(self, batch, number):
            self.seen.append(batch.jet_id.tolist())
            return self.weight.square()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(checkpoint=None, **limits) -> list[list[int]]:
        keep = ModelCheckpoint(tmp_path, filename="stop", every_n_train_steps=1, enable_version_counter=False)
        quiet = {
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "accelerator": "cpu",
        }
        model = Recorder()
        loader = JetLoader(store, 3, shuffle=True, seed=4)
        Trainer(callbacks=[keep], **quiet, **limits).fit(model, loader, ckpt_path=checkpoint)
        return model.seen

    whole = JetLoader(store, 3, shuffle=True, seed=4)
    expected = [ids for _ in range(3) for ids in ids_of(whole)]
    assert fit(max_epochs=3) == expected
    for stop in (7, 10):
        seen = fit(max_steps=stop)
        assert seen == expected[:stop]
        assert fit(str(tmp_path / "stop.ckpt"), max_epochs=3) == expected[stop:]
