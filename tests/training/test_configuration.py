"""Values of configurations: their kinds, and which of them make another training."""

import pytest

from lgae_pyg.training.configuration import differences, read_config
from lgae_pyg.training.kinds import as_kind


@pytest.mark.parametrize(
    ("group", "key", "given", "read"),
    [
        ("loss", "names", "chamfer", ["chamfer"]),
        ("loss", "weights", 2, [2]),
        ("data", "classes", "g", ["g"]),
        ("logger", "tags", "first", ["first"]),
        ("model", "encoder_channels", 3, [3]),
        ("data", "jets", 1e4, 10_000),
        ("data", "fractions", [1, 0, 0], [1, 0, 0]),
        ("trainer", "patience", None, None),
        ("optimizer", "betas", [0.9, 0.99], [0.9, 0.99]),
    ],
)
def test_one_value_stands_for_a_list_of_one(group, key, given, read):
    names = {"model": {"name": "LGAE"}, "data": {"name": "PythiaJets"}}
    config = read_config({group: {**names.get(group, {}), key: given}})
    assert config[group][key] == read and type(config[group][key]) is type(read)


@pytest.mark.parametrize(
    ("group", "key", "given", "message"),
    [
        ("data", "jets", "abc", "data.jets=abc is not a whole number"),
        ("data", "jets", 1.5, "data.jets=1.5 is not a whole number"),
        ("data", "max_jets", "None", "data.max_jets=None is not a whole number or null"),
        ("model", "latent_vectors", True, "model.latent_vectors=True is not a whole number"),
        ("model", "encoder_channels", [3, "x"], "model.encoder_channels=.* is not a list, each a whole number"),
        ("loss", "weights", ["heavy"], "loss.weights=.* is not a list, each a number"),
        ("optimizer", "betas", 0.9, "optimizer.betas=0.9 is not 2 values, each a number"),
        ("trainer", "max_epochs", "many", "trainer.max_epochs=many is not a whole number"),
        ("logger", "wandb", "no", "logger.wandb=no is not true or false"),
    ],
)
def test_values_of_wrong_kinds_are_named(group, key, given, message):
    names = {"model": {"name": "LGAE"}, "data": {"name": "PythiaJets"}}
    with pytest.raises(ValueError, match=message):
        read_config({group: {**names.get(group, {}), key: given}})


def test_what_has_no_plain_kind_is_left_alone():
    assert as_kind("x", "abc", dict[str, int]) == "abc"
    assert as_kind("x", 5, str) == "5" and as_kind("x", "5", int | str) == "5"


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"root": "/scratch/job2"}},
        {"data": {"workers": 3, "download": True}},
        {"model": {"backend": "dense"}},
        {"loader": {"eval_batch_size": 7}},
        {"trainer": {"threads": 2, "max_epochs": 9}},
        {"logger": {"wandb": True}},
        {"optimizer": {"eps": None}},
    ],
)
def test_where_and_how_is_no_other_training(change):
    config = {"model": {"backend": "auto", "width": 1}, "data": {"root": "data", "classes": ["g"]}}
    new = {group: {**config.get(group, {}), **change.get(group, {})} for group in config | change}
    assert differences(config, new) == []


OTHER = [{"model": {"width": 2}}, {"data": {"classes": ["q"]}}, {"loader": {"batch_size": 1}}]


@pytest.mark.parametrize("change", OTHER)
def test_what_is_computed_makes_another_training(change):
    config = {"model": {"width": 1}, "data": {"root": "data", "classes": ["g"]}, "loader": {}}
    new = {group: {**config[group], **change.get(group, {})} for group in config}
    assert len(differences(config, new)) == 1
