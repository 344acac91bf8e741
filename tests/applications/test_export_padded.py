"""Taggers on padded jets are the taggers: same numbers as on graphs, whatever the padding."""

import math

import numpy as np
import pytest
import torch
from export_cases import NAMES, padded, small_model
from hypothesis import given
from hypothesis import strategies as st
from tagger_cases import massive
from torch_geometric.data import Batch

from lgae_pyg.applications.export import double
from lgae_pyg.applications.export.networks import padded_network
from lgae_pyg.applications.export.program import PaddedTagger
from lgae_pyg.data import JetData
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Rules, admit
from lgae_pyg.models import LGAE, PFN, LorentzNet
from lgae_pyg.models.registry import model_fingerprint
from lgae_pyg.ops.jets import PaddedJets, pad_jets


@pytest.fixture
def tev_jets(massless_jet, generator) -> Batch:
    """Jets of 1 to 40 massive and massless particles; more and fewer than there are neighbours."""
    sizes = (30, 1, 2, 5, 40, 17, 4)
    jets = [massless_jet(size, generator) for size in sizes]
    return Batch.from_data_list([JetData(pos=massive(p4) if n % 2 else p4) for n, p4 in enumerate(jets)])


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_padded_logits_are_those_of_graphs(name, tev_jets):
    model = small_model(name)
    expected = model(tev_jets)
    for slots in (40, 53):
        p4, exists = pad_jets(*model.momenta(tev_jets), slots)
        found = padded_network(model)(model, p4, PaddedJets(exists), torch.float64)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fill", [7.0, -1e9, math.nan, math.inf])
@pytest.mark.parametrize("name", ["LorentzNet, beams", "ParticleNet, pairs", "PFN, friends"])
@torch.no_grad()
def test_nothing_leaks_from_padding(name, fill, tev_jets):
    program = PaddedTagger(small_model(name), "TeV", dtype=torch.float64)
    expected = small_model(name).scores(tev_jets)
    for spare in (0, 3):
        found = program(*padded(tev_jets, spare, fill))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_units_are_those_of_the_file(tev_jets):
    model = small_model("LorentzNetBase, friends")
    p4, count = padded(tev_jets)
    expected = model.scores(tev_jets)
    for unit, factor in (("TeV", 1.0), ("GeV", 1e3), ("PeV", 1e-3)):
        program = PaddedTagger(model, unit, dtype=torch.float64)
        torch.testing.assert_close(program(factor * p4, count), expected, rtol=1e-9, atol=1e-9)
    assert model.unit == "TeV"


@torch.no_grad()
def test_leading_particles_are_those_of_the_gate(tev_jets, generator):
    model, order = small_model("PFN"), torch.randperm(len(tev_jets.pos), generator=generator)
    order = order[tev_jets.batch[order].argsort(stable=True)]
    shuffled = FlatJets(tev_jets.pos[order].numpy(), tev_jets.ptr.numpy(), unit="TeV")
    jets, _ = admit(shuffled, Rules(num_particles=12))
    expected = model.scores(JetData(pos=torch.from_numpy(jets.p4), ptr=torch.from_numpy(jets.ptr)))
    p4, exists = pad_jets(tev_jets.pos[order], tev_jets.ptr)
    program = PaddedTagger(model, "TeV", 12, torch.float64)
    torch.testing.assert_close(program(p4, exists.sum(1)), expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(expected, model.scores(tev_jets), atol=1e-3)


@torch.no_grad()
def test_jets_that_cannot_be_read_have_no_scores_and_harm_no_others(tev_jets):
    program = PaddedTagger(small_model("ParticleNet"), "TeV", dtype=torch.float64)
    p4, count = padded(tev_jets)
    expected = program(p4, count)
    p4[0, 3, 1], p4[2, 0, 0], count[4] = math.nan, -1.0, 41
    p4[3] = 0.0
    found = program(p4, count)
    bad = torch.tensor([0, 2, 3, 4])
    assert found[bad].isnan().all()
    kept = [1, 5, 6]
    assert torch.equal(found[kept], expected[kept])


@torch.no_grad()
def test_rows_without_energy_are_padding(tev_jets):
    program = PaddedTagger(small_model("LorentzNet"), "TeV", dtype=torch.float64)
    p4, count = padded(tev_jets, spare=2)
    gap = torch.cat([p4[:, :1], torch.zeros_like(p4[:, :1]), p4[:, 1:-1]], 1)
    torch.testing.assert_close(program(gap, count + 1), program(p4, count), rtol=1e-12, atol=1e-12)


class Other(PFN):
    """A tagger that may do anything."""


@pytest.mark.parametrize(
    "model, reason",
    [
        (LGAE(), "LGAE cannot be exported: .*these taggers can be: PFN, ParticleNet"),
        (Other(), "Other cannot be exported: its layers have no form for padded jets"),
        (LorentzNet(extra_scalars=2), "2 extra_scalars"),
        (LorentzNet(readout="padded_mean"), "size of the largest jet"),
    ],
)
def test_what_cannot_be_exported_says_why(model, reason):
    with pytest.raises(ValueError, match=reason):
        PaddedTagger(model)


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=8))
def test_functions_in_double_are_those_of_pytorch(values):
    x = torch.tensor(values, dtype=torch.float64)
    y = x.flip(0)
    nonzero = (x != 0) | (y != 0)
    error = (double.atan2(y, x) - torch.atan2(y, x))[nonzero].abs()
    error = torch.minimum(error, (error - 2 * math.pi).abs())  # -0 and 0 are on the two sides of the cut
    assert error.max() < 1e-14 if len(error) else True
    torch.testing.assert_close(double.asinh(x), torch.asinh(x), rtol=1e-12, atol=1e-9)
    assert torch.allclose(double.sub(x, 2 * math.pi), x - 2 * math.pi, rtol=1e-14, atol=1e-14)
    assert torch.allclose(double.mul(x, 0.005), x * 0.005, rtol=1e-14, atol=0)
    apart = (double.remainder(x, 2 * math.pi) - x.remainder(2 * math.pi)).abs() / (2 * math.pi)
    assert torch.allclose(apart, apart.round(), atol=1e-9)
    points = torch.stack([x, y], -1)
    expected = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(double.cdist(points, points), expected)


def test_fingerprints_tell_models_apart():
    first, second = PFN(), PFN()
    second.load_state_dict(first.state_dict())
    assert model_fingerprint(first) == model_fingerprint(second)
    with torch.no_grad():
        weight = second.jet_layers[-1].bias
        weight[0] = np.nextafter(weight[0].item(), 1, dtype=np.float32).item()
    assert model_fingerprint(first) != model_fingerprint(second)
