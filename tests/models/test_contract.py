"""What the contract of models promises: arguments are recorded, own classes come back, nothing else is saved."""

import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils.prune import l1_unstructured as prune_weights

from lgae_pyg import load_model
from lgae_pyg.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from lgae_pyg.models import (
    CNNAE,
    GNNAE,
    LGAE,
    Autoencoder,
    ClusterAE,
    LinearAE,
    Reconstruction,
    ShellLGAE,
    Tagger,
    build_model,
    check_config,
    contract_of,
)

SMALL = {"num_bells": 3, "mlp_depth": 1, "encoder_channels": (2, 2), "decoder_channels": (2, 2)}
MODELS = {
    "LGAE": lambda: LGAE("min&max", 30, 2, **SMALL),
    "ShellLGAE": lambda: ShellLGAE(order="rest_energy", latent_vectors=3, **SMALL),
    "ClusterAE": lambda: ClusterAE(latent_vectors=3),
    "LinearAE": lambda: LinearAE(3, conserve_momentum=True),
    "GNNAE": lambda: GNNAE("particle", 3, scale=2),
    "CNNAE": lambda: CNNAE(5, pixels=8, channels=4),
}


class Scaled(LGAE):
    """A subclass with an argument of its own, and another output."""

    def __init__(self, factor: float = 2.0, **options):
        super().__init__(**options)
        self.factor = factor

    def forward(self, batch):
        result = super().forward(batch)
        return Reconstruction(self.factor * result.p4, result.ptr, result.latent)


class Halves(Autoencoder):
    """As little as a model of one's own needs."""

    def __init__(self, width: int, bias: bool = True):
        super().__init__()
        self.linear = nn.Linear(4, 4, bias=bias)
        self.width = width

    def forward(self, batch):
        return Reconstruction(self.linear(batch.pos), batch.ptr)


class Counting(Tagger):
    """Logits of the number of particles."""

    def forward(self, batch):
        sizes = batch.ptr.diff().double()
        return torch.stack([-sizes, sizes], -1)


@pytest.mark.parametrize("name", MODELS)
def test_recorded_arguments_make_the_same_model(name):
    model = MODELS[name]()
    assert model.config["name"] == name and model.task == "reconstruction"
    assert list(build_model(model.config).state_dict()) == list(model.state_dict())
    assert build_model(model.config).config == model.config == copy.deepcopy(model).config
    check_config(model)


@pytest.mark.parametrize(
    ("model", "label"),
    [
        (LGAE("mix", conserve_momentum=True), "LGAE mix τ=9, P conserved"),
        (LGAE("min&max"), "LGAE min&max τ=4"),
        (ShellLGAE("rest_energy"), "ShellLGAE by rest energy τ=9"),
        (ClusterAE(), "ClusterAE τ=9"),
        (LinearAE(4), "LinearAE τ=4"),
        (GNNAE("particle"), "GNNAE-PL 2×30"),
        (CNNAE(), "CNNAE L=55"),
    ],
)
def test_labels(model, label):
    assert model.label == label


