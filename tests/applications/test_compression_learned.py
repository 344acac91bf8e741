"""The learned coder: the same jets as from the plain one, in other bytes, the same bytes on every machine."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_jets import particles_moved, some_jets, stores
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lgae_pyg
from lgae_pyg.applications.compression import CompressedJets, arithmetic, lanes, laws, network, writing
from lgae_pyg.applications.compression.predictor import Predictor
from lgae_pyg.applications.compression.quantise import Grid
from lgae_pyg.data import DataFileError, JetStore
from lgae_pyg.weights import read_weights, write_weights

pytest.importorskip("constriction")
QUICK = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
GRID = Grid(0.0199, 0.002, 3142)


@QUICK
@given(store=stores(), pt=st.sampled_from([1e-3, 0.01, 0.3]), angle=st.sampled_from([0.05, 1.0, 100.0]))
def test_every_particle_is_within_the_bound(store: JetStore, pt: float, angle: float, tmp_path: Path) -> None:
    """Jets unlike those that were learned from: twelve decades of pT, masses, particles far apart, empty jets."""
    for coder in ("learned", "plain"):
        lgae_pyg.compress(store, tmp_path / coder, pt=pt, angle=angle, coder=coder)
    back = lgae_pyg.decompress(tmp_path / "learned")
    moved = particles_moved(store, back, pt, angle)
    assert moved["pt"].max(initial=0) <= pt
    assert moved["eta"].max(initial=0) <= angle and moved["phi"].max(initial=0) <= angle
    other = lgae_pyg.decompress(tmp_path / "plain")
    assert torch.equal(back.particle_fields["pos"], other.particle_fields["pos"])  # bit for bit
    assert back.meta == store.meta and all(torch.equal(v, back.jet_fields[k]) for k, v in store.jet_fields.items())


def showers(jets: int, seed: int = 0) -> JetStore:
    """Jets of three prongs."""
    store, rng = some_jets(jets, (20, 30), seed), np.random.default_rng(seed)
    counts = store.sizes.numpy()
    pt, eta, phi = [], [], []
    for count in counts:
        share = np.sort(rng.exponential(size=count) ** 2)[::-1] + 1e-3
        x = rng.uniform(-1, 1, 2) * [1, np.pi]
        place = [x]
        for k in range(1, count):
            place.append(place[rng.integers(0, min(k, 3))] + (0.2 if k < 3 else 0.012) * rng.standard_t(2, 2))
        pt.append(1000 * share / share.sum())
        eta.append(np.array(place)[:, 0])
        phi.append(np.array(place)[:, 1])
    pt, eta, phi = map(np.concatenate, (pt, eta, phi))
    p4 = pt * np.stack([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)])
    fields = {"pos": torch.from_numpy(p4.T.astype(np.float32))}
    return JetStore(store.ptr, fields, dict(store.jet_fields), {"unit": "GeV", "class_names": ["QCD", "top"]})


def test_showers_take_fewer_bits_in_any_unit(tmp_path: Path) -> None:
    store = showers(400)
    plain = lgae_pyg.compress(store, tmp_path / "plain", coder="plain", drop=["y"])
    learned = lgae_pyg.compress(store, tmp_path / "learned", coder="learned", drop=["y"])
    assert learned.coder == "learned" and learned.bits("momenta") < 0.97 * plain.bits("momenta")
    factor = 2.0**-10  # nearly TeV, and the same digits
    fields = {"pos": store.particle_fields["pos"] * factor}
    small = JetStore(store.ptr, fields, None, {"unit": "TeV", "class_names": []})
    other = lgae_pyg.compress(small, tmp_path / "small", coder="learned")
    assert other.bits("momenta") == pytest.approx(learned.bits("momenta"), rel=0.01)


def test_blocks_fall_back_to_the_plain_coder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jets of particles everywhere cost more with the laws of jets: such a block is written plainly, and costs no
    more than a word."""
    monkeypatch.setattr(writing, "BLOCK_JETS", 100)
    wild, rng = some_jets(100, (30, 30)), np.random.default_rng(0)
    pt, eta, phi = 10.0, rng.uniform(-4, 4, 3000), rng.uniform(-3, 3, 3000)
    p4 = pt * np.stack([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)])
    wild.particle_fields["pos"][:] = torch.from_numpy(p4.T)
    plain = lgae_pyg.compress(wild, tmp_path / "plain", coder="plain")
    learned = lgae_pyg.compress(wild, tmp_path / "learned", coder="learned")
    assert plain.parts["momenta"] <= learned.parts["momenta"] <= plain.parts["momenta"] + 8
    assert lgae_pyg.decompress(tmp_path / "learned").num_particles == 3000


