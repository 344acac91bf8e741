"""Four-momenta from the columns that files have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m


def four_momenta(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    r"""Four-momenta (E, px, py, pz) from one of the sets of columns of :data:`~lgae_pyg.datasets.cards.MOMENTA`.

    Momenta given as they are wanted keep their numbers and type. All others are computed in double precision, so
    that they lie on their mass shell:

    .. math::
        E = \sqrt{|\vec p|^2 + m |m|}, \qquad
        \vec p = p_T (\cos\phi, \sin\phi, \sinh\eta), \qquad
        p_z = \sqrt{p_T^2 + m |m|} \sinh y = E \tanh y .

    Args:
        columns: the columns by what they are, all of one length. A missing mass is 0.

    Shapes:
        - **columns**: :math:`(n,)` each
        - **returns**: :math:`(n, 4)`
    """
    if {"E", "px", "py", "pz"} == set(columns):
        kind = np.result_type(*(_floating(columns[name]) for name in ("E", "px", "py", "pz")))
        return np.stack([columns[name].astype(kind, copy=False) for name in ("E", "px", "py", "pz")], axis=-1)
    one = {name: values.astype(np.float64) for name, values in columns.items()}
    mass = one.get("m", np.float64(0.0))
    with np.errstate(all="ignore"):  # what is not finite is found, and said, by the gate
        if "px" in one:
            p = [one["px"], one["py"], one["pz"]]
            return np.stack([_root(p[0] ** 2 + p[1] ** 2 + p[2] ** 2 + mass * np.abs(mass)), *p], axis=-1)
        if "eta" in one:
            pt, eta, phi = (torch.from_numpy(np.ascontiguousarray(one[name])) for name in ("pt", "eta", "phi"))
            p4 = from_pt_eta_phi_m(pt, eta, phi, torch.as_tensor(mass) if "m" in one else None).numpy()
            if "E" in one:
                p4[:, 0] = one["E"]
            return p4
        pt, rapidity, phi = one["pt"], one["y"], one["phi"]
        transverse = _root(pt**2 + mass * np.abs(mass))
        e = one["E"] if "E" in one else transverse * np.cosh(rapidity)
        pz = e * np.tanh(rapidity) if "E" in one else transverse * np.sinh(rapidity)
        return np.stack([e, pt * np.cos(phi), pt * np.sin(phi), pz], axis=-1)


def as_precise(p4: np.ndarray, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Momenta in single precision where all columns of a file are, energies among them, in whatever format they
    are written: a mass within their rounding is none, in float64 as little as in float32.

    Args:
        p4: four-momenta.
        columns: what they were made of (:func:`four_momenta`).

    Shapes:
        - **p4**: :math:`(n, 4)`, also of what is returned; **columns**: :math:`(n,)` each
    """
    if "E" not in columns or p4.dtype != np.float64:
        return p4
    return p4.astype(np.float32) if all(map(_is_single, columns.values())) else p4


def _is_single(values: np.ndarray) -> bool:
    """Whether numbers are not changed by single precision."""
    with np.errstate(over="ignore"):  # what is too large is changed
        single = values.astype(np.float32)
    return np.array_equal(single.astype(np.float64), values.astype(np.float64), equal_nan=True)


def _root(square: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(square, 0.0))  # NaN stays NaN


def _floating(values: np.ndarray) -> np.dtype:
    """The type of numbers as wide as needed: at least single precision, in this machine's order of bytes."""
    if values.dtype.kind != "f":
        return np.dtype(np.float64)
    return np.result_type(values.dtype.newbyteorder("="), np.float32)
