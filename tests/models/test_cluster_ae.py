"""The autoencoder of clusters: sizes, symmetries, what is kept exactly, collinear splitting, limits."""

import itertools
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz import boost, equivariance_error, rotation
from lgae_pyg.lorentz.frames import rest_frame
from lgae_pyg.losses import get_loss
from lgae_pyg.models import ClusterAE, build_model
from lgae_pyg.models.cluster_ae import cluster_sizes
from lgae_pyg.ops.clustering import distances
from lgae_pyg.ops.jets import jet_sum, pad_jets


def batch_of(*jets: Tensor) -> Batch:
    return Batch.from_data_list([JetData(pos=p) for p in jets])


def set_of(p4: Tensor) -> Tensor:
    """The particles by energy, so that two lists can be compared."""
    return p4[p4[:, 0].argsort()]


@pytest.mark.parametrize(
    ("tau", "scalars", "particles", "expected"),
    [(9, 1, 30, (17, 3, 10)), (13, 1, 30, (25, 4, 15)), (2, 1, 30, (3, 0, 5)), (15, 0, 29, (29, 0, 29))],
)
def test_room(tau: int, scalars: int, particles: int, expected: tuple[int, int, int]) -> None:
    """Vectors and invariants for clusters, as many as leave room for an imbalance of each merging."""
    sizes = cluster_sizes(tau, scalars, particles)
    model = ClusterAE(particles, tau, scalars)
    assert sizes == expected and model.clusters == min(1 + sizes.vectors + sizes.invariants, particles)
    if tau > 2:
        mergings = particles - model.clusters
        assert 4 + 3 * (model.clusters - 1) + mergings <= model.latent_size and mergings <= sizes.learned
        assert particles - model.clusters <= model.side_information


@pytest.mark.parametrize("tau", [2, 9, 13])
def test_momentum_is_kept_and_what_is_not_merged(tau: int, jets: Batch) -> None:
    model = ClusterAE(latent_vectors=tau)
    result = model(jets)
    kept = jet_sum(result.p4, jets.ptr) - jet_sum(jets.pos, jets.ptr)
    assert kept.abs().max() < 1e-14 and torch.equal(result.ptr, jets.ptr)
    sizes = jets.ptr.diff().tolist()
    for back, p in zip(result.p4.split(sizes), jets.pos.split(sizes)):
        gap = (back.unsqueeze(1) - p).norm(dim=-1).amin(0)
        exact = int((gap < 1e-10).sum())
        assert exact == len(p) if len(p) <= model.clusters else len(p) > exact >= 2 * model.clusters - len(p)


@pytest.mark.parametrize("tau", [2, 9])
def test_equivariance(tau: int, jets: Batch, generator: torch.Generator) -> None:
    model = ClusterAE(latent_vectors=tau)
    axis = torch.randn(3, generator=generator, dtype=torch.float64)
    assert equivariance_error(model, jets, rotation(2.0, axis)) < 1e-10
    assert equivariance_error(model, jets, boost(1.0, axis)) < 1e-10
    assert equivariance_error(model, jets, boost(3.0, axis)) < 1e-8


def test_the_code_is_of_scalars_and_vectors(jets: Batch) -> None:
    """Two particles have equal energies in their rest frame: no invariant says which of them is the first."""
    model, move = ClusterAE(), boost(1.0, "y")
    jets = batch_of(*(jet.pos for jet in jets.to_data_list() if len(jet.pos) != 2))
    moved = jets.clone()
    moved.pos = jets.pos @ move.T
    first, second = model.encode(jets), model.encode(moved)
    assert 2 * (first.scalars.shape[1] + 4 * first.vectors.shape[1]) == model.latent_size == 74
    torch.testing.assert_close(second.scalars, first.scalars, rtol=0, atol=1e-9)
    torch.testing.assert_close(second.vectors, first.vectors @ move.T.to(torch.complex128), rtol=0, atol=1e-9)
    assert first.scalars.any() and first.vectors[:, 1:].any()


def test_permutations(jets: Batch, generator: torch.Generator) -> None:
    orders = [torch.randperm(len(jet.pos), generator=generator) for jet in jets.to_data_list()]
    shuffled = batch_of(*(jet.pos[order] for jet, order in zip(jets.to_data_list(), orders)))
    model = ClusterAE()
    for one, other in zip(model.encode(jets), model.encode(shuffled)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)
    torch.testing.assert_close(model(jets).p4, model(shuffled).p4, rtol=0, atol=1e-11)


def test_each_jet_by_itself_and_jets_without_particles(jets: Batch) -> None:
    model = ClusterAE()
    together = model(jets).p4
    alone = torch.cat([model(batch_of(jet.pos)).p4 for jet in jets.to_data_list()])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    empty = JetData(pos=jets.pos)
    empty.ptr = torch.cat([jets.ptr[:1], jets.ptr, jets.ptr[-1:]])
    model.check_inputs = False
    assert torch.equal(model(empty).p4, together)


def code(model: ClusterAE, p: Tensor) -> Tensor:
    return torch.cat([torch.view_as_real(part).flatten() for part in model.encode(batch_of(p))])


def halved(p: Tensor, which: int, angle: float, generator: torch.Generator) -> Tensor:
    """A particle in two halves, each turned away from it by an angle, both light-like; same energy."""
    across = torch.linalg.cross(p[which, 1:], torch.randn(3, generator=generator, dtype=torch.float64))
    kick = angle * p[which, 0] / 2 * across / across.norm()
    halves = [torch.cat([p[which, :1] / 2, p[which, 1:] / 2 + sign * kick]) for sign in (1, -1)]
    for half in halves:
        half[1:] *= half[0] / half[1:].norm()
    return torch.cat([p[:which], torch.stack(halves), p[which + 1 :]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 29), st.data())
