"""Contrast jets: mass and momentum exact before the cuts, boosts and turns of the sources, weights, seeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lgae_pyg.cli import main
from lgae_pyg.data import JetStore
from lgae_pyg.datasets import JetFiles
from lgae_pyg.datasets.contrast import (
    ContrastSettings,
    contrast_store,
    decay_into_cores,
    many_prong_jets,
    mass_weights,
    measured_cuts,
)
from lgae_pyg.lorentz import from_pt_eta_phi_m, rotation
from lgae_pyg.lorentz.decays import boost_along, flat_phase_space
from lgae_pyg.lorentz.kinematics import delta_r, mass, minkowski_dot, transverse_momentum
from lgae_pyg.ops.cores import jet_core


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def showers(number: int, particles: int = 12, seed: int = 0) -> torch.Tensor:
    """Jets of 1 TeV in GeV whose particles have momenta from about 2 to 400 GeV and kT of the order of 1 GeV."""
    g = generator(seed)
    share = torch.rand(number, particles, generator=g, dtype=torch.float64).pow(4) + 0.002
    pt = (1000 * share / share.sum(1, keepdim=True)).sort(1, descending=True).values
    around = torch.randn(2, number, particles, generator=g, dtype=torch.float64) * 1.5 / (pt + 5)
    axis = torch.rand(2, number, 1, generator=g, dtype=torch.float64)
    return from_pt_eta_phi_m(pt, (axis[0] + around[0]), 6 * axis[1] + around[1])


def decays(prongs: int, number: int = 60, mother: float = 120.0):
    sources = showers(number * prongs).reshape(number, prongs, 1, 12, 4)
    momenta = mother * flat_phase_space(number, prongs, generator(5))
    return sources, momenta, decay_into_cores(sources, momenta, generator(6))


@pytest.mark.parametrize("prongs", [2, 3, 4])
def test_the_mother_has_the_asked_mass_and_is_at_rest_before_any_cut(prongs):
    _, _, found = decays(prongs)
    assert len(found.mass) > 40
    total = found.p4.sum(1)
    torch.testing.assert_close(mass(total), found.mass, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.mass, torch.full_like(found.mass, 120.0), rtol=1e-12, atol=0)
    assert float(total[:, 1:].abs().max()) < 1e-8


def test_prongs_point_where_the_products_do_and_share_the_sphere():
    _, momenta, found = decays(2)
    parts = found.p4.reshape(-1, 2, 12, 4)
    sums = torch.nn.functional.normalize(parts.sum(2)[..., 1:], dim=-1)
    wanted = torch.nn.functional.normalize(momenta[..., 1:], dim=-1)
    assert len(parts) == len(momenta)  # all were light enough
    torch.testing.assert_close(sums, wanted, rtol=0, atol=1e-9)
    ahead = (parts[..., 1:] * sums.unsqueeze(2)).sum(-1) / parts[..., 0].clamp(min=1e-300)
    assert float(ahead.min()) > -0.2  # halves, up to the recoil of the cores' own masses


def test_nothing_is_scaled_inside_a_prong():
    sources, _, decayed = decays(2)
    parts = decayed.p4.reshape(-1, 2, 12, 4)
    kept = parts[..., 0] > 0
    for jet, prong, there in zip(sources.flatten(0, 2), parts.flatten(0, 1), kept.flatten(0, 1)):
        true = minkowski_dot(jet[there][:, None], jet[there][None])
        found = minkowski_dot(prong[there][:, None], prong[there][None])
        torch.testing.assert_close(found, true, rtol=1e-6, atol=1e-6)


def test_turns_of_a_source_and_boosts_along_its_core_change_no_core():
    jets, scale = showers(50), torch.full((50,), 30.0, dtype=torch.float64)
    inside, axis = jet_core(jets, scale)
    assert 0.2 < float(inside.double().mean()) < 0.999
    turned = jets @ rotation(0.7, [1.0, 2.0, 0.5]).T
    assert (jet_core(turned, scale)[0] == inside).all()
    # the axis of the core is found again from its own particles, whatever the boost along it
    alone = jets * inside.unsqueeze(-1)
    slower = boost_along(alone, axis.unsqueeze(1), torch.full((50, 1), 0.5, dtype=torch.float64))
    assert (jet_core(slower, scale)[0] == jet_core(alone, scale)[0]).double().mean() > 0.99


def test_a_larger_scale_keeps_more():
    jets = showers(200)
    scales = torch.tensor([3.0, 30.0, 300.0], dtype=torch.float64)
    shares = [float(jet_core(jets, scale.expand(200))[0].double().mean()) for scale in scales]
    assert shares[0] < shares[1] < shares[2] and shares[2] > 0.95


def test_of_several_candidates_the_hardest_core_is_taken():
    sources = showers(120).reshape(20, 2, 3, 12, 4)
    momenta = 120.0 * flat_phase_space(20, 2, generator(5))
    single = [decay_into_cores(sources[:, :, [c]], momenta, generator(6)) for c in range(3)]
    alone = [one.p4.reshape(20, 2, 12, 4) for one in single]
    best = decay_into_cores(sources, momenta, generator(6)).p4.reshape(20, 2, 12, 4)

    def hardness(p4):  # shares of energy, which boosts along it keep, about
        return (p4[..., 0] ** 2).sum(-1) / p4[..., 0].sum(-1) ** 2

    assert (hardness(best) >= torch.stack([hardness(one) for one in alone]).amax(0) - 0.02).all()


def test_decays_are_isotropic():
    _, _, found = decays(2, 3000)
    first = torch.nn.functional.normalize(found.p4[:, :12].sum(1)[:, 1:], dim=-1)
    second_moment = first.T @ first / len(first)
    torch.testing.assert_close(second_moment, torch.eye(3, dtype=torch.float64) / 3, rtol=0, atol=0.03)


def test_jets_have_the_cuts_and_the_momenta_of_the_background():
    jets = showers(400)
    settings = measured_cuts(jets, ContrastSettings(radius=0.4))
    made = many_prong_jets(jets, 300, 2, settings)
    exists = made[..., 0] > 0
    assert len(made) == 300 and made.shape[1] == 12
    assert float(transverse_momentum(made)[exists].min()) >= settings.pt_min
    assert (transverse_momentum(made).diff(dim=1) <= 1e-9).all()
    assert float(delta_r(made, made.sum(1, keepdim=True))[exists].max()) < 0.5
    pt, like = (float(transverse_momentum(one.sum(1)).median()) for one in (made, jets))
    assert pt == pytest.approx(like, rel=0.03)
    heavy = mass(made.sum(1))
    assert 15 < float(heavy.min()) and float(heavy.max()) < 255 and float(heavy.std()) > 30


def test_weights_make_the_mass_flat_or_leave_the_background():
    g = torch.Generator().manual_seed(0)
    light, heavy = torch.rand(4000, generator=g).pow(3), torch.rand(3000, generator=g)
    masses = torch.cat([30 + 50 * light, 25 + 225 * heavy]).double()
    y = torch.tensor([0] * 4000 + [1] * 3000)
    pt = torch.cat([torch.randn(4000, generator=g), 0.4 + torch.randn(3000, generator=g)])
    hidden = mass_weights(masses, pt, y, ContrastSettings())
    edges = np.linspace(np.log(25), np.log(250), 11)
    counts = [np.histogram(masses[y == n].log(), edges, weights=hidden[y == n])[0] for n in (0, 1)]
    assert np.allclose(counts[0] / counts[0].sum(), counts[1] / counts[1].sum(), atol=0.02)
    means = [float((pt * hidden)[y == n].sum() / hidden[y == n].sum()) for n in (0, 1)]
    assert float(pt[y == 1].mean() - pt[y == 0].mean()) > 0.35 and abs(means[1] - means[0]) < 0.15
    free = mass_weights(masses, pt, y, ContrastSettings(mass="free"))
    assert (free[y == 0] == 1).all()
    flat = np.histogram(masses[y == 1].log(), edges, weights=free[y == 1])[0]
    assert flat.max() < 1.5 * flat.min()
    for weights in (hidden, free):
        assert [float(weights[y == n].mean()) for n in (0, 1)] == pytest.approx([1, 1], abs=0.1)


def store(number: int = 300) -> JetStore:
    jets = showers(number)
    fields = {"y": torch.arange(number) % 2}
    meta = {"unit": "GeV", "class_names": ["g", "q"]}
    return JetStore(12 * torch.arange(number + 1), {"pos": jets.flatten(0, 1)}, fields, meta)


def test_the_store_is_the_same_again_and_with_another_seed_another():
    settings = ContrastSettings(radius=0.4)
    first, second = (contrast_store(store(), 200, settings) for _ in range(2))
    other = contrast_store(store(), 200, replace(settings, seed=1))
    assert torch.equal(first.particle_fields["pos"], second.particle_fields["pos"])
    assert torch.equal(first.jet_field("weight"), second.jet_field("weight"))
    assert not torch.equal(first.ptr, other.ptr)
    assert torch.bincount(first.jet_field("y")).tolist() == [300, 200]


def test_the_background_is_what_it_was_and_its_classes_do_not_matter():
    base = store()
    swapped = JetStore(base.ptr, base.particle_fields, {"y": 1 - base.jet_field("y")}, base.meta)
    first, second = (contrast_store(one, 100, ContrastSettings(radius=0.4)) for one in (base, swapped))
    assert torch.equal(first.particle_fields["pos"], second.particle_fields["pos"])
    rows = int(first.ptr[300])
    assert torch.equal(first.particle_fields["pos"][:rows], base.particle_fields["pos"].float())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"prongs": (1,)}, "two or more"), ({"mass_min": 300.0}, "must rise"), ({"complete": 1.0}, "share"),
     ({"mass": "hidden"}, "hidden")],
)  # fmt: skip
def test_recipes_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        ContrastSettings(**wrong)


def test_too_wide_decays_are_refused():
    jets = showers(200)
    settings = measured_cuts(jets, ContrastSettings(mass_min=2000, mass_max=3000, radius=0.1))
    with pytest.raises(ValueError, match="lower mass_max"):
        many_prong_jets(jets, 100, 2, settings)


def test_the_command_writes_a_store_that_is_read_as_any_other(tmp_path, capsys):
    store().save(tmp_path / "jets.store")
    out = tmp_path / "contrast.store"
    words = ["data", "contrast", str(tmp_path / "jets.store"), "--out", str(out), "--split", "all"]
    assert main([*words, "--radius", "0.4", "--jets", "100", "--mass", "free"]) == 0
    assert "background: 300 jets" in capsys.readouterr().out
    found = JetFiles(out, root=tmp_path / "cache", split="train")
    assert tuple(found.class_names) == ("background", "contrast")
    assert {"weight", "y"} <= set(found.store.jet_fields)
    assert len(found) == 240
