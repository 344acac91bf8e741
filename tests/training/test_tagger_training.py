"""Taggers trained from the command line, and the schedules of their originals."""

import csv

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from torch import nn

from lgae_pyg import load_model
from lgae_pyg.cli import main
from lgae_pyg.training.optimization import build_schedule

QUICK = ["data=jetnet", "data.classes=[g,q]", "data.num_particles=6", "logger.wandb=false"]
QUICK += ["trainer.progress=false"]
QUICK += ["trainer.max_epochs=2", "trainer.threads=1", "loader.batch_size=20", "trainer.precision=float32"]
TAGGERS = {
    "lorentz_net": ["model.hidden=8", "model.layers=2"],
    "lorentz_net_base": ["model.hidden=8", "model.layers=2", "model.pairs=mass"],
    "particle_net": ["model.channels=[[8],[8]]", "model.k=3", "model.hidden=[8]", "model.pairs=mass"],
    "particle_net_lite": ["model.friends=mass"],
    "pfn": ["model.friends=mass"],
    "lgn": ["model.channels=[2,2]", "model.num_bells=4"],
}


@pytest.mark.parametrize("name", TAGGERS)
def test_from_the_command_line(name, jet_files, tmp_path):
    GlobalHydra.instance().clear()
    words = [f"model={name}", f"data.root={jet_files}", f"runs={tmp_path}", "name=here", *QUICK, *TAGGERS[name]]
    assert main(["train", *words]) == 0
    with open(tmp_path / "here" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 2 and 0 <= float(rows[-1]["val/auc"]) <= 1
    model = load_model(tmp_path / "here")
    assert model.unit == "TeV" and model.dtype == torch.float32 and model.momentum_scale == 1000 * model.scale
    assert main(["evaluate", str(tmp_path / "here"), "--studies", "tagging"]) == 0


def rates(config, epochs, steps=2):
    """Learning rates at the begin of each epoch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule, found = build_schedule(optimizer, config, steps, epochs), []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        for _ in range(steps):
            optimizer.step()
            schedule.step()
    return found


def test_schedule_of_lorentz_net():
    found = rates({"name": "cosine_restarts", "warmup_epochs": 5, "epochs": 4, "restarts": 2}, 35)
    assert found[:9] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 8.5355e-4, 5e-4, 1.4645e-4, 1e-3], rel=1e-4)
    assert [found[15], found[16], *found[31:]] == pytest.approx(
        [3.806e-5, 1e-3, 9.607e-6, 4.804e-6, 2.402e-6, 1.201e-6], rel=1e-3
    )


def test_flat_and_falling_schedule():
    found = rates({"name": "flat_decay"}, 20)
    assert found[:15] == pytest.approx(15 * [1e-3])
    assert [one / other for one, other in zip(found[15:], found[14:])] == pytest.approx(5 * [0.01 ** (1 / 6)])
    with pytest.raises(ValueError, match="does not know restarts"):
        rates({"name": "flat_decay", "restarts": 2}, 2)


def test_one_cycle_spans_the_training():
    found = rates({"name": "one_cycle", "max_lr": 1e-2, "cycle_momentum": False}, 10)
    assert max(found) > 9e-3 and found[-1] < 1e-3
