"""The compiled level of message passing gives the values and gradients of the plain definitions."""

from itertools import pairwise

import pytest
import torch
from cases import random_case
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.nn.radial import LorentzianBell
from lgae_pyg.ops import levels
from lgae_pyg.ops.backends.compiled import _sum
from lgae_pyg.ops.backends.compiled_level import Level as Parameters
from lgae_pyg.ops.backends.compiled_level import Perceptron, _level, compiled_level
from lgae_pyg.ops.messages import neighbour_sum


class Level:
    """A random level and its inputs; ``leaves`` are all tensors with gradients."""

    def __init__(
        self,
        sizes: list[int],
        channels: int,
        out: int,
        depth: int,
        complex_momenta: bool,
        options: tuple,
        seed: int,
    ):
        scalars, vectors, momenta, bells, self.ptr = random_case(sizes, channels, complex_momenta, seed)
        generator = torch.Generator().manual_seed(seed)
        widths = [2 * out, *depth * [6 * out], 2 * out]

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5

        self.features = torch.cat([scalars, vectors.flatten(-2)], -1)
        self.momenta, self.bells = momenta, bells
        with torch.no_grad():  # which begin at zero
            bells.a.copy_(draw(len(bells.a)))
        self.scalar_scales, self.vector_scales = draw(5).tolist(), draw(4).tolist()
        self.scalar_weight, self.vector_weight = draw(out, 5 * channels, 2), draw(out, 4 * channels, 2)
        self.weights = [draw(after, before) for before, after in pairwise(widths)] if depth else []
        self.biases = [draw(after) for after in widths[1:]] if depth else []
        self.depth, self.options = depth, options
        self.need_gradients()

    def need_gradients(self) -> None:
        parts = [self.features, self.momenta, *self.radial, self.scalar_weight, self.vector_weight]
        self.leaves = [part.requires_grad_() for part in (*parts, *self.weights, *self.biases)]

    @property
    def radial(self) -> list[Tensor]:
        return [self.bells.a, self.bells.b, self.bells.c, self.bells.weight, self.bells.bias]

    def parameters(self) -> Parameters:
        layers = Perceptron(self.weights, self.biases, 0.01, *self.options) if self.depth else None
        scales = self.scalar_scales, self.vector_scales
        return Parameters(self.radial, self.scalar_weight, self.vector_weight, *scales, layers)

    def compiled(self, single: bool = False) -> Tensor:
        return compiled_level(self.features, self.momenta, self.parameters(), self.ptr, single)

    def plain(self) -> Tensor:
        channels = self.features.shape[-1] // 5
        scalars, vectors = self.features[:, :channels], self.features[:, channels:].unflatten(-1, (channels, 4))
        bells = self.bells.folded()
        sums = neighbour_sum(scalars, vectors, self.momenta, bells, self.ptr, backend="edge_list")
        scalar_sums = (sums.scalar_from_scalar, sums.scalar_from_vector)
        vector_sums = (sums.vector_from_vector, sums.vector_from_scalar)
        packed = torch.cat([part.flatten(1) for part in (*scalar_sums, *vector_sums)], -1)
        weights = (
            weight * torch.tensor(scales, dtype=torch.float64).repeat_interleave(channels).view(1, -1, 1)
            for weight, scales in (
                (self.scalar_weight, self.scalar_scales),
                (self.vector_weight, self.vector_scales),
            )
        )
        mixed = levels.mix_products(self.features, packed, *weights)
        if not self.depth:
            return mixed
        return levels.scalar_perceptron(mixed, self.weights, self.biases, 0.01, *self.options)

    def gradients(self, out: Tensor) -> list[Tensor]:
        weight = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape) * (1 - 0.5j)
        return list(torch.autograd.grad(out, self.leaves, weight, materialize_grads=True, allow_unused=True))


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    if theirs.numel() == 0:
        return 0.0
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max().clamp(min=1e-30))


