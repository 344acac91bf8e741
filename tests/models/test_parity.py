"""The network in original behaviour against numbers recorded from the published implementation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lgae_pyg.data import JetData
from lgae_pyg.legacy import load_lgn_autoencoder
from lgae_pyg.models import LGAE, Reconstruction
from lgae_pyg.models.result import Latent

RECORDED = Path(__file__).parents[1] / "parity"
GOLDEN = json.loads((RECORDED / "golden_lgae.json").read_text())
BACKENDS = ("dense", "edge_list")


def as_complex(parts: Tensor) -> Tensor:
    return torch.complex(parts[0], parts[1])


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def batch_of(p4: Tensor) -> JetData:
    """Equal jets of shape (B, N, 4) as a ragged batch."""
    jets, particles = p4.shape[:2]
    batch = JetData(pos=p4.flatten(0, 1))
    batch.ptr = torch.arange(0, jets * particles + 1, particles)
    return batch


def load_recorded(name: str) -> tuple[LGAE, dict[str, Tensor]]:
    with np.load(RECORDED / f"{name}.npz", allow_pickle=False) as file:
        config = json.loads(str(file["config"]))
        arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "config"}
    states = {
        part: {key.removeprefix(part): value for key, value in arrays.items() if key.startswith(part)}
        for part in ("encoder/", "decoder/")
    }
    return load_lgn_autoencoder(states["encoder/"], states["decoder/"], config), arrays


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["lgae_min_max_tau4", "lgae_mix_tau9"])
def test_recorded_latents_and_reconstructions(name: str, backend: str) -> None:
    model, recorded = load_recorded(name)
    set_backend(model, backend)
    with torch.no_grad():
        result = model(batch_of(recorded["p4"]))
    jets = len(recorded["p4"])
    theirs = as_complex(recorded["reconstruction"]).reshape(-1, 4)
    assert relative(result.latent.scalars, as_complex(recorded["latent_scalars"]).reshape(jets, -1)) < 1e-8
    assert relative(result.latent.vectors, as_complex(recorded["latent_vectors"]).squeeze(1)) < 1e-8
    assert relative(result.complex_p4, theirs) < 1e-8
    assert torch.equal(result.p4, result.complex_p4.real + result.complex_p4.imag)


def set_backend(model: LGAE, backend: str) -> None:
    for stack in (model.encoder.stack, model.decoder.stack):
        for conv in stack.convs:
            conv.backend = backend


def cosine(shape: tuple[int, ...], start: float) -> Tensor:
    """The recorded test's weights, 0.5 cos(0.7 k + s) in C order."""
    count = int(np.prod(shape))
    return 0.5 * torch.cos(0.7 * torch.arange(count, dtype=torch.float64) + start).reshape(shape)


