"""Training on a part of the jets: which part, and that nothing else changes."""

import pytest

from lgae_pyg.checkpoint import load_checkpoint
from lgae_pyg.models import LinearAE
from lgae_pyg.training.data import JetDataModule
from lgae_pyg.training.run import train


def names(jets) -> list[tuple[int, int]]:
    return sorted((int(jet.y), int(jet.jet_id)) for jet in jets)


def test_only_the_training_jets_are_fewer(config) -> None:
    whole = JetDataModule(config["data"])
    few, more = (JetDataModule(config["data"], seed=3, train_jets=number) for number in (4, 10))
    assert names(few.val) == names(whole.val)
    assert set(names(few.train)) < set(names(more.train)) < set(names(whole.train))
    assert [y for y, _ in names(few.train)] == [0, 0, 1, 1]
    other = JetDataModule(config["data"], seed=4, train_jets=4)
    assert names(other.train) != names(few.train)


def test_an_epoch_repeats_a_small_training_set(config) -> None:
    data = JetDataModule(config["data"], batch_size=7, train_jets=4, epoch_jets=21)
    seen = [pair for batch in data.train_dataloader() for pair in zip(batch.y.tolist(), batch.jet_id.tolist())]
    assert len(seen) == 20 and sorted(set(seen)) == names(data.train)
    assert all(seen.count(pair) == 5 for pair in set(seen))


def test_the_choice_of_validation_jets_does_not_depend_on_the_seed(config) -> None:
    first, second = (JetDataModule(config["data"], seed=seed, val_jets=4) for seed in (0, 1))
    assert names(first.val) == names(second.val) and len(first.val) == 4


def test_fitted_models_see_only_the_chosen_jets(config, tmp_path) -> None:
    config["model"] = {"name": "LinearAE", "latent_vectors": 1, "num_particles": 6}
    config["loader"] = {"batch_size": 20, "eval_batch_size": 50, "train_jets": 4}
    assert train(config, tmp_path / "run") == 0
    found = load_checkpoint(tmp_path / "run")
    assert found.config["loader"]["train_jets"] == 4 and "train_jets" not in found.data
    jets = JetDataModule(config["data"], train_jets=4, seed=config["seed"]).train
    expected = LinearAE(latent_vectors=1, num_particles=6).fit(jets.loader(50)).state_dict()
    for name, values in found.model.state_dict().items():
        assert values.equal(expected[name]), name


@pytest.mark.parametrize("key", ["train_jets", "val_jets"])
def test_more_jets_than_there_are(config, key: str) -> None:
    with pytest.raises(ValueError, match=rf"loader\.{key}=100000: .* cannot be chosen"):
        JetDataModule(config["data"], **{key: 100_000})
