"""The one door to the kernels: nothing reaches their memory that has not passed here.

A kernel takes addresses and reads what its arguments say is there. Tensors of another type, size or device,
offsets that do not describe the nodes, and gradients in some other order would be read as numbers that they are
not, or from behind the end of their memory. Every tensor of every call, forward and backward, C++ and Triton, is
therefore checked, brought into order and only then turned into an address.
"""

import ctypes
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any

import torch
from torch import Tensor

from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiler import NAMES, say_once
from lgae_pyg.ops.graphs import check_offsets

CPU = torch.device("cpu")
NO_SECOND_DERIVATIVES = (
    "the fused back-end has no second derivatives (as of a gradient penalty, create_graph=True): build the "
    "model with backend='dense' or 'edge_list', which have them"
)
#: Pairs in a batch beyond which one is told how long they take, and seconds that a layer needs for one on a core,
#: from a level of LGAE to a block of LorentzNet (measured: 26 to 150 ns forward).
MANY_PAIRS, PAIR_SECONDS = 20_000_000, (2.6e-8, 1.5e-7)
_KINDS: dict[type, Any] = {bool: ctypes.c_int, int: ctypes.c_int64, float: ctypes.c_double}


def enter(
    what: str, tensor: Tensor, shape: Sequence[int], dtype: torch.dtype, device: torch.device = CPU
) -> Tensor:
    """The numbers of a tensor as a kernel expects them: in order, conjugation and sign carried out.

    Args:
        what: its name in the error message.
        tensor: what was given.
        shape: the shape that the kernel reads.
        dtype: the type that it reads.
        device: where it runs.

    Raises:
        ValueError: if the tensor has another type or shape, is elsewhere, or has no memory.
    """
    if tensor.dtype != dtype:
        raise ValueError(
            f"{what} must be {dtype}, not {tensor.dtype}: bring features, momenta and parameters to one "
            "precision, for example with .double()"
        )
    if tensor.shape != tuple(shape):
        raise ValueError(f"{what} must have the shape {tuple(shape)}, not {tuple(tensor.shape)}")
    if tensor.device != device:
        raise ValueError(f"{what} must be on {device}, not on {tensor.device}: move it with .to('{device}')")
    if not tensor.is_contiguous() or tensor.is_conj() or tensor.is_neg():
        tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if tensor.numel() and not tensor.data_ptr():
        raise ValueError(f"{what} has no memory of its own (it was released, or is a stand-in)")
    return tensor


def enter_gradient(
    what: str, tensor: Tensor, shape: Sequence[int], dtype: torch.dtype, device: torch.device = CPU
) -> Tensor:
    """The same for a gradient from above, which may come in another precision."""
    if tensor.dtype != dtype and tensor.is_complex() <= dtype.is_complex:
        tensor = tensor.to(dtype)
    return enter(f"the gradient of {what}", tensor, shape, dtype, device)


def enter_offsets(ptr: Tensor, nodes: Tensor) -> Tensor:
    """Offsets as a kernel expects them; see :func:`~lgae_pyg.ops.graphs.check_offsets`.

    What many pairs cost is said beforehand, once.
    """
    ptr = check_offsets(ptr, len(nodes), nodes.device).contiguous()
    say_cost(ptr, nodes)
    return ptr


def say_cost(ptr: Tensor, nodes: Tensor) -> None:
    """Says once, beforehand, what the pairs of particles of a batch cost on a CPU, if they are many."""
    if not ptr.is_cpu or len(nodes) ** 2 <= MANY_PAIRS:
        return
    if (pairs := int((ptr.diff() ** 2).sum())) > MANY_PAIRS:
        low, high = (pairs * each / torch.get_num_threads() for each in PAIR_SECONDS)
        say_once(
            logging.WARNING,
            f"a batch has {pairs:,} pairs of particles: forward, each layer takes about {low:.0f} to {high:.0f} "
            "s, and more backward; memory grows with the particles alone. Fewer jets in a batch, or jets cut to "
            "their leading particles (num_particles=...), are quicker",
            about="pairs",
        )


def precision_of(what: str, tensor: Tensor, is_complex: bool = True) -> torch.dtype:
    """The precision of the rows that a kernel works on.

    Raises:
        ValueError: if they are no matrix of (complex) numbers of a precision that there are kernels for.
    """
    dtype = tensor.dtype.to_real()
    if tensor.dim() != 2 or tensor.is_complex() != is_complex or dtype not in NAMES:
        kind = "complex64 or complex128" if is_complex else "float32 or float64"
        raise ValueError(f"{what} must be rows of {kind} numbers, not {tuple(tensor.shape)} {tensor.dtype}")
    return dtype


def call(function: Callable[..., int], *arguments: object) -> int:
    """Calls a kernel with tensors that have passed here and plain numbers, on as many threads as PyTorch uses, and
    returns what it returns.

    In C, a tensor (or ``None``) is an address, a ``bool`` an ``int``, an ``int`` an ``int64_t`` and a ``float`` a
    ``double``; a list of these is an array of them.
    """
    return function(*map(_in_c, arguments), ctypes.c_int(torch.get_num_threads()), _openmp())


def _in_c(value: Any) -> Any:
    if isinstance(value, list | tuple):
        kind = _KINDS.get(type(value[0]), ctypes.c_void_p) if value else ctypes.c_void_p
        return (kind * len(value))(*map(_in_c, value))
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    kind = _KINDS.get(type(value))
    return value if kind is None else kind(value)


@lru_cache(maxsize=1)
def _openmp() -> ctypes.c_void_p:
    """``GOMP_parallel`` of the runtime that PyTorch has loaded; null where there is none, as outside Linux."""
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p)
    except (AttributeError, OSError, TypeError):
        return ctypes.c_void_p(None)


def room(tensor: Tensor, wanted: bool) -> Tensor:
    """Memory for a gradient, if it is wanted."""
    return tensor.new_empty(tensor.shape) if wanted else tensor.new_empty(0)


def operator(name: str, schema: str) -> Callable:
    """Decorates an operator that changes none of its arguments, whose types are in the schema."""
    return torch.library.custom_op(f"lgae_pyg::{name}", mutates_args=(), schema=schema)


def register_shapes(operator: torch.library.CustomOpDef) -> Callable:
    """Decorates the function that says, for stand-ins of tensors, what an operator returns.

    PyTorch calls it too where one tensor is such a stand-in and the others are not, and would take the memory that
    it makes for a result: tensors on several devices are refused.
    """

    def register(function: Callable) -> None:
        @operator.register_fake
        @wraps(function)
        def shapes(*arguments: Any) -> Any:
            parts = [part for one in arguments for part in (one if isinstance(one, list) else [one])]
            devices = {part.device for part in parts if isinstance(part, Tensor)}
            if len(devices) > 1:
                raise ValueError(f"tensors are on {', '.join(map(str, devices))}: move them to one device")
            return function(*arguments)

    return register


def refuse_second_derivatives(backward: torch.library.CustomOpDef) -> None:
    """Makes the gradient of a kernel's gradient an error that says what can be done."""

    def refuse(ctx: Any, *_: Tensor | None) -> None:
        raise BackendError(NO_SECOND_DERIVATIVES)

    backward.register_autograd(refuse)
