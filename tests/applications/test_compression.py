"""Compressed jets: no particle moves by more than the bound, and nothing else changes."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_jets import particles_moved, some_jets, stores
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lgae_pyg
from lgae_pyg.applications.compression import CompressedJets, arithmetic, writing
from lgae_pyg.applications.compression.quantise import Bounds, Grid, Integers, quantise, restore
from lgae_pyg.data import JetStore

pytest.importorskip("constriction")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(store=stores(), pt=st.sampled_from([1e-3, 0.01, 0.3]), angle=st.sampled_from([0.05, 1.0, 100.0]))
def test_every_particle_is_within_the_bound(store: JetStore, pt: float, angle: float, tmp_path: Path) -> None:
    """Massive particles, twelve decades of pT, along the beam, at rest, below the mass shell, empty jets."""
    lgae_pyg.compress(store, tmp_path / "jets.lgj", pt=pt, angle=angle)
    back = lgae_pyg.decompress(tmp_path / "jets.lgj")
    moved = particles_moved(store, back, pt, angle)
    assert moved["pt"].max(initial=0) <= pt
    assert moved["eta"].max(initial=0) <= angle and moved["phi"].max(initial=0) <= angle
    assert moved["energy"].max(initial=0) <= 1.6 * (pt + 1e-3 * angle)  # follows from the others
    if "x" in store.particle_fields:
        features = store.particle_fields["x"][torch.from_numpy(moved["order"])]
        assert sorted(features.flatten().tolist()) == sorted(back.particle_fields["x"].flatten().tolist())
    for name, values in store.jet_fields.items():
        assert torch.equal(values, back.jet_fields[name]) and values.dtype == back.jet_fields[name].dtype
    assert back.meta == store.meta and back.particle_fields["pos"].dtype == store.particle_fields["pos"].dtype


@pytest.mark.parametrize("sizes", [(1, 1), (200, 200), (1, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_jets_of_one_and_of_many_particles(sizes: tuple[int, int], dtype: type, tmp_path: Path) -> None:
    store = some_jets(30, sizes, dtype=dtype)
    account = lgae_pyg.compress(store, tmp_path / "jets.lgj", pt=0.01, angle=1)
    back = lgae_pyg.decompress(tmp_path / "jets.lgj")
    assert account.size == (tmp_path / "jets.lgj").stat().st_size == sum(account.parts.values())
    pos = back.particle_fields["pos"].double().numpy()
    pt, owner = np.hypot(pos[:, 1], pos[:, 2]), np.repeat(np.arange(30), back.sizes)
    assert (np.diff(pt)[np.diff(owner) == 0] <= 1e-15 * pt[1:][np.diff(owner) == 0]).all()  # falling pT
    moved = particles_moved(store, back, 0.01, 1)
    assert moved["pt"].max() <= 0.01 and max(moved["eta"].max(), moved["phi"].max()) <= 1
    assert max(moved["pt"].max() / 0.01, moved["eta"].max(), moved["phi"].max()) > 0.9  # and it uses what it may


def test_masses_come_back_within_the_bound() -> None:
    rng = np.random.default_rng(0)
    p = rng.normal(0, 5, (5000, 3))
    mass = rng.choice([0.000511, 0.1057, 0.13957, 0.938, 173.0], 5000)
    p4 = np.concatenate([np.sqrt((p**2).sum(1) + mass**2)[:, None], p], axis=1)
    bounds = Bounds(0.01, 1)
    integers, back = quantise(p4, bounds, Grid.of(bounds, p4.dtype))
    found = np.sqrt(np.maximum(back[:, 0] ** 2 - (back[:, 1:] ** 2).sum(1), 0))
    assert (integers.kind == 1).all() and np.abs(found / mass - 1)[mass > 0.01].max() <= 0.01 + 1e-6
    single, _ = quantise(p4.astype(np.float32), bounds, Grid.of(bounds, np.float32))
    assert (single.kind[mass == 0.000511] == 0).mean() > 0.99  # float32 does not resolve an electron's mass


def test_a_coarse_grid_would_be_noticed() -> None:
    """What is checked is what comes back: with steps that are too large particles are kept as they are."""
    p4 = some_jets(20).particle_fields["pos"].numpy()
    bounds, grid = Bounds(0.01, 1), Grid.of(Bounds(0.05, 1), np.float32)
    integers, back = quantise(p4, bounds, grid)
    kept = integers.kind == 3
    assert 0.5 < kept.mean() < 0.95 and (back[kept] == p4[kept]).all()
    assert np.abs(np.hypot(*back[:, 1:3].T) / np.hypot(*p4[:, 1:3].T) - 1).max() <= 0.01


def test_elementary_functions_are_exact_enough() -> None:
    x = np.linspace(-700, 700, 20_001)
    assert np.abs(arithmetic.exp(x) / np.exp(x) - 1).max() < 1e-15
    k = np.arange(-5000, 9999)
    cos, sin = arithmetic.cos_sin(k, 3142)
    assert np.abs(cos - np.cos(2 * np.pi * k / 3142)).max() < 5e-15
    assert np.abs(sin - np.sin(2 * np.pi * k / 3142)).max() < 5e-15
    assert np.abs(arithmetic.sinh(np.array([0.0, 1e-9, -2.0, 30.0])) - np.sinh([0, 1e-9, -2, 30])).max() < 1e-2


def test_decoded_numbers_are_the_same_on_every_machine() -> None:
    """Bits recorded once: additions, multiplications, divisions and roots alone are used, which IEEE 754 fixes."""
    k = np.arange(3000)
    integers = Integers(k % 3, k * 7 % 800 - 400, k * 11 % 6000 - 3000, k * 13 % 3142, k * 17 % 800 - 400)
    p4 = restore(integers, Grid(0.0199, 0.002, 3142), np.float64)
    assert zlib.crc32(p4.astype("<f8").tobytes()) == 3379684282


def test_same_jets_same_bytes_and_blocks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BLOCK_JETS", 16)
    store = some_jets(50)
    for name in ("a", "b"):
        lgae_pyg.compress(store, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    whole = lgae_pyg.decompress(tmp_path / "a")
    with CompressedJets(tmp_path / "a") as jets:
        assert [place.jets for place in jets.places] == [16, 16, 16, 2] and len(jets) == 50
        for first, stop in ((0, 50), (17, 18), (14, 35), (50, 50), (48, 50)):
            some = jets.read(first, stop)
            ptr = whole.ptr[first : stop + 1].numpy()
            assert np.array_equal(some.p4, whole.particle_fields["pos"].numpy()[ptr[0] : ptr[-1]])
            assert np.array_equal(some.ptr, ptr - ptr[0])
            assert np.array_equal(some.jets["y"], whole.jet_fields["y"].numpy()[first:stop])
        with pytest.raises(IndexError, match="50 jets"):
            jets.read(40, 51)


def test_memory_bounds_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CELLS", 100)
    store = some_jets(20, (5, 40))
    account = lgae_pyg.compress(store, tmp_path / "a")
    assert account.blocks > 5 and account.jets == 20
    monkeypatch.setattr(writing, "CELLS", 10)
    with pytest.raises(ValueError, match=r"jet \d+ has \d+ particles, more than the 10 of a block"):
        lgae_pyg.compress(store, tmp_path / "a")
    assert len(lgae_pyg.decompress(tmp_path / "a")) == 20  # the old file stands


def test_jet_momenta_are_kept_where_wanted(tmp_path: Path) -> None:
    store = some_jets(20, dtype=np.float64)
    lgae_pyg.compress(store, tmp_path / "a", jet=True, drop=["y"])
    back = lgae_pyg.decompress(tmp_path / "a")
    total = np.add.reduceat(store.particle_fields["pos"].numpy(), store.ptr[:-1].numpy())
    assert np.array_equal(back.jet_fields["jet_p4"].numpy(), total) and "y" not in back.jet_fields


def test_fewer_bits_for_wider_bounds_and_than_zstd_could(tmp_path: Path) -> None:
    store = some_jets(300)
    bounds = (1e-4, 1e-3, 1e-2, 0.1)
    found = [lgae_pyg.compress(store, tmp_path / "a", pt=pt, angle=1e2 * pt).bits() for pt in bounds]
    per_particle = np.diff(found) * len(store) / store.num_particles
    assert np.abs(per_particle + 3 * np.log2(10)).max() < 1.5  # each decade of the bounds is 3 log2(10) bits
    assert found[2] < 0.35 * 32 * 4 * store.num_particles / len(store)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pt": 0}, "between 0 and 1"),
        ({"pt": 1e-7}, "finer than float32"),
        ({"angle": 1e-3}, "finer than float32"),
        ({"angle": 1000}, "up to 500"),
        ({"drop": ["weight"]}, "choose one of pos, y"),
        ({"drop": ["pos"]}, "cannot be dropped"),
        ({"coder": "best"}, "choose one of auto, plain, learned, model"),
        ({"coder": "model"}, "needs a checkpoint"),
    ],
)
def test_what_cannot_be_is_refused(change: dict, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        lgae_pyg.compress(some_jets(3), tmp_path / "a", **change)
    assert not list(tmp_path.iterdir())


def test_momenta_that_are_not_finite_name_their_jet(tmp_path: Path) -> None:
    store = some_jets(10)
    store.particle_fields["pos"][store.ptr[7]] = float("nan")
    with pytest.raises(ValueError, match="jet 7 has momenta that are not finite"):
        lgae_pyg.compress(store, tmp_path / "a")
    assert not list(tmp_path.iterdir())
