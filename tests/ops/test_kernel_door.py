"""No argument reaches the memory of a kernel unchecked: wrong ones raise errors, unusual ones are put right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import random_case
from torch import Tensor, nn
from torch_geometric.data import Batch

from lgae_pyg.nn import GraphNetConv, LMPConv, MixReps
from lgae_pyg.nn.aggr import ExtremumAggregation
from lgae_pyg.ops import neighbours
from lgae_pyg.ops.backends import compiler, door
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.graphs import check_offsets
from lgae_pyg.ops.neighbours import friends, nearest_neighbours

SCRIPT = Path(__file__).parent / "wrong_calls.py"
IRREPS = "2x(0,0)+2x(1/2,1/2)"
BACKENDS = ("fused", "dense", "edge_list")
PTR = torch.tensor([0, 3, 4, 9])


@pytest.mark.parametrize("library", ["compiled", "triton"])
def test_every_wrong_call_ends_without_a_signal(library: str) -> None:
    """In a process of its own, in which memory that was given back is overwritten."""
    environment = {**os.environ, "MALLOC_PERTURB_": "165", "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", str(SCRIPT), library]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (done.returncode, done.stdout[-300:], done.stderr[-2000:])
    assert "refused" in done.stdout.splitlines()[-1]


def lmp(backend: str) -> tuple[nn.Module, tuple]:
    conv = LMPConv(IRREPS, IRREPS, mlp_depth=1, mlp_width=1, num_bells=4, backend=backend).double()
    return conv, (torch.randn(9, 10, dtype=torch.complex128), torch.randn(9, 4).double())


def gnn(backend: str) -> tuple[nn.Module, tuple]:
    return GraphNetConv(3, (4, 2), (5, 3), backend=backend).double(), (torch.randn(9, 3).double(),)


def extremum(backend: str) -> tuple[nn.Module, tuple]:
    return ExtremumAggregation(IRREPS, backend=backend), (torch.randn(9, 10, dtype=torch.complex128),)


LAYERS = {"LMPConv": lmp, "GraphNetConv": gnn, "ExtremumAggregation": extremum}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_offsets_are_checked_under_every_backend(layer: str, backend: str) -> None:
    module, inputs = LAYERS[layer](backend)
    expected = module(*inputs, ptr=PTR)
    for dtype in (torch.int32, torch.uint8):
        assert torch.equal(module(*inputs, ptr=PTR.to(dtype)), expected)
    wrong = ([0, 3, 4], [0, 3, 4, 10], [0, 4, 3, 9], [1, 3, 4, 9], [0, -1, 4, 9], [])
    for offsets in map(torch.tensor, (*wrong, [[0, 9]], [0.0, 9.0])):
        with pytest.raises(ValueError, match=r"ptr must|in ptr do not fit"):
            module(*inputs, ptr=offsets)
    with pytest.raises((ValueError, RuntimeError)):
        module(*inputs, ptr=PTR.to("meta"))


def test_offsets_are_checked_without_waiting_once_for_each_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, for which ``meta`` stands here."""
    asked: list[str] = []
    monkeypatch.setattr(torch, "_assert_async", lambda _, message: asked.append(message))
    ptr = PTR.to("meta")
    for _ in range(2):
        assert check_offsets(ptr, 9) is ptr
    assert len(asked) == 1
    check_offsets(ptr, 5)
    ptr += 0
    check_offsets(ptr, 5)
    assert len(asked) == 3


@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_of_any_form_are_read_as_they_are(layer: str) -> None:
    """Those of sums are expanded, those of transposed and conjugated outputs in another order."""
    for read in (lambda y: y.sum(), lambda y: (y.mT.reshape(-1) * torch.arange(y.numel())).sum(),
                 lambda y: (y.conj() * y).sum(), lambda y: y[::2, 1:].sum()):  # fmt: skip
        gradients = []
        for backend in ("fused", "edge_list"):
            torch.manual_seed(0)
            module, inputs = LAYERS[layer](backend)
            leaves = [*(part.clone().requires_grad_() for part in inputs), *module.parameters()]
            out = read(module(*leaves[: len(inputs)], ptr=PTR))
            gradients.append(torch.autograd.grad(torch.view_as_real(out + 0j).sum(), leaves))
        for ours, theirs in zip(*gradients):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_a_gradient_in_another_precision_is_converted() -> None:
    scalars, vectors, momenta, bells, ptr = random_case([3, 2], 2, False, 0)
    radial = torch.cat([part.detach().flatten() for part in bells.folded()[:3]])
    inputs = (torch.cat([scalars, vectors.flatten(1)], -1), momenta, radial, 4, ptr, True)
    upstream = torch.randn(5, 20)
    found = torch.ops.lgae_pyg.neighbour_sum_backward(upstream, *inputs)
    expected = torch.ops.lgae_pyg.neighbour_sum_backward(upstream.to(torch.complex128), *inputs)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected))


