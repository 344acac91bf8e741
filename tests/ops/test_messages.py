"""Every back-end of the neighbour sum gives the values and gradients of the plain definition."""

import pytest
import torch
from cases import random_case
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.ops.backends import dense
from lgae_pyg.ops.bells import lower
from lgae_pyg.ops.messages import neighbour_sum


def loop_definition(scalars: Tensor, vectors: Tensor, momenta: Tensor, bells, ptr: Tensor) -> list[Tensor]:
    """The four sums, particle by particle."""
    sums = [torch.zeros_like(part) for part in (scalars, vectors, scalars, vectors)]
    for begin, end in zip(ptr.tolist(), ptr[1:].tolist()):
        for i in range(begin, end):
            for j in range(begin, end):
                if i == j:
                    continue
                difference = momenta[i] - momenta[j]
                constant, linear = bells(minkowski_square(difference))
                sums[0][i] += constant * scalars[j]
                sums[1][i] += constant[:, None] * vectors[j]
                sums[2][i] += linear * minkowski_dot(difference, vectors[j])
                sums[3][i] += (linear * scalars[j])[:, None] * difference
    return sums


@pytest.mark.parametrize("backend", ["dense", "edge_list", "fused"])
@pytest.mark.parametrize("complex_momenta", [False, True])
def test_backends_match_the_loop(backend: str, complex_momenta: bool) -> None:
    scalars, vectors, momenta, bells, ptr = random_case([4, 1, 3], 2, complex_momenta, 3)
    with torch.no_grad():
        expected = loop_definition(scalars, vectors, momenta, bells, ptr)
        found = neighbour_sum(scalars, vectors, momenta, bells.folded(), ptr, backend=backend)
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def value_and_gradients(backend: str, self_loops: bool, case: tuple) -> list[Tensor]:
    scalars, vectors, momenta, bells, ptr = case
    leaves = [part.clone().requires_grad_() for part in (scalars, vectors, momenta)]
    bells.zero_grad()
    sums = neighbour_sum(*leaves, bells.folded(), ptr, self_loops, backend)
    weights = [torch.linspace(-1, 1, part.numel()).view(part.shape).to(part.dtype) for part in sums]
    loss = sum((part * (1 - 2j) * weight).real.sum() for part, weight in zip(sums, weights))
    loss.backward()
    gradients = [leaf.grad for leaf in leaves] + [p.grad.clone() for p in bells.parameters()]
    return [part.detach() for part in sums] + gradients


@pytest.mark.parametrize("backend", ["dense", "fused"])
@settings(max_examples=40, deadline=None)
@example(sizes=[1], channels=1, complex_momenta=True, self_loops=False, seed=0)
@example(sizes=[1, 1], channels=3, complex_momenta=False, self_loops=False, seed=0)
@example(sizes=[8, 2, 16, 17, 9, 33], channels=3, complex_momenta=True, self_loops=True, seed=1)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    channels=st.sampled_from([1, 3]),
    complex_momenta=st.booleans(),
    self_loops=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_it_agrees_with_edges_in_value_and_gradient(
    backend: str, sizes: list[int], channels: int, complex_momenta: bool, self_loops: bool, seed: int
) -> None:
    case = random_case(sizes, channels, complex_momenta, seed)
    for ours, theirs in zip(
        value_and_gradients(backend, self_loops, case), value_and_gradients("edge_list", self_loops, case)
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_walking_the_jets_in_groups_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scalars, vectors, momenta, bells, ptr = random_case([5, 3, 5, 2], 2, False, 0)
    whole = neighbour_sum(scalars, vectors, momenta, bells.folded(), ptr, backend="dense")
    monkeypatch.setattr(dense, "MAX_PAIRS", 25)
    grouped = neighbour_sum(scalars, vectors, momenta, bells.folded(), ptr, backend="dense")
    for ours, theirs in zip(grouped, whole):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("complex_momenta", [False, True])
def test_many_particles_are_walked_in_stretches(complex_momenta: bool) -> None:
    """So many that the radial factors of a jet do not fit at once."""
    case = random_case([203, 120], 3, complex_momenta, 0)
    for ours, theirs in zip(
        value_and_gradients("fused", False, case), value_and_gradients("edge_list", False, case)
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("backend", ["dense", "fused"])
@pytest.mark.parametrize("complex_momenta", [False, True])
def test_bells_in_lower_precision(backend: str, complex_momenta: bool) -> None:
    """Radial functions in float32 change the sums by float32's rounding, and differences not at all."""
    scalars, vectors, momenta, bells, ptr = random_case([5, 1, 12], 3, complex_momenta, 0)
    folded = bells.folded()
    exact = neighbour_sum(scalars, vectors, momenta, folded, ptr, backend="edge_list")
    low = neighbour_sum(scalars, vectors, momenta, lower(folded, torch.float32), ptr, backend=backend)
    for ours, theirs in zip(low, exact):
        assert ours.dtype == torch.complex128
        assert 1e-10 < (ours - theirs).norm() / theirs.norm() < 1e-6
    shifted = neighbour_sum(scalars, vectors, momenta + 1e6, lower(folded, torch.float32), ptr, backend=backend)
    for ours, theirs in zip(shifted, exact):
        assert (ours - theirs).norm() / theirs.norm() < 1e-6


@pytest.mark.parametrize("complex_momenta", [False, True])
def test_single_precision(complex_momenta: bool) -> None:
    scalars, vectors, momenta, bells, ptr = random_case([5, 1, 40], 3, complex_momenta, 0)
    exact = neighbour_sum(scalars, vectors, momenta, bells.folded(), ptr, backend="edge_list")
    down = {torch.float64: torch.float32, torch.complex128: torch.complex64}
    single = [part.to(down[part.dtype]) for part in (scalars, vectors, momenta)]
    found = neighbour_sum(*single, bells.float().folded(), ptr, backend="fused")
    for ours, theirs in zip(found, exact):
        assert ours.dtype == torch.complex64
        assert (ours - theirs).norm() / theirs.norm() < 2e-6


def test_unknown_backend_is_named() -> None:
    case = random_case([2], 1, False, 0)
    with pytest.raises(ValueError, match="unknown backend 'cuda'"):
        neighbour_sum(*case[:3], case[3].folded(), case[4], backend="cuda")
