"""Layers by themselves: what they say does not depend on the unit of the momenta that they are told."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_geometric.data import Batch
from torch_geometric.nn import global_mean_pool

from lgae_pyg.data.units import unit_factor
from lgae_pyg.lorentz import Irreps
from lgae_pyg.nn import LMPConv

UNITS = ("GeV", "TeV", "PeV")
PARTICLES = 8


def prongs(jets: int, opening: float, generator: torch.Generator) -> Tensor:
    """Massless particles of jets of 1 TeV, half of them at +opening and half at -opening in eta; unit TeV."""

    def draw(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    pt = draw(jets, PARTICLES) + 0.1
    pt = pt / pt.sum(1, keepdim=True)
    width = 0.04 + 0.08 * draw(jets, 1)
    spread = torch.randn(2, jets, PARTICLES, generator=generator, dtype=torch.float64)
    sides = torch.tensor([1.0, -1.0]).repeat(PARTICLES // 2)
    eta, phi = width * spread[0] + opening * sides, width * spread[1] + 6 * draw(jets, 1)
    return torch.stack([pt * eta.cosh(), pt * phi.cos(), pt * phi.sin(), pt * eta.sinh()], -1)


def train_tagger(unit: str, scale: float | str) -> tuple[float, float]:
    """Trains a layer, a mean and a linear map on jets of one and of two prongs; AUC of other jets, and loss."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    p4 = torch.cat([prongs(200, opening, generator) for opening in (0.0, 0.1, 0.0, 0.1)]).flatten(0, 1)
    pos = p4 * unit_factor("TeV", unit)
    x, jet = torch.cat([torch.ones(len(pos), 1), pos], -1), torch.arange(800).repeat_interleave(PARTICLES)
    label = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(200)
    sizes = {"num_bells": 8, "mlp_depth": 1, "mlp_width": 2, "neighbours": float(PARTICLES)}
    conv = LMPConv("1x(0,0)+1x(1/2,1/2)", "4x(0,0)+4x(1/2,1/2)", scale=scale, **sizes).double()
    head = torch.nn.Linear(4, 1).double()
    optimizer = torch.optim.Adam([*conv.parameters(), *head.parameters()], lr=3e-2)

    def scores(jets: slice) -> Tensor:
        rows = slice(jets.start * PARTICLES, jets.stop * PARTICLES)
        batch = jet[rows] - jets.start
        return head(global_mean_pool(conv(x[rows], pos[rows], batch=batch)[:, :4].real, batch)).squeeze(-1)

    for _ in range(40):
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(scores(slice(0, 400)), label)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        background, signal = scores(slice(400, 800)).view(2, 200)
    return float((signal.unsqueeze(1) > background).double().mean()), float(loss.detach())


def test_a_tagger_learns_the_same_in_every_unit() -> None:
    """Jets of equal multiplicity, which differ in mass and shape."""
    found = [train_tagger(unit, unit) for unit in UNITS]
    for auc, loss in found:
        assert auc == pytest.approx(found[0][0], abs=1e-4) and loss == pytest.approx(found[0][1], rel=1e-6)
        assert auc > 0.7 and loss < 0.62  # no information: 0.693


def test_without_a_scale_the_unit_decides() -> None:
    """The negative control: what the layer learns is another thing in each unit, in TeV nothing."""
    losses = [train_tagger(unit, 1.0)[1] for unit in UNITS]
    assert abs(losses[0] - losses[1]) > 0.05
    assert losses[1] > 0.69 and losses[2] > 0.69


@pytest.mark.parametrize("backend", ["auto", "dense", "edge_list"])
@pytest.mark.parametrize(
    "irreps_in, irreps_out, weight",
    [
        ("2x(0,0)+2x(1/2,1/2)", "3x(0,0)+2x(1/2,1/2)", 1),
        ("1x(0,0)+2x(1/2,1/2)+1x(1,0)+1x(0,1)+1x(1,1)", "2x(0,0)+1x(1/2,1/2)+2x(1,0)+1x(1,1)", 2),
    ],
)
def test_outputs_follow_the_unit(irreps_in: str, irreps_out: str, weight: int, backend: str, jets: Batch) -> None:
    """Scalars stay, irreps of weight w get the factor to the power w; and the scale acts on the bells."""
    conv, other = (
        LMPConv(irreps_in, irreps_out, weight, num_bells=4, mlp_depth=1, mlp_width=1, backend=backend, scale=scale)
        for scale in ("TeV", "GeV")
    )
    other.load_state_dict(conv.state_dict())
    conv, other = conv.double(), other.double()

    def in_gev(irreps: Irreps, packed: Tensor) -> Tensor:
        parts = zip(irreps, irreps.split(packed))
        return torch.cat([(1000.0**irrep.weight * part).flatten(-2) for (_, irrep), part in parts], -1)

    x = torch.randn(jets.num_nodes, conv.irreps_in.dim, dtype=torch.complex128)
    with torch.no_grad():
        found = other(in_gev(conv.irreps_in, x), 1000 * jets.pos, ptr=jets.ptr)
        expected = in_gev(conv.irreps_out, conv(x, jets.pos, ptr=jets.ptr))
        conv.scale = 1.0
        unscaled = in_gev(conv.irreps_out, conv(x, jets.pos, ptr=jets.ptr))
    for part, same, wrong in zip(*map(conv.irreps_out.split, (found, expected, unscaled))):
        assert (part - same).norm() < 1e-10 * same.norm() < 1e-3 * (part - wrong).norm()


def test_scales() -> None:
    irreps = "1x(0,0)+1x(1/2,1/2)"
    assert [LMPConv(irreps, irreps, scale=unit).scale for unit in UNITS] == [0.01, 10.0, 10000.0]
    assert repr(LMPConv(irreps, irreps, scale="TeV")).endswith("max_weight=1, scale=10)")
    assert LMPConv(irreps, irreps, scale=3).state_dict().keys() == LMPConv(irreps, irreps).state_dict().keys()
    with pytest.raises(ValueError, match=r"unknown unit 'TEV'.*did you mean TeV"):
        LMPConv(irreps, irreps, scale="TEV")
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="scale must be a positive number or the unit"):
            LMPConv(irreps, irreps, scale=scale)
