"""The linear autoencoder: optimality, conservation, and the LGAE that starts from it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz import boost, equivariance_error, random_lorentz
from lgae_pyg.models import LGAE, LinearAE, warm_start_from_linear


@pytest.fixture
def full_jets(massless_jet: Callable[..., Tensor], generator: torch.Generator) -> Batch:
    return Batch.from_data_list([JetData(pos=massless_jet(12, generator)) for _ in range(60)])


def error(model: LinearAE, batch: Batch) -> Tensor:
    return (model(batch).p4 - batch.pos).square().sum()


def second_moment(batch: Batch) -> Tensor:
    slots = batch.pos.view(batch.num_graphs, -1, 4)
    return torch.einsum("bim,bjm->ij", slots, slots)


def test_error_is_the_discarded_spectrum(full_jets: Batch) -> None:
    """Eckart and Young: the smallest error of rank r is the sum of the other eigenvalues."""
    model = LinearAE(3, num_particles=12).fit([full_jets])
    discarded = torch.linalg.eigvalsh(second_moment(full_jets))[: 12 - 6].sum()
    torch.testing.assert_close(error(model, full_jets), discarded)


def test_conserving_map_is_the_best_of_its_kind(full_jets: Batch, generator: torch.Generator) -> None:
    """No other code that contains the total does better, and the unconstrained optimum does not do worse."""
    free = LinearAE(3, num_particles=12).fit([full_jets])
    conserving = LinearAE(3, num_particles=12, conserve_momentum=True).fit([full_jets])
    moment = second_moment(full_jets)
    best = error(conserving, full_jets)
    assert error(free, full_jets) <= best
    slots = full_jets.pos.view(60, 12, 4)
    for size in (1e-3, 1e-1, 10.0):
        encoder = conserving.encoder.clone()
        encoder[:, 1:] += size * torch.randn(12, 5, generator=generator, dtype=torch.float64)
        decoder = moment @ encoder @ torch.linalg.inv(encoder.T @ moment @ encoder)
        other = (torch.einsum("ik,jk,bjm->bim", decoder, encoder, slots) - slots).square().sum()
        assert best <= other * (1 + 1e-9)


@pytest.mark.parametrize("conserve", [False, True])
def test_it_is_equivariant_and_full_rank_is_exact(
    conserve: bool, jets: Batch, full_jets: Batch, generator: torch.Generator
) -> None:
    model = LinearAE(4, conserve_momentum=conserve).fit([jets])
    assert equivariance_error(model, jets, random_lorentz(3.0, generator)) < 1e-12
    whole = LinearAE(6, num_particles=12, conserve_momentum=conserve).fit([full_jets])
    torch.testing.assert_close(whole(full_jets).p4, full_jets.pos, rtol=1e-7, atol=1e-9)


def test_conserved_total(jets: Batch) -> None:
    result = LinearAE(3, conserve_momentum=True).fit([jets])(jets)
    totals = [torch.zeros(12, 4, dtype=p.dtype).index_add(0, jets.batch, p) for p in (result.p4, jets.pos)]
    torch.testing.assert_close(*totals, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("readout", ["sum", "real", "imag", "mean"])
def test_warm_start_reproduces_the_linear_map(conserve: bool, readout: str, jets: Batch) -> None:
    linear = LinearAE(4, conserve_momentum=conserve).fit([jets])
    model = LGAE(latent_vectors=4, readout=readout, conserve_momentum=conserve)
    before = (model(jets).p4 - linear(jets).p4).norm()
    warm_start_from_linear(model, linear)
    after = (model(jets).p4 - linear(jets).p4).norm()
    assert after < 1e-11 * jets.pos.norm() < before
    model(jets).p4.square().mean().backward()
    idle = model.decoder.output.weights["(1/2,1/2)"]
    assert (idle[0, 1:] == 0).all() and (idle.grad[0, 1:] != 0).all()


def test_warm_start_refuses_what_does_not_fit(jets: Batch) -> None:
    linear = LinearAE(4).fit([jets])
    with pytest.raises(ValueError, match=r"latent_vectors differs: 9 \(LGAE\) and 4 \(LinearAE\)"):
        warm_start_from_linear(LGAE(), linear)
    with pytest.raises(ValueError, match="only LGAE-Mix"):
        warm_start_from_linear(LGAE(aggregation="min&max"), linear)
    with pytest.raises(ValueError, match="not fitted"):
        warm_start_from_linear(LGAE(), LinearAE(9))


def test_bad_use_is_explained(jets: Batch) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        LinearAE(4)(jets)
    with pytest.raises(ValueError, match="do not fit 6 particles"):
        LinearAE(4, num_particles=6)
    with pytest.raises(ValueError, match="at least one jet"):
        LinearAE(4).fit([])


def test_transverse_weighting_does_not_see_boosts_along_the_beam(full_jets: Batch) -> None:
    """With weights (pT/E)^2, moving each jet in rapidity hardly changes the fit; with equal ones it does."""
    central = LinearAE(3, num_particles=12).fit([full_jets], weighting="transverse").encoder
    equal = LinearAE(3, num_particles=12).fit([full_jets]).encoder
    jets = full_jets.to_data_list()
    moved = Batch.from_data_list(
        [JetData(pos=jet.pos @ boost(3.0 * (k % 2), "z").T) for k, jet in enumerate(jets)]
    )
    central_moved = LinearAE(3, num_particles=12).fit([moved], weighting="transverse").encoder
    equal_moved = LinearAE(3, num_particles=12).fit([moved]).encoder

    def angle(first: Tensor, second: Tensor) -> float:
        return float(1 - torch.linalg.svdvals(first.T @ second).min())

    assert angle(central, central_moved) < angle(equal, equal_moved) / 2
    with pytest.raises(ValueError, match="unknown weighting 'energy'"):
        LinearAE(3).fit([full_jets], weighting="energy")
