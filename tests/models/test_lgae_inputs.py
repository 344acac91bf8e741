"""What the encoder reads beside the momenta, irreps of weight 2, and what reaches the decoder."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

import lgae_pyg
from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.data import JetData, JetLoader, JetStore
from lgae_pyg.lorentz import boost, equivariance_error, random_lorentz, rotation
from lgae_pyg.losses import mse
from lgae_pyg.models import LGAE, LinearAE, build_model, warm_start_from_linear
from lgae_pyg.models.result import Latent
from lgae_pyg.ops.jets import append_totals, jet_sum
from lgae_pyg.training import ReconstructionTask

SMALL = {"encoder_channels": (2, 3), "decoder_channels": (3, 2), "mlp_depth": 1, "mlp_width": 2}
TENSOR = {"max_weight": 2, "encoder_channels": (2, 2, 2), "decoder_channels": (2, 2, 2), "num_bells": 6}
TENSOR |= {"mlp_depth": 1, "mlp_width": 2}
AXIS = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)


def perturbed(model: LGAE) -> LGAE:
    """All parameters changed by about their own size, so that no part of the network is idle."""
    with torch.no_grad():
        for parameter in model.parameters():
            size = parameter.square().mean().sqrt() if parameter.any() else 1.0
            parameter.add_(0.5 * size * torch.randn_like(parameter))
    return model.eval()


def some(jets: Batch, *numbers: int) -> Batch:
    return Batch.from_data_list([jets[number] for number in numbers])


def shuffled(jets: Batch, generator: torch.Generator) -> Batch:
    """The same jets with their particles (and all that belongs to them) in another order."""
    return Batch.from_data_list(
        [JetData(pos=jet.pos[order], x=None if jet.x is None else jet.x[order])
         for jet in jets.to_data_list()
         for order in [torch.randperm(len(jet.pos), generator=generator)]]
    )


def with_scalars(jets: Batch, count: int, generator: torch.Generator) -> Batch:
    """The same jets with invariant numbers for each particle."""
    return Batch.from_data_list(
        [JetData(pos=jet.pos, x=torch.randn(len(jet.pos), count, generator=generator, dtype=torch.float64))
         for jet in jets.to_data_list()]
    )


# Irreps of weight 2.


@pytest.mark.parametrize("aggregation", ["mix", "min&max"])
def test_equivariance_with_weight_two(aggregation: str, jets: Batch, generator: torch.Generator) -> None:
    model = perturbed(LGAE(aggregation=aggregation, **TENSOR))
    inside = {str(irrep) for _, irrep in model.encoder.stack.convs[0].irreps_out}
    assert {"(1,0)", "(0,1)", "(1,1)"} <= inside
    few = some(jets, 2, 5, 7, 8, 11)
    assert equivariance_error(model, few, boost(2.0, AXIS)) < 1e-9
    assert equivariance_error(model, few, rotation(2.0, AXIS)) < 1e-11


@pytest.mark.parametrize("seed", range(3))
def test_two_massless_particles_tie_with_weight_two(seed: int, jets: Batch) -> None:
    """Their invariants are equal but for rounding, which at weight 2 is larger: a collinear pair cancels more."""
    torch.manual_seed(seed)
    model = perturbed(LGAE(aggregation="min&max", **TENSOR))
    assert equivariance_error(model, some(jets, 4), boost(2.0, AXIS)) < 1e-6


@pytest.mark.parametrize("aggregation", ["mix", "min&max"])
def test_training_with_weight_two(aggregation: str, massless_jet) -> None:
    """The loss falls clearly within some tens of steps."""
    source = torch.Generator().manual_seed(3)
    batch = Batch.from_data_list([JetData(pos=massless_jet(8, source)) for _ in range(16)])
    model = LGAE(aggregation=aggregation, num_particles=8, latent_vectors=3, **TENSOR)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        result = model(batch)
        loss = mse(result.p4, result.ptr, batch.pos, batch.ptr).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    zero = float(batch.pos.square().mean())
    assert min(losses[-5:]) < 0.3 * losses[0] and min(losses[-5:]) < zero


# Latent scalars.


@pytest.mark.parametrize("behaviour, reaches", [("clean", True), ("original", False)])
@pytest.mark.parametrize("aggregation", ["mix", "min&max"])
def test_latent_scalars_reach_the_clean_decoder(aggregation: str, behaviour: str, reaches: bool) -> None:
    model = perturbed(LGAE(aggregation=aggregation, behaviour=behaviour, num_particles=5, **SMALL))
    vectors = torch.randn(3, model.latent_irreps.multiplicity("(1/2,1/2)"), 4, dtype=torch.complex128)
    count = model.latent_irreps.multiplicity("(0,0)")
    outputs = [
        model.decode(Latent(torch.full((3, count), value, dtype=torch.complex128), vectors))[0]
        for value in (0.3, 2.0)
    ]
    change = float((outputs[1] - outputs[0]).detach().norm() / outputs[0].detach().norm())
    assert change > 1e-3 if reaches else change == 0


# The jet as an input.


def test_totals(jets: Batch) -> None:
    longer, ptr = append_totals(jets.pos, jets.ptr)
    totals = jet_sum(jets.pos, jets.ptr)
    for number, jet in enumerate(jets.to_data_list()):
        torch.testing.assert_close(totals[number], jet.pos.sum(0))
        part = longer[ptr[number] : ptr[number + 1]]
        assert torch.equal(part[:-1], jet.pos) and torch.equal(part[-1], totals[number])


@pytest.mark.parametrize("behaviour", ["clean", {"jet_as_particle": True}, "original"])
@pytest.mark.parametrize("aggregation", ["mix", "min&max"])
def test_jet_inputs_keep_the_symmetries(
    aggregation: str, behaviour: str, jets: Batch, generator: torch.Generator
) -> None:
    options = {"aggregation": aggregation, "jet_inputs": True, "behaviour": behaviour, **SMALL}
    if aggregation == "mix" and behaviour != "clean":
        with pytest.raises(ValueError, match="fits neither mix nor extra_scalars"):
            LGAE(**options)
        return
    model = perturbed(LGAE(**options))
    if behaviour == "original":  # whose input is the root of rounding noise for massless particles
        jets.pos = torch.cat([(jets.pos[:, 1:].square().sum(1, keepdim=True) + 0.04).sqrt(), jets.pos[:, 1:]], 1)
    several = some(jets, 0, 2, 5, 7, 8)
    assert equivariance_error(model, several, random_lorentz(2.0, generator)) < 1e-9
    if model.permutation_invariant:
        with torch.no_grad():
            found, expected = model(shuffled(several, generator)).p4, model(several).p4
        assert (found - expected).norm() < 1e-9 * expected.norm()


def test_jet_inputs_are_used(jets: Batch) -> None:
    """A particle's features depend on the jet even where there is no message."""
    model = perturbed(LGAE(aggregation="mean", jet_inputs=True, **SMALL))
    plain = perturbed(LGAE(aggregation="mean", **SMALL))
    assert model.encoder.stack.input.irreps_in.multiplicity("(1/2,1/2)") == 2
    assert model.encoder.stack.input.irreps_in.multiplicity("(0,0)") == 4
    assert plain.encoder.stack.input.irreps_in.multiplicity("(0,0)") == 2
    model(jets).p4.square().mean().backward()
    for weight in model.encoder.stack.input.weights.values():
        assert bool((weight.grad.abs().sum((0, 2)) > 0).all())


