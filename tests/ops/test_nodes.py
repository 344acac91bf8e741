"""The compiled kernels of what acts on single nodes give the values and gradients of the plain definitions."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.ops.backends.compiled_nodes import _extremum, _mix, compiled_extremum, compiled_mix
from lgae_pyg.ops.extremum import Choice, extremum
from lgae_pyg.ops.graphs import pointers
from lgae_pyg.ops.mixing import MixedIrrep, mix_channels

CHECKS = ("test_schema", "test_faketensor", "test_autograd_registration", "test_aot_dispatch_dynamic")


def draw(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.complex128)


def gradients(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    weight = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape) * (1 - 0.5j)
    return list(torch.autograd.grad(out, leaves, weight, materialize_grads=True, allow_unused=True))


def mixing(multiplicities: list[tuple[int, int, int]], rows: int, seed: int) -> tuple[Tensor, list[Tensor], list]:
    """Features of irreps (channels, dimension, channels of the output), and their mixing matrices."""
    irreps, weights, begin = [], [], 0
    for number, (channels, dim, mixed) in enumerate(multiplicities):
        if mixed:
            irreps.append(MixedIrrep(begin, channels, dim, mixed))
            weights.append(torch.view_as_real(draw(seed + number, mixed, channels)).requires_grad_())
        begin += channels * dim
    return draw(seed, rows, begin).requires_grad_(), weights, irreps


@settings(max_examples=40, deadline=None)
@example(multiplicities=[(120, 1, 1), (120, 4, 9)], rows=70, seed=0)
@example(multiplicities=[(2, 1, 3), (1, 4, 0), (3, 3, 2), (1, 9, 5)], rows=1, seed=1)
@example(multiplicities=[(2, 1, 30), (9, 4, 30)], rows=0, seed=2)
@given(
    multiplicities=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from([1, 3, 4, 9]), st.integers(1, 9)), min_size=1, max_size=3
    ),
    rows=st.integers(0, 200),
    seed=st.integers(0, 1000),
)
def test_mixing(multiplicities: list[tuple[int, int, int]], rows: int, seed: int) -> None:
    x, weights, irreps = mixing(multiplicities, rows, seed)
    ours, theirs = compiled_mix(x, weights, irreps), mix_channels(x, weights, irreps)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    leaves = [x, *weights]
    for a, b in zip(gradients(ours, leaves), gradients(theirs, leaves)):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-11)


def test_mixing_of_more_dimensions_and_views() -> None:
    x, weights, irreps = mixing([(3, 1, 2), (2, 4, 3)], 24, 0)
    for view in (x.detach().view(2, 3, 4, -1), x.detach().conj(), x.detach()[::2], x.detach().mT.contiguous().mT):
        torch.testing.assert_close(compiled_mix(view, weights, irreps), mix_channels(view, weights, irreps))


@settings(max_examples=40, deadline=None)
@example(sizes=[1, 2, 0, 30], blocks=[(1, 1), (4, 4)], largest=True, by_square=True, equal=True, seed=0)
@given(
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=12),
    blocks=st.lists(st.tuples(st.integers(1, 5), st.sampled_from([1, 4])), min_size=1, max_size=3),
    largest=st.booleans(),
    by_square=st.booleans(),
    equal=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_extremum(
    sizes: list[int], blocks: list[tuple[int, int]], largest: bool, by_square: bool, equal: bool, seed: int
) -> None:
    """Also with particles that are equal, and tie."""
    ptr = pointers(torch.tensor(sizes))
    x = draw(seed, int(ptr[-1]), sum(channels * dim for channels, dim in blocks))
    if equal and len(x) > 2:
        x[1::2] = x[:-1:2]
    x.requires_grad_()
    choice = Choice(largest, by_square, 4096.0)
    ours, theirs = compiled_extremum(x, ptr, blocks, choice), extremum(x, ptr, blocks, choice)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(gradients(ours, [x])[0], gradients(theirs, [x])[0], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("choose", [compiled_extremum, extremum])
def test_what_is_not_a_number_is_seen(choose) -> None:
    x = draw(0, 6, 5)
    x[1, 2] = torch.nan
    broken = choose(x, torch.tensor([0, 3, 6]), [(1, 1), (1, 4)], Choice(False, False, 4096.0))
    assert broken.isnan().any(1).tolist() == [True, False]


def test_two_massless_particles_tie_within_rounding() -> None:
    """Invariants of a jet of two differ by rounding of their terms only: both implementations average."""
    first, second = torch.tensor([[1e3, 0, 0, 1e3], [1e3, 1e3, 0, 0]], dtype=torch.float64)
    x = torch.stack([first + 0.5 * second, second + 0.5 * first]) * (1 + 1e-15) + 0j
    for largest in (False, True):
        choice = Choice(largest, False, 4096.0)
        for choose in (compiled_extremum, extremum):
            found = choose(x, torch.tensor([0, 2]), [(1, 4)], choice)
            torch.testing.assert_close(found[0], x.mean(0), rtol=1e-14, atol=0)


def test_results_do_not_depend_on_threads() -> None:
    x, weights, irreps = mixing([(3, 1, 2), (2, 4, 3)], 5000, 0)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = compiled_mix(x, weights, irreps)
            results.append([out, *gradients(out, [x, *weights])])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*results))


def test_custom_operators_are_sound() -> None:
    """Fake tensors, autograd and functionalisation, as torch.compile needs them."""
    x, weights, irreps = mixing([(3, 1, 2), (2, 4, 3)], 7, 0)
    numbers = [number for irrep in irreps for number in irrep]
    torch.library.opcheck(_mix, (x, weights, numbers), test_utils=CHECKS)
    torch.library.opcheck(
        _extremum, (x, torch.tensor([0, 3, 7]), [3, 1, 2, 4], True, True, 1e-13), test_utils=CHECKS
    )


@pytest.mark.parametrize(
    "ptr", [torch.tensor([0, 3]), torch.tensor([1, 6]), torch.tensor([0, 4, 3, 6]), torch.tensor([0.0, 6.0])]
)
def test_offsets_that_do_not_fit_are_refused(ptr: Tensor) -> None:
    with pytest.raises(ValueError, match="ptr must"):
        compiled_extremum(draw(0, 6, 5), ptr, [(1, 1), (1, 4)], Choice(False, False, 4096.0))


def test_widths_that_do_not_fit_are_refused() -> None:
    x, weights, irreps = mixing([(3, 1, 2), (2, 4, 3)], 7, 0)
    with pytest.raises(ValueError, match="do not fit"):
        compiled_mix(x[:, :-1], weights, irreps)
    with pytest.raises(ValueError, match="do not fit"):
        compiled_extremum(x, torch.tensor([0, 7]), [(3, 1)], Choice(False, False, 4096.0))
