"""Options of taggers: classes, references, units, contract, errors; a jet of 200 particles."""


import pytest
import torch
from tagger_cases import MODELS, model_of, relative
from torch_geometric.data import Batch

from lgae_pyg import load_model
from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.data import JetData
from lgae_pyg.lorentz import boost, rotation
from lgae_pyg.models import (
    PFN,
    LGNClassifier,
    LorentzNet,
    LorentzNetBase,
    ParticleNet,
    ParticleNetLite,
    build_model,
    check_config,
)
from lgae_pyg.ops.references import root_masses


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_contract(name, some_jets, tmp_path):
    """Saved and loaded with its unit; the same jets in GeV have the same logits."""
    model = model_of(name)
    check_config(model)
    assert model.task == "classification" and model.num_particles is None and model.permutation_invariant
    assert name.partition(",")[0].replace("LorentzNetBase", "LorentzNet base") in model.label
    expected = model(some_jets)
    scores = model.scores(some_jets)
    assert torch.allclose(scores.sum(-1), torch.ones(6).double())
    again = load_model(save_checkpoint(tmp_path / "a.ckpt", model, unit="GeV"))
    some_jets.pos = 1000 * some_jets.pos
    assert relative(again(some_jets), expected) < 1e-9
    assert relative(model(some_jets), expected) > 1e-4


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_two_hundred_particles_and_float32(name, large_jet):
    model = model_of(name)
    expected = model(large_jet)
    assert expected.isfinite().all()
    large_jet.pos = large_jet.pos.float()
    found = model.float()(large_jet)
    assert found.dtype == torch.float32 and relative(found, expected) < 1e-2


@pytest.mark.parametrize("name", MODELS)
def test_any_number_of_classes(name, some_jets):
    config = model_of(name).config
    model = build_model({**config, "num_classes": 5})
    assert model.eval()(some_jets).shape == (6, 5)
    with pytest.raises(ValueError, match="two classes"):
        build_model({**config, "num_classes": 1})


@pytest.mark.parametrize("make", [LorentzNet, LGNClassifier])
@torch.no_grad()
def test_what_each_reference_vector_breaks(make, some_jets):
    """Beams leave boosts along z and turns about it; with the direction of time, turns alone are left."""
    jets = Batch.from_data_list([JetData(pos=jet.pos) for jet in some_jets.to_data_list() if len(jet.pos) > 4])
    moves = {"turn": rotation(1.0, "z"), "along": boost(1.0, "z"), "other": rotation(1.0, "x")}

    def kept(**options):
        torch.manual_seed(0)
        model = make(**options).double().eval()
        before = model(jets)
        found = set()
        for name, transform in moves.items():
            moved = Batch.from_data_list([JetData(pos=jet.pos @ transform.T) for jet in jets.to_data_list()])
            if relative(model(moved), before) < 1e-9:
                found.add(name)
        return found

    assert kept() == set(moves)
    assert kept(time_direction=True) == {"turn", "other"}
    assert kept(beams=True) == {"turn"}  # the two beams together tell the frame in which they are back to back
    assert kept(beams=True, reference_length=0.5) == {"turn"}


def test_masses_that_are_not_resolved_are_zero():
    p = torch.tensor([[3.0, 3.0, 0.0, 0.0], [5.0, 3.0, 0.0, 0.0], [3.0, 3.0, 1e-7, 0.0]], dtype=torch.float64)
    jet, alone = torch.tensor([0, 3]), torch.tensor([0, 1])
    assert root_masses(p, jet).tolist() == [0, 4, 0]
    assert root_masses(p, jet, resolved=False).tolist() == pytest.approx([0, 4, 1e-7], rel=0.1)
    light = torch.tensor([[1.0, 0.9999999, 0.0, 0.0]], dtype=torch.float64)
    assert root_masses(light, alone) > 1e-4 and root_masses(light, alone, given=torch.float32) == 0


@torch.no_grad()
def test_scalars_of_particles_are_read(some_jets):
    model = LorentzNet(hidden=8, layers=2, masses="none", extra_scalars=2).eval()
    with pytest.raises(ValueError, match=r"reads 2 extra_scalars .* but 'x' is missing"):
        model(some_jets)
    some_jets.x = torch.ones(len(some_jets.pos), 2)
    one = model(some_jets)
    some_jets.x = torch.zeros(len(some_jets.pos), 2)
    assert relative(model(some_jets), one) > 1e-3


def test_dead_networks_of_the_base_get_no_gradient(some_jets):
    model = LorentzNetBase(hidden=8, layers=3, coordinates=True)
    model(some_jets).sum().backward()
    dead = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert dead == {name for name, _ in model.named_parameters() if ".shift_mlp." in name} != set()
    assert not any(".shift_mlp." in name for name, _ in LorentzNetBase().named_parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LorentzNet(masses="some"), "unknown masses"),
        (lambda: LorentzNet(masses="none"), "leaves particles without a scalar"),
        (lambda: LorentzNet(readout="max"), "unknown readout"),
        (lambda: LorentzNet(layers=0), "a block at least"),
        (lambda: LorentzNet(scale=0), "scale must be a positive number"),
        (lambda: LorentzNetBase(pairs="m"), "unknown pair feature"),
        (lambda: LorentzNetBase(friends="m"), "unknown group feature"),
        (lambda: ParticleNet(k=[3]), "a number for each of 3"),
        (lambda: ParticleNet(k=0), "a number for each"),
        (lambda: ParticleNet(channels=()), "a block at least"),
        (lambda: ParticleNetLite(features="x"), "unknown feature set"),
        (lambda: PFN(particle_widths=()), "one width at least"),
        (lambda: LGNClassifier(readout="all"), "unknown readout"),
        (lambda: LGNClassifier(channels=(2,)), "a level at least"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
