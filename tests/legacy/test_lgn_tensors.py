"""Imported LGAE checkpoints with tensors among the features (``maxdim`` above 2), against numbers that the
published code gave and an independent implementation of it."""

import json
from pathlib import Path

import lgn_reference as plain
import lgn_tensor_reference as reference
import numpy as np
import pytest
import torch
from test_lgn_import import CONFIG as SMALL
from test_lgn_import import batch_of, massive_jets, relative

import lgae_pyg
from lgae_pyg.cli import main
from lgae_pyg.legacy import load_lgn_autoencoder
from lgae_pyg.lorentz import boost, equivariance_error, random_lorentz

RECORDED = np.load(Path(__file__).parents[1] / "parity" / "lgae_tensors.npz", allow_pickle=False)
CONFIGS = json.loads(str(RECORDED["config"]))
CONFIG = SMALL | {"maxdim": 3, "encoder_num_channels": [2, 3, 2], "decoder_num_channels": [3, 2, 2]}
LONG = {"encoder_num_channels": [2, 1, 2, 2], "decoder_num_channels": [1, 2, 2, 1]}
VARIANTS = [
    {},
    {"map_to_latent": "mix", "tau_latent_scalars": 2},
    {"map_to_latent": "min+max", "mlp": False},
    {"encoder_num_channels": [2, 2], "decoder_num_channels": [1, 3]},
    {"scale": 3.0, "tau_jet_scalars": 2},
    {"jet_features": True, "scale": 0.3},
    {"maxdim": [2]},
    {"maxdim": [3, 2], "map_to_latent": "mean"},
    {"maxdim": [2, 3], "encoder_num_channels": [2, 2, 3, 2]},
    {"maxdim": [1, 2]},
    {"maxdim": [2, 1, 3], **LONG},
    {"maxdim": 4, **LONG},
    {"maxdim": [4], "mlp": False, "map_to_latent": "mix", **LONG},
    {"maxdim": [3, 5], "num_particles": 3, "map_to_latent": "max"},
]


def states_of(config):
    return list(reference.random_states(config))


def jets_of(config):
    """Jets, some with zeros at the end, and their further scalars."""
    p4 = massive_jets(3, config["num_particles"])
    count = config.get("tau_jet_scalars", 1) - 1
    return p4, np.random.default_rng(5).normal(size=(*p4.shape[:2], count)) if count else None


def deviation(model, p4, expected, extra=None):
    """The largest relative deviation of codes and complex output."""
    with torch.no_grad():
        result = model(batch_of(p4, extra))
    found = result.latent.scalars, result.latent.vectors, result.complex_p4
    return max(relative(ours, theirs.reshape(ours.shape)) for ours, theirs in zip(found, expected))


@pytest.mark.parametrize("name", CONFIGS)
def test_recorded_numbers(name):
    """The import and the reference give what the published code gave."""
    arrays = {key.removeprefix(f"{name}/"): RECORDED[key] for key in RECORDED.files if key.startswith(f"{name}/")}
    states = [{key[8:]: array for key, array in arrays.items() if key.startswith(network)}
              for network in ("encoder/", "decoder/")]  # fmt: skip
    expected = arrays["S"], arrays["V"], arrays["out"]
    assert deviation(load_lgn_autoencoder(*states, CONFIGS[name]), arrays["p4"], expected) < 1e-12
    found = reference.autoencode(states, CONFIGS[name], arrays["p4"])
    assert max(relative(ours, theirs.reshape(ours.shape)) for ours, theirs in zip(found, expected)) < 1e-12


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_other_sizes_and_options(change):
    config = CONFIG | change
    states, (p4, extra) = states_of(config), jets_of(config)
    expected = reference.autoencode(states, config, p4, extra)
    assert deviation(load_lgn_autoencoder(*states, config), p4, expected[:3], extra) < 1e-10


def test_the_reference_is_the_closed_form_where_there_are_no_tensors():
    config = CONFIG | {"maxdim": 2}
    states, (p4, _) = states_of(config), jets_of(config)
    for found, expected in zip(reference.autoencode(states, config, p4), plain.autoencode(states, config, p4)):
        assert relative(found, expected) < 1e-12