def test_collinear_halves_have_the_same_code(massless_jet: Callable, seed: int, size: int, data) -> None:
    """Jets of all sizes: the code stays where it is, and halves come back."""
    generator, model = torch.Generator().manual_seed(seed), ClusterAE()
    p = massless_jet(size, generator)
    split = halved(p, data.draw(st.integers(0, size - 1)), 0.0, generator)
    assert (code(model, split) - code(model, p)).abs().max() < 1e-9
    if size < model.clusters:
        torch.testing.assert_close(set_of(model(batch_of(split)).p4), set_of(split), rtol=0, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(21, 29), st.floats(-5, -1), st.data())
def test_the_code_is_continuous_in_the_angle(massless_jet: Callable, seed, size, exponent, data) -> None:
    """Halves that are nearer than all others, but not collinear, move the code little, where there is merging."""
    generator, model = torch.Generator().manual_seed(seed), ClusterAE()
    p, which = massless_jet(size, generator), data.draw(st.integers(0, size - 1))
    total = p.sum(0)
    smallest = distances(rest_frame(p, total).unsqueeze(0)).min()
    angle = float(10**exponent * 2 * smallest / p[which, 0])  # the transverse momentum, E angle / 2, is invariant
    split = halved(p, which, angle, generator)
    gamma = total[0] / (total[0] ** 2 - (total[1:] ** 2).sum()).sqrt()
    assert (code(model, split) - code(model, p)).abs().max() < 100 * angle * gamma.square()


@pytest.mark.parametrize("share", [0.3, 1e-4, -1e-7, -1e-4])
def test_momentum_is_kept_with_masses_and_with_rounded_energies(share: float, jets: Batch) -> None:
    moved = jets.clone()
    moved.pos = jets.pos.clone()
    moved.pos[:, 0] *= 1 + share * torch.rand(len(jets.pos), dtype=torch.float64)
    model = ClusterAE()
    kept = jet_sum(model(moved).p4, jets.ptr) - jet_sum(moved.pos, jets.ptr)
    assert kept.abs().max() < 1e-13
    if share > 0:
        assert equivariance_error(model, moved, boost(1.0, "y")) < 1e-9


def test_decoder_needs_code_and_splits_alone(jets: Batch) -> None:
    model = ClusterAE()
    latent, parents = model.encode(jets), model._clustering(jets).parents
    assert torch.equal(model.decode(latent, parents, jets.ptr), model(jets).p4)
    assert (parents >= 0).sum(1).tolist() == [max(0, n - 21) for n in jets.ptr.diff().tolist()]


def test_it_is_better_than_equal_shares(jets: Batch) -> None:
    """The imbalances are used: without them, clusters come back in halves."""
    model = ClusterAE()
    latent = model.encode(jets)
    plain = latent._replace(scalars=torch.zeros_like(latent.scalars))
    losses = [
        get_loss("hungarian")(r.p4, r.ptr, jets.pos, jets.ptr)
        for r in (model(jets), model.decode_like(plain, jets))
    ]
    full = jets.ptr.diff() > 29
    assert losses[0][full].mean() < losses[1][full].mean() and losses[0].mean() < 1e-4


def test_float32_gradients_and_configuration(jets: Batch) -> None:
    single = batch_of(*(jet.pos.float() for jet in jets.to_data_list()))
    single.pos.requires_grad_()
    model = ClusterAE(latent_vectors=4).float()
    result = model(single)
    result.p4.square().sum().backward()
    assert result.p4.dtype == torch.float64 and single.pos.grad.isfinite().all() and single.pos.grad.any()
    assert not list(model.parameters()) and build_model(model.config).config == model.config
    assert model.fit([]) is model and model.closed_form and model.label == "ClusterAE τ=4"
    with pytest.raises(ValueError, match="choose 1 to 5"):
        ClusterAE(10, latent_vectors=9)
    with pytest.raises(ValueError, match="10 slots"):
        ClusterAE(10, latent_vectors=3)(jets)


@pytest.mark.skipif("LGAE_PYG_REAL_JETS" not in os.environ, reason="LGAE_PYG_REAL_JETS is not set")
@pytest.mark.parametrize("name", ["jetclass_hbb_1000", "toptagging_1400"])
def test_real_jets(name: str) -> None:
    """The four-momentum is kept, and 30 leading particles of real jets come back within a percent of the jet."""
    with np.load(f"{os.environ['LGAE_PYG_REAL_JETS']}/{name}.npz", allow_pickle=False) as file:
        p4, ptr = torch.from_numpy(file["p4"]).double() / 1000, file["ptr"]
    jets = batch_of(*(p4[a : min(b, a + 30)] for a, b in list(itertools.pairwise(ptr))[::7]))
    result = ClusterAE()(jets)
    total = jet_sum(jets.pos, jets.ptr)
    assert ((jet_sum(result.p4, jets.ptr) - total).norm(dim=1) / total.norm(dim=1)).max() < 1e-13
    one, other = (pad_jets(p, jets.ptr)[0] for p in (result.p4, jets.pos))
    gap = (one.unsqueeze(2) - other.unsqueeze(1)).norm(dim=-1).amin(1).amax(1)
    assert (gap / total[:, 0]).median() < 0.01
