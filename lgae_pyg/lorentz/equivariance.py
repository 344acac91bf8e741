r"""How far a function is from Lorentz equivariance: one error function for tests and evaluation."""

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lgae_pyg.lorentz.group import representation_matrix
from lgae_pyg.lorentz.irreps import Irrep, Irreps


@torch.no_grad()
def equivariance_error(
    function: Callable[[Any], Any],
    inputs: Any,
    transform: Tensor,
    *,
    irreps_in: Irreps | Irrep | str = "(1/2,1/2)",
    irreps_out: Irreps | Irrep | str = "(1/2,1/2)",
    measure: Literal["norm", "max", "paper"] = "norm",
    per_row: bool = False,
) -> Tensor:
    r"""The relative deviation of a function f from equivariance,
    :math:`f(\rho_{in}(\Lambda)\, x) = \rho_{out}(\Lambda)\, f(x)`.

    With :math:`a = f(\rho_{in}(\Lambda)\, x)` and :math:`b = \rho_{out}(\Lambda)\, f(x)`, whose rows are the
    vectors of the last axis, the measures are

    - ``"norm"``: :math:`\|a - b\| / \|b\|`, the Frobenius norm over all rows;
    - ``"max"``: the largest :math:`\|a_i - b_i\| / \|b_i\|` of the rows i;
    - ``"paper"``: :math:`|\bar a - \bar b| / |\bar b|` with the mean over all rows, components, and real and
      imaginary parts (Hao et al., Eur. Phys. J. C 83 (2023) 485, Eq. C.8, in the Cartesian basis). Signed
      errors cancel in it; use it to compare with the paper only.

    0/0 counts as 0, and an error of a zero row as infinite. The input is transformed in double precision and
    then cast to its own type, and the comparison is in double precision, so that the error is the function's
    and not the transformation's. Put modules in evaluation mode. Gradients are off.

    Args:
        function: A function of the input. It returns a tensor whose last axis carries ``irreps_out``, or an
            object whose attribute ``p4`` is one.
        inputs: A tensor whose last axis carries ``irreps_in``, or a graph (batch) with such a tensor as its
            attribute ``pos``. A graph is copied shallowly and only ``pos`` is transformed.
        transform: The proper orthochronous Lorentz transformation :math:`\Lambda`.
        irreps_in: Representation of the input; four-momenta by default.
        irreps_out: Representation of the output; ``"1x(0,0)"`` tests invariance.
        measure: One of the measures above.
        per_row: Return the error of every row instead of one number (only with the measure ``"norm"``).

    Shapes:
        - **input:** inputs or inputs.pos :math:`(*, dim_{in})`, transform :math:`(4, 4)`
        - **output:** :math:`()`, or with ``per_row`` the function's output without its last axis; float64. The
          measure ``"norm"`` is NaN if the function returns nothing but zeros, which says nothing about it

    Raises:
        ValueError: If shapes do not fit the representations, the output is empty, the two outputs differ in
            shape, or the measure is unknown or cannot be given per row.
    """
    irreps_in, irreps_out = Irreps(irreps_in), Irreps(irreps_out)
    _check_measure(measure, per_row)
    moved = _act(irreps_in, transform, _momenta(inputs), "input").to(_momenta(inputs).dtype)
    expected = _act(irreps_out, transform, _output(function(inputs)), "output")
    found = _widened(_output(function(_with_momenta(inputs, moved))))
    _check_shapes(found, expected)
    if measure == "paper":
        found, expected = _real_mean(found), _real_mean(expected)
        return _relative((found - expected).abs(), expected.abs())
    axis = None if measure == "norm" and not per_row else -1
    difference, size = (torch.linalg.vector_norm(x, dim=axis) for x in (found - expected, expected))
    if axis is None:
        return difference / size
    error = _relative(difference, size)
    return error.max() if measure == "max" else error


def _check_measure(measure: str, per_row: bool) -> None:
    """Raises ValueError for a measure that does not exist."""
    if measure not in ("norm", "max", "paper"):
        raise ValueError(f"unknown measure {measure!r}; choose 'norm', 'max' or 'paper'")
    if per_row and measure != "norm":
        raise ValueError(f"errors per row are defined for the measure 'norm', not for {measure!r}")


def _check_shapes(found: Tensor, expected: Tensor) -> None:
    """Raises ValueError for outputs that cannot be compared."""
    if expected.numel() == 0:
        raise ValueError(f"the output of shape {tuple(expected.shape)} is empty: there is nothing to compare")
    if found.shape != expected.shape:
        raise ValueError(
            f"the output has the shape {tuple(expected.shape)}, after the transformation {tuple(found.shape)}"
        )


def _momenta(inputs: Any) -> Tensor:
    """The tensor that is transformed: the input itself or its ``pos``."""
    tensor = inputs if isinstance(inputs, Tensor) else getattr(inputs, "pos", None)
    if not isinstance(tensor, Tensor):
        raise ValueError(f"the input is neither a tensor nor a graph with a tensor 'pos', but {type(inputs)}")
    return tensor


def _with_momenta(inputs: Any, moved: Tensor) -> Any:
    """The transformed tensor, or a shallow copy of the graph with transformed ``pos``."""
    if isinstance(inputs, Tensor):
        return moved
    graph = copy.copy(inputs)
    graph.pos = moved
    return graph


def _output(result: Any) -> Tensor:
    """The tensor to compare: the result itself or its ``p4``."""
    tensor = result if isinstance(result, Tensor) else getattr(result, "p4", None)
    if not isinstance(tensor, Tensor):
        raise ValueError(f"the output is neither a tensor nor an object with 'p4', but {type(result)}")
    return tensor


def _act(irreps: Irreps, transform: Tensor, x: Tensor, role: str) -> Tensor:
    """The representation's matrix applied to the last axis, in double precision."""
    if x.dim() == 0 or x.shape[-1] != irreps.dim:
        shape, dim = tuple(x.shape), irreps.dim
        raise ValueError(f"the {role} of shape {shape} does not fit {irreps}, which has {dim} components")
    matrix = representation_matrix(irreps, transform).to(x.device)
    if not matrix.is_complex() and not x.is_complex():
        return _widened(x) @ matrix.T
    return x.to(torch.complex128) @ matrix.to(torch.complex128).T


def _widened(x: Tensor) -> Tensor:
    """The tensor in double precision."""
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def _real_mean(x: Tensor) -> Tensor:
    """The mean of all entries, real and imaginary parts counted as entries of their own."""
    return (torch.view_as_real(x) if x.is_complex() else x).mean()


def _relative(difference: Tensor, size: Tensor) -> Tensor:
    """difference / size, where 0 / 0 is 0."""
    return torch.where(difference == 0, torch.zeros_like(difference), difference / size)
