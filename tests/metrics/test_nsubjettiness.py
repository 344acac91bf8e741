"""N-subjettiness: values by hand, its laws, and FastJet's implementation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.lorentz import boost, from_pt_eta_phi_m, rotation
from lgae_pyg.metrics.nsubjettiness import nsubjettiness


def jet(*particles: tuple[float, float, float]) -> Tensor:
    """Massless momenta of (pT, rapidity, azimuth)."""
    return from_pt_eta_phi_m(*torch.tensor(particles, dtype=torch.float64).T)


def pointers(*sizes: int) -> Tensor:
    return torch.tensor([0, *sizes]).cumsum(0)


def test_two_equal_particles() -> None:
    """The winner takes the axis, so that half of the pT lies at the distance of the two."""
    p4 = jet((3.0, 0.5, 0.1), (3.0, 0.5, -0.3))
    found = nsubjettiness(p4, pointers(2), radius=1.0)
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.0, 0.0]], dtype=torch.float64))


def test_three_particles_by_hand() -> None:
    """Weights min(pT) ΔR of the pairs: 2·0.5, 1·0.3 and 1·0.4; the second pair is merged first."""
    p4 = jet((5.0, 0.0, 0.0), (2.0, 0.0, 0.5), (1.0, 0.3, 0.0))
    found = nsubjettiness(p4, pointers(3), radius=0.8)
    pt, far = 8.0 * 0.8, math.hypot(0.3, 0.5)
    assert 1 * far > 1 * 0.3
    expected = torch.tensor([[(2 * 0.5 + 1 * 0.3) / pt, 1 * 0.3 / pt, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_the_azimuth_has_no_seam() -> None:
    p4 = jet((1.0, 0.0, math.pi - 0.1), (1.0, 0.0, 0.1 - math.pi))
    assert float(nsubjettiness(p4, pointers(2), 1, 1.0)) == pytest.approx(0.1)


def test_as_many_axes_as_particles_leave_nothing(massless_jet, generator: torch.Generator) -> None:
    sizes = [1, 4, 2, 3, 5]
    p4 = torch.cat([massless_jet(size, generator) for size in sizes])
    found = nsubjettiness(p4, pointers(*sizes), largest=5)
    for row, size in zip(found, sizes):
        assert (row[: size - 1] > 0).all() and (row[size - 1 :] == 0).all()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000), angle=st.floats(-7, 7), rapidity=st.floats(-2, 2), factor=st.floats(0.01, 100)
)
def test_rotations_and_boosts_along_the_beam_and_units_change_nothing(
    massless_jet, seed: int, angle: float, rapidity: float, factor: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = [8, 12, 3]
    p4 = torch.cat([massless_jet(size, generator) for size in sizes])
    transform = rotation(angle, "z") @ boost(rapidity, "z")
    starts = (0, 8, 20)
    order = torch.cat([torch.randperm(n, generator=generator) + first for n, first in zip(sizes, starts)])
    before, after = (nsubjettiness(p, pointers(*sizes)) for p in (p4, (factor * p4 @ transform.T)[order]))
    torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-9)


def test_portions_and_padding_change_nothing(jets, monkeypatch) -> None:
    whole = nsubjettiness(jets.pos, jets.ptr)
    monkeypatch.setattr("lgae_pyg.metrics.nsubjettiness.CHUNK", 5)
    torch.testing.assert_close(nsubjettiness(jets.pos, jets.ptr), whole, rtol=0, atol=0)


def test_fastjet_finds_the_same(jets) -> None:
    fastjet, ak = pytest.importorskip("fastjet"), pytest.importorskip("awkward")
    columns = dict(zip(("E", "px", "py", "pz"), jets.pos.T.numpy()))
    rows = ak.unflatten(ak.zip(columns), jets.ptr.diff().numpy())
    clusters = fastjet.ClusterSequence(rows, fastjet.JetDefinition(fastjet.kt_algorithm, 1.0))
    options = {"measure_definition": "NormalizedMeasure", "axes_definition": "WTA_KT_Axes"}
    theirs = clusters.njettiness(njets=[1, 2, 3], beta=1.0, R0=0.8, **options)
    expected = torch.tensor(ak.to_numpy(theirs), dtype=torch.float64)
    torch.testing.assert_close(nsubjettiness(jets.pos, jets.ptr), expected, rtol=1e-6, atol=1e-9)


def test_what_cannot_be_clustered_is_refused() -> None:
    p4 = jet((1.0, 0.0, 0.0), (1.0, 0.1, 0.0))
    with pytest.raises(ValueError, match="must be positive, not 0"):
        nsubjettiness(p4, pointers(2), largest=0)
    with pytest.raises(ValueError, match="finite momenta"):
        nsubjettiness(p4 * math.nan, pointers(2))
    with pytest.raises(ValueError, match="jet 1 has no transverse momentum"):
        nsubjettiness(torch.cat([p4, 0 * p4[:1]]), pointers(2, 1))
