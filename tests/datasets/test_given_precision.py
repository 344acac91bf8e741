"""Momenta of single precision have no masses within their rounding, in whatever format they are kept."""

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

import lgae_pyg
from lgae_pyg.data import JetStore, transform_jets
from lgae_pyg.data.rounding import FORMATS, coarser, format_of, given_precision, moved_rounding, rounding_at_rest
from lgae_pyg.datasets import JetFiles, from_arrays
from lgae_pyg.datasets.momenta import as_precise
from lgae_pyg.lorentz import boost, rotation
from lgae_pyg.lorentz.kinematics import minkowski_dot
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


@pytest.fixture
def pions(massless) -> JetStore:
    """Jets whose particles are photons and pions, in single precision."""
    p4, ptr = massless
    mass = np.where(np.arange(len(p4)) % 3, 0.13957, 0.0)
    p4 = np.column_stack([np.hypot(p4[:, 0], mass), p4[:, 1:]])
    return from_arrays(p4.astype(np.float32), ptr, unit="GeV").store.in_unit("TeV")


@pytest.mark.parametrize("kind", [LorentzNet, LGNClassifier])
@torch.no_grad()
def test_moved_jets_have_the_masses_that_were_told_where_they_were_given(pions, kind) -> None:
    torch.manual_seed(1)
    model = kind(beams=False).double().eval()
    jets = pions.to(torch.float64).batch(range(JETS))
    logits = model(jets)
    for transform in (boost(3.0, "z"), boost(-2.0, "x") @ rotation(1.0, "y"), boost(2.0, "y") @ boost(2.0, "x")):
        moved = transform_jets(jets, transform)
        assert torch.allclose(model(moved), logits, rtol=1e-6, atol=1e-6)
        assert torch.allclose(model(transform_jets(moved, torch.linalg.inv(transform))), logits, atol=1e-6)
    moved = transform_jets(jets, boost(3.0, "z"))  # in which all energies are larger
    del moved.rounding
    moved._given = torch.float32  # as if they had been given there
    assert (model(moved) - logits).abs().max() > 1e-5
    each = torch.stack([boost(0.1 * number, "x") for number in range(JETS)])
    assert torch.allclose(model(transform_jets(jets, each)), logits, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_jets_batched_by_pyg_are_those_of_the_store(pions) -> None:
    torch.manual_seed(1)
    model = LorentzNet().double().eval()
    double = pions.to(torch.float64)
    whole = double.batch(range(JETS))
    listed = Batch.from_data_list([double.jet(number) for number in range(JETS)])
    late = Batch.from_data_list([pions.jet(number) for number in range(JETS)])
    late.pos = late.pos.double()
    apart = Batch.from_data_list(whole.to_data_list())
    (loaded,) = DataLoader([double.jet(number) for number in range(JETS)], batch_size=JETS)
    for batch in (listed, late, apart, loaded):
        assert batch.given == torch.float32 and torch.equal(batch.rounding, whole.rounding)
        assert torch.equal(model(batch), model(whole))


def test_a_store_of_moved_jets_knows_their_frame(pions, tmp_path) -> None:
    jets = [transform_jets(pions.to(torch.float64).jet(number), boost(1.0, "z")) for number in range(3)]
    JetStore.from_jets(jets).save(tmp_path / "moved.safetensors")
    store = JetStore.load(tmp_path / "moved.safetensors")
    assert store.given == store.batch([0, 2]).given == torch.float32
    assert torch.equal(store.batch([2]).rounding, jets[2].rounding) and jets[2].rounding[0, 1] > 1.5
    again = JetStore.from_jets([pions.to(torch.float64).jet(0)])
    assert "rounding" not in again.jet_fields and again.given == torch.float32


@given(st.sampled_from(FORMATS), st.sampled_from(FORMATS), st.floats(-5, 5), st.sampled_from("xyz"))
def test_the_field_rounding(one: torch.dtype, other: torch.dtype, rapidity: float, axis: str) -> None:
    field = torch.cat([rounding_at_rest(one, 2), rounding_at_rest(other, 1)])
    transform = boost(rapidity, axis)
    moved = moved_rounding(field, transform)
    assert format_of(moved) == coarser(one, other) and format_of(field[:2]) == one
    p4 = torch.tensor([5.0, 1.0, 2.0, 3.0]).double()
    assert torch.allclose(minkowski_dot(transform @ p4, moved[:, 1:]), p4[0], rtol=1e-10)
    assert len(rounding_at_rest(one, 0)) == 0 and format_of(field[:0]) == torch.float64


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