def golden_states(parts: int, mix: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dicts of the golden network under the original's names."""
    encoder, decoder = {}, {}
    for state, start, width in ((encoder, 0, 4), (decoder, 54, 2)):
        for offset, name in enumerate("abc"):
            state[f"rad_funcs.rad_funcs.0.{name}"] = cosine((2,), start + offset)
        for degree in (0, 1):
            key = f"rad_funcs.rad_funcs.0.linear.{degree}"
            state[f"{key}.weight"] = cosine((width, 2), start + 3 + 2 * degree)
            state[f"{key}.bias"] = cosine((width,), start + 4 + 2 * degree)
    for state, starts in ((encoder, (7, 9, 11)), (decoder, (52, 61, 63))):
        inputs, level, mlp = starts
        for offset, irrep in enumerate(("(0, 0)", "(1, 1)")):
            state[f"input_func_node.weights.{irrep}"] = cosine((2, 2, 1), inputs + offset)
            key = f"lgn_cg.node_levels.0.cat_mix.mix_reps.weights.{irrep}"
            state[key] = cosine((2, 2, 10), level + offset)
        for layer in (0, 1):
            key = f"lgn_cg.mlp_levels.0.linear.{layer}"
            state[f"{key}.weight"] = cosine((4, 4), mlp + 2 * layer)
            state[f"{key}.bias"] = cosine((4,), mlp + 1 + 2 * layer)
    for offset, irrep in enumerate(("(0, 0)", "(1, 1)")):
        encoder[f"mix_reps.weights.{irrep}"] = cosine((2, 1, 8 if mix else 2), 15 + offset)
        decoder[f"latent_to_graph.weights.{irrep}"] = cosine((2, 4, parts), 50 + offset)
        decoder[f"mix_to_output.weights.{irrep}"] = cosine((2, 1, 2), 67 + offset)
    return encoder, decoder


def golden_result(aggregation: str, backend: str) -> tuple[LGAE, Reconstruction]:
    config = {
        "map_to_latent": aggregation,
        "tau_latent_vectors": 1,
        "tau_latent_scalars": 1,
        "encoder_num_channels": [2, 2],
        "decoder_num_channels": [2, 2],
        "num_basis_fn": 1,
        "mlp_depth": 1,
        "mlp_width": 1,
        "num_particles": 4,
    }
    states = golden_states(aggregation.count("&") + 1, aggregation == "mix")
    model = load_lgn_autoencoder(*states, config)
    set_backend(model, backend)
    with torch.no_grad():
        return model, model(batch_of(torch.tensor(GOLDEN["p4"], dtype=torch.float64)))


def golden(values: dict) -> Tensor:
    parts = [torch.tensor(values[part], dtype=torch.float64) for part in ("re", "im")]
    return torch.complex(*parts)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("aggregation", ["min&max", "mix", "mean"])
def test_golden_values(aggregation: str, backend: str) -> None:
    model, result = golden_result(aggregation, backend)
    expected = GOLDEN[aggregation]
    assert relative(result.latent.scalars, golden(expected["latent_S"])) < 1e-9
    assert relative(result.latent.vectors, golden(expected["latent_V"])) < 1e-9
    assert relative(result.complex_p4, golden(expected["out"]).flatten(0, 1)) < 1e-9

    captured = []
    model.encoder.stack.register_forward_hook(lambda *call: captured.append(call[-1]))
    with torch.no_grad():
        latent = model.encode(batch_of(torch.tensor(GOLDEN["p4"], dtype=torch.float64)))
    assert isinstance(latent, Latent)
    scalars, vectors = captured[0].split([2, 8], -1)
    assert relative(scalars, golden(GOLDEN["level1_S"]).flatten(0, 1)) < 1e-9
    assert relative(vectors.unflatten(-1, (2, 4)), golden(GOLDEN["level1_V"]).flatten(0, 1)) < 1e-9


def test_scalar_latents_reach_the_clean_decoder_but_not_the_original() -> None:
    latent_vectors = torch.randn(3, 4, 4, dtype=torch.complex128)
    for behaviour, reaches in (("clean", True), ("original", False)):
        model = LGAE(aggregation="mean", behaviour=behaviour, num_particles=5)
        outputs = [
            model.decode(Latent(torch.full((3, 1), value, dtype=torch.complex128), latent_vectors))[0]
            for value in (0.3, 2.0)
        ]
        assert torch.equal(*outputs) is not reaches


def test_parameter_counts_of_the_original() -> None:
    """Encoder and decoder sizes printed by the published code."""
    published = {
        ("min&max", 1): (34_090, 28_502),
        ("min&max", 8): (34_146, 29_342),
        ("mix", 2): (34_794, 28_442),
        ("mix", 13): (37_434, 29_102),
        ("mean", 2): (34_098, 28_442),
    }
    for (aggregation, vectors), counts in published.items():
        model = LGAE(aggregation=aggregation, latent_vectors=vectors, behaviour="original")
        ours = tuple(sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder))
        assert ours == counts


def test_a_missing_weight_is_named() -> None:
    encoder, decoder = golden_states(1, True)
    del encoder["input_func_node.weights.(1, 1)"]
    config = {"map_to_latent": "mix", "tau_latent_vectors": 1, "tau_latent_scalars": 1, "num_particles": 4}
    config |= {"encoder_num_channels": [2, 2], "decoder_num_channels": [2, 2]}
    config |= {"num_basis_fn": 1, "mlp_depth": 1, "mlp_width": 1}
    with pytest.raises(ValueError, match=r"encoder state dict has no key 'input_func_node.weights.\(1, 1\)'"):
        load_lgn_autoencoder(encoder, decoder, config)