def test_old_packages_read_what_they_can(tmp_path: Path) -> None:
    """Version 2 is written where the learned coder is used, and nowhere else."""
    for coder, version in (("plain", 1), ("learned", 2)):
        lgae_pyg.compress(some_jets(5), tmp_path / coder, coder=coder)
        assert (tmp_path / coder).read_bytes()[8] == version


def test_other_networks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lgae_pyg.compress(some_jets(5), tmp_path / "jets", coder="learned")
    header, tensors = read_weights(network.FILE)
    tensors["pt_1"][0, 0] += 1
    write_weights(tmp_path / "other.safetensors", header, tensors)
    load = network.load
    other = load(tmp_path / "other.safetensors")
    monkeypatch.setattr(network, "load", lambda *path: load(*path) if path else other)
    with pytest.raises(ValueError, match=f"the network .* of another version.*{other.fingerprint}"):
        CompressedJets(tmp_path / "jets")
    write_weights(tmp_path / "later.safetensors", header | {"format": 9}, tensors)
    with pytest.raises(ValueError, match="a network of format 9, needed is 1"):
        network.load(tmp_path / "later.safetensors")


def test_damaged_bytes_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the checksum of a block sees; and where it is made to fit, what the words themselves show."""
    path = tmp_path / "jets"
    lgae_pyg.compress(showers(20), path, coder="learned")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 25):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << rng.integers(8))]) + whole[place + 1 :])
        with pytest.raises(DataFileError):
            lgae_pyg.decompress(path)
    path.write_bytes(whole)
    with CompressedJets(path) as jets:
        place = jets.places[0]
    monkeypatch.setattr(
        "lgae_pyg.applications.compression.reading.read_bytes", lambda *given: changed[: place.length]
    )
    for where in rng.integers(40, place.length - 200, 8):
        changed = bytearray(whole[place.start : place.start + place.length])
        changed[where] ^= 1 << rng.integers(8)
        changed = bytes(changed)
        with pytest.raises(DataFileError, match=r"block 0 \(jets 0 to 19\)"):
            lgae_pyg.decompress(path)


@pytest.mark.parametrize("count", [1, 7, 64])
def test_lanes_give_back_symbols_at_their_cost(count: int) -> None:
    rng = np.random.default_rng(count)
    width = np.maximum(1, rng.dirichlet(np.full(300, 0.2)) * (lanes.RANGE - 300)).astype(np.int64)
    width[width.argmax()] += lanes.RANGE - width.sum()
    start = np.concatenate([[0], np.cumsum(width)])
    columns = [rng.choice(300, number, p=width / lanes.RANGE) for number in (5000, 3, 0, 1700)]
    writer = lanes.LaneWriter(count)
    for symbols in columns:
        writer.add(start[symbols], width[symbols])
    words = writer.words()

    def find(part: slice, slots: np.ndarray) -> tuple[np.ndarray, ...]:
        found = np.searchsorted(start, slots, side="right") - 1
        return found, start[found], width[found]

    reader = lanes.LaneReader(words, count)
    assert all((reader.read(len(symbols), find) == symbols).all() for symbols in columns)
    reader.close()
    ideal = sum(-np.log2(width[symbols] / lanes.RANGE).sum() for symbols in columns)
    assert ideal < 32 * len(words) < ideal * 1.001 + 64 * count
    with pytest.raises(ValueError, match="end too early"):
        reader.read(100, find)
    with pytest.raises(ValueError, match="do not end"):
        lanes.LaneReader(words, count).close()


@QUICK
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1.0, 300.0, 2e5]), cut=st.booleans())
def test_intervals_of_a_law_tile_the_range(seed: int, scale: float, cut: bool) -> None:
    """Every number has an interval, one after another, up to the whole range, whatever rounding does."""
    rng = np.random.default_rng(seed)
    rows, high = 3, int(rng.integers(2, 3000))
    logs = np.rint(-rng.exponential(300, (rows, 40)))
    centre = rng.integers(-high, 2 * high, (rows, 40))
    square = (scale * rng.exponential(1, (rows, 40))) ** 2 + 1e-3
    low = np.zeros(rows, dtype=np.int64)
    kernels = laws.Kernels(laws.weights(logs), centre, square, low, low + high, np.full(rows, cut))
    falls = laws.Falls(laws.weights(logs), np.exp(rng.normal(-3, 3, (rows, 40))), high)
    for law in (kernels, falls):
        edges = np.stack([laws.starts(law, slice(None), low + number) for number in range(high + 2)])
        assert (edges[0] == 0).all() and (edges[-1] == lanes.RANGE).all() and (np.diff(edges, axis=0) > 0).all()
        slots = rng.integers(0, lanes.RANGE, rows)
        number, start, width = laws.find(law, slice(None), slots)
        assert (number == (edges <= slots).sum(axis=0) - 1).all()
        assert (start <= slots).all() and (slots < start + width).all()


def test_logarithms_are_exact_enough() -> None:
    x = np.geomspace(1e-300, 1e300, 20_001)
    assert np.abs(arithmetic.log(x) - np.log(x)).max() < 3e-13
    small = np.linspace(-0.3, 0.4, 999)
    assert np.abs(arithmetic.log(1 + small) - np.log1p(small)).max() < 1e-15


def test_laws_are_the_same_on_every_machine() -> None:
    """Recorded once, with a network of a simple rule: whole numbers, and what IEEE 754 fixes."""
    k = np.arange(100_000)

    def whole(rows: int, columns: int, size: int) -> np.ndarray:
        return ((k[: rows * columns] * 7919 + rows * columns) % (2 * size + 1) - size).reshape(rows, columns)

    shapes = {"gru_input": (11, 24), "gru_state": (8, 24), "pt_1": (8, 6), "pt_2": (6, 4), "query_1": (12, 6)}
    shapes |= {"query_2": (6, 10), "key_1": (8, 6), "key_2": (6, 8)}
    tensors = {name: whole(*shape, 900) for name, shape in shapes.items()}
    tensors |= {f"{name}_bias": whole(1, shape[1], 500_000)[0] for name, shape in shapes.items()}
    tensors |= {"log_rate": np.array([256, 700]), "log_scale": np.array([-4000, -1500])}
    tensors |= {"log_ratio": np.array([-440, 9])}
    sizes, rows = np.full(5, 40), np.arange(5)
    predictor = Predictor(network.Network(tensors, ""), GRID, 0.0, sizes)
    found = []
    for rank in range(40):
        numbers = np.stack([300 - 3 * rank - rows, (rows * 31 + rank * 17) % 300, (rows * 77 + rank * 29) % 3142])
        if rank:
            relative = predictor.relative(rows, numbers)
            angles = predictor.angles(rows, numbers[0])
            given = 3 + 0 * rows, relative[1], angles.about_axis(relative[2])
            for law, known in zip((predictor.falls(rows), angles.eta(), angles.phi(relative[1])), given):
                found.append(laws.starts(law, slice(None), np.clip(known, law.low, law.high)))
        predictor.learn(rows, numbers)
    assert zlib.crc32(np.stack(found).astype("<i8").tobytes()) == 3469536068


def test_many_jets_in_a_block_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lgae_pyg.compress(showers(50), tmp_path / "jets", coder="learned")
    monkeypatch.setattr("lgae_pyg.applications.compression.learned.MAX_JETS", 40)
    with CompressedJets(tmp_path / "jets") as jets, pytest.raises(DataFileError, match="50 jets in a block"):
        jets.block(0)