def test_the_default_state_dict_has_no_trace_of_the_jet() -> None:
    torch.manual_seed(1)
    default = LGAE(**SMALL)
    torch.manual_seed(1)
    without = LGAE(jet_inputs=False, **SMALL)
    assert default.config["jet_inputs"] is False
    shapes = {name: value.shape for name, value in default.state_dict().items()}
    assert shapes["encoder.stack.input.weights.(0,0)"] == (2, 2, 2)
    assert shapes["encoder.stack.input.weights.(1/2,1/2)"] == (2, 1, 2)
    assert all(torch.equal(value, without.state_dict()[name]) for name, value in default.state_dict().items())
    older = {key: value for key, value in default.config.items() if key != "jet_inputs"}
    build_model(older).load_state_dict(default.state_dict())


# Scalars of each particle, such as mass, charge and type.


@pytest.mark.parametrize("aggregation", ["mix", "min&max"])
def test_extra_scalars(aggregation: str, jets: Batch, generator: torch.Generator) -> None:
    model = perturbed(LGAE(aggregation=aggregation, extra_scalars=3, **SMALL))
    several = with_scalars(some(jets, 0, 2, 7, 8), 3, generator)
    assert equivariance_error(model, several, random_lorentz(2.0, generator)) < 1e-9
    with torch.no_grad():
        first = model(several).p4
        other = with_scalars(several, 3, generator)
        assert (model(other).p4 - first).norm() > 1e-3 * first.norm()
        if model.permutation_invariant:
            assert (model(shuffled(several, generator)).p4 - first).norm() < 1e-9 * first.norm()


