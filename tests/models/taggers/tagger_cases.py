"""What the tests of taggers share: recorded numbers, jets, the models by name."""

import importlib.util
import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz.kinematics import massless
from lgae_pyg.models import (
    PFN,
    LGATrSlim,
    LGNClassifier,
    LLoCaTransformer,
    LorentzNet,
    LorentzNetBase,
    ParticleNet,
    ParticleNetLite,
    ParticleTransformer,
    Pelican,
)

RECORDED = Path(__file__).parents[2] / "parity"
SMALL = ((8, 8), (16, 16))

#: Small models of every kind, each with its options.
MODELS = {
    "LorentzNet": lambda: LorentzNet(hidden=8, layers=3, step=0.1),
    "LorentzNet, beams": lambda: LorentzNet(hidden=8, layers=3, beams=True, time_direction=True),
    "LorentzNetBase": lambda: LorentzNetBase(hidden=8, layers=2),
    "LorentzNetBase, pairs": lambda: LorentzNetBase(hidden=8, layers=2, pairs="mass"),
    "LorentzNetBase, friends": lambda: LorentzNetBase(hidden=8, layers=2, friends="mass", num_friends=4),
    "ParticleNet": lambda: ParticleNet(k=4, channels=SMALL, hidden=(8,), fusion=True),
    "ParticleNet, pairs": lambda: ParticleNet(k=4, channels=SMALL, hidden=(8,), pairs="delta_r_pt"),
    "ParticleNet, friends": lambda: ParticleNet(k=4, channels=SMALL, hidden=(8,), friends="energy", num_friends=4),
    "ParticleNetLite": lambda: ParticleNetLite(),
    "PFN": lambda: PFN(particle_widths=(8, 8), jet_widths=(8,)),
    "PFN, friends": lambda: PFN(particle_widths=(8, 8), jet_widths=(8,), friends="mass", num_friends=4),
    "LGNClassifier": lambda: LGNClassifier(channels=(2, 3, 2), num_bells=4),
    "LGNClassifier, beams": lambda: LGNClassifier(channels=(2, 2), num_bells=4, beams=True, activation="bell"),
}
if importlib.util.find_spec("lgatr"):
    MODELS["LGATrSlim"] = lambda: LGATrSlim(blocks=2, vectors=8, scalars=8, heads=2)
    MODELS["LGATrSlim, beams"] = lambda: LGATrSlim(blocks=2, vectors=8, scalars=8, heads=2, beams=True)
if importlib.util.find_spec("lloca"):
    MODELS["LLoCaTransformer"] = lambda: LLoCaTransformer(blocks=2, heads=2, hidden=8)
    MODELS["LLoCaTransformer, beams"] = lambda: LLoCaTransformer(blocks=2, heads=2, hidden=8, beams=True)
    small = {"blocks": 2, "class_blocks": 1, "heads": 2, "head_width": 4, "pair_widths": (4,)}
    MODELS["ParticleTransformer"] = lambda: ParticleTransformer(**small)
if importlib.util.find_spec("pelican"):
    MODELS["Pelican"] = lambda: Pelican(blocks=2, hidden=4)
    MODELS["Pelican, beams"] = lambda: Pelican(blocks=2, hidden=4, beams=True, time_direction=True)


def model_of(name: str) -> nn.Module:
    """A model of that name, float64, in evaluation mode, with statistics of some jets."""
    torch.manual_seed(1)
    model = MODELS[name]().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def read_recorded(name: str) -> tuple[dict[str, Tensor], dict, dict[str, Tensor]]:
    """State dict, arguments and arrays of a file here or in the folder ``LGAE_PYG_PARITY``.

    LorentzNet's released weights carry no licence, so that their file is not part of this repository.
    """
    folders = [RECORDED, *map(Path, filter(None, [os.environ.get("LGAE_PYG_PARITY")]))]
    found = [path for folder in folders if (path := folder / f"{name}.npz").is_file()]
    if not found:
        pytest.skip(f"{name}.npz is not here: name its folder in LGAE_PYG_PARITY")
    with np.load(found[0], allow_pickle=False) as file:
        config = json.loads(str(file["config"]))
        arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "config"}
    state = {key.removeprefix("weights/"): value for key, value in arrays.items() if key.startswith("weights/")}
    return state, config, arrays


def batch_of(p4: Tensor, ptr: Tensor) -> Batch:
    """Jets of flat arrays as a PyG batch."""
    return Batch.from_data_list([JetData(pos=p4[a:b]) for a, b in pairwise(ptr)])


def massive(p4: Tensor, m: float = 1.4e-4) -> Tensor:
    """The momenta with the mass of charged pions, in TeV."""
    p = massless(p4)
    return torch.cat([(p[:, :1].square() + m**2).sqrt(), p[:, 1:]], -1)


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())
