"""On a GPU all models and losses give the numbers that they give on a CPU."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.losses import get_loss
from lgae_pyg.models import build_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")

STABLE = {"distance": "norm", "neighbours": 30.0, "last_activation": False}
MODELS = {
    "mix": {"name": "LGAE", "aggregation": "mix", "latent_vectors": 3},
    "mix, conserving": {"name": "LGAE", "aggregation": "mix", "latent_vectors": 3, "conserve_momentum": True},
    "min&max": {"name": "LGAE", "aggregation": "min&max", "latent_vectors": 2},
    "mean": {"name": "LGAE", "aggregation": "mean", "latent_vectors": 2},
    "shell": {"name": "ShellLGAE", "latent_vectors": 4},
    "shell by rest energy": {"name": "ShellLGAE", "latent_vectors": 4, "order": "rest_energy"},
    "gnnae jet": {"name": "GNNAE", "level": "jet", "latent": 12, **STABLE},
    "gnnae particle": {"name": "GNNAE", "level": "particle", "latent": 2, **STABLE},
    "cnnae": {"name": "CNNAE"},
}
LOSSES = ("mse", "chamfer", "chamfer_minkowski", "hungarian", "jet_mse")


def step(model: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """The output (native where there is such) and the gradients of a weighted mean square of it, on the CPU."""
    model.zero_grad()
    result = model(batch)
    p4 = result.p4 if result.native is None else result.native.output
    weights = torch.linspace(0.5, 1.5, p4.numel(), dtype=p4.dtype, device=p4.device).view_as(p4)
    (weights * p4.square()).mean().backward()
    return p4.detach().cpu(), [p.grad.cpu() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_on_the_gpu(name: str, jets: Batch) -> None:
    model = build_model(MODELS[name]).double()
    with torch.no_grad():  # some begin as the identity on small jets, whose gradients are rounding errors
        for parameter in model.parameters() if "shell" in name else ():
            parameter += 0.05 * torch.randn_like(parameter)
    output, gradients = step(model, jets)
    moved, moved_gradients = step(copy.deepcopy(model).cuda(), copy.copy(jets).cuda())
    torch.testing.assert_close(moved, output, rtol=1e-8, atol=1e-9 * float(output.abs().max()))
    assert len(moved_gradients) == len(gradients) > 0
    largest = max(float(one.abs().max()) for one in gradients)
    assert largest > 1e-13
    for found, expected in zip(moved_gradients, gradients):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8 * largest)


@pytest.mark.parametrize("backend", ["fused", "dense", "edge_list"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_back_ends_on_the_gpu(backend: str, dtype: torch.dtype, jets: Batch) -> None:
    config = {"name": "LGAE", "aggregation": "mix", "latent_vectors": 3}
    model = build_model({**config, "backend": "edge_list"}).double()
    output, gradients = step(model, jets)
    other = build_model({**config, "backend": backend})
    other.load_state_dict(model.state_dict())
    moved = copy.copy(jets)
    moved.pos = moved.pos.to(dtype)
    found, found_gradients = step(other.cuda().to(dtype), moved.cuda())
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    assert torch.linalg.vector_norm(found.double() - output) < tolerance * torch.linalg.vector_norm(output)
    total = torch.cat([one.flatten() for one in gradients])
    difference = torch.cat([one.double().flatten() for one in found_gradients]) - total
    assert torch.linalg.vector_norm(difference) < 10 * tolerance * torch.linalg.vector_norm(total)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_on_the_gpu(name: str, jets: Batch, generator: torch.Generator) -> None:
    other = jets.pos * (1 + 0.1 * torch.randn(len(jets.pos), 1, generator=generator, dtype=torch.float64))
    loss = get_loss(name)
    expected = loss(other, jets.ptr, jets.pos, jets.ptr)
    moved = [one.cuda() for one in (other, jets.ptr, jets.pos, jets.ptr)]
    torch.testing.assert_close(loss(*moved).cpu(), expected, rtol=1e-10, atol=1e-14)
