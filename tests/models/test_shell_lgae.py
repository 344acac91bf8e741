"""The LGAE with a mass-shell code: what it keeps exactly, equivariance, order, conservation, limits."""

import itertools
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz import boost, equivariance_error, rotation
from lgae_pyg.losses import get_loss
from lgae_pyg.models import ShellLGAE, build_model
from lgae_pyg.models.shell_code import ShellSizes
from lgae_pyg.ops.jets import jet_sum

ORDERS = ("list", "rest_energy")
SMALL = {"encoder_channels": (2, 2), "decoder_channels": (2, 2), "mlp_depth": 1, "mlp_width": 2}


def ordinary_weights(model: ShellLGAE) -> ShellLGAE:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize(
    ("tau", "scalars", "expected"),
    [(9, 1, (17, 6, 1)), (2, 1, (3, 1, 2)), (13, 1, (25, 5, 12)), (4, 0, (7, 2, 1)), (1, 0, (1, 0, 1))],
)
def test_room(tau: int, scalars: int, expected: tuple[int, int, int]) -> None:
    """2 tau - 1 vectors with an invariant each and 2 tau_S scalars: three make a particle."""
    assert ShellSizes.of(tau, scalars, 30) == expected


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tau", [2, 9, 13])
def test_known_particles_are_exact_and_momentum_is_kept(order: str, tau: int, jets: Batch) -> None:
    model = ordinary_weights(ShellLGAE(order, latent_vectors=tau, **SMALL))
    result = model(jets)
    slot = torch.arange(len(jets.pos)) - jets.ptr[jets.batch]
    known = slot < model.sizes.known
    assert (result.native.output - result.native.target)[known].abs().max() < 1e-9
    totals = [torch.zeros(12, 4, dtype=torch.float64).index_add(0, jets.batch, p) for p in (jets.pos, result.p4)]
    assert torch.allclose(*totals, rtol=0, atol=1e-10)
    if tau == 13:
        assert known.all()
    else:
        assert (result.native.output - result.native.target)[~known].abs().max() > 1e-4


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tau", [2, 9])
def test_equivariance(order: str, tau: int, jets: Batch, generator: torch.Generator) -> None:
    model = ordinary_weights(ShellLGAE(order, latent_vectors=tau, **SMALL))
    axis = torch.randn(3, generator=generator, dtype=torch.float64)
    assert equivariance_error(model, jets, rotation(2.0, axis)) < 1e-10
    assert equivariance_error(model, jets, boost(1.0, axis)) < 1e-9
    assert equivariance_error(model, jets, boost(3.0, axis)) < 1e-7


def test_negative_control(jets: Batch) -> None:
    """An order by pT is no order that all observers agree on: forgetting that must be noticed."""

    class ByEnergy(ShellLGAE):
        def _ordered(self, batch: Batch, layout) -> Tensor:
            slots = layout.scatter(batch.pos)
            return slots.gather(1, slots[..., 3:].argsort(1, descending=True).expand_as(slots))

    model = ordinary_weights(ByEnergy(latent_vectors=2, **SMALL))
    assert equivariance_error(model, jets, boost(1.0, "x")) > 1e-3 or equivariance_error(
        model, jets, rotation(2.0, "y")
    ) > 1e-3


def test_permutations(jets: Batch, generator: torch.Generator) -> None:
    """The code of the invariant order does not depend on the order of the list; that of the list does."""
    shuffled = []
    for jet in jets.to_data_list():
        shuffled.append(JetData(pos=jet.pos[torch.randperm(len(jet.pos), generator=generator)]))
    shuffled = Batch.from_data_list(shuffled)
    for order in ORDERS:
        model = ordinary_weights(ShellLGAE(order, latent_vectors=4, **SMALL))
        first, second = model.encode(jets).vectors, model.encode(shuffled).vectors
        assert torch.allclose(first, second, atol=1e-10) == model.permutation_invariant


def test_each_jet_by_itself(jets: Batch) -> None:
    model = ordinary_weights(ShellLGAE("rest_energy", latent_vectors=4, **SMALL))
    alone = torch.cat([model(Batch.from_data_list([jet])).p4 for jet in jets.to_data_list()])
    assert torch.allclose(model(jets).p4, alone, rtol=0, atol=1e-12)


