"""What cannot be imported is refused by name."""

import lgn_reference as reference
import numpy as np
import pytest
import torch

from lgae_pyg.legacy import load_lgn_autoencoder

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
KEYS = [*(("encoder", key) for key in reference.random_states(CONFIG)[0])]
KEYS += [("decoder", key) for key in reference.random_states(CONFIG)[1]]


def loaded(config=CONFIG, **changes):
    """Imports the reference's states after ``encoder=`` or ``decoder=`` functions have changed them."""
    states = dict(zip(("encoder", "decoder"), reference.random_states(CONFIG)))
    for network, change in changes.items():
        change(states[network])
    return load_lgn_autoencoder(states["encoder"], states["decoder"], config)


@pytest.mark.parametrize("network, key", KEYS)
def test_every_missing_weight_is_named(network, key):
    with pytest.raises(ValueError) as caught:
        loaded(**{network: lambda state: state.pop(key)})
    assert str(caught.value) == f"the original {network} state dict has no key '{key}'"


@pytest.mark.parametrize("network, key", KEYS)
def test_every_misshapen_weight_is_named_with_both_shapes(network, key):
    true = reference.random_states(CONFIG)[network == "decoder"][key].shape
    wrong = (*true[:-1], true[-1] + 1)
    with pytest.raises(ValueError) as caught:
        loaded(**{network: lambda state: state.update({key: np.ones(wrong)})})
    for part in (f"'{key}' of the original {network}", f"has shape {wrong}", f"asks for {true}"):
        assert part in str(caught.value)


def test_transposed_weights_do_not_pass():
    """As many numbers in another shape are another weight."""
    key = "mix_reps.weights.(1, 1)"
    with pytest.raises(ValueError, match=r"has shape \(2, 3, 2\), but the configuration asks for \(2, 2, 3\)"):
        loaded(encoder=lambda state: state.update({key: np.swapaxes(state[key], 1, 2)}))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value):
    key = "lgn_cg.mlp_levels.0.linear.1.bias"
    with pytest.raises(ValueError, match=f"'{key}' of the original decoder holds values that are not finite"):
        loaded(decoder=lambda state: state[key].__setitem__(1, value))


@pytest.mark.parametrize(
    "key", ["lgn_cg.node_levels.0.cat_mix.mix_reps.weights.(2, 2)", "rad_funcs.rad_funcs.1.a", "optimizer"]
)
def test_unknown_weights_are_named(key):
    with pytest.raises(ValueError) as caught:
        loaded(encoder=lambda state: state.update({key: torch.zeros(3)}))
    assert f"the original encoder state dict has '{key}', for which" in str(caught.value)


def test_many_keys_are_counted():
    config = CONFIG | {"encoder_num_channels": [2, 3, 3]}
    with pytest.raises(ValueError, match=r"has no key 'rad_funcs.rad_funcs.1.a', .* and \d+ more"):
        loaded(config)


@pytest.mark.parametrize(
    "value, message", [("text", "is a str, not a tensor"), (torch.ones(2) > 0, "torch.bool"), (None, "NoneType")]
)
def test_values_that_are_no_weights(value, message):
    with pytest.raises(ValueError, match=message):
        loaded(encoder=lambda state: state.update({"mix_reps.weights.(1, 1)": value}))


def test_states_that_are_no_mapping():
    with pytest.raises(ValueError, match="the original encoder state dict is a list"):
        load_lgn_autoencoder([], {}, CONFIG)


@pytest.mark.parametrize("name", ["map_to_latent", "tau_latent_scalars", "encoder_num_channels", "num_particles"])
def test_every_missing_argument_is_named(name):
    config = {key: value for key, value in CONFIG.items() if key != name}
    with pytest.raises(ValueError, match=f"the original's argument '{name}'.* is missing from the configuration"):
        loaded(config)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"map_to_latent": "sum"}, "'sum' cannot be imported: in the original, the sum gives"),
        ({"map_to_latent": "mean&sum"}, "'mean&sum' cannot be imported"),
        ({"map_to_latent": "median"}, "'median' is unknown"),
        ({"map_to_latent": "mix&max"}, "combines mix with nothing"),
        ({"map_to_latent": "min+max&mean"}, "mixes & and +"),
        ({"activation": "gelu"}, "'activation' is 'gelu', which is none of leakyrelu, relu"),
        ({"get_real_method": "norm"}, "'norm' cannot be imported: .* not equivariant"),
        ({"get_real_method": "abs"}, "'get_real_method' is 'abs'"),
        ({"maxdim": 3}, "no weights of tensors, such as .* had lowered it; set maxdim to 2"),
        ({"maxdim": [3, 2]}, "maxdim = .3, 2. cannot be imported: .* as there are levels, 1 for encoder_num"),
        ({"maxdim": []}, "maxdim = .. cannot be imported: the original takes a number"),
        ({"maxdim": 1}, "maxdim = 1 cannot be imported: the last level makes no four-vectors"),
        ({"maxdim": [0]}, "'maxdim' must be a whole number above 0, not 0"),
        ({"max_zf": [2]}, "only max_zf = 1 .* its networks fail on others"),
        ({"max_zf": 0}, "only max_zf = 1"),
        ({"tau_jet_vectors": 2}, "only tau_jet_vectors = 1"),
        ({"tau_latent_vectors": 0}, "'tau_latent_vectors' must be a whole number above 0, not 0"),
        ({"tau_latent_vectors": 2.0}, "'tau_latent_vectors' must be a whole number"),
        ({"encoder_num_channels": [3]}, "'encoder_num_channels' must be a list of at least two"),
        ({"decoder_num_channels": 4}, "'decoder_num_channels' must be a list"),
        ({"encoder_num_channels": [3, "4"]}, "'encoder_num_channels' must be a whole number"),
        ({"mlp_depth": 0}, "'mlp_depth' must be a whole number above 0"),
        ({"mlp": "perhaps"}, "'mlp' must be true or false"),
        ({"scale": 0}, "'scale' must be a number other than 0"),
        ({"scale": "large"}, "'scale' must be a number"),
        ({"jet_features": True, "map_to_latent": "mix"}, "jet_features with map_to_latent 'mix'"),
        ({"jet_features": True, "tau_jet_scalars": 2}, "jet_features with tau_jet_scalars > 1"),
    ],
)
def test_arguments_that_cannot_be_imported(change, message):
    with pytest.raises(ValueError, match=message):
        loaded(CONFIG | change)
