"""Weights of taggers in the originals' names: other sizes than those recorded, errors, ``lgae import``."""

import json
import re

import lgn_tagger_reference as reference
import pytest
import torch

import lgae_pyg
from lgae_pyg.cli import main
from lgae_pyg.data import JetData
from lgae_pyg.legacy import load_lgn, load_lorentz_net, load_particle_net, load_pfn
from lgae_pyg.models import PFN, LorentzNet, ParticleNet

SMALL = {"num_channels": [2, 3, 2], "num_basis_fn": 3, "mlp_depth": 2}
LGN = [
    {},
    {"maxdim": 2},
    {"maxdim": 4, "num_channels": [1, 2, 1]},
    {"add_beams": False, "scale": 0.02},
    {"pmu_in": True},
    {"pmu_in": True, "mlp": False, "maxdim": 2},
    {"mlp": False, "num_channels": [2, 2]},
    {"max_zf": 2, "num_channels": [1, 2, 1]},
    {"mlp_depth": 1, "mlp_width": 3, "activation": "elu", "num_channels": [3, 1, 2, 2]},
]


def jet(generator, n=6):
    p = 40 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return torch.cat([(p.square().sum(-1, keepdim=True) + 4).sqrt(), p], -1)


@pytest.mark.parametrize("change", LGN, ids=str)
@torch.no_grad()
def test_lgn_of_other_sizes(change, generator):
    config = SMALL | change
    state, p4 = reference.random_state(config, generator), jet(generator)
    expected = reference.logits(state, config, p4)
    for prefix in ("", "module."):
        model = load_lgn({prefix + key: value for key, value in state.items()}, config)
        found = model(JetData(pos=p4))[0]
        assert float((found - expected).abs().max() / expected.abs().max()) < 1e-9


#: Our name of a part of LorentzNet, the original's.
LORENTZ = {"embedding": "embedding", "convs": "LGEBs", "edge_input": "phi_e.0", "edge_norm": "phi_e.1",
           "edge_output": "phi_e.3", "gate": "phi_m.0", "node_mlp": "phi_h", "shift_mlp": "phi_x"}  # fmt: skip


def lorentz_names(model):
    """A state dict of ours under the original's names."""
    found = {}
    for name, value in model.state_dict().items():
        parts = [LORENTZ.get(part, part) for part in name.split(".")[1:]]
        if parts[0] == "classifier":
            parts = ["graph_dec", {"0": "0", "2": "3", "3": "3"}[parts[1]], *parts[2:]]
        found[".".join(parts)] = value
    return found


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({"beams": True, "masses": "absolute", "dropout": 0.0}, {"n_scalar": 2, "dropout": 0.0}),
        ({"masses": "none", "extra_scalars": 8, "step": 1e-3, "num_classes": 3},
         {"n_scalar": 8, "c_weight": 1e-3, "n_class": 3}),
    ],
)  # fmt: skip
@torch.no_grad()
def test_lorentz_net_of_other_sizes(options, config, generator):
    model = LorentzNet(hidden=5, layers=2, clamp=100.0, **options).double().eval()
    model.unit = "GeV"
    loaded = load_lorentz_net(lorentz_names(model), {"n_hidden": 5, "n_layers": 2, **config})
    batch = JetData(pos=jet(generator), x=torch.rand(6, 8, generator=generator))
    assert torch.equal(loaded(batch), model(batch))


def weaver_names(model):
    """A ParticleNet or PFN of ours under weaver's names, linear layers as convolutions."""
    found = {}
    for name, value in model.state_dict().items():
        part, *rest = name.split(".")
        linear = [str(i) for i, layer in enumerate(getattr(model, part)) if hasattr(layer, "in_features")] if (
            part in ("classifier", "jet_layers")) else []  # fmt: skip
        if linear:
            number = linear.index(rest[0])
            found[".".join([f"fc.{number}"] + ["0"] * (number < len(linear) - 1) + rest[1:])] = value
        elif part == "particle_layers":
            found[f"phi.{rest[0]}.0.{rest[1]}"] = value[..., None] if rest[1] == "weight" else value
        else:
            key = ".".join([{"norm": "bn_fts", "convs": "edge_convs", "fusion": "fusion_block"}[part], *rest])
            for ours, theirs in ((".layers.", ".convs."), (".norms.", ".bns."), (".shortcut.0.", ".sc."),
                                 (".shortcut.1.", ".sc_bn.")):  # fmt: skip
                key = key.replace(ours, theirs)
            trailing = (1, 1) if ".convs." in key else (1,)
            found[key] = value.reshape(*value.shape, *trailing) if value.dim() == 2 else value
    return found


@torch.no_grad()
def test_weaver_of_other_sizes(generator):
    batch = JetData(pos=jet(generator, 9))
    config = {"conv_params": [[3, [4, 5]], [2, [5]]], "fc_params": [[6, 0.3], [7, 0.3]], "num_classes": 4}
    config |= {"input_dims": 4, "use_fusion": True, "use_fts_bn": False}
    model = ParticleNet(4, "logarithmic", (3, 2), ((4, 5), (5,)), (6, 7), 0.3, False, True).double().eval()
    model.unit = "GeV"
    state = {f"mod.{key}": value for key, value in weaver_names(model).items()}
    assert torch.equal(load_particle_net(state, config)(batch), model(batch))
    config = {"Phi_sizes": [4], "F_sizes": [5, 6], "input_dims": 3}
    model = PFN(2, "energy_flow", (4,), (5, 6)).double().eval()
    model.unit = "GeV"
    assert torch.equal(load_pfn(weaver_names(model), config)(batch), model(batch))


