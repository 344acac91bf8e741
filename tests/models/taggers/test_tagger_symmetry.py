"""What does not change the logits of taggers: boosts and rotations of some, order and batch mates of all."""

import math

import pytest
import torch
from tagger_cases import MODELS, batch_of, massive, model_of, read_recorded, relative
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.legacy import load_lgn, load_lorentz_net
from lgae_pyg.lorentz import boost, pseudorapidity, random_lorentz, representation_matrix, rotation
from lgae_pyg.models import LGNClassifier, LLoCaTransformer, LorentzNet
from lgae_pyg.ops.references import root_masses, with_references

INVARIANT = ("LorentzNet", "LGNClassifier", "LGATrSlim", "LLoCaTransformer", "Pelican")


def transformed(jets, transform):
    return Batch.from_data_list([JetData(pos=jet.pos @ transform.T) for jet in jets.to_data_list()])


def central(p4):
    """A jet of which the pseudorapidity is zero, so that a boost of rapidity 3 is the largest one that it sees."""
    return p4 @ boost(-float(pseudorapidity(p4.sum(0))), "z").T


def published(name):
    """Networks of the published sizes without beams; "released" has the published weights, but for the beams."""
    torch.manual_seed(3)
    if name == "LGNClassifier":
        return LGNClassifier().double().eval()
    model = LorentzNet().double().eval()
    if name == "released LorentzNet":
        state, config, _ = read_recorded("lorentznet_top_pretrained")
        weights = load_lorentz_net(state, config).state_dict()
        weights["stack.embedding.weight"] = weights["stack.embedding.weight"][:, :1]
        for number in range(6):
            key = f"stack.convs.{number}.node_mlp.0.weight"
            weights[key] = weights[key][:, :-1]
        model.load_state_dict(weights)
    return model


@pytest.mark.parametrize("m", [0.0, 5e-3])
@pytest.mark.parametrize(
    ("name", "limit"), [("LorentzNet", 1e-10), ("LGNClassifier", 1e-10), ("released LorentzNet", 1e-8)]
)
@torch.no_grad()
def test_logits_are_invariant(name, limit, m, massless_jet, generator):
    """Boosts up to a rapidity of 3 and rotations about random axes, in float64.

    The released weights see differences of collinear momenta to which rounding in the boosted frame matters more.
    """
    model = published(name)
    jets = [JetData(pos=massive(central(massless_jet(n, generator)), m)) for n in (12, 30, 47)]
    jets = Batch.from_data_list(jets)
    before = model(jets)
    assert (before[0] - before[1]).abs().max() > 1e-3 * before.abs().max()  # they tell the jets apart
    for transform in [random_lorentz(3.0, generator) for _ in range(6)] + [boost(3.0, axis) for axis in "xyz"]:
        assert relative(model(transformed(jets, transform)), before) < limit


@torch.no_grad()
def test_masses_from_rounding_are_those_of_every_observer(massless_jet, generator):
    """Momenta that were stored in float32 have masses, and keep them when they are boosted in float64."""
    model = published("LorentzNet")
    stored = [central(massless_jet(n, generator)).float().double() for n in (12, 30, 47)]
    jets = Batch.from_data_list([JetData(pos=pos) for pos in stored])
    before = model(jets)
    assert root_masses(jets.pos, jets.ptr).max() > 0
    for axis in "xyz":
        assert relative(model(transformed(jets, boost(3.0, axis))), before) < 1e-5


@pytest.mark.parametrize("name", [name for name in MODELS if name in INVARIANT])
@torch.no_grad()
def test_small_models_are_invariant(name, some_jets, generator):
    """Untrained ones of every kind, those of other packages, too."""
    model = model_of(name)
    before = model(some_jets)
    assert (before[0] - before[1]).abs().max() > 1e-3 * before.abs().max()
    assert relative(model(transformed(some_jets, random_lorentz(2.0, generator))), before) < 1e-8


@pytest.mark.parametrize("name", [name for name in MODELS if name not in INVARIANT])
@torch.no_grad()
def test_others_are_not(name, some_jets):
    """Features of the laboratory and reference vectors break the symmetry; a turn about the beam is left."""
    model = model_of(name)
    before = model(some_jets)
    assert relative(model(transformed(some_jets, boost(1.0, "x"))), before) > 1e-4
    about_beam = transformed(some_jets, rotation(1.0, "z"))
    assert relative(model(about_beam), before) < 1e-9