@settings(max_examples=30, deadline=None)
@example(sizes=[1], shape=(2, 2, 2), complex_momenta=True, residual=True, squash=True, seed=0)
@example(sizes=[140, 1, 1], shape=(4, 3, 0), complex_momenta=True, residual=True, squash=True, seed=1)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    shape=st.sampled_from([(2, 2, 2), (4, 3, 0)]),
    complex_momenta=st.booleans(),
    residual=st.booleans(),
    squash=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_level(
    sizes: list[int], shape: tuple[int, int, int], complex_momenta: bool, residual: bool, squash: bool, seed: int
) -> None:
    level = Level(sizes, *shape, complex_momenta, (residual, squash), seed)
    ours, theirs = level.compiled(), level.plain()
    assert relative_difference(ours, theirs) < 1e-11
    for a, b in zip(level.gradients(ours), level.gradients(theirs)):
        assert relative_difference(a, b) < 1e-10


@pytest.mark.parametrize("complex_momenta", [False, True])
def test_mixed_precision(complex_momenta: bool) -> None:
    """Bells and perceptron in float32 between features in float64: close, but not equal, and of the right type."""
    level = Level([9, 1, 17], 4, 3, 2, complex_momenta, (True, True), 0)
    low, high = level.compiled(single=True), level.plain()
    assert low.dtype == torch.complex128
    assert 1e-10 < relative_difference(low, high) < 1e-5
    for a, b in zip(level.gradients(low), level.gradients(high)):
        assert a.dtype == b.dtype
        assert relative_difference(a, b) < 1e-4


def test_results_do_not_depend_on_threads() -> None:
    level = Level([7, 12, 3] * 30, 2, 2, 2, True, (True, True), 0)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = level.compiled()
            results.append([out, *level.gradients(out)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*results))


def test_large_and_broken_scalars() -> None:
    """asinh of the perceptron, from rounding noise to huge; what is not a number stays one."""
    values = torch.cat([torch.logspace(-300, 150, 46, dtype=torch.float64), torch.linspace(0, 3, 61).double()])
    out = squashed(torch.cat([values, -values]))
    expected = torch.asinh(torch.cat([values, -values]))
    torch.testing.assert_close(out, expected, rtol=2e-15, atol=0)
    assert squashed(torch.tensor([torch.nan, 1.0], dtype=torch.float64)).isnan().tolist() == [True, False]


def squashed(values: Tensor) -> Tensor:
    """Single particles whose scalar passes a level with nothing but asinh."""
    features = torch.zeros(len(values), 5, dtype=torch.complex128)
    features[:, 0] = torch.complex(values, torch.zeros_like(values))
    one, zero = torch.zeros(1, 5, 2).double(), torch.zeros(1, 4, 2).double()
    one[0, 2, 0] = 1
    layers = Perceptron([torch.zeros(2, 2).double()] * 2, [torch.zeros(2).double()] * 2, 0.01, True, True)
    bells = LorentzianBell(1, num_bells=1).double()
    radial = (bells.a, bells.b, bells.c, bells.weight, bells.bias)
    ptr = torch.arange(len(values) + 1)
    momenta = torch.zeros(len(values), 4).double()
    level = Parameters(radial, one, zero, perceptron=layers)
    return compiled_level(features, momenta, level, ptr)[:, 0].real


def test_custom_operators_are_sound() -> None:
    """Fake tensors, autograd and functionalisation, as torch.compile needs them."""
    level = Level([5, 1, 3], 2, 2, 1, True, (True, True), 0)
    radial = torch.cat([part.detach().flatten() for part in level.bells.folded()[:3]]).requires_grad_()
    checks = ("test_schema", "test_faketensor", "test_autograd_registration", "test_aot_dispatch_dynamic")
    inputs = (level.features, level.momenta)
    torch.library.opcheck(_sum, (*inputs, radial, 4, level.ptr), test_utils=checks)
    layers = [part for pair in zip(level.weights, level.biases) for part in pair]
    parts = [*level.radial, level.scalar_weight, level.vector_weight, *layers]
    parameters = [part.detach().requires_grad_() for part in parts]
    scales = [*level.scalar_scales, *level.vector_scales]
    arguments = (*inputs, parameters, scales, [2, 12, 1], 0.01, True, True, False, level.ptr)
    torch.library.opcheck(_level, arguments, test_utils=checks)


def test_parameters_of_other_sizes_are_refused() -> None:
    level = Level([5, 1, 3], 2, 2, 1, True, (True, True), 0)
    level.biases[0] = level.biases[0][:5]
    with pytest.raises(ValueError, match="parameters of a level"):
        level.compiled()
