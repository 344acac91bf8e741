"""A jet as a graph: the two names of its momenta, what batches of it carry, and what is refused."""

import pytest
import torch
from torch_geometric.data import Batch

from lgae_pyg.data import JetData, transform_jets
from lgae_pyg.lorentz import boost, minkowski_dot, rotation


def momenta(particles: int) -> torch.Tensor:
    p = torch.randn(particles, 3, dtype=torch.float64)
    return torch.cat([p.norm(dim=-1, keepdim=True), p], dim=-1)


def test_p4_is_another_name_of_pos():
    jet = JetData(pos=momenta(3))
    assert jet.p4 is jet.pos
    jet.p4 = 2 * jet.pos
    assert torch.equal(jet.p4, jet.pos)
    assert "p4" not in jet.keys()
    assert "p4" not in JetData(p4=momenta(2)).keys()


def test_collation_gives_particles_pointers_and_jet_rows():
    jets = [
        JetData(pos=momenta(n), y=torch.tensor([n]), jet_id=torch.tensor([7 * n]), jet_ref=torch.rand(1, 4))
        for n in (1, 4, 2)
    ]
    batch = Batch.from_data_list(jets)
    assert batch.p4.shape == (7, 4)
    assert batch.ptr.tolist() == [0, 1, 5, 7]
    assert batch.batch.tolist() == [0, 1, 1, 1, 1, 2, 2]
    assert batch.y.tolist() == [1, 4, 2]
    assert batch.jet_id.tolist() == [7, 28, 14]
    assert batch.jet_ref.shape == (3, 4)


def test_transformed_jets_are_other_jets_with_the_same_invariants():
    jets = Batch.from_data_list([JetData(pos=momenta(n), y=torch.tensor([n])) for n in (2, 5)])
    before = jets.pos.clone()
    turn = boost(1.5, axis="x") @ rotation(0.7, axis="z")
    moved = transform_jets(jets, turn)
    assert torch.equal(jets.pos, before) and torch.equal(moved.y, jets.y) and type(moved) is type(jets)
    assert torch.allclose(moved.pos[3], turn @ before[3])
    products = [minkowski_dot(p.unsqueeze(0), p.unsqueeze(1)) for p in (before, moved.pos)]
    assert torch.allclose(*products, atol=1e-9) and not torch.allclose(before, moved.pos)
    assert torch.allclose(transform_jets(moved, torch.linalg.inv(turn)).pos, before)


def test_each_jet_may_have_a_transform_of_its_own():
    jets = Batch.from_data_list([JetData(pos=momenta(n).float()) for n in (2, 5)])
    both = torch.stack([torch.eye(4, dtype=torch.float64), boost(1.0)])
    moved = transform_jets(jets, both)
    assert torch.equal(moved.pos[:2], jets.pos[:2]) and moved.pos.dtype == torch.float32
    assert torch.allclose(moved.pos[2:], transform_jets(jets, boost(1.0)).pos[2:])
    single = JetData(pos=momenta(3))
    assert torch.equal(transform_jets(single, boost(1.0)[None]).pos, transform_jets(single, boost(1.0)).pos)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (3, 4, 4), (1, 2, 4, 4)])
def test_a_transform_of_another_shape_is_refused(shape):
    jets = Batch.from_data_list([JetData(pos=momenta(n)) for n in (2, 5)])
    with pytest.raises(ValueError, match=r"not \(4, 4\) or \(2, 4, 4\)"):
        transform_jets(jets, torch.zeros(shape))


def test_sound_jets_and_batches_are_valid():
    jets = [JetData(pos=momenta(3)), JetData(pos=momenta(1))]
    assert all(jet.validate() for jet in jets)
    assert Batch.from_data_list(jets).validate()


def not_finite() -> torch.Tensor:
    p4 = momenta(3)
    p4[1, 2] = float("nan")
    return p4


@pytest.mark.parametrize(
    ("p4", "words"),
    [
        (None, "no momenta"),
        (torch.rand(3, 3), r"its shape is \(3, 3\)"),
        (torch.ones(3, 4, dtype=torch.long), "torch.int64"),
        (torch.zeros(0, 4), "no particle"),
        (not_finite(), "not finite for particle 1"),
        (-momenta(2), "negative energy for particle 0"),
    ],
)
def test_impossible_jets_are_refused_with_a_reason(p4, words):
    jet = JetData(pos=p4)
    with pytest.raises(ValueError, match=words):
        jet.validate()
    assert not jet.validate(raise_on_error=False)
