"""The Triton kernels give the values and gradients of the plain definition; without a GPU they are interpreted."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lgae_pyg.lorentz.kinematics import minkowski_dot, minkowski_square
from lgae_pyg.nn import LorentzianBell
from lgae_pyg.ops.backends import triton as backend
from lgae_pyg.ops.backends.triton import triton_neighbour_sum, why_unavailable
from lgae_pyg.ops.bells import Bells, bell_sum
from lgae_pyg.ops.graphs import complete_graph, pointers
from lgae_pyg.ops.messages import edge_neighbour_sum


def why_not() -> str | None:
    """Decides, with the first import of the kernels, whether they are compiled or interpreted."""
    with pytest.MonkeyPatch.context() as patch:
        if not torch.cuda.is_available():
            patch.setenv("TRITON_INTERPRET", "1")
        return why_unavailable()


REASON = why_not()
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def random_case(
    sizes: list[int], channels: int, complex_momenta: bool, seed: int = 0, num_bells: int = 4
) -> tuple:
    """Random features on ragged jets; the first two particles of each jet are equal, the third collinear."""
    generator = torch.Generator().manual_seed(seed)
    ptr = pointers(torch.tensor(sizes, dtype=torch.int64))
    n = int(ptr[-1])
    momenta = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    for begin, size in zip(ptr.tolist(), sizes):
        if size > 2:
            momenta[begin + 1] = momenta[begin]
            momenta[begin + 2] = 0.3 * momenta[begin]
    if complex_momenta:
        momenta = torch.complex(momenta, torch.randn(n, 4, generator=generator, dtype=torch.float64))
    scalars = torch.randn(n, channels, generator=generator, dtype=torch.complex128)
    vectors = torch.randn(n, channels, 4, generator=generator, dtype=torch.complex128)
    bells = LorentzianBell(channels, num_bells=num_bells, complex_argument=complex_momenta).double().to(DEVICE)
    return scalars.to(DEVICE), vectors.to(DEVICE), momenta.to(DEVICE), bells, ptr.to(DEVICE)


def value_and_gradients(function: Callable, case: tuple) -> list[Tensor]:
    """The four sums, and the gradients of a weighted sum of them by features, momenta and parameters."""
    scalars, vectors, momenta, bells, ptr = case
    leaves = [part.clone().requires_grad_() for part in (scalars, vectors, momenta)]
    bells.zero_grad()
    sums = function(*leaves, bells.folded(), ptr)
    weights = [torch.linspace(-1, 1, part.numel(), device=DEVICE).view(part.shape) for part in sums]
    loss = sum((part * (1 - 2j) * weight).real.sum() for part, weight in zip(sums, weights))
    loss.backward()
    gradients = [leaf.grad for leaf in leaves] + [p.grad.clone() for p in bells.parameters()]
    return [part.detach() for part in sums] + gradients


def kernels(self_loops: bool = False, **options) -> Callable:
    return lambda *arguments: triton_neighbour_sum(*arguments, self_loops, **options)


def edges(self_loops: bool = False) -> Callable:
    return lambda *arguments: edge_neighbour_sum(*arguments[:4], complete_graph(arguments[4], self_loops))


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, check_dtype=False)


@settings(max_examples=5, deadline=None)
@example(sizes=[1], channels=1, complex_momenta=True, self_loops=True, seed=0)
@example(sizes=[5, 1], channels=3, complex_momenta=False, self_loops=True, seed=0)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=2),
    channels=st.integers(1, 3),
    complex_momenta=st.booleans(),
    self_loops=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_kernels_agree_with_edges_in_value_and_gradient(
    sizes: list[int], channels: int, complex_momenta: bool, self_loops: bool, seed: int
) -> None:
    case = random_case(sizes, channels, complex_momenta, seed)
    expected = value_and_gradients(edges(self_loops), case)
    assert_same(value_and_gradients(kernels(self_loops), case), expected, 1e-10)


@pytest.mark.parametrize(
    ("tile", "largest", "complex_momenta"), [(4, None, False), (4, 6, True), (8, 3, True), (8, None, False)]
)
def test_jets_of_several_tiles(
    tile: int, largest: int | None, complex_momenta: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own particles in several tiles, of one program or two, or others in several steps; two groups of bells."""
    monkeypatch.setattr(backend, "TILES", (tile,))
    monkeypatch.setattr(backend, "WARPS", 1)
    case = random_case([6, 2], 2, complex_momenta, num_bells=6)
    found = value_and_gradients(kernels(largest=largest), case)
    assert_same(found, value_and_gradients(edges(), case), 1e-10)