@pytest.mark.parametrize("layer", ["LMPConv", "GraphNetConv"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("inside", [False, True])
def test_autocast_changes_no_number(layer: str, backend: str, inside: bool) -> None:
    """Forward, and backward inside and outside of it; also where the input comes in half precision."""
    module, inputs = LAYERS[layer](backend)
    module.float()
    to = {torch.complex128: torch.complex64, torch.float64: torch.float32}
    leaves = [part.to(to[part.dtype]).requires_grad_() for part in inputs]
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = module(*leaves, ptr=PTR)
            loss = out.abs().square().sum()
            if inside:
                gradients = torch.autograd.grad(loss, [*leaves, *module.parameters()])
        if not inside:
            gradients = torch.autograd.grad(loss, [*leaves, *module.parameters()])
        results.append([out, *gradients])
    for plain, cast in zip(*results):
        assert plain.dtype == cast.dtype and torch.isfinite(torch.view_as_real(cast + 0j)).all()
        tolerance = 1e-2 if inside else 0  # PyTorch's own steps backward are then in bfloat16
        torch.testing.assert_close(plain, cast, rtol=tolerance, atol=tolerance * float(plain.detach().abs().max()))
    low = [part.detach().real.bfloat16() for part in inputs]
    assert module(*low, ptr=PTR).dtype in (torch.float32, torch.complex64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_half_precision_is_refused_by_name(dtype: torch.dtype, backend: str) -> None:
    conv, inputs = lmp(backend)
    mix, low = MixReps(IRREPS, IRREPS, backend), [part.real.to(dtype) for part in inputs]
    for module, arguments in ((conv, low), (mix, low[:1])):
        with pytest.raises(TypeError, match=r"in float32 or float64, but its parameters are .*\.float\(\)"):
            module.to(dtype)(*arguments)


@pytest.mark.parametrize("layer", LAYERS)
def test_second_derivatives(layer: str) -> None:
    """Plain back-ends have them; the fused one says which do, and has first ones with their graph."""

    def penalty(backend: str) -> list[Tensor]:
        torch.manual_seed(0)
        module, inputs = LAYERS[layer](backend)
        leaves = [part.clone().requires_grad_() for part in inputs]
        first = torch.autograd.grad(module(*leaves, ptr=PTR).abs().pow(3).sum(), leaves, create_graph=True)
        wanted = [*leaves, *module.parameters()]
        return list(torch.autograd.grad(sum(part.abs().square().sum() for part in first), wanted))

    for ours, theirs in zip(penalty("dense"), penalty("edge_list")):
        assert theirs.abs().max() > 1e-6
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8 * float(theirs.abs().max()))
    with pytest.raises(BackendError, match="backend='dense' or 'edge_list'"):
        penalty("fused")


def test_wide_layers_do_not_overflow_the_stack() -> None:
    """In a process of its own, which the overflow of the stack would end."""
    program = (
        "import torch\nfrom lgae_pyg.nn import GraphNetConv, LMPConv\n"
        "x = '{0}x(0,0)+{0}x(1/2,1/2)'.format(600)\n"
        "conv = LMPConv(x, '2x(0,0)+2x(1/2,1/2)', mlp_depth=0)\n"
        "print(conv(torch.randn(3, 3000), torch.randn(3, 4), ptr=torch.tensor([0, 3])).shape)\n"
        "conv = GraphNetConv(1, (1_100_000,), (1,))\n"
        "print(conv(torch.randn(3, 1), ptr=torch.tensor([0, 3])).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.returncode, done.stderr[-1000:])


def test_what_many_pairs_cost_is_said_beforehand_and_once(caplog: pytest.LogCaptureFixture) -> None:
    """A jet of 10,000 particles has a hundred million pairs; many small jets of as many particles have few."""
    compiler.SAID.discard("pairs")
    nodes = torch.zeros(10_000, 4)
    door.enter_offsets(torch.arange(0, 10_001, 50), nodes)
    assert not caplog.messages
    for _ in range(2):
        door.enter_offsets(torch.tensor([0, 10_000]), nodes)
    assert len(caplog.messages) == 1 and "100,000,000 pairs" in caplog.messages[0]
    assert "num_particles" in caplog.messages[0] and "\n" not in caplog.messages[0]


def test_neighbours_of_large_jets_are_found_some_rows_at_a_time(jets: Batch, monkeypatch, caplog) -> None:
    """No matrix of all pairs is held, the edges are the same, and what it costs is said as well."""
    points = jets.pos[:, 1:3].contiguous()
    whole = [nearest_neighbours(points, jets.ptr, 5), friends(jets.pos, jets.ptr, 5)]
    asked = []

    def seen(rows: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        asked.append(rows.shape[0] * rows.shape[1] * points.shape[1])
        return neighbours.closeness(rows, points)

    monkeypatch.setattr(neighbours, "MAX_SCORES", 100)
    monkeypatch.setattr(door, "MANY_PAIRS", 1000)
    compiler.SAID.discard("pairs")
    assert torch.equal(neighbours._strongest(seen, points, jets.ptr, 5), whole[0]) and max(asked) <= 100
    assert torch.equal(friends(jets.pos, jets.ptr, 5), whole[1])
    assert len(caplog.messages) == 1 and "pairs of particles" in caplog.messages[0]
