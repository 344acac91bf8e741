"""The GNNAE with the published code's weights against the numbers recorded from it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lgae_pyg.data import JetData
from lgae_pyg.legacy import load_gnn_autoencoder
from lgae_pyg.models import GNNAE

RECORDED = Path(__file__).parents[1] / "parity"
NAMES = ("gnnae_jl", "gnnae_pl")
BACKENDS = ("edge_list", "dense", "fused")


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def read_recorded(name: str) -> tuple[dict, dict, dict, dict[str, Tensor]]:
    """State dicts of encoder and decoder, arguments, and arrays."""
    with np.load(RECORDED / f"{name}.npz", allow_pickle=False) as file:
        config = json.loads(str(file["config"]))
        arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "config"}
    states = []
    for prefix in ("weights/encoder/", "weights/decoder/"):
        states.append({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})
    return *states, config, arrays


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_recorded_numbers(name: str, backend: str) -> None:
    encoder, decoder, config, recorded = read_recorded(name)
    model = load_gnn_autoencoder(encoder, decoder, config)
    steps = {"encoder": [], "decoder": []}
    for network, outputs in steps.items():
        for conv in getattr(model, network).network.convs:
            conv.backend = backend
            conv.register_forward_hook(lambda *call, outputs=outputs: outputs.append(call[-1][:30]))
    ptr = recorded["ptr"]
    latent = model.encode_native(recorded["inputs"].flatten(0, 1), ptr)
    output, _ = model.decode(latent, ptr)
    assert relative(latent.scalars, recorded["latent"]) < 1e-8
    assert relative(output, recorded["output"].flatten(0, 1)) < 1e-8
    for network, outputs in steps.items():
        for number, step in enumerate(outputs):
            assert relative(step, recorded[f"jet0_{network}_step{number}"]) < 1e-8


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_recorded_numbers_from_momenta(name: str) -> None:
    """The recorded jets are relative to all their particles, ours to the 30 kept: a particle that stands for the
    others would change the code, so the axis is handed over."""
    encoder, decoder, config, recorded = read_recorded(name)
    model = load_gnn_autoencoder(encoder, decoder, config)
    axis = recorded["jet_p4"].repeat_interleave(30, 0)
    native = model.to_native(recorded["p4"], axis)
    assert relative(native, recorded["inputs"].flatten(0, 1)) < 1e-12
    output, _ = model.decode(model.encode_native(native, recorded["ptr"]), recorded["ptr"])
    assert relative(output, recorded["output"].flatten(0, 1)) < 1e-8
    assert model.from_native(output, axis).isfinite().all()


def original_states(model: GNNAE) -> tuple[dict, dict]:
    """State dicts of a model of ours under the original's names, written out independently of the loader."""
    states = {"encoder": {}, "decoder": {}}
    for network, state in states.items():
        part = getattr(model, network)
        for step, conv in enumerate(part.network.convs):
            for kind, layers in (("edge_net", conv.edge_layers), ("node_net", conv.node_layers)):
                for number, layer in enumerate(layers):
                    for name, value in layer.state_dict().items():
                        state[f"{network}.{kind}.{step}.{number}.{name}"] = value.numpy()
        for old, ours in (("mix_layer", "mix"), ("linear", "expand")):
            for name, value in getattr(part, ours, None).state_dict().items() if getattr(part, ours, None) else ():
                state[f"{old}.{name}"] = value.numpy()
    return states["encoder"], states["decoder"]