def test_default_tiles_hold_large_jets() -> None:
    case = random_case([34], 1, False)
    parts = (*case[:3], case[3].folded(), case[4])
    with torch.no_grad():
        assert_same(kernels()(*parts), edges()(*parts), 1e-10)


def test_single_precision() -> None:
    case = random_case([5, 2], 2, False)
    expected = value_and_gradients(edges(), case)
    scalars, vectors, momenta, bells, ptr = case
    single = (scalars.to(torch.complex64), vectors.to(torch.complex64), momenta.float(), bells.float(), ptr)
    found = value_and_gradients(kernels(), single)
    assert all(part.dtype in (torch.complex64, torch.float32) for part in found)
    assert_same(found, expected, 2e-4)


def mixed_definition(
    scalars: Tensor, vectors: Tensor, momenta: Tensor, bells: Bells, ptr: Tensor
) -> tuple[Tensor, ...]:
    """The plain definition with the bells in single precision and everything else in double."""
    source, target = complete_graph(ptr)
    difference = momenta[target] - momenta[source]
    invariant = minkowski_square(difference)
    single = Bells(*(part.float() for part in bells))
    factors = bell_sum(invariant.to(torch.complex64 if invariant.is_complex() else torch.float32), single)
    constant, linear = factors.to(torch.complex128).unbind(-2)
    messages = (
        constant * scalars[source],
        constant.unsqueeze(-1) * vectors[source],
        linear * minkowski_dot(difference.unsqueeze(-2), vectors[source]),
        (linear * scalars[source]).unsqueeze(-1) * difference.unsqueeze(-2),
    )
    zeros = (torch.zeros(len(momenta), *part.shape[1:], dtype=part.dtype, device=DEVICE) for part in messages)
    return tuple(zero.index_add(0, target, part) for zero, part in zip(zeros, messages))


@pytest.mark.parametrize("complex_momenta", [False, True])
def test_mixed_precision_rounds_only_the_bells(complex_momenta: bool) -> None:
    case = random_case([5], 2, complex_momenta)
    found = value_and_gradients(kernels(radial_dtype=torch.float32), case)
    assert all(part.dtype in (torch.complex128, torch.float64) for part in found)
    assert_same(found, value_and_gradients(mixed_definition, case), 2e-5)


def test_mixed_precision_sums_in_double() -> None:
    """Factors that single precision holds exactly leave no trace of it."""
    scalars, vectors, momenta, bells, ptr = random_case([6], 2, False)
    bells = bells.folded()
    bias = torch.randint(-4, 5, bells.bias.shape, device=DEVICE).double() / 4
    bells = Bells(bells.squared_width, torch.zeros_like(bells.weight), bias, bias)
    expected = edges()(scalars, vectors, momenta, bells, ptr)
    assert_same(kernels(radial_dtype=torch.float32)(scalars, vectors, momenta, bells, ptr), expected, 1e-13)
    single = Bells(*(part.float() for part in bells))
    assert_same(kernels()(scalars, vectors, momenta, single, ptr), expected, 1e-13)


