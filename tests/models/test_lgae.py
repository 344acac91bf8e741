"""The autoencoder: equivariance, independence of padding, batch and order, conservation, options."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.lorentz import boost, equivariance_error, random_lorentz, rotation
from lgae_pyg.lorentz.irreps import Irreps
from lgae_pyg.lorentz.kinematics import azimuth, energy, minkowski_square, pseudorapidity, transverse_momentum
from lgae_pyg.models import LGAE, build_model

AGGREGATIONS = ["mix", "min&max", "min", "max", "mean", "sum", "min+max", "min&max&mean"]
SMALL = {"encoder_channels": (2, 3), "decoder_channels": (3, 2), "mlp_depth": 1, "mlp_width": 2}


def ordinary_weights(model: LGAE) -> LGAE:
    """All parameters random, none zero, each changed by its own size: every part of the network takes part."""
    with torch.no_grad():
        for parameter in model.parameters():
            size = parameter.square().mean().sqrt() if parameter.any() else 1.0
            parameter.add_(0.5 * size * torch.randn_like(parameter))
    return model.eval()


def jet_sum(p4: Tensor, batch: Batch) -> Tensor:
    return torch.zeros(batch.num_graphs, 4, dtype=p4.dtype).index_add(0, batch.batch, p4)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_equivariance(aggregation: str, jets: Batch, generator: torch.Generator) -> None:
    model = ordinary_weights(LGAE(aggregation=aggregation))
    for _ in range(2):
        axis = torch.randn(3, generator=generator, dtype=torch.float64)
        assert equivariance_error(model, jets, rotation(2.0, axis)) < 1e-12
        assert equivariance_error(model, jets, boost(1.0, axis)) < 1e-10
        assert equivariance_error(model, jets, boost(3.0, axis)) < 1e-9


@pytest.mark.parametrize("options", [{"conserve_momentum": True}, {"readout": "imag"}, {"decode": "slots"}])
def test_equivariance_of_options(options: dict, jets: Batch, generator: torch.Generator) -> None:
    model = ordinary_weights(LGAE(**SMALL, **options))
    assert equivariance_error(model, jets, random_lorentz(2.0, generator)) < 1e-9


def test_equivariance_with_tensor_irreps(jets: Batch, generator: torch.Generator) -> None:
    few = Batch.from_data_list(jets.to_data_list()[1:6])
    model = ordinary_weights(LGAE(aggregation="min&max", max_weight=2, **SMALL))
    assert equivariance_error(model, few, random_lorentz(1.0, generator)) < 1e-9


@pytest.mark.parametrize("weights", [(1, 2), [2, 1], (3,), (2, 4, 1)])
def test_a_largest_weight_for_each_level(weights: list, jets: Batch, generator: torch.Generator) -> None:
    few = Batch.from_data_list(jets.to_data_list()[1:4])
    channels = (2, 2, 1, 2)
    small = SMALL | {"encoder_channels": channels, "decoder_channels": channels}
    model = ordinary_weights(LGAE(aggregation="min&max", max_weight=weights, **small))
    assert equivariance_error(model, few, random_lorentz(1.0, generator)) < 1e-8
    for stack in (model.encoder.stack, model.decoder.stack):
        limits = [*weights, weights[-1], weights[-1]][:3]
        assert [conv.max_weight for conv in stack.convs] == limits
        assert all(irrep.weight <= conv.max_weight for conv in stack.convs for _, irrep in conv.irreps_in)
        assert stack.irreps_out == Irreps("2x(0,0)+2x(1/2,1/2)")


@pytest.mark.parametrize("weights", [[], [1, 1, 1]])
def test_weights_that_fit_no_levels(weights: list) -> None:
    with pytest.raises(ValueError, match="max_weight must be a number, or one for each level and no more"):
        LGAE(max_weight=weights, encoder_channels=(2, 2, 2), decoder_channels=(2, 2, 2))


def test_negative_control(jets: Batch) -> None:
    """Scaling one component of the input must be noticed."""
    model = ordinary_weights(LGAE(**SMALL))

    def broken(batch: Batch) -> Tensor:
        return model(JetData(pos=batch.pos * torch.tensor([1, 1, 1, 1.01]), ptr=batch.ptr)).p4

    assert equivariance_error(broken, jets, rotation(1.0, "x")) > 1e-4


def test_latent_transforms_as_it_says(jets: Batch, generator: torch.Generator) -> None:
    model = ordinary_weights(LGAE(aggregation="min&max"))
    transform = random_lorentz(2.0, generator)
    assert equivariance_error(lambda batch: model.encode(batch).vectors, jets, transform) < 1e-9
    scalars = equivariance_error(
        lambda batch: model.encode(batch).scalars.unsqueeze(-1), jets, transform, irreps_out="(0,0)"
    )
    assert scalars < 1e-9


@pytest.mark.parametrize("aggregation", ["mix", "min&max"])
def test_each_jet_is_reconstructed_alone(aggregation: str, jets: Batch) -> None:
    """The result of a jet depends neither on its companions nor on the size of the largest of them."""
    model = ordinary_weights(LGAE(aggregation=aggregation, **SMALL))
    with torch.no_grad():
        together = model(jets)
        for number, jet in enumerate(jets.to_data_list()):
            alone = model(jet)
            begin, end = int(together.ptr[number]), int(together.ptr[number + 1])
            torch.testing.assert_close(together.p4[begin:end], alone.p4, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_order_of_particles(aggregation: str, jets: Batch, generator: torch.Generator) -> None:
    """Codes of all but mix do not depend on the order; those of mix do."""
    model = ordinary_weights(LGAE(aggregation=aggregation, **SMALL))
    jet = jets[0]
    shuffled = JetData(pos=jet.pos[torch.randperm(30, generator=generator)])
    with torch.no_grad():
        original, permuted = model(jet), model(shuffled)
    error = (original.p4 - permuted.p4).norm() / original.p4.norm()
    assert model.permutation_invariant is (aggregation != "mix")
    assert (error < 1e-10) if model.permutation_invariant else (error > 1e-3)


def test_particles_and_slots(jets: Batch) -> None:
    """A full jet decodes alike into its particles and into all slots; offsets are the jets' own, or N apart."""
    model = ordinary_weights(LGAE(**SMALL))
    slots = LGAE(**SMALL, decode="slots")
    slots.load_state_dict(model.state_dict())
    with torch.no_grad():
        exact, padded = model(jets[0]), slots(jets[0])
        assert torch.equal(exact.p4, padded.p4)
        padded = slots(jets)
    assert torch.equal(padded.ptr, torch.arange(0, 30 * jets.num_graphs + 1, 30))
    assert torch.equal(model(jets).ptr, jets.ptr)


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_conserved_momentum(massless_jet: Callable[..., Tensor], sizes: list[int], seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    batch = Batch.from_data_list([JetData(pos=massless_jet(size, source)) for size in sizes])
    torch.manual_seed(seed)
    model = ordinary_weights(LGAE(aggregation="min&max", conserve_momentum=True, **SMALL))
    with torch.no_grad():
        p4 = model(batch).p4
    found, true = jet_sum(p4, batch), jet_sum(batch.pos, batch)
    for feature in (transverse_momentum, pseudorapidity, azimuth):
        torch.testing.assert_close(feature(found), feature(true), rtol=1e-9, atol=1e-11)
    # Particles may be larger than their sum; in the squared mass their rounding comes with the jet's energy.
    sizes_added = jet_sum(p4.abs(), batch).amax(-1) + energy(true)
    rounding = 16 * torch.finfo(torch.float64).eps * energy(true) * sizes_added
    assert ((minkowski_square(found) - minkowski_square(true)).abs() <= rounding).all()


def test_code_holds_the_total_when_momentum_is_conserved(jets: Batch) -> None:
    model = LGAE(conserve_momentum=True, **SMALL)
    with torch.no_grad():
        first = model.encode(jets).vectors[:, 0].real
    torch.testing.assert_close(first, jet_sum(jets.pos, jets))


@pytest.mark.parametrize(
    "aggregation, vectors, published",
    [("min&max", 4, 56.67), ("min&max", 7, 96.67), ("mix", 2, 15.0), ("mix", 9, 61.67), ("mix", 13, 88.33)],
)
def test_published_compression(aggregation: str, vectors: int, published: float) -> None:
    rates = LGAE(aggregation=aggregation, latent_vectors=vectors, **SMALL).compression()
    assert rates["four_vector"] == pytest.approx(published, abs=0.005)
    assert rates["massless"] == pytest.approx(published * 4 / 3, abs=0.01)
    assert rates["four_vector_with_side"] == pytest.approx(published + 100 / 120, abs=0.005)


def test_initial_outputs_are_of_the_size_of_the_inputs(jets: Batch) -> None:
    """The original's initialisation gives outputs 1e-8 of the input; ours must be within a factor 100."""
    for aggregation in ("mix", "min&max", "mean"):
        ratios = [
            float(model(jets).p4.detach().norm() / jets.pos.norm())
            for model in (LGAE(aggregation=aggregation) for _ in range(3))
        ]
        assert all(1 / 100 < ratio < 100 for ratio in ratios), (aggregation, ratios)


def test_every_parameter_is_trained(jets: Batch) -> None:
    """No dead branch: each parameter has a gradient (but scalars of the last level feed nothing but scalars)."""
    model = ordinary_weights(LGAE(aggregation="min&max", **SMALL))
    model(jets).p4.square().mean().backward()
    dead = {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    }
    scalar_ends = {"decoder.output.weights.(0,0)", "decoder.stack.convs.0.mix.weights.(0,0)"}
    scalar_ends |= {name for name in dead if name.startswith("decoder.stack.convs.0.mlp")}
    assert dead <= scalar_ends


def test_other_precision(jets: Batch) -> None:
    model = LGAE(**SMALL)
    with torch.no_grad():
        double = model(jets).p4
        single = model.to(torch.float32)(jets).p4
    assert single.dtype == torch.float32
    assert (single - double).norm() < 1e-3 * double.norm()


def test_config_rebuilds_the_model() -> None:
    model = LGAE(aggregation="min&max", conserve_momentum=True, behaviour={"self_loops": True}, **SMALL)
    again = build_model(model.config)
    assert again.config == model.config
    again.load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"readout": "norm"}, "unknown readout 'norm'"),
        ({"decode": "set"}, "unknown decode 'set'"),
        ({"aggregation": "median"}, "unknown aggregation 'median'"),
        ({"backend": "cuda"}, "unknown backend 'cuda'"),
        ({"behaviour": "odd"}, "unknown behaviour 'odd'"),
        ({"behaviour": {"loops": True}}, "unknown behaviour options"),
    ],
)
def test_unknown_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LGAE(**options)


def test_bad_batches_are_explained(jets: Batch) -> None:
    model = LGAE(num_particles=8, **SMALL)
    with pytest.raises(ValueError, match="jet 0 of the batch has 30 particles, but the model has 8 slots"):
        model(jets)
    with pytest.raises(ValueError, match=r"put .* into its field 'pos'"):
        model(JetData())
    with pytest.raises(ValueError, match="no particle"):
        model(JetData(pos=torch.zeros(0, 4)))
    with pytest.raises(ValueError, match=r"has shape \(5, 3\)"):
        model(JetData(pos=torch.zeros(5, 3)))
    with pytest.raises(ValueError, match="LGAE has no argument latent_vector:"):
        build_model({"name": "LGAE", "latent_vector": 3})
