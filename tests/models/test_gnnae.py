"""The GNNAE: sizes, symmetries, coordinates, independence of the batch."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz import rotation
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m, transverse_momentum
from lgae_pyg.losses import chamfer, mse
from lgae_pyg.models import GNNAE, build_model

LEVELS = ("jet", "particle")
SMALL = {"node_sizes": [[6], [4]], "edge_sizes": [[5, 4], [3]]}


def double(**options) -> GNNAE:
    """A model in double precision whose output depends visibly on the jet."""
    model = GNNAE(**options).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.2 if parameter.dim() > 1 else 0.3)
        model.decoder.network.convs[-1].node_layers[-1].bias[0] += 20  # a positive pT
    return model


def batch_of(*jets: Tensor) -> Batch:
    return Batch.from_data_list([JetData(pos=p4) for p4 in jets])


@pytest.mark.parametrize(
    ("level", "latent", "encoder", "decoder"),
    [
        ("jet", 10, 13_963, 23_800),
        ("jet", 30, 14_143, 41_800),
        ("jet", 40, 14_233, 50_800),
        ("jet", 45, 14_278, 55_300),
        ("jet", 55, 14_368, 64_300),
        ("jet", 80, 14_593, 86_800),
        ("jet", 90, 14_683, 95_800),
        ("particle", 2, 13_897, 13_990),
        ("particle", 3, 13_912, 14_020),
    ],
)
def test_published_parameter_counts(level: str, latent: int, encoder: int, decoder: int) -> None:
    model = GNNAE(level, latent)
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]
    assert counts == [encoder, decoder]


@pytest.mark.parametrize(
    ("level", "latent", "percent"),
    [("jet", 45, 50.0), ("jet", 55, 61.11), ("jet", 90, 100.0), ("particle", 2, 66.67), ("particle", 3, 100.0)],
)
def test_compression(level: str, latent: int, percent: float) -> None:
    """The published percentages are of 3N; the axis of the jet and its number of particles are told besides."""
    model = GNNAE(level, latent)
    rates = model.compression()
    assert rates["massless"] == pytest.approx(percent, abs=0.005)
    assert model.side_information == 4
    assert rates["massless_with_side"] - rates["massless"] == pytest.approx(100 * 4 / 90)
    assert GNNAE(decode="slots").side_information == 3


@pytest.mark.parametrize("level", LEVELS)
def test_order_of_particles(level: str, jets: Batch, generator: torch.Generator) -> None:
    """JL's code and output do not depend on the order; PL's code and output are permuted with the input."""
    model = double(level=level)
    p4 = jets[0].pos
    order = torch.randperm(len(p4), generator=generator)
    result, permuted = model(batch_of(p4)), model(batch_of(p4[order]))
    close = {"rtol": 1e-9, "atol": 1e-11}
    if level == "jet":
        assert model.permutation_invariant
        torch.testing.assert_close(permuted.latent.scalars, result.latent.scalars, **close)
        torch.testing.assert_close(permuted.p4, result.p4, **close)
    else:
        assert not model.permutation_invariant
        codes = [one.latent.scalars.unflatten(-1, (30, 2))[0] for one in (result, permuted)]
        torch.testing.assert_close(codes[1], codes[0][order], **close)
        torch.testing.assert_close(permuted.native.output, result.native.output[order], **close)
    assert not torch.allclose(result.native.output[0], result.native.output[1])


def test_the_mix_over_slots_sees_the_order(jets: Batch) -> None:
    model = double(aggregation="mix")
    code, flipped = (model.encode(batch_of(p4)).scalars for p4 in (jets[0].pos, jets[0].pos.flip(0)))
    assert not model.permutation_invariant
    assert (code - flipped).norm() > 1e-3 * code.norm()


@pytest.mark.parametrize("options", [{}, {"padded": True}, {"aggregation": "max"}, {"aggregation": "mix"}])
@pytest.mark.parametrize("level", LEVELS)
def test_each_jet_is_reconstructed_alone(level: str, options: dict, jets: Batch) -> None:
    """The result of a jet depends neither on its companions nor on the size of the largest of them."""
    model = double(level=level, **options)
    together = model(jets)
    assert torch.equal(together.ptr, jets.ptr)
    for number, jet in enumerate(jets.to_data_list()):
        alone = model(jet)
        rows = slice(*together.ptr[number : number + 2].tolist())
        torch.testing.assert_close(together.p4[rows], alone.p4, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(
            together.latent.scalars[number], alone.latent.scalars[0], rtol=1e-10, atol=1e-12
        )


def test_empty_slots_of_the_code_hold_zeros(jets: Batch) -> None:
    codes = double(level="particle", latent=3).encode(jets).scalars.view(-1, 30, 3)
    for code, size in zip(codes, jets.ptr.diff().tolist()):
        assert code[:size].all() and not code[size:].any()


def test_padding_takes_part_only_when_asked(jets: Batch) -> None:
    """Zeros as particles change the code of a short jet, and nothing for a full one."""
    plain, padded = double(), double(padded=True)
    padded.load_state_dict(plain.state_dict())
    short, full = (batch_of(jets[number].pos) for number in (2, 0))
    assert torch.equal(plain(full).p4, padded(full).p4)
    assert not torch.allclose(plain.encode(short).scalars, padded.encode(short).scalars)


@pytest.mark.parametrize("level", LEVELS)
def test_codes_decode_to_what_the_model_returns(level: str, jets: Batch) -> None:
    model = double(level=level)
    result = model(jets)
    output, ptr = model.decode(model.encode(jets), jets.ptr)
    assert torch.equal(output, result.native.output) and ptr is jets.ptr


def test_particles_and_slots(jets: Batch) -> None:
    """A full jet decodes alike into its particles and into all slots."""
    model = double(decode="slots")
    exact = double(decode="jet")
    exact.load_state_dict(model.state_dict())
    assert torch.equal(model(jets[0]).p4, exact(jets[0]).p4)
    result = model(jets)
    assert torch.equal(result.ptr, torch.arange(0, 30 * jets.num_graphs + 1, 30))
    assert len(result.native.output) == 30 * jets.num_graphs and len(result.native.target) == len(jets.pos)
    assert mse(*result.native).shape == chamfer(*result.native).shape == (jets.num_graphs,)


@pytest.mark.parametrize("scale", [1.0, (20.0, 5.0, 4.0)])
def test_coordinates_and_back(scale: float | tuple, jets: Batch) -> None:
    model = GNNAE(scale=scale).double()
    axis = torch.stack([jet.pos.sum(0) for jet in jets.to_data_list()])[jets.batch]
    native = model.to_native(jets.pos, axis)
    back = model.from_native(native, axis)
    assert (back - jets.pos).abs().max() < 1e-12 * jets.pos.abs().max()
    torch.testing.assert_close(model(jets).native.target, native, rtol=1e-13, atol=1e-14)


def test_coordinates_by_hand() -> None:
    """Two particles of equal pT at phi = 3.0 and -3.0: the jet points at phi = pi, and phi does not jump."""
    p4 = from_pt_eta_phi_m(torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.5]), torch.tensor([3.0, -3.0])).double()
    target = GNNAE(scale=(1, 1, 10)).double()(batch_of(p4)).native.target
    half = math.pi - 3.0
    expected = torch.tensor([[0.5 / math.cos(half), 0.0, -10 * half], [0.5 / math.cos(half), 0.0, 10 * half]])
    expected[:, 1] = 0.5 - math.asinh(math.sinh(0.5) / math.cos(half))
    torch.testing.assert_close(target, expected.double(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("level", LEVELS)
def test_rotations_about_the_beam(level: str, jets: Batch) -> None:
    """Coordinates and codes stay, and the output turns with the input; a rotation about x changes them."""
    model = double(level=level)
    result = model(jets)
    for axis, same in (("z", True), ("x", False)):
        turn = rotation(2.0, axis)
        turned = jets.clone()
        turned.pos = jets.pos @ turn.T
        other = model(turned)
        for found, expected in (
            (other.native.target, result.native.target),
            (other.latent.scalars, result.latent.scalars),
            (other.p4, result.p4 @ turn.T),
        ):
            assert torch.allclose(found, expected, rtol=1e-9, atol=1e-10) is same


def test_negative_transverse_momentum(jets: Batch) -> None:
    """Zero as a momentum, but itself as a coordinate, whose gradient lives."""
    model = GNNAE().double()
    axis = jets[0].pos.sum(0, keepdim=True).expand(2, -1)
    output = torch.tensor([[-0.1, 0.2, 0.1], [0.1, 0.2, 0.1]], dtype=torch.float64)
    p4 = model.from_native(output, axis)
    assert not p4[0].any() and transverse_momentum(p4[1]) > 0
    with torch.no_grad():
        model.decoder.network.convs[-1].node_layers[-1].bias[0] = -50.0
    result = model(jets)
    assert (result.native.output[:, 0] < 0).all() and not result.p4.any()
    mse(*result.native).sum().backward()
    assert model.decoder.network.convs[-1].node_layers[-1].bias.grad[0].abs() > 0


def test_the_output_is_massless_and_in_the_precision_of_the_input(jets: Batch) -> None:
    """Coordinates are computed in the precision of the momenta, the network in that of its parameters."""
    model = GNNAE("particle")
    result = model(jets)
    assert result.p4.dtype == torch.float64 and result.native.output.dtype == torch.float32
    energy, momentum = result.p4[:, 0], result.p4[:, 1:].norm(dim=-1)
    torch.testing.assert_close(energy, momentum, rtol=1e-12, atol=1e-14)


def test_particles_without_transverse_momentum_have_zero_coordinates(massless_jet: Callable[..., Tensor]) -> None:
    p4 = torch.cat([massless_jet(3, torch.Generator().manual_seed(1)), torch.zeros(1, 4, dtype=torch.float64)])
    model = GNNAE().double()
    with pytest.raises(ValueError, match="leave rows of padding out"):
        model(batch_of(p4))
    model.check_inputs = False
    result = model(batch_of(p4))
    assert not result.native.target[3].any() and result.p4.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"aggregation": "max"}, {"level": "particle", "mix_width": 5}])
def test_gradients(options: dict, massless_jet: Callable[..., Tensor], generator: torch.Generator) -> None:
    model = double(**{"latent": 2, "num_particles": 4, **SMALL, **options})
    jets = batch_of(massless_jet(4, generator), massless_jet(1, generator), massless_jet(3, generator))
    names, parameters = zip(*model.named_parameters())

    def run(*values: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, values)), (jets,)).native.output

    assert torch.autograd.gradcheck(run, parameters)


def test_a_step_lowers_the_loss(jets: Batch) -> None:
    """Float32, as in training; the code learns the jets of one batch."""
    jets.pos = jets.pos.float()
    model = GNNAE("particle", scale=(10, 5, 5))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = mse(*model(jets).native).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("level", LEVELS)
def test_built_again_from_its_configuration(level: str, jets: Batch) -> None:
    model = double(level=level, decoder_node_sizes=[[4, 3], [5]], scale=(2, 3, 4), last_activation=False, **SMALL)
    again = build_model(model.config).double()
    again.load_state_dict(model.state_dict())
    assert again.config == model.config
    assert torch.equal(again(jets).p4, model(jets).p4)


def test_the_output_can_be_squashed(jets: Batch) -> None:
    plain, squashed = double(), double(squash_output=True)
    squashed.load_state_dict(plain.state_dict())
    assert torch.equal(squashed(jets).native.output, plain(jets).native.output.tanh())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "event"}, "unknown level 'event': choose one of jet, particle"),
        ({"aggregation": "sum"}, "unknown aggregation 'sum': choose one of mean, max, min, mix"),
        ({"decode": "all"}, "unknown decode 'all'"),
        ({"level": "particle", "decode": "slots"}, "empty slots have no code"),
        ({"scale": 0.0}, "scale is a number other than 0"),
        ({"scale": (1.0, 2.0)}, "scale is a number other than 0"),
        ({"node_sizes": [[3]]}, "need an entry for each step, at least one, but have 1 and 3"),
    ],
)
def test_wrong_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GNNAE(**options)


def test_too_many_particles(massless_jet: Callable[..., Tensor], generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="jet 1 of the batch has 9 particles, but the model has 8 slots"):
        GNNAE(num_particles=8)(batch_of(massless_jet(8, generator), massless_jet(9, generator)))