def test_mixed_precision_evaluates_bells_in_single() -> None:
    """Of :math:`1 / (1 + x) - 1` at x near 1e-10, single precision leaves nothing."""
    scalars, vectors, momenta, bells, ptr = random_case([3], 1, False, num_bells=1)
    one = torch.ones_like(bells.bias)
    bells = Bells(torch.ones_like(bells.c), torch.ones_like(bells.weight), -one, one)
    parts = (scalars, vectors, 1e-5 * momenta, bells, ptr)
    assert all(part.any() for part in kernels()(*parts))
    assert not any(part.any() for part in kernels(radial_dtype=torch.float32)(*parts))


def test_far_momenta_lose_nothing() -> None:
    """A common shift that leaves the differences exact leaves every bit of the sums and gradients."""
    scalars, vectors, momenta, bells, ptr = random_case([4], 2, False)
    near = (momenta * 2**20).round() / 2**20
    found = value_and_gradients(kernels(), (scalars, vectors, near + 2**20, bells, ptr))
    for ours, theirs in zip(found, value_and_gradients(kernels(), (scalars, vectors, near, bells, ptr))):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("wanted", ["scalars", "momenta", "bells"])
def test_gradients_are_made_where_they_are_asked_for(wanted: str) -> None:
    case = random_case([3], 2, True)
    scalars, vectors, momenta, bells, ptr = case
    expected = value_and_gradients(edges(), case)
    leaves = {"scalars": scalars.clone(), "vectors": vectors.clone(), "momenta": momenta.clone()}
    folded = Bells(*(part.detach() for part in bells.folded())) if wanted != "bells" else bells.folded()
    bells.zero_grad()
    if wanted in leaves:
        leaves[wanted].requires_grad_()
    sums = triton_neighbour_sum(*leaves.values(), folded, ptr, False)
    weights = [torch.linspace(-1, 1, part.numel(), device=DEVICE).view(part.shape) for part in sums]
    sum((part * (1 - 2j) * weight).real.sum() for part, weight in zip(sums, weights)).backward()
    assert [name for name, leaf in leaves.items() if leaf.grad is not None] == [wanted] * (wanted != "bells")
    found = [p.grad for p in bells.parameters()] if wanted == "bells" else [leaves[wanted].grad]
    place = {"scalars": slice(4, 5), "momenta": slice(6, 7), "bells": slice(7, None)}[wanted]
    assert_same(found, expected[place], 1e-10)


def test_one_sum_alone_and_odd_strides() -> None:
    """Gradients of unused sums are zero; conjugated, expanded and transposed tensors are read as they are."""
    scalars, vectors, momenta, bells, ptr = random_case([3, 2], 2, False)
    scalars, momenta = scalars[:, :1].expand(-1, 2).conj(), momenta.T.contiguous().T
    vectors = vectors.transpose(0, 2).contiguous().transpose(0, 2)
    found, expected = ([leaf.clone().requires_grad_() for leaf in (scalars, vectors, momenta)] for _ in range(2))
    for leaves, function in ((found, kernels()), (expected, edges())):
        views = (leaves[0].conj().conj(), leaves[1], leaves[2])
        function(*views, bells.folded(), ptr)[2].conj().real.sum().backward()
    assert_same([leaf.grad for leaf in found[1:]], [leaf.grad for leaf in expected[1:]], 1e-10)
    assert not found[0].grad.any()
    parts = (scalars, vectors, momenta, bells.folded(), ptr)
    assert_same(kernels()(*parts), edges()(*parts), 1e-10)


@pytest.mark.parametrize("sizes", [[], [0, 0], [0, 2]])
def test_empty_jets_and_batches(sizes: list[int]) -> None:
    case = random_case(sizes, 1, False)
    assert_same(value_and_gradients(kernels(), case), value_and_gradients(edges(), case), 1e-10)


