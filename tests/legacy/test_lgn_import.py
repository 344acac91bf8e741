"""Imported LGAE checkpoints against an independent implementation of the published code, for any sizes."""

import json
from pathlib import Path

import lgn_reference as reference
import numpy as np
import pytest
import torch

from lgae_pyg.data import JetData
from lgae_pyg.legacy import load_lgn_autoencoder
from lgae_pyg.lorentz import boost, equivariance_error

GOLDEN = json.loads((Path(__file__).parents[1] / "parity" / "golden_lgae.json").read_text())
CONFIG = {
    "map_to_latent": "min&max",
    "tau_latent_scalars": 1,
    "tau_latent_vectors": 2,
    "encoder_num_channels": [2, 3],
    "decoder_num_channels": [3, 2],
    "num_particles": 5,
    "num_basis_fn": 2,
    "mlp_depth": 1,
    "mlp_width": 2,
}
AGGREGATIONS = ["mean", "average", "min", "max", "min+max", "max+mean", "min&max", "min&max&mean", "mix"]
VARIANTS = {
    "two latent scalars": {"tau_latent_scalars": 2, "tau_latent_vectors": 3},
    "mix with two latent scalars": {"map_to_latent": "mix", "tau_latent_scalars": 2},
    "lists of different lengths": {"encoder_num_channels": [2, 4, 3, 3, 2], "decoder_num_channels": [5, 2, 3]},
    "one channel": {"encoder_num_channels": [1, 1], "decoder_num_channels": [1, 1], "tau_latent_vectors": 1},
    "more particles": {"num_particles": 17, "map_to_latent": "mix"},
    "deep and wide": {"mlp_depth": 4, "mlp_width": 5},
    "no perceptron": {"mlp": False},
    "one pair of bells": {"num_basis_fn": 1},
    "scale": {"scale": 3.0},
    "scale and mix": {"scale": 0.3, "map_to_latent": "mix", "mlp": False},
    "other read-out": {"get_real_method": "mean"},
    "jet features": {"jet_features": True},
    "jet features, scale": {"jet_features": True, "scale": 2.0, "map_to_latent": "min&max&mean"},
    "further scalars": {"tau_jet_scalars": 3},
    "further scalars, scale": {"tau_jet_scalars": 2, "scale": 2.0},
}


def relative(ours, theirs):
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


def massive_jets(jets, particles, padded=True, seed=1):
    """Random massive particles, the last ones of every second jet zero."""
    rng = np.random.default_rng(seed)
    p = rng.normal(size=(jets, particles, 3)) * [0.2, 0.2, 0.5] + [0.0, 0.3, 0.2]
    mass = rng.uniform(0.05, 0.3, size=(jets, particles, 1))
    p4 = np.concatenate([np.sqrt((p**2).sum(-1, keepdims=True) + mass**2), p], -1)
    if padded:
        p4[::2, particles - 2 :] = 0
    return p4


def batch_of(p4, extra=None):
    jets, particles = p4.shape[:2]
    x = None if extra is None else torch.from_numpy(extra.reshape(jets * particles, -1))
    batch = JetData(pos=torch.from_numpy(p4.reshape(-1, 4)), x=x)
    batch.ptr = torch.arange(0, jets * particles + 1, particles)
    return batch


def compare(config, padded=True):
    """Largest relative deviation of codes and outputs of the imported model from the reference."""
    states = reference.random_states(config)
    p4 = massive_jets(4, config["num_particles"], padded)
    count = config.get("tau_jet_scalars", 1) - 1
    extra = np.random.default_rng(5).normal(size=(*p4.shape[:2], count)) if count else None
    expected = reference.autoencode(states, config, p4, extra)
    model = load_lgn_autoencoder(*states, config)
    with torch.no_grad():
        result = model(batch_of(p4, extra))
    found = result.latent.scalars, result.latent.vectors, result.complex_p4, result.p4
    shapes = [theirs.reshape(ours.shape) for ours, theirs in zip(found, expected)]
    return max(relative(ours, theirs) for ours, theirs in zip(found, shapes))


def golden_states(parts, mix):
    """The recorded network: every array is 0.5 cos(0.7 k + s) in C order."""
    encoder, decoder = reference.random_states(
        {
            "map_to_latent": "mix" if mix else "&".join(parts * ["mean"]),
            "tau_latent_scalars": 1,
            "tau_latent_vectors": 1,
            "encoder_num_channels": [2, 2],
            "decoder_num_channels": [2, 2],
            "num_particles": 4,
            "num_basis_fn": 1,
            "mlp_depth": 1,
            "mlp_width": 1,
        }
    )
    radial = {"a": 0, "b": 1, "c": 2, "linear.0.weight": 3, "linear.0.bias": 4}
    radial |= {"linear.1.weight": 5, "linear.1.bias": 6}
    perceptron = {"0.weight": 0, "0.bias": 1, "1.weight": 2, "1.bias": 3}
    for state, bells, inputs, level, mlp, ends in (
        (encoder, 0, 7, 9, 11, {"mix_reps": 15}),
        (decoder, 54, 52, 61, 63, {"latent_to_graph": 50, "mix_to_output": 67}),
    ):
        starts = {f"rad_funcs.rad_funcs.0.{name}": bells + s for name, s in radial.items()}
        starts |= {f"lgn_cg.mlp_levels.0.linear.{name}": mlp + s for name, s in perceptron.items()}
        mixers = {"input_func_node": inputs, "lgn_cg.node_levels.0.cat_mix.mix_reps": level, **ends}
        for name, start in mixers.items():
            starts |= {f"{name}.weights.{irrep}": start + i for i, irrep in enumerate(("(0, 0)", "(1, 1)"))}
        assert set(starts) == set(state)
        for key, start in starts.items():
            size = state[key].size
            state[key] = 0.5 * np.cos(0.7 * np.arange(size) + start).reshape(state[key].shape)
    return encoder, decoder


