"""Which back-end of the neighbour sum runs: what was asked for, on what the tensors are."""

import importlib
import logging
from functools import cache

import torch
from torch import Tensor

from lgae_pyg.ops.backends.compiler import NAMES, CompilationError

BACKENDS = ("auto", "edge_list", "dense", "fused")

log = logging.getLogger("lgae_pyg.backend")


class BackendError(RuntimeError):
    """The back-end that was asked for cannot run here."""


def check_backend(name: str) -> None:
    """Refuses unknown names.

    Raises:
        ValueError: if the name is not in ``BACKENDS``.
    """
    if name not in BACKENDS:
        raise ValueError(f"unknown backend '{name}': choose one of {', '.join(BACKENDS)}")


def choose_backend(name: str, features: Tensor, momenta: Tensor, radial_dtype: torch.dtype, channels: int) -> str:
    """The implementation behind a public name, for tensors like these.

    ``fused`` is compiled C++ for tensors on the CPU and Triton for those on a GPU; ``auto`` is ``fused`` where
    that can be built and ``dense`` where not. A choice of ``auto`` is logged once (logger ``lgae_pyg.backend``),
    at level info, or as a warning where it has to do without the fused one.

    Args:
        name: one of ``BACKENDS``.
        features: node features, complex.
        momenta: real or complex.
        radial_dtype: precision of the radial functions.
        channels: multiplicity of the features.

    Returns:
        ``edge_list``, ``dense``, ``compiled`` or ``triton``.

    Raises:
        ValueError: for an unknown name.
        BackendError: if ``fused`` was asked for and cannot run, with the reason.
    """
    kind = (features.device.type, features.dtype, radial_dtype, momenta.is_complex())
    return _constant(name, *kind, channels)


def runs_compiled(name: str, kernels: str, features: Tensor) -> bool:
    """Whether an operation on nodes alone is to run in a compiled kernel: where ``fused`` or ``auto`` allow it, on
    the CPU, if it can be built.

    Args:
        name: one of ``BACKENDS``.
        kernels: those of :func:`~lgae_pyg.ops.backends.compiled_nodes.node_library`.
        features: node features, complex.
    """
    return name in ("auto", "fused") and features.device.type == "cpu" and _can_build(kernels, features.dtype)


@torch.compiler.assume_constant_result
def _can_build(kernels: str, dtype: torch.dtype) -> bool:
    return _builds(kernels, dtype.to_real())


@cache
def _builds(kernels: str, dtype: torch.dtype) -> bool:
    if dtype not in NAMES:
        return False
    try:
        importlib.import_module("lgae_pyg.ops.backends.compiled_nodes").node_library(kernels, dtype)
    except CompilationError:
        return False
    return True


@torch.compiler.assume_constant_result
def _constant(*kind: object) -> str:
    """Keeps torch.compile from looking into the choice."""
    return _choose(*kind)


@cache
def _choose(
    name: str, device: str, dtype: torch.dtype, radial_dtype: torch.dtype, complex_momenta: bool, channels: int
) -> str:
    check_backend(name)
    if name in ("edge_list", "dense"):
        return name
    dtype = dtype.to_real()
    fused = {"cpu": "compiled", "cuda": "triton"}.get(device)
    reason = _why_not(fused, dtype, radial_dtype, complex_momenta, channels)
    if reason is None:
        if name == "auto":
            _log_once(logging.INFO, f"back-end on {device}: fused ({fused})")
        return fused
    if name == "fused":
        raise BackendError(f"backend 'fused' cannot run on {device}: {reason}; 'auto' or 'dense' can")
    _log_once(logging.WARNING, f"back-end on {device}: dense, which is slower; fused cannot run: {reason}")
    return "dense"


@cache
def _log_once(level: int, message: str) -> None:
    log.log(level, message)


def _why_not(
    fused: str | None, dtype: torch.dtype, radial_dtype: torch.dtype, complex_momenta: bool, channels: int
) -> str | None:
    """Why the fused implementation cannot run; none if it can."""
    if fused is None:
        return "there are no kernels for this device"
    if dtype not in NAMES or radial_dtype not in NAMES:
        return f"there are no kernels for {dtype}"
    if fused == "triton":
        return importlib.import_module("lgae_pyg.ops.backends.triton").why_unavailable()
    try:
        importlib.import_module("lgae_pyg.ops.backends.compiled").sum_library(
            dtype, radial_dtype, complex_momenta, channels
        )
    except CompilationError as error:
        return str(error)
    return None
