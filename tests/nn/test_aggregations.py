"""Latent aggregations: exact answers, equivariance, permutations, and PyG's calling conventions."""

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.nn.aggr import Aggregation

from lgae_pyg.lorentz import Irreps, random_lorentz, representation_matrix
from lgae_pyg.nn.aggr import MixAggregation, build_aggregation, num_concatenated

IRREPS = Irreps("2x(0,0)+2x(1/2,1/2)")
INVARIANT = ["min", "max", "mean", "sum", "min&max", "min+max", "min&max&mean"]


def features(jets: Batch, generator: torch.Generator) -> Tensor:
    return torch.randn(jets.num_nodes, IRREPS.dim, dtype=torch.complex128, generator=generator)


def build(name: str) -> Aggregation:
    if name == "mix":
        return MixAggregation(IRREPS, "1x(0,0)+3x(1/2,1/2)", num_particles=30).double()
    return build_aggregation(name, IRREPS)


def irreps_of(name: str) -> Irreps:
    parts = num_concatenated(name)
    return Irreps("1x(0,0)+3x(1/2,1/2)" if name == "mix" else f"{2 * parts}x(0,0)+{2 * parts}x(1/2,1/2)")


@pytest.mark.parametrize("name", [*INVARIANT, "mix"])
def test_equivariance(name: str, jets: Batch, generator: torch.Generator) -> None:
    x = features(jets, generator)
    transform = random_lorentz(max_rapidity=2.0, generator=generator)
    aggregation = build(name)
    before = representation_matrix(IRREPS, transform).to(x.dtype)
    after = representation_matrix(irreps_of(name), transform).to(x.dtype)
    with torch.no_grad():
        transformed = aggregation(x @ before.T, ptr=jets.ptr)
        expected = aggregation(x, ptr=jets.ptr) @ after.T
    torch.testing.assert_close(transformed, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [*INVARIANT, "mix"])
def test_permutations_matter_only_for_mix(name: str, jets: Batch, generator: torch.Generator) -> None:
    x = features(jets, generator)
    order = torch.cat(
        [begin + torch.randperm(end - begin) for begin, end in zip(jets.ptr.tolist(), jets.ptr[1:].tolist())]
    )
    aggregation = build(name)
    with torch.no_grad():
        change = (aggregation(x[order], ptr=jets.ptr) - aggregation(x, ptr=jets.ptr)).abs().max()
    assert bool(change < 1e-13) is (name != "mix")


@pytest.mark.parametrize("name", [*INVARIANT, "mix"])
def test_index_and_ptr_agree(name: str, jets: Batch, generator: torch.Generator) -> None:
    x = features(jets, generator)
    aggregation = build(name)
    with torch.no_grad():
        torch.testing.assert_close(aggregation(x, index=jets.batch), aggregation(x, ptr=jets.ptr))


def test_the_vector_of_extreme_mass_is_chosen_part_by_part() -> None:
    """Three particles, one channel: masses squared 4, 1, -3 (real parts) and 0, 9, -1 (imaginary parts)."""
    real = torch.tensor([[2.0, 0, 0, 0], [1, 0, 0, 0], [1, 2, 0, 0]])
    imaginary = torch.tensor([[1.0, 0, 1, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
    scalars = torch.tensor([[3.0 - 1j], [-5 + 2j], [1 + 0.5j]])
    x = torch.cat([scalars, torch.complex(real, imaginary)], 1)
    ptr = torch.tensor([0, 3])
    irreps = Irreps("1x(0,0)+1x(1/2,1/2)")
    smallest = build_aggregation("min", irreps)(x, ptr=ptr)[0]
    largest = build_aggregation("max", irreps)(x, ptr=ptr)[0]
    by_square = build_aggregation("max", irreps, largest_square=True)(x, ptr=ptr)[0]
    assert torch.equal(smallest[1:], torch.complex(real[2], imaginary[2]))
    assert torch.equal(largest[1:], torch.complex(real[0], imaginary[1]))
    assert (smallest[0], largest[0], by_square[0]) == (-5 - 1j, 3 + 2j, -5 + 2j)


def test_averages_and_concatenations(jets: Batch, generator: torch.Generator) -> None:
    x = features(jets, generator)
    parts = [build_aggregation(name, IRREPS)(x, ptr=jets.ptr) for name in ("min", "max")]
    average = build_aggregation("min+max", IRREPS)(x, ptr=jets.ptr)
    joined = build_aggregation("min&max", IRREPS)(x, ptr=jets.ptr)
    torch.testing.assert_close(average, (parts[0] + parts[1]) / 2)
    torch.testing.assert_close(joined[:, :4], torch.cat([parts[0][:, :2], parts[1][:, :2]], 1))
    torch.testing.assert_close(joined[:, 4:], torch.cat([parts[0][:, 2:], parts[1][:, 2:]], 1))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown aggregation 'median'"):
        build_aggregation("median", IRREPS)
    with pytest.raises(ValueError, match=r"mixes & and \+"):
        build_aggregation("min&max+mean", IRREPS)
    with pytest.raises(ValueError, match="sorted by graph"):
        build_aggregation("min", IRREPS)(torch.zeros(3, 10, dtype=torch.complex64), torch.tensor([1, 0, 1]))