@pytest.mark.parametrize("change", [{}, {"map_to_latent": "mix", "maxdim": [3, 4, 3], **LONG}], ids=str)
def test_imported_models_are_covariant(change, generator):
    config = CONFIG | change
    model = load_lgn_autoencoder(*states_of(config), config).eval()
    jets = batch_of(massive_jets(3, 5, padded=False))
    for transform in (boost(1.0, "x"), random_lorentz(1.0, generator)):
        assert equivariance_error(model, jets, transform) < 1e-8
        assert equivariance_error(lambda batch: model.encode(batch).vectors, jets, transform) < 1e-8
        moved = batch_of((jets.pos @ transform.T).reshape(3, 5, 4).numpy())
        scalars = [model.encode(batch).scalars.detach() for batch in (jets, moved)]
        assert relative(scalars[1], scalars[0].numpy()) < 1e-8


def test_which_weights_count():
    """Tensors between the levels do; those after the last one are dropped."""
    states, (p4, _) = states_of(CONFIG), jets_of(CONFIG)
    with torch.no_grad():
        before = load_lgn_autoencoder(*states, CONFIG)(batch_of(p4)).complex_p4
        for label in ("(0, 2)", "(2, 0)", "(2, 2)"):
            for level, counts in ((0, True), (1, False)):
                key = f"lgn_cg.node_levels.{level}.cat_mix.mix_reps.weights.{label}"
                decoder = states[1] | {key: -2 * states[1][key]}
                after = load_lgn_autoencoder(states[0], decoder, CONFIG)(batch_of(p4)).complex_p4
                assert torch.equal(after, before) != counts
            decoder = states[1] | {f"mix_to_output.weights.{label}": np.zeros((2, 1, 2))}
            assert torch.equal(load_lgn_autoencoder(states[0], decoder, CONFIG)(batch_of(p4)).complex_p4, before)


@pytest.mark.parametrize("module", ["mix_reps", "lgn_cg.node_levels.1.cat_mix.mix_reps"])
def test_weights_that_nothing_depends_on_are_checked_too(module):
    key = f"{module}.weights.(0, 2)"
    encoder, decoder = states_of(CONFIG)
    for value, message in ((np.ones(3), "has shape"), (np.full(encoder[key].shape, np.nan), "not finite")):
        with pytest.raises(ValueError, match=message) as caught:
            load_lgn_autoencoder(encoder | {key: value}, decoder, CONFIG)
        assert f"'{key}' of the original encoder" in str(caught.value)
    del encoder[key]
    with pytest.raises(ValueError) as caught:
        load_lgn_autoencoder(encoder, decoder, CONFIG)
    assert str(caught.value) == f"the original encoder state dict has no key '{key}'"


def test_import_command(tmp_path, capsys):
    config = CONFIG | {"maxdim": [3, 4], "tau_jet_vectors": 1}
    states = states_of(config)
    for state, name in zip(states, ("encoder.pth", "decoder.pth")):
        torch.save({f"module.{key}": torch.from_numpy(value) for key, value in state.items()}, tmp_path / name)
    (tmp_path / "args.json").write_text(json.dumps(config))
    words = ["--encoder", "encoder.pth", "--decoder", "decoder.pth", "--config", "args.json", "--out", "new.ckpt"]
    paths = [word if word.startswith("--") else str(tmp_path / word) for word in words]
    assert main(["import", "--kind", "lgae", *paths]) == 0
    assert "LGAE with" in capsys.readouterr().out
    p4, _ = jets_of(config)
    expected = reference.autoencode(states, config, p4)[:3]
    assert deviation(lgae_pyg.load_model(tmp_path / "new.ckpt"), p4, expected) < 1e-10
    (tmp_path / "args.json").write_text(json.dumps(config | {"maxdim": 3}))
    assert main(["import", "--kind", "lgae", *paths]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "encoder.pth: the original encoder state dict has 'lgn_cg.node_levels.1" in error
