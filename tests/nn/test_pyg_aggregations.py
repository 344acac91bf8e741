"""PyG's aggregations on irreps: alone and inside the autoencoder, equivariant where they are taken."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MLP, aggr

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.lorentz import Irreps, equivariance_error, random_lorentz, representation_matrix
from lgae_pyg.models import LGAE, build_model
from lgae_pyg.nn.aggr import CombinedAggregation, InvariantSoftmax, build_aggregation, num_concatenated

IRREPS = Irreps("2x(0,0)+3x(1/2,1/2)")
SMALL = {"encoder_channels": (2, 3), "decoder_channels": (3, 2), "mlp_depth": 1, "mlp_width": 2}
ACCEPTED = {
    "sum": aggr.SumAggregation,
    "mean": aggr.MeanAggregation,
    "min": aggr.MinAggregation,
    "max": aggr.MaxAggregation,
    "softmax": aggr.SoftmaxAggregation,
    "learned softmax": lambda: aggr.SoftmaxAggregation(t=-0.7, learn=True),
    "softmax of channels": lambda: aggr.SoftmaxAggregation(learn=True, channels=10),
    "attention": lambda: aggr.AttentionalAggregation(nn.Sequential(nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 1))),
    "attention of parts": lambda: aggr.AttentionalAggregation(nn.Linear(10, 10)),
    "attention by an MLP": lambda: aggr.AttentionalAggregation(MLP([10, 4, 1], norm=None)),
}
REFUSED = [
    aggr.MedianAggregation(),
    aggr.StdAggregation(),
    aggr.PowerMeanAggregation(),
    aggr.MulAggregation(),
    aggr.LSTMAggregation(20, 20),
    aggr.Set2Set(20, 2),
    aggr.MultiAggregation(["mean", "max"], mode="sum"),
    aggr.DeepSetsAggregation(nn.Linear(20, 20)),
]


class Own(aggr.Aggregation):
    """An aggregation of a user: particles weighted by the size of their first scalar."""

    def forward(self, x: Tensor, index=None, ptr=None, dim_size=None, dim=-2) -> Tensor:
        return torch.stack([(part[:, :1].abs() * part).sum(0) for part in x.tensor_split(ptr[1:-1])])


class ByEnergy(aggr.Aggregation):
    """One that is not equivariant: the weights are components."""

    def forward(self, x: Tensor, index=None, ptr=None, dim_size=None, dim=-2) -> Tensor:
        return torch.stack([(part[:, -4:-3].real * part).sum(0) for part in x.tensor_split(ptr[1:-1])])


def violation(aggregation: aggr.Aggregation, jets: Batch, generator: torch.Generator) -> float:
    """By how much boosting before and after the aggregation differ."""
    x = torch.randn(jets.num_nodes, IRREPS.dim, dtype=torch.complex128, generator=generator)
    matrix = representation_matrix(IRREPS, random_lorentz(max_rapidity=1.0, generator=generator)).to(x.dtype)
    with torch.no_grad():
        boosted, expected = aggregation(x @ matrix.T, ptr=jets.ptr), aggregation(x, ptr=jets.ptr) @ matrix.T
    return float((boosted - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_ones_are_equivariant(name: str, jets: Batch, generator: torch.Generator) -> None:
    aggregation = build_aggregation(ACCEPTED[name](), IRREPS).double()
    assert violation(aggregation, jets, generator) < 1e-9
    x = torch.randn(jets.num_nodes, IRREPS.dim, dtype=torch.complex128, requires_grad=True)
    order = jets.ptr[:-1].repeat_interleave(jets.ptr.diff()) + jets.ptr[1:].repeat_interleave(jets.ptr.diff())
    reversed_order = order - 1 - torch.arange(len(order))
    out = aggregation(x, index=jets.batch)
    torch.testing.assert_close(aggregation(x[reversed_order], ptr=jets.ptr), out, rtol=1e-9, atol=1e-10)
    loss = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).real.square().sum()
    for grad in torch.autograd.grad(loss, [x, *aggregation.parameters()]):
        assert torch.isfinite(grad).all() and grad.abs().max() > 0


def test_component_by_component_is_not_equivariant(jets: Batch, generator: torch.Generator) -> None:
    """The negative control, and the reason why others are refused: PyG's module on real columns."""

    class Plain(nn.Module):
        def __init__(self, aggregation: aggr.Aggregation):
            super().__init__()
            self.aggregation = aggregation

        def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
            columns = torch.view_as_real(x).flatten(1)
            reduced = self.aggregation(columns, torch.repeat_interleave(ptr.diff()))
            return torch.view_as_complex(reduced.unflatten(1, (-1, 2)))

    for aggregation in (aggr.MaxAggregation(), aggr.SoftmaxAggregation(), aggr.PowerMeanAggregation(3)):
        assert violation(Plain(aggregation), jets, generator) > 0.05
    assert violation(Plain(aggr.MeanAggregation()), jets, generator) < 1e-10
    assert violation(ByEnergy(), jets, generator) > 0.05


