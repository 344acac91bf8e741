"""The sum over the neighbours of an edge network as one compiled kernel for the CPU.

The kernel (``cpp/edge_sum.cpp``) sends the pairs of a particle through all layers while they are in the
processor's cache, and computes them again in the backward pass, so memory grows like the number of particles. Jets
of any sizes go through without padding. The plain definition is in :mod:`lgae_pyg.ops.edge_networks`.
"""

import ctypes
import logging
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from lgae_pyg.ops.backends.choice import BackendError, check_backend
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, load_library, plain, pointer, threads
from lgae_pyg.ops.edge_networks import EdgeNetwork
from lgae_pyg.ops.pairs import split_linear

log = logging.getLogger("lgae_pyg.backend")


def choose_edge_backend(name: str, x: Tensor, widths: Sequence[int]) -> str:
    """The implementation behind a public name, for features like these.

    ``fused`` is compiled C++ for tensors on the CPU; ``auto`` is ``fused`` where that can be built and ``dense``
    where not, which is logged once.

    Args:
        name: one of :data:`~lgae_pyg.ops.backends.choice.BACKENDS`.
        x: node features.
        widths: widths of the layers of the edge network.

    Returns:
        ``edge_list``, ``dense`` or ``compiled``.

    Raises:
        ValueError: for an unknown name.
        BackendError: if ``fused`` was asked for and cannot run, with the reason.
    """
    return _constant(name, x.device.type, x.dtype, x.shape[-1], tuple(widths))


@torch.compiler.assume_constant_result
def _constant(*kind: object) -> str:
    """Keeps torch.compile from looking into the choice."""
    return _choose(*kind)


@cache
def _choose(name: str, device: str, dtype: torch.dtype, features: int, widths: tuple[int, ...]) -> str:
    check_backend(name)
    if name in ("edge_list", "dense"):
        return name
    reason = _why_not(device, dtype, features, widths)
    if reason is None:
        return "compiled"
    if name == "fused":
        raise BackendError(f"backend 'fused' cannot run on {device}: {reason}; 'auto' or 'dense' can")
    level = logging.WARNING if device == "cpu" else logging.INFO
    log.log(level, f"back-end of edge networks on {device}: dense, which is slower; fused cannot run: {reason}")
    return "dense"


def _why_not(device: str, dtype: torch.dtype, features: int, widths: tuple[int, ...]) -> str | None:
    if device != "cpu":
        return "there are no kernels for this device"
    if dtype not in NAMES:
        return f"there are no kernels for {dtype}"
    try:
        _library(dtype, features, widths)
    except CompilationError as error:
        return str(error)
    return None


def compiled_edge_sum(x: Tensor, network: EdgeNetwork, ptr: Tensor) -> Tensor:
    r"""The sums :math:`m_i` of :func:`~lgae_pyg.ops.edge_networks.edge_network_sum`, on the CPU.

    Raises:
        CompilationError: if the kernel cannot be built.

    Shapes:
        - x: :math:`(n, F)`, ptr: :math:`(B+1,)`
        - **output:** :math:`(n, \text{out})`
    """
    first = split_linear(x, network.weights[0], network.biases[0])
    rest = [part.flatten() for pair in zip(network.weights[1:], network.biases[1:]) for part in pair]
    parameters = torch.cat([first.pair.flatten(), *rest])
    widths = [len(bias) for bias in network.biases]
    return _sum(x, first.target, first.source, parameters, widths, network.slope, network.norm, ptr)


def _library(dtype: torch.dtype, features: int, widths: Sequence[int]) -> ctypes.CDLL:
    sizes = ",".join(map(str, widths))
    return load_library(
        ("edge_sum.cpp",), (("COMPUTE", NAMES[dtype]), ("FEATURES", str(features)), ("WIDTHS", sizes))
    )


@torch.library.custom_op("lgae_pyg::edge_sum", mutates_args=(), device_types="cpu")
def _sum(
    x: Tensor,
    target: Tensor,
    source: Tensor,
    parameters: Tensor,
    widths: list[int],
    slope: float,
    norm: bool,
    ptr: Tensor,
) -> Tensor:
    inputs = [plain(tensor) for tensor in (x, target, source, parameters)]
    offsets, jets = plain(ptr), ctypes.c_int64(len(ptr) - 1)
    out = x.new_empty(len(x), widths[-1])
    _library(x.dtype, x.shape[-1], widths).edge_sum_forward(
        *map(pointer, inputs), ctypes.c_double(slope), int(norm), pointer(offsets), jets, pointer(out), *threads()
    )
    return out


@_sum.register_fake
def _(x, target, source, parameters, widths, slope, norm, ptr):
    return x.new_empty(len(x), widths[-1])


@torch.library.custom_op("lgae_pyg::edge_sum_backward", mutates_args=(), device_types="cpu")
def _sum_backward(
    upstream: Tensor,
    x: Tensor,
    target: Tensor,
    source: Tensor,
    parameters: Tensor,
    widths: list[int],
    slope: float,
    norm: bool,
    ptr: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = [plain(tensor) for tensor in (x, target, source, parameters)]
    upstream, offsets, jets = plain(upstream), plain(ptr), ctypes.c_int64(len(ptr) - 1)
    grads = [torch.empty_like(tensor) for tensor in inputs]
    _library(x.dtype, x.shape[-1], widths).edge_sum_backward(
        *map(pointer, inputs), ctypes.c_double(slope), int(norm), pointer(offsets), jets, pointer(upstream),
        *map(pointer, grads), *threads(),
    )  # fmt: skip
    return tuple(grads)


@_sum_backward.register_fake
def _(upstream, x, target, source, parameters, widths, slope, norm, ptr):
    return tuple(tensor.new_empty(tensor.shape) for tensor in (x, target, source, parameters))


def _save(ctx, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.widths, ctx.slope, ctx.norm, ptr = inputs
    ctx.save_for_backward(*tensors, ptr)


def _gradients(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, ptr = ctx.saved_tensors
    return *_sum_backward(upstream, *tensors, ctx.widths, ctx.slope, ctx.norm, ptr), *[None] * 4


_sum.register_autograd(_gradients, setup_context=_save)
