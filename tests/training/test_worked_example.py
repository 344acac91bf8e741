"""The worked example of docs/extending.md: one's own network, trained on one's own file."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.core.global_hydra import GlobalHydra

from lgae_pyg.cli import main
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m
from lgae_pyg.metrics.roc import area_under_curve

DOCUMENT = Path(__file__).parents[2] / "docs" / "extending.md"


def block(name: str) -> str:
    """The lines of a file that the document shows."""
    return re.search(rf"```python\n# {name}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Jets of one prong and of two, of equal multiplicity and pT, in GeV; and the example's module."""
    rng = np.random.default_rng(0)
    jets, particles = 400, 12
    label = np.arange(jets) % 2
    prong = np.where(rng.random((jets, particles)) < 0.5, -0.2, 0.2) * label[:, None]
    angle = rng.uniform(0, np.pi, (jets, 1))
    eta = prong * np.cos(angle) + rng.normal(0, 0.08, (jets, particles))
    phi = prong * np.sin(angle) + rng.normal(0, 0.08, (jets, particles))
    pt = np.sort(rng.exponential(50, (jets, particles)))[:, ::-1] + 1
    p4 = from_pt_eta_phi_m(*(torch.from_numpy(one.reshape(-1).copy()) for one in (pt, eta, phi))).numpy()
    ptr = particles * np.arange(jets + 1)
    np.savez(tmp_path / "jets.npz", p4=p4, ptr=ptr, label=label, class_names=np.array(["one", "two"]), unit="GeV")
    (tmp_path / "mixed_tagger.py").write_text(block("mixed_tagger.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mixed_tagger", None)


def test_the_example_learns(folder):
    names: dict = {}
    exec(compile(block("tag.py"), "tag.py", "exec"), names)
    scores, labels = names["scores"].numpy(), names["labels"].numpy()
    assert len(scores) == 80
    assert area_under_curve(scores[labels == 0], scores[labels == 1]) > 0.9


def test_the_same_class_from_the_command_line(folder):
    GlobalHydra.instance().clear()
    words = ["model._target_=mixed_tagger.MixedTagger", "model.width=8", "data=files", "data.path=jets.npz"]
    words += ["trainer.max_epochs=1", "name=mine"]
    assert main(["train", *words, "logger.wandb=false", "trainer.progress=false"]) == 0
    config = yaml.safe_load((folder / "runs" / "mine" / "config.yaml").read_text())
    assert config["loss"]["names"] == ["cross_entropy"] and config["trainer"]["precision"] == "float32"
    assert config["model"] == {"_target_": "mixed_tagger.MixedTagger", "width": 8, "num_classes": 2}
    assert main(["evaluate", "runs/mine", "--studies", "tagging", "--quiet"]) == 0
