"""Encoding and decoding, one after the other, are the model itself, for all models; and codes can be changed."""

import pytest
import torch
from torch import nn

from lgae_pyg.losses import jet_sum
from lgae_pyg.models import CNNAE, GNNAE, LGAE, ClusterAE, LinearAE, Reconstruction, ShellLGAE

SMALL = {"encoder_channels": (2, 2), "decoder_channels": (2, 2), "num_bells": 4, "mlp_depth": 1, "mlp_width": 2}
MODELS = {
    "lgae": lambda: LGAE("min&max", 30, 2, **SMALL),
    "lgae, P conserved, slots": lambda: LGAE("mix", 30, 3, conserve_momentum=True, decode="slots", **SMALL),
    "shell": lambda: ShellLGAE("rest_energy", 30, 4, **SMALL),
    "clusters": lambda: ClusterAE(30, 4),
    "gnnae of jets": lambda: GNNAE("jet", 6),
    "gnnae of particles": lambda: GNNAE("particle", 2, padded=True, decode="slots"),
    "cnnae": lambda: CNNAE(7, pixels=8, channels=4),
}


def parts(result: Reconstruction) -> list[torch.Tensor]:
    groups = (result.latent, result.native or (), (result.images or ())[:3])
    return [result.p4, result.ptr, *(part for group in groups for part in group)]


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_decoding_the_code_is_the_model(name: str, jets) -> None:
    model: nn.Module = MODELS[name]().eval()
    direct, again = model(jets), model.decode_like(model.encode(jets), jets)
    assert len(parts(direct)) == len(parts(again)) >= 4
    for one, other in zip(parts(direct), parts(again)):
        torch.testing.assert_close(other, one, rtol=0, atol=0)


@torch.inference_mode()
def test_a_linear_decoder_doubles_the_jet_of_a_doubled_code(jets) -> None:
    model = LinearAE(9, 30).fit([jets])
    latent = model.encode(jets)
    twice = model.decode_like(latent._replace(vectors=2 * latent.vectors), jets)
    torch.testing.assert_close(twice.p4, 2 * model(jets).p4)


@torch.inference_mode()
def test_a_conserved_momentum_is_that_of_the_code(jets) -> None:
    model = MODELS["lgae, P conserved, slots"]()
    latent = model.encode(jets)
    vectors = latent.vectors.clone()
    vectors[:, 0] *= 1.5
    changed = model.decode_like(latent._replace(vectors=vectors), jets)
    torch.testing.assert_close(jet_sum(changed.p4, changed.ptr), 1.5 * jet_sum(jets.pos, jets.ptr))
