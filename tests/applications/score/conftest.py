"""Files of jets with bad ones among them, and models that score them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from score_jets import EMPTY, JETS, NAMES, NEGATIVE, NOT_FINITE, SLOTS

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.models import PFN, LinearAE


@pytest.fixture
def arrays(massless_jet, generator) -> SimpleNamespace:
    """Jets of 1 to 12 particles in GeV and single precision, not all sorted by pT, three of them bad."""
    sizes = torch.randint(1, 13, (JETS,), generator=generator).tolist()
    sizes[EMPTY] = 0
    p4 = [massless_jet(max(size, 1), generator)[:size] * 1000 for size in sizes]
    p4[7], p4[8] = p4[7].flip(0), p4[8].flip(0)
    p4[NOT_FINITE][0, 2] = np.nan
    p4[NEGATIVE][0, 0] *= -1
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    return SimpleNamespace(p4=torch.cat(p4).float().numpy(), ptr=ptr, label=np.arange(JETS) % 2)


@pytest.fixture
def file(tmp_path: Path, arrays) -> Path:
    """The jets in the neutral layout."""
    path = tmp_path / "jets.npz"
    np.savez(path, p4=arrays.p4, ptr=arrays.ptr, label=arrays.label, class_names=np.array(NAMES))
    return path


@pytest.fixture
def lists(tmp_path: Path, arrays) -> Path:
    """The jets in lists, in row groups that fit to nothing."""
    path, columns = tmp_path / "jets.parquet", {}
    for name, values in zip(("energy", "px", "py", "pz"), arrays.p4.T):
        columns[f"part_{name}"] = pa.array([values[a:b].tolist() for a, b in zip(arrays.ptr, arrays.ptr[1:])])
    kinds = {name: pa.list_(pa.float32()) for name in columns}
    columns |= {"label": pa.array(arrays.label)}
    schema = pa.schema([*kinds.items(), ("label", pa.int64())])
    parquet.write_table(pa.table(columns, schema), path, row_group_size=23)
    return path


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    """A tagger in TeV whose jets were cut to eight particles."""
    torch.manual_seed(3)
    model = PFN(2, particle_widths=[8, 8], jet_widths=[8])
    data = {"name": "JetFiles", "path": "gone.npz", "unit": "TeV", "num_particles": SLOTS}
    return save_checkpoint(tmp_path / "tagger.ckpt", model, unit="TeV", data=data, class_names=NAMES)


@pytest.fixture
def autoencoder(tmp_path: Path, massless_jet, generator) -> Path:
    """An autoencoder of eight particles in TeV that does not conserve momentum."""
    p4 = torch.cat([massless_jet(SLOTS, generator) for _ in range(50)])
    store = JetStore(torch.arange(0, 50 * SLOTS + 1, SLOTS), {"pos": p4}, meta={"unit": "TeV"})
    model = LinearAE(2, SLOTS).fit(JetLoader(store, 50))
    return save_checkpoint(tmp_path / "autoencoder.ckpt", model, unit="TeV")
