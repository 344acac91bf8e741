"""The equivariance error: zero for equivariant functions, known values for broken ones."""

import math
from types import SimpleNamespace

import pytest
import torch

from lgae_pyg.lorentz import (
    boost,
    clebsch_gordan,
    energy,
    equivariance_error,
    minkowski_square,
    random_lorentz,
    representation_matrix,
)

ALPHA = 0.8
BOOST = boost(ALPHA, "z")
AT_REST = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
# ||(1 - cosh a, 0, 0, -sinh a)|| / ||(cosh a, 0, 0, sinh a)||: a vector that does not transform.
FIXED_VECTOR_ERROR = math.hypot(1 - math.cosh(ALPHA), math.sinh(ALPHA)) / math.hypot(
    math.cosh(ALPHA), math.sinh(ALPHA)
)


def _momenta(*shape, seed=0, dtype=torch.float64):
    p = torch.randn(*shape, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    p[..., 0] = p[..., 1:].norm(dim=-1) + 0.1
    return p.to(dtype)


def _mixed(p):
    """A linear map of the particles among each other, which commutes with the group."""
    n = p.shape[-2]
    weights = torch.linspace(-1, 1, n * n, dtype=p.dtype).reshape(n, n)
    return weights @ p


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("measure", ["norm", "max", "paper"])
def test_linear_maps_of_particles_are_equivariant(seed, measure):
    transform = random_lorentz(2.0, torch.Generator().manual_seed(seed))
    assert equivariance_error(_mixed, _momenta(3, 6), transform, measure=measure) < 1e-13


def test_the_identity_has_error_zero_exactly():
    error = equivariance_error(lambda p: p, _momenta(5), BOOST)
    assert error.shape == ()
    assert error.dtype == torch.float64
    assert error == 0


def test_a_vector_that_does_not_transform_has_the_known_error():
    for measure in ("norm", "max"):
        error = equivariance_error(lambda p: AT_REST.expand_as(p), _momenta(5), BOOST, measure=measure)
        assert error == pytest.approx(FIXED_VECTOR_ERROR, rel=1e-14)
    paper = equivariance_error(lambda p: AT_REST.expand_as(p), _momenta(5), BOOST, measure="paper")
    assert paper == pytest.approx(1 - math.exp(-ALPHA), rel=1e-14)  # |1 - e^a| / e^a


def test_a_model_broken_by_a_fifth_is_found():
    """The negative control: an energy 20 % too large."""

    def broken(p):
        return torch.cat([1.2 * energy(p)[..., None], p[..., 1:]], dim=-1)

    transform = random_lorentz(1.0, torch.Generator().manual_seed(0))
    for measure in ("norm", "max"):
        assert equivariance_error(broken, _momenta(20, 6), transform, measure=measure) > 0.01
    # Rotations do not see it.
    rotation_only = random_lorentz(0.0, torch.Generator().manual_seed(0))
    assert equivariance_error(broken, _momenta(20, 6), rotation_only) < 1e-14


def test_the_ratio_of_means_hides_what_the_norm_finds():
    """Opposite errors of two rows cancel in the means."""

    def broken(p):
        return p + torch.stack([AT_REST, -AT_REST])

    p = _momenta(2)
    assert equivariance_error(broken, p, BOOST, measure="paper") < 1e-14
    assert equivariance_error(broken, p, BOOST) > 0.1


def test_errors_per_row_point_to_the_row():
    def broken(p):
        result = p.clone()
        result[2, 1] = AT_REST
        return result

    p = _momenta(4, 3)
    errors = equivariance_error(broken, p, BOOST, per_row=True)
    assert errors.shape == (4, 3)
    assert errors[2, 1] == pytest.approx(FIXED_VECTOR_ERROR, rel=1e-14)
    assert errors.count_nonzero() == 1
    assert equivariance_error(broken, p, BOOST, measure="max") == errors.max()


def test_invariants_and_other_representations():
    transform = random_lorentz(1.0, torch.Generator().manual_seed(7))
    p = _momenta(6)
    invariant = equivariance_error(lambda x: minkowski_square(x)[:, None], p, transform, irreps_out="(0,0)")
    assert invariant < 1e-12
    assert equivariance_error(lambda x: energy(x)[:, None], p, transform, irreps_out="(0,0)") > 0.01
    coupling = clebsch_gordan("(1/2,1/2)", "(1/2,1/2)", "(1,0)")

    def field(x):
        x = x.to(coupling.dtype)
        return torch.einsum("cij,ni,nj->nc", coupling, x, x.roll(1, 0))

    assert equivariance_error(field, p, transform, irreps_out="(1,0)") < 1e-13
    assert equivariance_error(field, p, transform, irreps_out="(0,1)") > 0.01


def test_inputs_of_other_representations():
    transform = random_lorentz(1.0, torch.Generator().manual_seed(8))
    x = torch.randn(5, 7, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    irreps = "1x(0,0)+1x(1/2,1/2)+1x(1/2,0)"

    def scaled(features):
        return features[:, :1] * features[:, 1:5]

    assert equivariance_error(scaled, x, transform, irreps_in=irreps) < 1e-14
    assert equivariance_error(lambda f: f * 1j, x, transform, irreps_in=irreps, irreps_out=irreps) < 1e-14
    assert equivariance_error(torch.conj, x, transform, irreps_in=irreps, irreps_out=irreps) > 0.01
    assert representation_matrix(irreps, transform).shape == (7, 7)


def test_graphs_are_copied_and_their_positions_transformed():
    batch = SimpleNamespace(pos=_momenta(5), ptr=torch.tensor([0, 2, 5]), x=torch.ones(5, 1))
    before = batch.pos.clone()
    seen = []

    def model(graph):
        seen.append(graph)
        assert graph.ptr is batch.ptr and graph.x is batch.x
        return SimpleNamespace(p4=2 * graph.pos, ptr=graph.ptr)

    assert equivariance_error(model, batch, BOOST) < 1e-15
    assert torch.equal(batch.pos, before)
    assert torch.allclose(seen[1].pos, before @ BOOST.T)
    broken = equivariance_error(lambda graph: SimpleNamespace(p4=graph.pos + AT_REST), batch, BOOST)
    assert broken > 0.01


def test_batches_of_pytorch_geometric_are_graphs():
    from torch_geometric.data import Batch, Data

    batch = Batch.from_data_list([Data(pos=_momenta(3)), Data(pos=_momenta(2, seed=1))])
    before = batch.pos.clone()

    def jets(graph):
        return torch.stack([graph.pos[a:b].sum(0) for a, b in zip(graph.ptr[:-1], graph.ptr[1:])])

    assert equivariance_error(jets, batch, BOOST) < 1e-14
    assert equivariance_error(jets, batch, BOOST, per_row=True).shape == (2,)
    assert torch.equal(batch.pos, before)


def test_single_precision_functions_see_single_precision():
    p = _momenta(50, dtype=torch.float32)

    def model(x):
        assert x.dtype == torch.float32
        return 3 * x

    error = float(equivariance_error(model, p, boost(1.0, (1, 2, 3))))
    assert 0 < error < 2e-7


def test_zeros_and_not_a_number():
    p = _momenta(3)
    assert equivariance_error(torch.zeros_like, p, BOOST).isnan()  # it would pass any test
    factors = torch.tensor([[1.0], [0.0], [math.nan]], dtype=p.dtype)
    errors = equivariance_error(lambda x: factors * x, p, BOOST, per_row=True)
    assert errors[:2].tolist() == [0, 0]
    assert errors[2].isnan()
    calls = iter((0.0, 1.0))  # the output is zero before the transformation and not after it
    assert equivariance_error(lambda x: next(calls) * x, p, BOOST) == math.inf


def test_gradients_are_off():
    p = _momenta(3).requires_grad_()
    assert not equivariance_error(lambda x: 2 * x, p, BOOST).requires_grad


@pytest.mark.parametrize(
    ("function", "inputs", "options", "message"),
    [
        (torch.clone, torch.zeros(3, 5), {}, "does not fit"),
        (lambda p: p[..., 0], torch.ones(3, 4), {}, "does not fit"),
        (torch.clone, torch.zeros(0, 4), {}, "empty"),
        (torch.clone, "momenta", {}, "neither a tensor nor a graph"),
        (lambda p: "momenta", torch.ones(3, 4), {}, "neither a tensor nor an object"),
        (lambda p: p[p[:, 3] > 1], torch.tensor([[1.0, 0, 0, 0], [2, 0, 0, 1.5]]), {}, "after the trans"),
        (torch.clone, torch.ones(3, 4), {"measure": "mean"}, "unknown measure"),
        (torch.clone, torch.ones(3, 4), {"measure": "max", "per_row": True}, "per row"),
    ],
)
def test_what_cannot_be_compared_is_refused(function, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        equivariance_error(function, inputs, boost(1.0, "z"), **options)