def test_decoder_needs_the_code_alone(jets: Batch) -> None:
    model = ordinary_weights(ShellLGAE(**SMALL))
    latent = model.encode(jets)
    assert torch.equal(model.decode(latent, jets.ptr), model(jets).p4)
    assert 2 * (latent.scalars.shape[1] + 4 * latent.vectors.shape[1]) == model.latent_size == 74


def test_learned_invariants_are_learned(jets: Batch) -> None:
    """The encoder's network receives a gradient through the code, jets with empty slots included."""
    model = ordinary_weights(ShellLGAE(latent_vectors=2, **SMALL))
    get_loss("mse")(*model(jets).native).mean().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(bool(g.isfinite().all()) for g in gradients.values())
    assert gradients["to_learned.mix.weights.(0,0)"].any() and gradients["encoder.input.weights.(1/2,1/2)"].any()


def test_training_improves_on_equal_shares(massless_jet: Callable, generator: torch.Generator) -> None:
    jets = Batch.from_data_list([JetData(pos=massless_jet(30, generator)) for _ in range(32)])
    model = ShellLGAE(**SMALL)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = get_loss("mse")(*model(jets).native).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]


def test_massive_inputs_are_projected_covariantly(jets: Batch) -> None:
    heavy = jets.clone()
    heavy.pos = jets.pos.clone()
    heavy.pos[:, 0] = (jets.pos[:, 0].square() + 1e-8).sqrt()
    model = ordinary_weights(ShellLGAE(latent_vectors=4, **SMALL))
    assert equivariance_error(model, heavy, boost(1.0, "y")) < 1e-9


def test_configuration_and_errors() -> None:
    model = ShellLGAE("rest_energy", latent_vectors=3, **SMALL)
    assert build_model(model.config).config == model.config
    with pytest.raises(ValueError, match="unknown order 'pt'"):
        ShellLGAE("pt")
    with pytest.raises(ValueError, match="choose 1 to 5"):
        ShellLGAE(num_particles=10, latent_vectors=9)


def relative_loss(model: ShellLGAE, jets: Batch) -> float:
    """How far the outputs are from the jets' four-momenta, as a share, in the worst jet."""
    with torch.no_grad():
        rebuilt = jet_sum(model(jets).p4, jets.ptr)
    total = jet_sum(jets.pos, jets.ptr)
    return float(((rebuilt - total).norm(dim=1) / total.norm(dim=1)).max())


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tau", [1, 9, 13])
@pytest.mark.parametrize("share", [0.3, 1e-4, -1e-7, -1e-4])
def test_momentum_is_kept_with_masses_and_with_rounded_energies(order, tau, share, jets: Batch) -> None:
    """Masses of up to half the energy, and E below |p|, also where all particles fit into the code."""
    moved = jets.clone()
    moved.pos = jets.pos.clone()
    moved.pos[:, 0] *= 1 + share * torch.rand(len(jets.pos), dtype=torch.float64)
    model = ordinary_weights(ShellLGAE(order, latent_vectors=tau, **SMALL))
    assert relative_loss(model, moved) < 1e-11
    if share > 0:
        assert equivariance_error(model, moved, boost(1.0, "y")) < 1e-7


@pytest.mark.skipif("LGAE_PYG_REAL_JETS" not in os.environ, reason="LGAE_PYG_REAL_JETS is not set")
@pytest.mark.parametrize("name", ["jetclass_hbb_1000", "toptagging_1400"])
@pytest.mark.parametrize("order", ORDERS)
def test_momentum_of_real_jets_is_kept(name: str, order: str) -> None:
    with np.load(f"{os.environ['LGAE_PYG_REAL_JETS']}/{name}.npz", allow_pickle=False) as file:
        p4, ptr = torch.from_numpy(file["p4"]).double() / 1000, file["ptr"]
    jets = [JetData(pos=p4[a:b], unit="TeV") for a, b in itertools.pairwise(ptr) if b - a <= 30]
    assert relative_loss(ShellLGAE(order, **SMALL).eval(), Batch.from_data_list(jets)) < 1e-12
