"""A model is shown jets of files that it was not trained on: by class, by file, and with what is missing said."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.subject import LeftOut, Subject
from lgae_pyg.models import LinearAE

PARTICLES, JETS = 8, 45


@pytest.fixture
def file(tmp_path: Path, massless_jet, generator) -> Path:
    """Jets of two classes in GeV and single precision, with up to 11 particles, one after another."""
    return write(tmp_path / "jets.npz", massless_jet, generator, ["QCD", "top"])


def write(path: Path, massless_jet, generator, names) -> Path:
    sizes = [3 + number % 9 for number in range(JETS)]
    p4 = torch.cat([massless_jet(size, generator) for size in sizes]) * 1000
    label = np.arange(JETS) % len(names)
    ptr = np.cumsum([0, *sizes])
    np.savez(path, p4=p4.float().numpy(), ptr=ptr, label=label, class_names=np.array(names))
    return path


@pytest.fixture
def checkpoint(tmp_path: Path, massless_jet, generator) -> Path:
    """A model of eight particles in TeV whose checkpoint does not say what it was trained on."""
    p4 = torch.cat([massless_jet(PARTICLES, generator) for _ in range(50)])
    store = JetStore(torch.arange(0, 401, PARTICLES), {"pos": p4}, meta={"unit": "TeV"})
    model = LinearAE(2, PARTICLES).fit(JetLoader(store, 50))
    return save_checkpoint(tmp_path / "hand_made.ckpt", model, unit="TeV")


def evaluate(checkpoint: Path, file: Path, *more: str) -> int:
    words = ["evaluate", str(checkpoint), "--data", str(file), "--quiet", "--resamples", "5", "--scan-jets", "4"]
    return main([*words, "--out", str(checkpoint.parent / "out"), *more])


def test_the_studies_of_a_hand_made_checkpoint_on_a_file(checkpoint: Path, file: Path, capsys) -> None:
    studies = ("reconstruction", "anomaly", "symmetry", "latent")
    assert evaluate(checkpoint, file, "--signals", "top", "--studies", ",".join(studies)) == 0
    printed = capsys.readouterr()
    assert "jets cut" in printed.err  # to the places that the model has
    results = {name: Results.load(checkpoint.parent / "out" / name) for name in studies}
    assert f"{JETS} jets, up to {PARTICLES} particles" in results["reconstruction"].description["caption"]
    assert any("no linear baseline" in note for note in results["reconstruction"].description["notes"])
    about = results["anomaly"].description
    assert (about["background"], about["signals"]) == ("QCD", ["top"])
    assert about["jets"] == {"QCD": 23, "top": 22}
    assert any("no linear baseline" in note for note in about["notes"])
    assert set(results["anomaly"].arrays["top/class"]) == {"top"}
    assert results["anomaly"].arrays["top/jet_id"].tolist() == list(range(1, JETS, 2))
    assert any("No probes" in note for note in results["latent"].description["notes"])


def test_momenta_reach_the_model_in_its_unit(checkpoint: Path, file: Path) -> None:
    store = Subject.load(checkpoint, jets=file).background().store
    with np.load(file) as raw:
        wanted = np.concatenate([raw["p4"][first:][:1] for first in raw["ptr"][:-1]]) / 1000
    assert store.unit == "TeV" and store.max_particles == PARTICLES
    leading = torch.stack([jet.pos[0] for jet in map(store.jet, range(JETS))])
    np.testing.assert_allclose(leading, wanted, rtol=1e-6)


def test_signals_by_name_and_by_file(checkpoint: Path, file: Path, tmp_path, massless_jet, generator) -> None:
    other = write(tmp_path / "exotic.npz", massless_jet, generator, ["X"])
    subject = Subject.load(checkpoint, jets=file)
    background, signals = subject.contrast(["QCD"])
    assert background.name == "top" and [one.name for one in signals] == ["QCD"]
    background, signals = subject.contrast([str(other)])
    assert len(background) == JETS and [(one.name, len(one)) for one in signals] == [("exotic", JETS)]
    background, signals = subject.contrast(["top", str(other)])
    assert background.name == "QCD" and [one.name for one in signals] == ["top", "exotic"]
    with pytest.raises(ValueError, match=r"'tops'.*top"):
        subject.contrast(["tops"])


def test_what_is_anomalous_is_not_guessed(checkpoint: Path, tmp_path, massless_jet, generator) -> None:
    unknown = write(tmp_path / "unknown.npz", massless_jet, generator, ["a", "b"])
    with pytest.raises(LeftOut, match=r"a, b.*--signals"):
        Subject.load(checkpoint, jets=unknown).contrast()


def test_a_path_that_is_not_there_is_named(checkpoint: Path, tmp_path: Path, capsys) -> None:
    assert evaluate(checkpoint, tmp_path / "no.npz") == 1
    assert f"there is no data folder {tmp_path / 'no.npz'}, and no such file" in capsys.readouterr().err
