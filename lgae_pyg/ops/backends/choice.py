"""Which back-end of an operation runs: what was asked for, on what the tensors are."""

import importlib
import logging
from collections.abc import Hashable
from functools import cache

import torch

from lgae_pyg.files import first_line
from lgae_pyg.ops.backends.compiler import NAMES, CompilationError, say_once

BACKENDS = ("auto", "edge_list", "dense", "fused")
#: The fused implementation of each operation by kind of device: its name, and the module and function that build
#: it. Where ``dense`` stands, PyTorch's own operations are all there is, and enough.
FUSED = {
    "neighbour sum": {"cpu": ("compiled", "compiled.sum_library"), "cuda": ("triton", "triton.require_kernels")},
    "level": {"cpu": ("compiled", "compiled_level.level_library")},
    "tensor level": {"cpu": ("compiled", "compiled_tensors.tensor_library"), "cuda": ("dense", "")},
    "products": {"cpu": ("compiled", "compiled_tensors.products_library"), "cuda": ("dense", "")},
    "edge network": {"cpu": ("compiled", "compiled_edges.edge_library")},
    "LorentzNet block": {"cpu": ("compiled", "compiled_lorentz.block_libraries")},
    "edge convolution": {"cpu": ("compiled", "compiled_convolution.edge_library"), "cuda": ("dense", "")},
    "mixing": {"cpu": ("compiled", "compiled_nodes.mix_library"), "cuda": ("dense", "")},
    "extremum": {"cpu": ("compiled", "compiled_nodes.extremum_library"), "cuda": ("dense", "")},
}
#: Operations made of others, which are asked for in their place where they cannot run as a whole.
COMPOSED = ("level", "tensor level")


class BackendError(RuntimeError):
    """The back-end that was asked for cannot run here."""


def check_backend(name: str) -> None:
    """Refuses unknown names.

    Raises:
        ValueError: if the name is not in ``BACKENDS``.
    """
    if name not in BACKENDS:
        raise ValueError(f"unknown backend '{name}': choose one of {', '.join(BACKENDS)}")


@torch.compiler.assume_constant_result
def choose_backend(name: str, operation: str, device: str, *needs: Hashable) -> str:
    """The implementation of an operation behind a public name; the one place where that is decided.

    ``fused`` is compiled C++ for tensors on the CPU and Triton for those on a GPU; ``auto`` is ``fused`` where
    that can be built and ``dense`` where not. A choice of ``auto`` is logged once (logger ``lgae_pyg.backend``),
    at level info, or as a warning where it has to do without the fused one.

    Args:
        name: one of ``BACKENDS``.
        operation: a key of ``FUSED``.
        device: kind of the device.
        needs: what the kernel is built for, precisions and sizes; the arguments of the function that builds it.

    Returns:
        ``edge_list``, ``dense``, ``compiled`` or ``triton``.

    Raises:
        ValueError: for an unknown name.
        BackendError: if ``fused`` was asked for and cannot run, with the reason.
    """
    return _choose(name, operation, device, *needs)


@cache
def _choose(name: str, operation: str, device: str, *needs: Hashable) -> str:
    check_backend(name)
    if name in ("edge_list", "dense"):
        return name
    implementation, builder = FUSED[operation].get(device, ("", ""))
    reason = _why_not(implementation, builder, needs)
    if reason is None:
        if name == "auto" and implementation != "dense":
            say_once(logging.INFO, f"back-end on {device}: fused ({implementation})")
        return implementation
    if operation in COMPOSED:
        return "dense"
    if name == "fused":
        raise BackendError(f"backend 'fused' cannot run on {device}: {reason}; 'auto' or 'dense' can")
    level = logging.WARNING if implementation else logging.INFO
    say_once(level, f"back-end on {device}: dense, which is slower; fused cannot run: {first_line(reason)}")
    return "dense"


def _why_not(implementation: str, builder: str, needs: tuple[Hashable, ...]) -> str | None:
    """Why a fused implementation cannot run; none if it can."""
    if not implementation:
        return "there are no kernels for this device"
    if unknown := [need for need in needs if isinstance(need, torch.dtype) and need not in NAMES]:
        return f"there are no kernels for {unknown[0]}"
    if not builder:
        return None
    module, function = builder.split(".")
    try:
        getattr(importlib.import_module(f"lgae_pyg.ops.backends.{module}"), function)(*needs)
    except CompilationError as error:
        return str(error)
    return None