def golden(values):
    return np.array(values["re"]) + 1j * np.array(values["im"])


@pytest.mark.parametrize("aggregation", ["min&max", "mix", "mean"])
def test_the_reference_gives_the_recorded_numbers(aggregation):
    config = {
        "map_to_latent": aggregation,
        "encoder_num_channels": [2, 2],
        "decoder_num_channels": [2, 2],
        "mlp_depth": 1,
        "mlp_width": 1,
    }
    states = golden_states(aggregation.count("&") + 1, aggregation == "mix")
    p4 = np.array(GOLDEN["p4"])
    scalars, vectors, output, _ = reference.autoencode(states, config, p4)
    assert relative(scalars, golden(GOLDEN[aggregation]["latent_S"])) < 1e-12
    assert relative(vectors, golden(GOLDEN[aggregation]["latent_V"])) < 1e-12
    assert relative(output, golden(GOLDEN[aggregation]["out"])) < 1e-12
    level = reference.node_features(states[0], config, p4)
    for found, name in zip(level, ("level1_S", "level1_V")):
        assert relative(found, golden(GOLDEN[name])) < 1e-12


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_aggregations(aggregation, padded):
    assert compare(CONFIG | {"map_to_latent": aggregation}, padded) < 1e-9


@pytest.mark.parametrize("variant", VARIANTS)
def test_sizes_and_options(variant):
    assert compare(CONFIG | VARIANTS[variant]) < 1e-9


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activations(activation):
    assert compare(CONFIG | {"activation": activation, "mlp_depth": 2}) < 1e-9


@pytest.mark.parametrize("readout", reference.READOUTS)
def test_read_outs(readout):
    assert compare(CONFIG | {"get_real_method": readout}) < 1e-9


def test_defaults_are_those_of_the_command_line():
    sizes = {"encoder_num_channels": [3, 3, 4, 4], "decoder_num_channels": [4, 4, 3, 3], "num_particles": 6}
    config = {"map_to_latent": "min&max", "tau_latent_scalars": 1, "tau_latent_vectors": 1, **sizes}
    assert compare(config) < 1e-9


def test_the_command_line_of_the_original():
    """All its arguments under their own names, those of no concern to the network included."""
    states = reference.random_states(CONFIG)
    config = {key: value for key, value in CONFIG.items() if key != "num_particles"}
    config |= {"num_jet_particles": 5, "tau_jet_scalars": 1, "tau_jet_vectors": 1, "maxdim": [2], "mlp": "True"}
    config |= {"activation": "LeakyReLU", "map_to_latent": "Min&Max", "level_gain": [1.0], "weight_init": "randn"}
    config |= {"jet_features": False, "dtype": "torch.float64", "device": "cuda:0", "lr": 1e-3, "scale": None}
    other = load_lgn_autoencoder(*states, config).state_dict()
    for name, value in load_lgn_autoencoder(*states, CONFIG).state_dict().items():
        assert torch.equal(value, other[name])


def test_state_dicts_of_other_origins():
    """Prefixes of DataParallel, single precision, arrays, flat bells and constants make no difference."""
    encoder, decoder = reference.random_states(CONFIG)
    encoder = {key: value.astype(np.float32) for key, value in encoder.items()}
    plain = load_lgn_autoencoder(encoder, decoder, CONFIG)
    flat = {f"module.{key}": torch.from_numpy(value) for key, value in encoder.items()}
    flat["module.rad_funcs.rad_funcs.0.a"] = flat["module.rad_funcs.rad_funcs.0.a"].flatten()
    flat["module.rad_funcs.zero"] = torch.tensor(0.0)
    flat["module.zonal_fns.cg_dict.((1, 1), (1, 1))"] = torch.zeros(16, 16)
    decoder = {key: torch.nn.Parameter(torch.from_numpy(value)) for key, value in decoder.items()}
    other = load_lgn_autoencoder(flat, decoder, CONFIG)
    for name, value in plain.state_dict().items():
        assert value.dtype == torch.float64 and torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize("options", [{}, {"jet_features": True}, {"map_to_latent": "mix", "scale": 2.0}])
def test_imported_models_are_equivariant(options):
    config = CONFIG | options
    model = load_lgn_autoencoder(*reference.random_states(config), config).eval()
    jets = batch_of(massive_jets(3, 5, padded=False))
    assert equivariance_error(model, jets, boost(1.0, "x")) < 1e-9


def test_options_of_the_original_are_named():
    model = load_lgn_autoencoder(*reference.random_states(CONFIG), CONFIG)
    assert model.config["decode"] == "slots" and all(model.config["behaviour"].values())