SIZES = {"node_sizes": [[6, 5], [4]], "edge_sizes": [[7, 3], [2]]}
OTHERS = {
    "max": ({"level": "jet", "aggregation": "max"}, {"latent_map": "max"}),
    "min": ({"level": "jet", "aggregation": "min"}, {"latent_map": "min", "normalize_output": True}),
    "global mix": ({"level": "jet", "aggregation": "mix"}, {"latent_map": "global mix"}),
    "local_mix": ({"level": "particle", "mix_width": 8}, {"latent_map": "local_mix", "padded": True}),
    "local mix": ({"level": "particle", "decoder_node_sizes": [[5], [4]]},
                  {"latent_map": "local mix", "decoder_node_sizes": [[5], [4]]}),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_other_sizes_and_latent_maps(case: str) -> None:
    """Weights of a model of ours, sent through the original's names, come back as the same model."""
    arguments, config = OTHERS[case]
    options = {key: config[new] for key, new in (("squash_output", "normalize_output"),) if new in config}
    options |= {"padded": config.get("padded", False), "latent": 3, "num_particles": 7, "alpha": 0.1}
    model = GNNAE(**arguments, **options, **SIZES).double()
    config = {**config, **SIZES, "latent_node_size": 3, "num_nodes": 7, "alpha": 0.1, "num_mps": 2}
    loaded = load_gnn_autoencoder(*original_states(model), config)
    p4 = torch.rand(12, 3, dtype=torch.float64) + 0.1
    batch = JetData(pos=torch.cat([p4.norm(dim=1, keepdim=True), p4], 1), ptr=torch.tensor([0, 7, 12]))
    assert torch.equal(loaded(batch).p4, model(batch).p4)


def test_sizes_of_one_step_stand_for_all() -> None:
    model = GNNAE(latent=2, node_sizes=[[4]] * 3, edge_sizes=[[5, 3]] * 3)
    config = {"latent_map": "mean", "latent_node_size": 2, "num_mps": 3}
    config |= {"node_sizes": [[4]], "edge_sizes": [[5, 3]]}
    assert len(load_gnn_autoencoder(*original_states(model), config).encoder.network.convs) == 3


def broken(change: str) -> tuple[dict, dict, dict]:
    encoder, decoder, config, _ = read_recorded("gnnae_pl")
    if change == "missing":
        del decoder["decoder.edge_net.1.2.bias"]
    elif change == "unexpected":
        encoder["encoder.bn_node.0.0.weight"] = torch.zeros(30)
    elif change == "misshapen":
        encoder["encoder.node_net.0.0.weight"] = torch.zeros(30, 61)
    elif change == "not finite":
        encoder["encoder.node_net.0.0.weight"] = torch.full_like(
            torch.as_tensor(encoder["encoder.node_net.0.0.weight"]), torch.nan
        )
    elif change == "no mix":
        del encoder["mix_layer.weight"]
    elif change == "argument":
        del config["edge_sizes"]
    else:
        key, value = change.split("=")
        config[key] = json.loads(value)
    return encoder, decoder, config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "original decoder state dict has no key 'decoder.edge_net.1.2.bias'"),
        ("no mix", "original encoder state dict has no key 'mix_layer.weight'"),
        ("unexpected", "original encoder state dict has 'encoder.bn_node.0.0.weight', for which"),
        ("misshapen", r"'encoder.node_net.0.0.weight' of the original encoder has shape \(30, 61\)"),
        ("not finite", "'encoder.node_net.0.0.weight' of the original encoder holds values that are not finite"),
        ("argument", "argument 'edge_sizes' is missing"),
        ('latent_map="sum"', "unknown latent_map 'sum'"),
        ("batch_norm=true", "only batch_norm = False can be imported"),
        ("dropout=0.5", "only dropout = 0.0 can be imported"),
        ('metric="minkowskian"', "only metric = euclidean can be imported"),
        ("input_node_size=4", "only input_node_size = 3"),
        ("num_mps=2", "'num_mps' is 2, but 'node_sizes' has sizes for 3"),
        ('num_mps="3"', "'num_mps' must be a whole number"),
        ("node_sizes=[30, 15, 8]", "'node_sizes' must be a list of lists"),
        ('latent_node_size="2"', "'latent_node_size' must be a whole number"),
        ('alpha="x"', "'alpha' must be a number, not 'x'"),
    ],
)
def test_what_does_not_fit_is_named(change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_gnn_autoencoder(*broken(change))


def test_prefix_of_data_parallel() -> None:
    encoder, decoder, config, _ = read_recorded("gnnae_pl")
    states = ({f"module.{key}": value for key, value in state.items()} for state in (encoder, decoder))
    model, plain = load_gnn_autoencoder(*states, config), load_gnn_autoencoder(encoder, decoder, config)
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
