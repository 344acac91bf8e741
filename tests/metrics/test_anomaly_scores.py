"""Anomaly scores: exact answers, and the symmetries that each of them has."""

import math

import pytest
import torch
from torch import Tensor

from lgae_pyg.lorentz import random_lorentz, rotation
from lgae_pyg.metrics.anomaly_scores import SPACES, WAYS, image_scores, jet_scores, particle_scores


def offsets(*sizes: int) -> Tensor:
    return torch.tensor([0, *sizes]).cumsum(0)


def permuted(jets, generator: torch.Generator) -> Tensor:
    parts = jets.pos.split(jets.ptr.diff().tolist())
    return torch.cat([part[torch.randperm(len(part), generator=generator)] for part in parts])


def test_a_jet_against_itself_has_no_error(jets) -> None:
    scores = particle_scores(jets.pos, jets.ptr, jets.pos, jets.ptr) | jet_scores(
        jets.pos, jets.ptr, jets.pos, jets.ptr
    )
    assert len(scores) == len(SPACES) * len(WAYS) + 4
    for name, values in scores.items():
        assert torch.equal(values, torch.zeros(12, dtype=torch.float64)), name


def test_the_order_of_the_particles_counts_only_for_mse(jets, generator: torch.Generator) -> None:
    scores = particle_scores(permuted(jets, generator), jets.ptr, jets.pos, jets.ptr)
    for name, values in scores.items():
        if name.startswith("mse"):
            assert float(values.max()) > 1e-6, name
        else:
            torch.testing.assert_close(values, torch.zeros_like(values), rtol=0, atol=1e-12, msg=name)


def test_scores_by_hand() -> None:
    """Two particles, rebuilt in the wrong order, one of them off by 3 in px and 4 in py."""
    target = torch.tensor([[10.0, 6, 8, 0], [5.0, 3, 0, 4]], dtype=torch.float64)
    rebuilt = torch.tensor([[5.0, 3, 0, 4], [10.0, 9, 12, 0]], dtype=torch.float64)
    scores = particle_scores(rebuilt, offsets(2), target, offsets(2), ["cartesian", "lorentz"])
    other = math.sqrt(25 + 9 + 64 + 16)
    assert float(scores["chamfer_cartesian"]) == pytest.approx(5.0)  # 5 / 2 there and 5 / 2 back
    assert float(scores["hungarian_cartesian"]) == pytest.approx(25 / 2)
    far = 25 + 36 + 144 + 16
    assert float(scores["mse_cartesian"]) == pytest.approx((other**2 + far) / 2)
    assert float(scores["chamfer_lorentz"]) == pytest.approx(5.0)  # space-like: |0 - 9 - 16| = 25
    whole = jet_scores(rebuilt, offsets(2), target, offsets(2))
    assert float(whole["jet_cartesian"]) == pytest.approx(25)
    assert float(whole["jet_lorentz"]) == pytest.approx(25)
    assert float(whole["jet_mass"]) == pytest.approx(abs((225 - 81 - 64 - 16) - (225 - 144 - 144 - 16)))
    assert float(whole["jet_polar"]) == pytest.approx(
        (math.hypot(12, 12) - math.hypot(9, 8)) ** 2
        + (math.asinh(4 / math.hypot(12, 12)) - math.asinh(4 / math.hypot(9, 8))) ** 2
        + (math.atan2(12, 12) - math.atan2(8, 9)) ** 2
    )


def test_chamfer_of_lists_of_different_lengths() -> None:
    target = torch.tensor([[1.0, 1, 0, 0], [2.0, 2, 0, 0]], dtype=torch.float64)
    scores = particle_scores(target[:1], offsets(1), target, offsets(2), ["cartesian"], ["chamfer", "hungarian"])
    assert float(scores["chamfer_cartesian"]) == pytest.approx(math.sqrt(2) / 2)
    assert float(scores["hungarian_cartesian"]) == 0
    with pytest.raises(ValueError, match="as many particles"):
        particle_scores(target[:1], offsets(1), target, offsets(2), ["cartesian"], ["mse"])


def test_the_seam_of_the_azimuth_is_no_distance() -> None:
    angles = torch.tensor([math.pi - 1e-3, -math.pi + 1e-3], dtype=torch.float64)
    p4 = torch.stack([torch.ones(2), angles.cos(), angles.sin(), torch.zeros(2)], -1).double()
    scores = particle_scores(p4[:1], offsets(1), p4[1:], offsets(1), ["polar", "scaled_polar"], ["chamfer"])
    for values in scores.values():
        assert float(values) == pytest.approx(2 * 2e-3, rel=1e-6)


@pytest.mark.parametrize(
    "space, transform",
    [
        ("lorentz", None),
        ("polar", rotation(1.0, "z")),
        ("relative", rotation(2.0, "z")),
        ("cartesian", rotation(0.3, "x")),
        ("scaled_cartesian", rotation(0.3, "z")),
    ],
)
def test_each_space_has_its_symmetry(
    space: str, transform: Tensor | None, jets, generator: torch.Generator
) -> None:
    if transform is None:
        transform = random_lorentz(1.0, generator=generator)
    noise = 1 + 0.05 * torch.randn(len(jets.pos), 4, generator=generator, dtype=torch.float64)
    other = jets.pos * noise
    plain = particle_scores(other, jets.ptr, jets.pos, jets.ptr, [space])
    moved = [momenta @ transform.double().T for momenta in (other, jets.pos)]
    for name, values in particle_scores(moved[0], jets.ptr, moved[1], jets.ptr, [space]).items():
        torch.testing.assert_close(values, plain[name], rtol=1e-6, atol=1e-12, msg=name)


def test_padding_takes_no_part(jets, generator: torch.Generator) -> None:
    other = jets.pos * (1 + 0.05 * torch.randn(len(jets.pos), 1, generator=generator, dtype=torch.float64))
    together = particle_scores(other, jets.ptr, jets.pos, jets.ptr)
    first, last = int(jets.ptr[2]), int(jets.ptr[3])
    alone = particle_scores(other[first:last], offsets(12), jets.pos[first:last], offsets(12))
    for name, values in alone.items():
        torch.testing.assert_close(values[0], together[name][2], msg=name)


def test_images() -> None:
    target = torch.zeros(2, 4, 4)
    output = target.clone()
    output[1, 0, 0] = 2.0
    torch.testing.assert_close(image_scores(output, target)["mse_pixels"], torch.tensor([0.0, 4 / 16]))


def test_what_cannot_be_scored(jets) -> None:
    with pytest.raises(ValueError, match="unknown cubic: choose some of cartesian"):
        particle_scores(jets.pos, jets.ptr, jets.pos, jets.ptr, ["cubic"])
    broken = jets.pos.clone()
    broken[5, 2] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        particle_scores(broken, jets.ptr, jets.pos, jets.ptr, ["cartesian"])
