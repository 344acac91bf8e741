"""Features of pairs and groups: values by hand, and how transformations change them (arXiv:2208.07814)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgae_pyg.lorentz import boost, from_pt_eta_phi_m, mass, random_lorentz, rotation
from lgae_pyg.ops.jet_features import FEATURE_SETS, jet_features
from lgae_pyg.ops.lorentz_features import PAIR_FEATURES, group_feature, pair_feature
from lgae_pyg.ops.neighbours import friends, nearest_neighbours

PTR = torch.tensor([0, 1, 8, 8, 28])


def clouds(seed):
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(28, 3, generator=generator, dtype=torch.float64)
    m = torch.rand(28, 1, generator=generator, dtype=torch.float64)
    return torch.cat([(p.square().sum(-1, keepdim=True) + m).sqrt(), p], -1)


def prongs(generator):
    """A jet along +x of three prongs of ten massless particles, pT near 575 GeV, mass near 200 GeV."""
    axes = torch.tensor([[0.35, 0.0], [-0.3, 0.25], [-0.1, -0.35]], dtype=torch.float64)
    angles = axes.repeat_interleave(10, 0) + 0.03 * torch.randn(30, 2, generator=generator, dtype=torch.float64)
    shares = torch.rand(30, generator=generator, dtype=torch.float64) + 0.05
    return from_pt_eta_phi_m(575 * shares / shares.sum(), *angles.unbind(-1))


def changes(transform, generator):
    """The median relative change of each feature over the pairs, the mean over some jets."""
    rows = []
    for _ in range(10):
        p4 = prongs(generator)
        matrix = transform(p4) if callable(transform) else transform
        first, second = torch.triu_indices(30, 30, 1)
        pair = [(p[first], p[second]) for p in (p4, p4 @ matrix.T)]
        values = [[pair_feature(name, *one) for name in PAIR_FEATURES] for one in pair]
        rows.append([((after - before).abs() / before).median() for before, after in zip(*values)])
    return torch.tensor(rows, dtype=torch.float64).mean(0).tolist()


def tilt(p4):
    """A boost along z, then the turn about y that brings the jet back to where it was."""
    moved = boost(0.5, "z")
    _, px, _, pz = (moved @ p4.sum(0)).tolist()
    return rotation(math.atan2(pz, px), "y") @ moved


#: Transformation, and the changes of m_ij, Delta R_ij, Delta R_ij (pT_i + pT_j), E_ij; 0 stands for rounding.
TABLE = [
    (boost(1.0, "z"), (0, 0, 0, 0.54)),
    (rotation(1.0, "z"), (0, 0, 0, 0)),
    (rotation(1.0, "x"), (0, 1.5e-2, 1.0e-2, 0)),
    (boost(math.acosh(1.5), "x"), (0, 0.62, 5.6e-3, 1.6)),
    (boost(-math.acosh(1.5), "x"), (0, 1.6, 3.8e-2, 0.56)),
    (tilt, (0, 0.12, 2.0e-2, 0.13)),
]


@pytest.mark.parametrize(("transform", "published"), TABLE)
def test_changes_are_those_of_the_published_table(transform, published, generator):
    for change, wanted in zip(changes(transform, generator), published):
        if wanted == 0:
            assert change < 1e-9
        else:
            assert wanted / 2 < change < 2 * wanted


@pytest.mark.parametrize("name", PAIR_FEATURES)
def test_pair_features_are_symmetric(name):
    p4 = clouds(0)
    one, other = p4[:14], p4[14:]
    assert torch.allclose(pair_feature(name, one, other), pair_feature(name, other, one), rtol=1e-14, atol=0)


def test_pair_features_by_hand():
    p = from_pt_eta_phi_m(*torch.tensor([3.0, 0.0, 0.0]).double())
    q = from_pt_eta_phi_m(*torch.tensor([5.0, 0.0, 1.0]).double())
    values = {name: float(pair_feature(name, p, q)) for name in PAIR_FEATURES}
    expected = {"mass": math.sqrt(15 * (1 - math.cos(1))), "delta_r": 1.0, "delta_r_pt": 8.0, "energy": 8.0}
    assert values == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="did you mean delta_r"):
        pair_feature("delta_R", p, q)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_masses_of_friends_are_invariant(seed, k):
    p4 = clouds(seed)
    transform = random_lorentz(1.5, torch.Generator().manual_seed(seed))
    before, after = group_feature("mass", p4, PTR, k), group_feature("mass", p4 @ transform.T, PTR, k)
    assert torch.allclose(after, before, rtol=1e-9, atol=1e-12)
    assert float(group_feature("energy", p4 @ transform.T, PTR, k)[5]) > 0


def test_all_others_are_the_largest_group():
    p4 = clouds(1)
    for k in (19, 50):
        groups = group_feature("mass", p4, PTR, k)
        for first, end in ((0, 1), (1, 8), (8, 28)):
            jet = p4[first:end]
            assert torch.allclose(groups[first:end], mass(jet.sum(0) - jet), rtol=1e-10)
            whole = group_feature("mass", p4, PTR, k, include_self=True)[first:end]
            assert torch.allclose(whole, mass(jet.sum(0)).expand(end - first), rtol=1e-10)
    assert groups[0] == 0


def test_friends_are_those_with_the_largest_products():
    p4 = clouds(2)
    metric = torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0]).double())
    products = (p4 @ metric @ p4.T).fill_diagonal_(-torch.inf)
    source, target = friends(p4, PTR, 3)
    for i in range(8, 28):
        assert source[target == i].tolist() == (8 + products[i, 8:].argsort(descending=True)[:3]).tolist()


@pytest.mark.parametrize("k", [1, 4, 30])
def test_nearest_neighbours(k):
    points = torch.randn(28, 2, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    source, target = nearest_neighbours(points, PTR, k)
    distances = (points.unsqueeze(1) - points).norm(dim=-1).fill_diagonal_(torch.inf)
    for first, end in zip(PTR[:-1].tolist(), PTR[1:].tolist()):
        for i in range(first, end):
            wanted = first + distances[i, first:end].argsort()[: min(k, end - first - 1)]
            assert source[target == i].tolist() == wanted.tolist()


def test_points_at_one_place_are_not_their_own_neighbours():
    source, target = nearest_neighbours(torch.zeros(4, 2), torch.tensor([0, 4]), 3)
    assert len(source) == 12 and not (source == target).any()
    with pytest.raises(ValueError, match="must be positive"):
        nearest_neighbours(torch.zeros(4, 2), torch.tensor([0, 4]), 0)


@pytest.mark.parametrize("features", FEATURE_SETS)
def test_features_of_jets_by_hand(features):
    """Two particles of pT 3 and 1 at eta 1, on both sides of the azimuth's cut."""
    p4 = from_pt_eta_phi_m(*torch.tensor([[3.0, 1.0], [-1.0, -1.0], [math.pi - 0.1, -math.pi + 0.1]]).double())
    x, points = jet_features(p4, torch.tensor([0, 2]), features)
    total = p4.sum(0)
    eta, phi = math.asinh(total[3] / total[1:3].norm()), math.atan2(total[2], total[1])
    delta_phi = [(math.pi - 0.1 - phi + math.pi) % (2 * math.pi) - math.pi]
    delta_phi.append((-math.pi + 0.1 - phi + math.pi) % (2 * math.pi) - math.pi)
    # The sign of the distance in eta turns with that of the jet's.
    expected = torch.tensor([[1 + eta, 1 + eta], delta_phi]).double().T
    assert torch.allclose(points, expected, atol=1e-12)
    e = [3 * math.cosh(1), math.cosh(1)]
    if features == "logarithmic":
        logs = torch.tensor([[math.log(3), 0.0], [math.log(one) for one in e]]).double().T
        assert torch.allclose(x, torch.cat([logs, expected], -1), atol=1e-6)
    elif features == "energy_flow":
        assert torch.allclose(x[:, 0], torch.tensor([0.75, 0.25]).double())
        assert (x[:, 1:] * x[:, :1]).sum(0).abs().max() < 1e-12
        assert float(x[1, 2] - x[0, 2]) == pytest.approx(0.2)
    else:
        pt = float(total[1:3].norm())
        raw = [math.log(3), math.log(e[0]), math.log(3 / pt), math.log(e[0] / sum(e)), math.hypot(*points[0])]
        shifts, scales = (1.7, 2.0, -4.7, -4.7, 0.2), (0.7, 0.7, 0.7, 0.7, 4.0)
        wanted = [min(5, (one - shift) * scale) for one, shift, scale in zip(raw, shifts, scales)]
        assert x[0, :5].tolist() == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(ValueError, match="unknown feature set"):
        jet_features(p4, torch.tensor([0, 2]), "none")