def lorentz_case():
    torch.manual_seed(0)
    model = LorentzNet(hidden=4, layers=1, beams=True)
    return lorentz_names(model), {"n_hidden": 4, "n_layers": 1, "n_scalar": 2}


@pytest.mark.parametrize(
    ("load", "config", "message"),
    [
        (load_lgn, {}, "argument 'num_channels' is missing"),
        (load_lgn, {"num_channels": 3}, "must be a list"),
        (load_lgn, {**SMALL, "maxdim": [3, 2]}, "only one 'maxdim'"),
        (load_lgn, {**SMALL, "top": "pmlp"}, "only top = linear"),
        (load_lgn, {**SMALL, "beam_mass": 2.0}, "only beam_mass = 1"),
        (load_lgn, {**SMALL, "activation": "swish"}, "'activation' is 'swish'"),
        (load_lgn, {**SMALL, "pmu_in": True, "max_zf": 2}, "pmu_in with max_zf = 2"),
        (load_lgn, SMALL, "the original LGN state dict has no key"),
        (load_lorentz_net, {"n_scalar": 1, "add_beams": True}, "two scalars at least"),
        (load_lorentz_net, {"c_weight": "x"}, "'c_weight' must be a number"),
        (load_lorentz_net, {}, "the original LorentzNet state dict has no key"),
        (load_particle_net, {"fc_params": []}, "argument 'conv_params' is missing"),
        (load_particle_net, {"conv_params": [3], "fc_params": []}, "must be a list of pairs"),
        (load_particle_net, {"conv_params": [[3, [4]]], "fc_params": [[3, 0.1], [3, 0.2]]}, "several dropouts"),
        (load_particle_net, {"conv_params": [[3, [4]]], "fc_params": [], "input_dims": 5}, "'input_dims' is 5"),
        (load_pfn, {"Phi_sizes": [3], "F_sizes": [3], "use_bn": True}, "only use_bn = False"),
        (load_pfn, {"Phi_sizes": "3", "F_sizes": [3]}, "must be a list of widths"),
        (load_pfn, {"Phi_sizes": [3], "F_sizes": [3]}, "the original PFN state dict has no key"),
    ],
)
def test_what_does_not_fit_is_named(load, config, message):
    with pytest.raises(ValueError, match=message):
        load({}, config)


@pytest.mark.parametrize("change", ["misshapen", "unknown", "not finite"])
def test_wrong_weights_are_named(change):
    state, config = lorentz_case()
    key = "LGEBs.0.phi_e.0.weight"
    if change == "unknown":
        key = "LGEBs.7.phi_e.0.weight"
    state[key] = torch.zeros(4, 3) if change == "misshapen" else torch.full((4, 10), torch.nan)
    with pytest.raises(ValueError, match=re.escape(key)):
        load_lorentz_net(state, config)


@pytest.fixture
def files(tmp_path):
    state, config = lorentz_case()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "best.pt")
    (tmp_path / "args.json").write_text(json.dumps(config))
    return tmp_path


def words(folder, *more):
    found = ["--weights", str(folder / "best.pt"), "--config", str(folder / "args.json")]
    return ["import", "--kind", "lorentz_net", *found, "--out", str(folder / "new.ckpt"), *more]


@pytest.mark.parametrize("unit", ["GeV", "TeV"])
@torch.no_grad()
def test_import_command(files, capsys, generator, unit):
    assert main(words(files, *(["--unit", unit] if unit != "GeV" else []))) == 0
    assert f"LorentzNet with 187 parameters, momenta in {unit}\n" in capsys.readouterr().out
    model, p4 = lgae_pyg.load_model(files / "new.ckpt"), jet(generator)
    expected = load_lorentz_net(*lorentz_case())(JetData(pos=p4))
    found = model(JetData(pos=p4 / {"GeV": 1, "TeV": 1000}[unit]))
    assert torch.allclose(found, expected, rtol=1e-9)


def test_classes_of_imported_weights_are_named(files, capsys):
    assert main(words(files, "--classes", "QCD,top")) == 0
    assert lgae_pyg.load_model(files / "new.ckpt").class_names == ("QCD", "top")
    assert main(words(files, "--classes", "QCD,top,W")) == 1
    assert "--classes QCD,top,W: give a tagger's, as many as it has logits" in capsys.readouterr().err


def test_import_errors(files, capsys):
    encoder = ["--encoder", str(files / "best.pt")]
    assert main(words(files, *encoder)) == 1
    assert "--kind lorentz_net is imported with --weights FILE" in capsys.readouterr().err
    assert main(["import", *encoder, "--config", str(files / "args.json"), "--out", str(files / "a")]) == 1
    assert "--kind lgae is imported with --encoder FILE and --decoder FILE" in capsys.readouterr().err
    (files / "args.json").write_text(json.dumps({"n_hidden": 4, "n_layers": 2, "n_scalar": 2}))
    assert main(words(files)) == 1
    error = capsys.readouterr().err
    assert "best.pt: the original LorentzNet state dict has no key 'LGEBs." in error and error.count("\n") == 1
    (files / "args.json").write_text(json.dumps({"n_hidden": "4"}))
    assert main(words(files)) == 1
    assert "args.json: the original's argument 'n_hidden'" in capsys.readouterr().err