@pytest.mark.parametrize(
    "x, found",
    [(None, "is missing"), (torch.zeros(10, 2), "has shape (10, 2)"), (torch.zeros(10), "has shape (10,)")],
)
def test_missing_scalars_are_named(x: Tensor | None, found: str, massless_jet) -> None:
    model = LGAE(extra_scalars=3, **SMALL)
    jet = JetData(pos=massless_jet(10, torch.Generator().manual_seed(0)), x=x)
    with pytest.raises(ValueError) as caught:
        model(jet)
    assert "3 extra_scalars" in str(caught.value) and "(10, 3)" in str(caught.value)
    assert found in str(caught.value)


def test_scalars_from_the_store_to_the_checkpoint(massless_jet, tmp_path: Path) -> None:
    """Jets with a field x are stored, batched, trained on, and the model is opened again."""
    source = torch.Generator().manual_seed(2)
    single = [JetData(pos=massless_jet(size, source)) for size in (5, 8, 3, 8, 6, 7)]
    for jet in single:
        jet.x = torch.randint(-1, 2, (len(jet.pos), 2), generator=source).float()  # charge and type
    store = JetStore.from_jets(single)
    store.save(tmp_path / "jets.pt")
    loader = JetLoader(JetStore.load(tmp_path / "jets.pt"), batch_size=3, shuffle=True)
    model = LGAE(aggregation="min&max", num_particles=8, extra_scalars=2, jet_inputs=True, **SMALL)
    module = ReconstructionTask(model, ["hungarian"])
    before = model.encoder.stack.input.weights["(0,0)"].detach().clone()
    optimizer = torch.optim.Adam(model.parameters())
    for number, batch in enumerate(loader):
        optimizer.zero_grad()
        module.training_step(module.on_after_batch_transfer(batch, 0), number)["loss"].backward()
        optimizer.step()
    after = model.encoder.stack.input.weights["(0,0)"]
    assert bool(((after - before).abs().sum((0, 2)) > 0).all())
    opened = lgae_pyg.load_model(save_checkpoint(tmp_path / "model.ckpt", model))
    batch = store.batch([0, 1, 2])
    with torch.no_grad():
        assert torch.equal(opened(batch).p4, model(batch).p4)


def test_the_warm_start_leaves_the_jet_aside(massless_jet) -> None:
    source = torch.Generator().manual_seed(4)
    batch = Batch.from_data_list([JetData(pos=massless_jet(6, source)) for _ in range(20)])
    linear = LinearAE(latent_vectors=2, num_particles=6).fit([batch])
    model = LGAE(latent_vectors=2, num_particles=6, jet_inputs=True, **SMALL)
    warm_start_from_linear(model, linear)
    with torch.no_grad():
        torch.testing.assert_close(model(batch).p4, linear(batch).p4)
