"""Jets for the tests of compression."""

import math

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from lgae_pyg.data import JetStore

#: pT over twelve decades, and particles along the beam.
_PT = st.floats(-6, 6).map(lambda x: 10**x)
_MASS = st.sampled_from([0.0, 0.0, 0.0, 0.13957, 0.938, 80.4])


@st.composite
def particles(draw) -> tuple[float, ...]:
    pt, eta, phi = draw(_PT), draw(st.floats(-12, 12)), draw(st.floats(-math.pi, math.pi))
    kind = draw(st.integers(0, 19))
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    if kind == 0:  # along the beam
        px = py = 0.0
    if kind == 1:  # at rest
        px = py = pz = 0.0
    energy = math.sqrt(px * px + py * py + pz * pz + draw(_MASS) ** 2)
    return (energy * (0.9 if kind == 2 else 1.0), px, py, pz)


@st.composite
def stores(draw) -> JetStore:
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    jets = draw(st.lists(st.lists(particles(), max_size=8), min_size=1, max_size=6))
    ptr = torch.tensor([0, *np.cumsum([len(jet) for jet in jets])])
    rows = [one for jet in jets for one in jet]
    fields = {"pos": torch.tensor(rows, dtype=torch.float64).reshape(-1, 4).to(dtype)}
    if draw(st.booleans()):
        fields["x"] = torch.arange(2.0 * len(rows)).reshape(-1, 2) * 0.1
    labels = {"y": torch.arange(len(jets)) % 2, "weight": torch.linspace(-1, 2, len(jets), dtype=torch.float64)}
    return JetStore(ptr, fields, labels, {"unit": "GeV", "class_names": ["QCD", "top"]})


def some_jets(jets: int, sizes: tuple[int, int] = (1, 60), seed: int = 0, dtype: type = np.float32) -> JetStore:
    """Jets that look like jets: pT falls, angles spread around an axis."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(sizes[0], sizes[1] + 1, jets)
    owner = np.repeat(np.arange(jets), counts)
    pt = 500 * rng.exponential(size=len(owner)) ** 3 / 6 + 0.1
    eta = rng.normal(0, 1, jets)[owner] + rng.laplace(0, 0.1, len(owner))
    phi = rng.uniform(-np.pi, np.pi, jets)[owner] + rng.laplace(0, 0.1, len(owner))
    momenta = pt * np.stack([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)])
    ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
    y = torch.from_numpy(rng.integers(0, 2, jets))
    meta = {"unit": "GeV", "class_names": ["QCD", "top"]}
    return JetStore(ptr, {"pos": torch.from_numpy(momenta.T.astype(dtype))}, {"y": y}, meta)


def particles_moved(store: JetStore, back: JetStore, pt: float, angle: float) -> dict[str, np.ndarray]:
    """How far each particle was moved, computed here and not by the package: particles of a jet are paired so that
    they are moved least."""
    assert back.ptr.tolist() == store.ptr.tolist()
    given, found = (one.particle_fields["pos"].double().numpy() for one in (store, back))
    order = np.arange(len(given))
    for first, stop in zip(store.ptr.tolist(), store.ptr.tolist()[1:]):
        moved = differences(given[None, first:stop], found[first:stop, None])
        cost = np.max([moved["pt"] / pt, moved["eta"] / angle, moved["phi"] / angle, moved["energy"]], axis=0)
        order[first:stop] += linear_sum_assignment(np.minimum(np.nan_to_num(cost, nan=1e9), 1e9) ** 2)[1]
        order[first:stop] -= np.arange(stop - first)
    return differences(given[order], found) | {"order": order}


def differences(given: np.ndarray, found: np.ndarray) -> dict[str, np.ndarray]:
    """Errors of four-momenta (..., 4): pT and energy relative, eta and phi in 1e-3; 0 where nothing changed."""
    with np.errstate(all="ignore"):
        (_, pt, eta, phi), (_, pt2, eta2, phi2) = ((p[..., 0], *_angles(p)) for p in (given, found))
        turn = np.abs(np.angle(np.exp(1j * (phi2 - phi))))
        moved = {"pt": np.abs(pt2 / pt - 1), "eta": 1e3 * np.abs(eta2 - eta), "phi": 1e3 * turn}
        moved["energy"] = np.abs(found[..., 0] / given[..., 0] - 1)
    same = (given == found).all(axis=-1)
    return {name: np.where(same, 0, values) for name, values in moved.items()}


def _angles(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pt = np.hypot(p[..., 1], p[..., 2])
    return pt, np.arcsinh(p[..., 3] / pt), np.arctan2(p[..., 2], p[..., 1])
