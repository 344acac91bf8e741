"""The taggers with the originals' weights against the numbers recorded from them."""

import pytest
import torch
from tagger_cases import batch_of, read_recorded, relative

from lgae_pyg.legacy import load_lgn, load_lorentz_net, load_particle_net, load_pfn
from lgae_pyg.legacy.lgn_basis import irrep_of, original_coupling, translation
from lgae_pyg.ops.jet_features import jet_features
from lgae_pyg.ops.neighbours import nearest_neighbours
from lgae_pyg.ops.products import unpack
from lgae_pyg.ops.references import with_references

LOADERS = {
    "lorentznet_top_pretrained": load_lorentz_net,
    "particlenet": load_particle_net,
    "pfn": load_pfn,
    "lgn_classifier": load_lgn,
}


def loaded(name, **changes):
    state, config, recorded = read_recorded(name)
    return LOADERS[name](state, {**config, **changes}), recorded, batch_of(recorded["p4"], recorded["ptr"])


def outputs(modules):
    """What modules return, filled when the model is called."""
    found = []
    for module in modules:
        module.register_forward_hook(lambda *call: found.append(call[-1]))
    return found


@pytest.mark.parametrize("name", LOADERS)
@torch.no_grad()
def test_recorded_logits(name):
    model, recorded, jets = loaded(name)
    assert model.unit == "GeV" and not model.training
    assert relative(model(jets), recorded["logits"]) < 1e-8
    jets.pos = jets.pos.float()  # as training gives momenta to a float32 model
    assert relative(model.float()(jets), recorded["logits"]) < 1e-5


@pytest.mark.parametrize("name", LOADERS)
@torch.no_grad()
def test_units(name):
    """The same jets in TeV, where the model is told so."""
    model, recorded, jets = loaded(name)
    jets.pos, model.unit = jets.pos / 1000, "TeV"
    # Masses of massless particles are rounding noise, of which the release's weights depend.
    assert relative(model(jets), recorded["logits"]) < (1e-2 if name.startswith("lorentz") else 1e-6)
    assert model.momentum_scale == pytest.approx(1000 * (0.005 if name.startswith("lgn") else 1))


@torch.no_grad()
def test_lorentz_net_block_by_block():
    for clamp, end in ((100.0, ""), (False, "_unclamped")):
        model, recorded, jets = loaded("lorentznet_top_pretrained", clamp=clamp)
        steps: list = []
        for conv in model.stack.convs:
            plain = conv.pass_along
            conv.pass_along = lambda *given, plain=plain, steps=steps: steps.append(plain(*given)) or steps[-1]
        assert relative(model(jets), recorded[f"logits{end}"]) < 1e-8
        nodes = int(recorded["node_ptr"][1])
        for number, (h, x) in enumerate(steps):
            assert relative(h[:nodes], recorded[f"jet0_h{end}"][number]) < 1e-8
            assert relative(x[:nodes], recorded[f"jet0_x{end}"][number]) < 1e-8
    assert relative(model(jets), recorded["logits"]) > 1e-3  # so the clamp is at work


@torch.no_grad()
def test_lorentz_net_as_released_depends_on_batch_mates():
    model, recorded, jets = loaded("lorentznet_top_pretrained", readout="padded_mean")
    alone = torch.cat([model(jet) for jet in jets.to_data_list()])
    assert relative(alone, recorded["logits"]) < 1e-8
    assert relative(model(jets), recorded["logits"]) > 0.1


@torch.no_grad()
def test_particle_net_block_by_block():
    model, recorded, jets = loaded("particlenet")
    features = jet_features(jets.pos, jets.ptr)
    assert relative(features.x, recorded["features"]) < 1e-12
    assert relative(features.points, recorded["points"]) < 1e-12
    steps = outputs(model.convs)
    model(jets)
    points = features.points
    for number, step in enumerate(steps):
        assert relative(step[:17], recorded[f"jet0_block{number}"]) < 1e-8
        source, _ = nearest_neighbours(points, jets.ptr, 16)
        assert torch.equal(source[: 17 * 16].view(17, 16), recorded[f"jet0_knn{number}"])
        points = step


@torch.no_grad()
def test_sums_of_pfn():
    model, recorded, jets = loaded("pfn")
    sums = []
    model.jet_layers.register_forward_pre_hook(lambda _, given: sums.append(given[0]))
    model(jets)
    assert relative(sums[0], recorded["pooled"]) < 1e-8


@torch.no_grad()
def test_lgn_level_by_level():
    """In the frame of the laboratory, as recorded."""
    model, recorded, jets = loaded("lgn_classifier")
    p4, ptr, _ = with_references(*model.momenta(jets), model.references)
    assert relative(p4, recorded["node_p4"]) < 1e-12
    steps = model.features(p4, recorded["node_scalars"], ptr)
    nodes = int(recorded["node_ptr"][1])
    for number, (step, irreps) in enumerate(zip(steps, model.levels)):
        for irrep, part in unpack(step[:nodes], irreps).items():
            label = str(irrep.doubled).replace(" ", "")
            theirs = torch.complex(*recorded[f"jet0_level{number}_{label}"])
            assert relative(part @ translation(irrep).T, theirs) < 1e-8


def test_couplings_of_the_original():
    _, _, recorded = read_recorded("lgn_classifier")
    keys = [key for key in recorded if key.startswith("cg/")]
    for key in keys:
        labels = [tuple(map(int, part.strip("()").split(","))) for part in key[3:].replace("->", "x").split("x")]
        ours = original_coupling(*labels)
        assert (ours.flatten(1) - recorded[key]).abs().max() < 1e-14
        assert all(irrep_of(label).doubled == label for label in labels)
    assert len(keys) == 37
