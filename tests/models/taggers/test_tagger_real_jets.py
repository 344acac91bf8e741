"""The released LorentzNet on real top-tagging jets: units, order, scaling and class order are right end to end."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tagger_cases import read_recorded

from lgae_pyg.data import JetData
from lgae_pyg.legacy import load_lorentz_net
from lgae_pyg.metrics.roc import area_under_curve

FOLDER = os.environ.get("LGAE_PYG_REAL_JETS", "")


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER, reason="LGAE_PYG_REAL_JETS names no folder of real jets")
@pytest.mark.parametrize("clamp", [100.0, False])
@torch.no_grad()
def test_released_weights_tag_real_tops(clamp):
    """Published on 404,000 jets: accuracy 0.9425, AUC 0.98700; their errors on 1,400 are 0.006 and 0.003."""
    with np.load(Path(FOLDER) / "toptagging_1400.npz", allow_pickle=False) as file:
        p4, ptr, y = (torch.from_numpy(file[key]) for key in ("p4", "ptr", "label"))
    state, config, _ = read_recorded("lorentznet_top_pretrained")
    model, scores = load_lorentz_net(state, {**config, "clamp": clamp}), []
    for first in range(0, len(y), 50):
        part = ptr[first : first + 51].long()
        jets = JetData(pos=p4[part[0] : part[-1]].double(), ptr=part - part[0])
        scores.append(model.scores(jets)[:, 1])
    scores, y = torch.cat(scores).numpy(), y.numpy()
    accuracy = ((scores > 0.5) == y).mean()
    area = area_under_curve(scores[y == 0], scores[y == 1])
    print(f"clamp {clamp}: accuracy {accuracy:.4f}, AUC {area:.4f}")
    assert accuracy == pytest.approx(0.9425, abs=0.015)
    assert area == pytest.approx(0.9870, abs=0.008)