@pytest.mark.parametrize("make", [lambda: Scaled(3.0, latent_vectors=2, **SMALL), lambda: Halves(7, bias=False)])
def test_classes_of_ones_own_come_back_as_they_were(make, tmp_path, jets):
    model = make().double().eval()
    again = load_model(save_checkpoint(tmp_path / "own.ckpt", model, unit="GeV"))
    assert type(again) is type(model) and again.unit == "GeV"
    assert again.config == model.config and "_target_" in again.config
    with torch.no_grad():
        assert torch.equal(again(jets).p4, model(jets).p4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_models_of_either_precision_are_saved(name, dtype, tmp_path):
    model = MODELS[name]().to(dtype)
    again = load_model(save_checkpoint(tmp_path / "a.ckpt", model))
    assert all(tensor.dtype == dtype for tensor in again.state_dict().values() if tensor.is_floating_point())


def change_activation(model):
    model.encoder.stack.convs[0].mlp.layers[1] = nn.Tanh()


def change_slope(model):
    model.encoder.stack.convs[0].mlp.layers[1].negative_slope = 0.5


def change_scale(model):
    model.scale = 3.0


def change_forward(model):
    model.decoder.forward = lambda *arguments: arguments[0]


def add_layer(model):
    model.encoder.add_module("more", nn.Dropout())


def prune(model):
    prune_weights(model.encoder.stack.convs[0].mlp.layers[0], "weight", 0.5)


CHANGES = [change_activation, change_slope, change_scale, change_forward, add_layer, prune]


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_configuration_does_not_make_is_not_saved(change, tmp_path):
    model = LGAE(latent_vectors=2, **SMALL)
    change(model)
    with pytest.raises(CheckpointError, match=r"LGAE cannot be saved: .*argument of the constructor"):
        save_checkpoint(tmp_path / "changed.ckpt", model)
    assert not (tmp_path / "changed.ckpt").exists()


def test_local_subclass_is_not_saved_as_its_parent(tmp_path):
    class Local(LGAE):
        pass

    with pytest.raises(CheckpointError, match="Local"):
        save_checkpoint(tmp_path / "local.ckpt", Local(latent_vectors=2, **SMALL))


def test_hooks_are_said_not_to_be_saved(tmp_path):
    model = LinearAE(2).double()
    model.register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="forward hooks"):
        save_checkpoint(tmp_path / "hooked.ckpt", model)


def test_checking_draws_no_random_numbers():
    model = CNNAE(5, pixels=8, channels=4)
    before = torch.get_rng_state()
    check_config(model)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_wrappers_are_taken_off(wrap, tmp_path):
    model = Halves(1)
    again = load_model(save_checkpoint(tmp_path / "wrapped.ckpt", wrap(model)))
    assert torch.equal(again.linear.weight, model.linear.weight)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os.system", "module of Python itself"),
        ("lgae_pyg.models.lgae.Sequence", "does not derive from lgae_pyg.models.base.Model"),
        ("torch.nn.Linear", "does not derive"),
        ("no_such_package.Net", "cannot be imported"),
        ("../evil.Net", "give the class as"),
        ("Net", "give the class as"),
    ],
)
def test_only_models_are_built_by_where_they_are_defined(target, message):
    with pytest.raises(ValueError, match=message):
        build_model({"_target_": target})


def test_a_checkpoint_imports_nothing_of_python_itself(tmp_path):
    path = save_checkpoint(tmp_path / "a.ckpt", Halves(1))
    content = torch.load(path, weights_only=True)
    content["lgae_pyg"]["model"] = {"_target_": "antigravity.Model"}
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="module of Python itself"):
        load_model(path)
    assert "antigravity" not in sys.modules


def test_arguments_of_wrong_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean latent_vectors"):
        build_model({"name": "LGAE", "latent_vektors": 2})
    with pytest.raises(ValueError, match="did you mean ShellLGAE"):
        build_model({"name": "ShelLGAE"})
    with pytest.raises(ValueError, match="cannot be built"):
        build_model({"_target_": f"{__name__}.Halves"})


def test_foreign_modules_have_defaults():
    class Foreign(nn.Module):
        permutation_invariant = False

    facts = contract_of(Foreign())
    assert (facts.task, facts.label, facts.latent_size, facts.unit) == ("reconstruction", "Foreign", 0, "TeV")
    assert facts.permutation_invariant is False and facts.output_kind == "particles"


def test_tagger_scores(jets):
    scores = Counting().scores(jets)
    assert torch.allclose(scores.sum(-1), torch.ones(len(scores), dtype=torch.float64))
    assert Counting().task == "classification"


def test_three_bytes_are_a_damaged_file_and_a_missing_gpu_is_not(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "a.ckpt", Halves(1))
    (tmp_path / "short.ckpt").write_bytes(path.read_bytes()[:3])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load_model(tmp_path / "short.ckpt")
    if not torch.cuda.is_available():
        with pytest.raises(CheckpointError, match="whole, but cannot be loaded to 'cuda'"):
            load_model(path, map_location="cuda")

    def locked(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(torch, "load", locked)
    with pytest.raises(BlockingIOError):
        load_model(path)


def test_unit_of_the_model_is_that_of_the_checkpoint(tmp_path):
    model = Halves(1)
    model.unit = "GeV"
    assert load_checkpoint(save_checkpoint(tmp_path / "a.ckpt", model)).unit == "GeV"
