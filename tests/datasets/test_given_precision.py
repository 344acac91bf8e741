"""Momenta of single precision have no masses within their rounding, in whatever format they are kept."""

import h5py
import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

import lgae_pyg
from lgae_pyg.data import JetStore
from lgae_pyg.data.jet import given_precision
from lgae_pyg.datasets import JetFiles, from_arrays
from lgae_pyg.datasets.momenta import as_precise
from lgae_pyg.models import LGNClassifier, LorentzNet, LorentzNetBase

JETS, PARTICLES = 40, 12


@pytest.fixture
def massless() -> tuple[np.ndarray, np.ndarray]:
    """Jets of collimated massless particles in GeV, exact in float64."""
    rng = np.random.default_rng(5)
    n = JETS * PARTICLES
    pt, eta, phi = 400 * rng.dirichlet(np.ones(PARTICLES), JETS).ravel(), *rng.normal(0, 0.2, (2, n))
    p4 = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], 1)
    p4 = p4.reshape(JETS, PARTICLES, 4)
    order = np.argsort(-np.hypot(p4[..., 1], p4[..., 2]), axis=1)
    return np.take_along_axis(p4, order[..., None], 1).reshape(-1, 4), np.arange(JETS + 1) * PARTICLES


def scores(model: torch.nn.Module, store: JetStore) -> torch.Tensor:
    with torch.no_grad():
        return model.double().eval()(store.to(torch.float64).in_unit("TeV").batch(range(JETS))).softmax(-1)


@pytest.mark.parametrize("kind", [LorentzNet, LorentzNetBase, LGNClassifier])
def test_single_precision_in_a_network_of_double_precision(massless, kind) -> None:
    p4, ptr = massless
    torch.manual_seed(1)
    model = kind()
    wanted = scores(model, from_arrays(p4, ptr, unit="GeV").store)
    single = from_arrays(p4.astype(np.float32), ptr, unit="GeV").store
    found = scores(model, single)
    assert single.given == torch.float32
    unknown = single.to(torch.float64).in_unit("TeV").batch(range(JETS))
    unknown.given = torch.float64  # as if the rounding of E meant something
    with torch.no_grad():
        misread = model(unknown).softmax(-1)
    assert (found - wanted).abs().max() < 0.1 * (misread - wanted).abs().max()


def test_the_precision_goes_with_the_jets(massless, tmp_path) -> None:
    p4, ptr = massless
    store = from_arrays(p4.astype(np.float32), ptr, unit="GeV").store
    double = store.to(torch.float64)
    assert double.select([3, 1]).given == double.in_unit("TeV").given == torch.float32
    gathered = double.gather([3, 1])
    assert gathered.particle_fields["pos"].dtype == torch.float64 and gathered.given == torch.float32
    gathered.save(tmp_path / "jets.safetensors")
    assert JetStore.load(tmp_path / "jets.safetensors").given == torch.float32
    batch = double.batch([0, 2])
    for jets in (double.jet(2), batch, batch.in_unit("TeV"), batch.clone()):
        assert jets.pos.dtype == torch.float64 and jets.given == torch.float32
    assert double.to(torch.float32).given == store.given == torch.float32
    assert from_arrays(p4, ptr, unit="GeV").store.given == torch.float64
    plain = Batch.from_data_list([store.jet(0)])
    assert given_precision(plain) == torch.float32


def test_files_that_hold_single_precision_in_wider_columns(massless, tmp_path) -> None:
    p4, ptr = massless
    found = {}
    for name, kind in {"single": "f4", "wide": "f8", "exact": "f8"}.items():
        values = p4 if name == "exact" else p4.astype("f4")
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["p4"], file["ptr"], file["label"] = values.astype(kind), ptr, np.arange(JETS) % 2
        found[name] = JetFiles(tmp_path / f"{name}.h5", unit="GeV")
    assert {name: jets.store.given for name, jets in found.items()} == {
        "single": torch.float32,
        "wide": torch.float32,
        "exact": torch.float64,
    }
    wide, single = (lgae_pyg.score("lorentz_net_tops", found[name])["score"] for name in ("wide", "single"))
    assert np.array_equal(wide, single)
    exact = lgae_pyg.score("lorentz_net_tops", found["exact"])["score"]
    assert np.abs(np.array(exact) - np.array(single)).max() < 0.02


def test_exact_numbers_stay_as_they_are() -> None:
    """Also where the energies alone are single precision: the other columns lose nothing."""
    whole = np.tile([5.0, 3.0, 0.0, 4.0], (100, 1))
    columns = dict(zip(("E", "px", "py", "pz"), whole.T))
    assert as_precise(whole, columns).dtype == np.float32
    assert as_precise(whole, {name: columns[name] for name in ("px", "py", "pz")}).dtype == np.float64
    for name in columns:
        for other in (columns[name] + np.arange(100) / 3, columns[name] + 1e300):
            assert as_precise(whole, columns | {name: other}) is whole
