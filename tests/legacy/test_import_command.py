"""``lgae import``: from the original's files to a checkpoint that anybody can open."""

import json
import pickle

import lgn_reference as reference
import pytest
import torch

import lgae_pyg
from lgae_pyg.checkpoint import load_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetData
from lgae_pyg.legacy import load_lgn_autoencoder
from lgae_pyg.legacy.files import LOADERS

CONFIG = {
    "map_to_latent": "mix",
    "tau_latent_scalars": 2,
    "tau_latent_vectors": 3,
    "encoder_num_channels": [2, 3],
    "decoder_num_channels": [3, 2],
    "num_jet_particles": 4,
    "num_basis_fn": 2,
    "mlp_depth": 1,
    "mlp_width": 2,
    "scale": 2.0,
    "lr": 1e-3,
}


@pytest.fixture
def files(tmp_path):
    """The three files of an original training, and its states."""
    states = reference.random_states(CONFIG | {"num_particles": 4})
    states = [{key: torch.from_numpy(value) for key, value in state.items()} for state in states]
    for state, name in zip(states, ("encoder.pth", "decoder.pth")):
        torch.save(state, tmp_path / name)
    (tmp_path / "args.json").write_text(json.dumps(CONFIG))
    return tmp_path, states


def words(folder, *more):
    options = {"--encoder": "encoder.pth", "--decoder": "decoder.pth", "--config": "args.json"}
    found = [part for option, name in options.items() for part in (option, str(folder / name))]
    return ["import", *found, "--out", str(folder / "new" / "imported.ckpt"), *more]


def test_the_checkpoint_opens_and_gives_the_same_numbers(files, capsys):
    folder, states = files
    assert main(words(folder)) == 0
    said = capsys.readouterr()
    assert "imported.ckpt: LGAE with" in said.out and "momenta in TeV" in said.out and not said.err
    assert [path.name for path in (folder / "new").iterdir()] == ["imported.ckpt"]
    model = lgae_pyg.load_model(folder / "new" / "imported.ckpt")
    jet = JetData(pos=torch.rand(4, 4, dtype=torch.float64))
    expected = load_lgn_autoencoder(*states, CONFIG)
    with torch.no_grad():
        assert torch.equal(model(jet).p4, expected(jet).p4)
    checkpoint = load_checkpoint(folder / "new" / "imported.ckpt")
    assert checkpoint.unit == "TeV" and checkpoint.config["arguments"] == CONFIG


@pytest.mark.parametrize(
    "config, options, unit", [({"unit": "GeV"}, [], "GeV"), ({"unit": "GeV"}, ["--unit", "PeV"], "PeV")]
)
def test_unit(files, config, options, unit):
    folder, _ = files
    (folder / "args.json").write_text(json.dumps(CONFIG | config))
    assert main(words(folder, *options)) == 0
    assert load_checkpoint(folder / "new" / "imported.ckpt").unit == unit


def test_what_the_original_did_before_the_network_is_mentioned(files, capsys):
    folder, _ = files
    (folder / "args.json").write_text(json.dumps(CONFIG | {"normalize": True}))
    assert main(words(folder)) == 0
    assert "normalize" in capsys.readouterr().err


def without_a_key(folder):
    state = torch.load(folder / "decoder.pth", weights_only=True)
    del state["mix_to_output.weights.(1, 1)"]
    torch.save(state, folder / "decoder.pth")


def with_code(folder):
    with open(folder / "encoder.pth", "wb") as file:
        pickle.dump({"a": print}, file)


def truncated(folder):
    whole = (folder / "encoder.pth").read_bytes()
    (folder / "encoder.pth").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    "harm, parts",
    [
        (without_a_key, ["decoder.pth: ", "decoder state dict has no key 'mix_to_output.weights.(1, 1)'"]),
        (with_code, ["encoder.pth: ", "could run code"]),
        (truncated, ["encoder.pth: damaged"]),
        (lambda folder: torch.save([1], folder / "encoder.pth"), ["encoder.pth: holds a list"]),
        (lambda folder: (folder / "encoder.pth").unlink(), ["no such file", "encoder.pth"]),
        (lambda folder: (folder / "args.json").unlink(), ["no such file", "args.json"]),
        (lambda folder: (folder / "args.json").write_text("{"), ["args.json: no JSON"]),
        (lambda folder: (folder / "args.json").write_text("[]"), ["args.json: holds a list"]),
        (lambda folder: (folder / "args.json").write_text('{"map_to_latent": "mix"}'), ["args.json: ", "missing"]),
        (
            lambda folder: (folder / "args.json").write_text(json.dumps(CONFIG | {"unit": "MeV"})),
            ["args.json: 'unit' is 'MeV'"],
        ),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(files, capsys, harm, parts):
    folder, _ = files
    harm(folder)
    assert main(words(folder)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("lgae import: ")
    assert all(part in error for part in parts), error
    assert not (folder / "new" / "imported.ckpt").exists()


def test_the_other_kind_goes_to_its_own_loader(files, monkeypatch):
    folder, states = files
    seen = []

    def loader(encoder, decoder, config):
        seen.append((set(encoder), set(decoder), config))
        return load_lgn_autoencoder(*states, CONFIG)

    monkeypatch.setitem(LOADERS, "gnn", loader)
    assert main(words(folder, "--kind", "gnn")) == 0
    assert seen == [(set(states[0]), set(states[1]), CONFIG)]