@torch.no_grad()
def test_reference_vectors_that_turn_with_the_jet_leave_logits_as_they_are():
    """Section 13, item 4: the released weights without the clamp, gamma up to 10, beams transformed or not."""
    state, config, recorded = read_recorded("lorentznet_top_pretrained")
    model = load_lorentz_net(state, {**config, "clamp": False})
    jets = batch_of(recorded["p4"], recorded["ptr"])
    before, beams = model(jets), model.references
    for gamma, axis in ((1.1, "z"), (2.0, "x"), (10.0, "z"), (10.0, "y")):
        transform = boost(math.acosh(gamma), axis)
        moved = transformed(jets, transform)
        model.references = beams @ transform.T
        # The masses of massless particles are rounding noise and were computed once in the original frame.
        p4, ptr, is_reference = with_references(*model.momenta(jets), beams)
        scalars = model.node_scalars(jets, p4, ptr, is_reference)
        together = with_references(*model.momenta(moved), model.references).p4
        logits = model.stack(scalars, together, ptr)
        assert relative(logits, before) < 1e-9
        model.references = beams
        if axis != "z":
            fixed = with_references(moved.pos, moved.ptr, beams).p4
            assert relative(model.stack(scalars, fixed, ptr), before) > 1e-3
    clamped = load_lorentz_net(state, config)
    clamped.references = beams @ transform.T
    logits = clamped.stack(scalars, together, ptr)
    assert relative(logits, load_lorentz_net(state, config)(jets)) > 1e-5  # the clamp breaks it


@torch.no_grad()
def test_every_level_of_the_lgn_is_covariant(generator):
    state, config, recorded = read_recorded("lgn_classifier")
    model = load_lgn(state, config)
    jets = batch_of(massive(recorded["p4"] / 1000) * 1000, recorded["ptr"])
    p4, ptr, is_reference = with_references(*model.momenta(jets), model.references)
    scalars = torch.stack([torch.ones(len(p4)).double(), torch.where(is_reference, 1.0, -1.0).double()], -1)
    for transform, limit in ((rotation(2.0, (1.0, 2.0, -1.0)), 1e-8), (boost(math.acosh(10), "z"), 1e-6)):
        before = model.features(p4, scalars, ptr)
        after = model.features(p4 @ transform.T, scalars, ptr)
        for one, other, irreps in zip(before, after, model.levels):
            matrix = representation_matrix(irreps, transform).to(one.dtype)
            assert relative(other, one @ matrix.T) < limit


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_order_of_the_particles(name, some_jets, generator):
    model = model_of(name)
    jets = [JetData(pos=j.pos[torch.randperm(len(j.pos), generator=generator)]) for j in some_jets.to_data_list()]
    assert relative(model(Batch.from_data_list(jets)), model(some_jets)) < 1e-9


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_batch_mates(name, some_jets, large_jet):
    """A jet has the same logits alone, and beside any others; one of 1, 2 and 5 particles is a jet, too."""
    model = model_of(name)
    together = model(some_jets)
    assert together.shape == (6, 2) and together.isfinite().all()
    alone = torch.cat([model(jet) for jet in some_jets.to_data_list()])
    assert relative(alone, together) < 1e-9
    large = Batch.from_data_list([*some_jets.to_data_list(), JetData(pos=large_jet.pos)])
    assert relative(model(large)[:-1], together) < 1e-9


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_finite(name, some_jets):
    """Of parameters and momenta, in training, of massless and massive particles alike."""
    torch.manual_seed(0)
    model = MODELS[name]().double().train()
    massless = some_jets.pos.clone()
    massless[:10, 0] = massless[:10, 1:].norm(dim=-1)
    some_jets.pos = massless.requires_grad_()
    model(some_jets).square().sum().backward()
    learned = {key: one for key, one in model.named_parameters() if one.requires_grad and one.numel()}
    assert not {key for key, parameter in learned.items() if parameter.grad is None}
    gradients = [some_jets.pos.grad, *(parameter.grad for parameter in learned.values())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert some_jets.pos.grad.abs().max() > 0


@pytest.mark.parametrize("beams", [False, True])
@torch.no_grad()
def test_jets_too_small_for_frames_are_judged_without_noise(beams, massless_jet, generator):
    """LLoCa's frames take four particles: fewer have one logit in any order, and frame without beams."""
    pytest.importorskip("lloca")
    torch.manual_seed(1)
    model = LLoCaTransformer(blocks=2, heads=2, hidden=8, beams=beams).double().eval()
    jets = Batch.from_data_list([JetData(pos=massive(massless_jet(n, generator))) for n in (1, 2, 3, 4, 5)])
    before = model(jets)
    turned = Batch.from_data_list([JetData(pos=jet.pos.flip(0)) for jet in jets.to_data_list()])
    assert relative(model(turned), before) < 1e-9
    if not beams:
        assert relative(model(transformed(jets, random_lorentz(2.0, generator))), before) < 1e-8