def test_nothing_of_the_size_of_the_pairs_is_kept() -> None:
    scalars, vectors, momenta, bells, ptr = random_case([9], 2, False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda part: kept.append(part.numel()) or part, lambda part: part
    ):
        parameters = bells.folded()
        kept.clear()
        triton_neighbour_sum(scalars.requires_grad_(), vectors, momenta, parameters, ptr, False)
    inputs = (scalars, vectors, momenta, *parameters[:3], ptr)
    assert kept and sum(kept) <= sum(part.numel() for part in inputs)


@pytest.mark.filterwarnings("ignore")
def test_compiled_in_one_graph() -> None:
    case = random_case([3, 2], 2, False)
    function = torch.compile(kernels(True), backend="aot_eager", fullgraph=True)
    assert_same(value_and_gradients(function, case), value_and_gradients(edges(True), case), 1e-10)


def test_operator_is_registered_soundly() -> None:
    scalars, vectors, momenta, bells, ptr = random_case([2], 1, True)
    parameters = [part.detach().requires_grad_() for part in bells.folded()[:3]]
    leaves = [part.requires_grad_() for part in (scalars, vectors, momenta)]
    torch.library.opcheck(backend._neighbour_sum, (*leaves, *parameters, ptr, 0))


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter runs the programs in order")
def test_runs_give_the_same_bits() -> None:
    case = random_case([70, 3, 40], 5, True)
    first, second = (value_and_gradients(kernels(), case) for _ in range(2))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, v, p: (s.real, v, p), "complex64 or complex128"),
        (lambda s, v, p: (s, v.to(torch.complex64), p), "differ in precision"),
        (lambda s, v, p: (s, v, p.float()), "differ in precision"),
        (lambda s, v, p: (s, v[:, :1], p), "shapes do not fit"),
        (lambda s, v, p: (s, v, p.to(s.dtype)), "complex arguments"),
        (lambda s, v, p: (s[:, :1], v[:, :1], p), "bells of shape"),
    ],
)
def test_wrong_tensors_are_named(change: Callable, message: str) -> None:
    scalars, vectors, momenta, bells, ptr = random_case([2], 2, False)
    with pytest.raises(ValueError, match=message):
        triton_neighbour_sum(*change(scalars, vectors, momenta), bells.folded(), ptr, False)


def test_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    for module in ("triton_kernels", "triton_pairs"):
        monkeypatch.delitem(sys.modules, f"lgae_pyg.ops.backends.{module}")
        monkeypatch.delattr(f"lgae_pyg.ops.backends.{module}")
    assert "triton cannot be imported" in why_unavailable()


COMPILE = """
import re

import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from lgae_pyg.ops.backends import triton_kernels as kernels

tiles = {"OWN": 32, "OTHER": 4, "CHANNELS": 2, "BELLS": 4}
for kernel, real, radial, constants in (
    (kernels.forward_kernel, "fp64", "fp32", {"COMPLEX": False}),
    (kernels.gradient_kernel, "fp64", "fp32", {"COMPLEX": True, "MOMENTA": True}),
    (kernels.radial_kernel, "fp32", "fp32", {"COMPLEX": False}),
):
    constants = constants | tiles
    def kind(name):
        if name in constants:
            return "constexpr"
        if name in ("nodes", "channels", "groups", "splits"):
            return "i32"
        bells = name in ("width", "table", "grad_width", "grad_weight", "grad_bias")
        return "*i64" if name == "ptr" else "*" + (radial if bells else real)
    names = kernel.arg_names
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, {name: kind(name) for name in names}, values)
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4}).asm["ptx"]
    print(kernel.fn.__name__, "entry" in code, re.findall(r"\\b(?:atom|red)\\.", code))
"""


def test_kernels_compile_for_a_gpu_without_atomics(tmp_path) -> None:
    """What the interpreter lets pass, the compiler may not. (Its interface was another one before Triton 3.3.)"""
    pytest.importorskip("triton", "3.3")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    names = ("forward_kernel", "gradient_kernel", "radial_kernel")
    assert done.stdout.splitlines() == [f"{name} True []" for name in names]