def test_softmax_by_hand() -> None:
    """Two particles, t = 1/2: scalars 0 and 1+2i; vectors of squares 1 and 3, whose imaginary parts tie at 0."""
    x = torch.tensor([[0.0, 1, 0, 0, 0], [1 + 2j, 2, 1, 0, 0]], dtype=torch.complex128)
    (found,) = InvariantSoftmax("1x(0,0)+1x(1/2,1/2)", aggr.SoftmaxAggregation(t=0.5))(x, ptr=torch.tensor([0, 2]))
    half, one = (1 / (1 + math.exp(-gap)) for gap in (0.5, 1.0))  # weights of the second, for gaps 1 and 2
    expected = [half + 2j * one, 1 + one, one, 0, 0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.complex128))


def test_a_hard_softmax_is_the_largest(jets: Batch, generator: torch.Generator) -> None:
    x = torch.randn(jets.num_nodes, IRREPS.dim, dtype=torch.complex128, generator=generator)
    hard = build_aggregation(aggr.SoftmaxAggregation(t=1e6), IRREPS)(x, ptr=jets.ptr)
    torch.testing.assert_close(hard, build_aggregation("max", IRREPS)(x, ptr=jets.ptr))


@pytest.mark.parametrize("aggregation", REFUSED, ids=lambda module: type(module).__name__)
def test_others_are_refused_with_the_reason(aggregation: aggr.Aggregation) -> None:
    name = type(aggregation).__name__
    with pytest.raises(ValueError, match=f"{name} acts on single components.*min&max"):
        LGAE(aggregation=aggregation, **SMALL)


def test_what_attention_and_softmax_need() -> None:
    for wrong, message in (
        (aggr.AttentionalAggregation(nn.Linear(10, 1), nn.Linear(28, 28)), "nn of AttentionalAggregation acts on"),
        (aggr.AttentionalAggregation(nn.Linear(10, 1), MLP([28, 28])), "nn of AttentionalAggregation acts on"),
        (aggr.SoftmaxAggregation(learn=True, channels=3), "channels must be 1 or the number of invariants, 10"),
    ):
        with pytest.raises(ValueError, match=message):
            build_aggregation(wrong, IRREPS)
    with pytest.raises(ValueError, match="invariants are known of scalars and four-vectors"):
        build_aggregation("softmax", "1x(0,0)+1x(1,1)")


@pytest.mark.parametrize("name", [*ACCEPTED, "own"])
def test_inside_the_autoencoder(name: str, jets: Batch, generator: torch.Generator) -> None:
    """Equivariant, permutation invariant, trained with the rest; the parameters are in the state dict once."""
    module = Own() if name == "own" else ACCEPTED[name]()
    sizes = {"latent_scalars": 2, "latent_vectors": 3}
    model = LGAE(aggregation=module, **sizes, **SMALL)
    assert equivariance_error(model, jets, random_lorentz(1.0, generator)) < 1e-8
    assert model.permutation_invariant
    model(jets).p4.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.encoder.aggregation.parameters())
    own = [key for key in model.state_dict() if "aggregation" in key]
    assert all(key.startswith("encoder.aggregation.") for key in own)
    assert len(own) == len(list(module.parameters()))


@pytest.mark.parametrize("name", ["sum", "mean", "min", "max", "softmax"])
def test_a_module_is_its_name(name: str, jets: Batch) -> None:
    models = []
    for aggregation in (name, ACCEPTED[name]()):
        torch.manual_seed(3)
        models.append(LGAE(aggregation=aggregation, **SMALL))
    with torch.no_grad():
        assert torch.equal(models[0](jets).p4, models[1](jets).p4)
    assert build_model(models[0].config).state_dict().keys() == models[1].state_dict().keys()


def test_combinations(jets: Batch) -> None:
    several = [aggr.MultiAggregation(["min", aggr.SoftmaxAggregation()], mode=mode) for mode in ("cat", "mean")]
    for name, module in zip(("min&softmax", "min+softmax"), several):
        models = []
        for aggregation in (name, module):
            torch.manual_seed(3)
            models.append(LGAE(aggregation=aggregation, **SMALL))
        with torch.no_grad():
            assert torch.equal(models[0](jets).p4, models[1](jets).p4)
        assert num_concatenated(name) == num_concatenated(module)
    parts = build_aggregation("min&softmax", IRREPS)
    assert num_concatenated(parts) == num_concatenated("min&softmax") == 2
    assert num_concatenated(build_aggregation("min+softmax", IRREPS)) == num_concatenated(Own()) == 1
    both = CombinedAggregation(IRREPS, [build_aggregation(aggr.SoftmaxAggregation(learn=True), IRREPS)])
    (t,) = both.parameters()
    with torch.no_grad():
        t.fill_(5)
    both.reset_parameters()
    assert t == 1


def test_real_features_are_taken_as_complex_ones(jets: Batch) -> None:
    x = torch.randn(jets.num_nodes, IRREPS.dim, dtype=torch.float64)
    for name in ("sum", "mean", "min", "max", "softmax"):
        aggregation = build_aggregation(name, IRREPS)
        complex_ones = aggregation(torch.complex(x, torch.zeros_like(x)), ptr=jets.ptr)
        torch.testing.assert_close(aggregation(x, ptr=jets.ptr), complex_ones)


def test_a_model_with_a_module_is_not_saved_as_something_else(tmp_path) -> None:
    with pytest.raises((TypeError, ValueError), match="aggregation"):
        save_checkpoint(tmp_path / "model.ckpt", LGAE(aggregation=aggr.MeanAggregation(), **SMALL))
    save_checkpoint(tmp_path / "model.ckpt", LGAE(aggregation="softmax", **SMALL))
